"""What decodes pictures, and in which version, for the record of a run."""

from __future__ import annotations

import contextlib
import importlib.metadata

from PIL import Image, features

from featx.images.formats import load_plugins
from featx.version import version_of

_LIBRARIES = {
    "libjpeg-turbo": "libjpeg_turbo",
    "openjpeg": "jpg_2000",
    "libtiff": "libtiff",
    "libwebp": "webp",
    "libavif": "avif",
    "littlecms": "littlecms2",
}
"""Libraries that Pillow calls, as its module `features` names them."""


def can_read_heif() -> bool:
    """Whether HEIC pictures can be read here."""
    load_plugins()
    return "HEIF" in Image.OPEN


def decoder_versions() -> dict[str, str]:
    """Return the versions of Pillow, of libraries that it calls, and of pillow-heif if installed.

    Example:
        >>> "pillow" in decoder_versions()
        True
    """
    versions = {"pillow": version_of("pillow")}
    for name, feature in _LIBRARIES.items():
        version = features.version(feature)
        if version is not None:
            versions[name] = version
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions["pillow-heif"] = version_of("pillow-heif")
    return versions
