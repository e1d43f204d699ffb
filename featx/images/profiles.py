"""Colour profiles: converting pictures to sRGB, which networks were trained on, with LittleCMS.

Profiles come with pictures and may be anything: one that is damaged, too large, or of another kind
of pixels is as if it were not there.
"""

from __future__ import annotations

import functools
import io

from PIL import Image, ImageCms

from featx.input_spec import InputSpec

MAX_PROFILE_BYTES = 8 << 20
"""Larger profiles are passed over; those of printing presses have 0.5 to 3 MB."""

_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
"""Mode of the pixels → colour space of a profile that describes them, as ICC names it."""

_KEPT = 16
"""Profiles whose transforms are kept: a folder's pictures have few."""


def profile_of(image: Image.Image, contract: InputSpec) -> bytes:
    """Return the profile that a picture is to be converted with; empty if there is none."""
    profile = image.info.get("icc_profile") if contract.icc == "apply" else None
    if not isinstance(profile, bytes) or len(profile) > MAX_PROFILE_BYTES:
        return b""
    return profile


def natural_mode(image: Image.Image, profile: bytes, channels: int) -> str | None:
    """Return the mode in which a picture's pixels are what its profile describes.

    None if the profile describes other pixels, or nothing that can be converted to sRGB.
    """
    mode = image.mode
    if mode in ("P", "PA", "RGBA", "RGBX"):
        mode = "RGB"
    elif mode in ("1", "LA") or mode.startswith("I"):
        mode = "L"
    if not profile or mode not in _SPACES or _transform(profile, mode) is None:
        return None
    return "RGBA" if mode == "RGB" and channels == 4 else mode


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert pixels to sRGB: relative colorimetric, with black point compensation.

    Args:
        image: In the mode that `natural_mode` returned.
        profile: The profile.

    Returns:
        A picture of the mode RGB, or RGBA if `image` is.
    """
    if image.mode == "RGBA":
        converted = to_srgb(image.convert("RGB"), profile)
        converted.putalpha(image.getchannel("A"))
        return converted
    transform = _transform(profile, image.mode)
    assert transform is not None
    return transform.apply(image)


@functools.lru_cache(_KEPT)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what converts pixels of a mode to sRGB; None if the profile cannot."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space != _SPACES[mode]:
            return None
        return ImageCms.ImageCmsTransform(
            opened,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None
