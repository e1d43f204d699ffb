"""What a source of images is, and the sources there are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from featx.errors import AddOnError
from featx.images.sources.items import Listing
from featx.images.sources.request import SourceRequest
from featx.registry import Registry


class ImageSource(Protocol):
    """Lists the images at a location: a folder, an archive, a table, a URL.

    Derive from this class; the attributes then have defaults. The contract tests in
    `featx.testing.contracts.images` say what must hold.

    Attributes:
        is_container: Whether a location is one thing that holds many images, such as an archive.
            Its path then is the root, as a folder's is, and begins the keys where several
            locations share a root.
        has_splits: Whether ``--split`` means something here; `list_images` then obeys
            `SourceRequest.split`.
        is_fallback: Whether to be asked after all other sources, to take what none of them
            takes. Of what a glob finds, only files named like images go to a fallback.
    """

    is_container: bool = False
    has_splits: bool = False
    is_fallback: bool = False

    def matches(self, location: str) -> bool:
        """Whether this source lists a location; the first source that does is used.

        Args:
            location: A URL, or the absolute path of a file or folder that exists.
        """
        ...

    def list_images(self, request: SourceRequest) -> Listing:
        """List the images at a location.

        Keys begin with ``request.prefix``, are unique, relative and without ``..``
        (`featx.images.sources.keys.member_key` checks names from files). All items share
        ``request.root`` and one reader. What cannot be read is a failure in the listing, not an
        exception; ``is_complete`` is False where a damage hides what else there is.

        Raises:
            ImagesNotFound: If there is nothing at the location that this source can list.
            InvalidValue: If the request does not go together with what is there.
        """
        ...


IMAGE_SOURCES: Registry[ImageSource] = Registry(
    "source of images",
    "featx.images",
    {
        "manifests": "featx.images.sources.manifests:SOURCE",
        "arrays": "featx.images.sources.arrays:SOURCE",
        "tars": "featx.images.sources.tars:SOURCE",
        "zips": "featx.images.sources.zips:SOURCE",
        "remote": "featx.images.sources.remote:SOURCE",
        "folders": "featx.images.sources.folders:SOURCE",
    },
    ImageSource,
)


def find_source(location: str) -> ImageSource:
    """Return the source that lists a location.

    Sources are asked in the order of the registry, featx's own before those of add-ons, and
    fallbacks (`ImageSource.is_fallback`) last: ``remote`` takes every URL, ``folders`` every path.

    Args:
        location: A URL, or the absolute path of a file or folder that exists.

    Example:
        >>> find_source("/data/photos.tar").is_container
        True
        >>> find_source("/data/photos").is_container
        False
    """
    sources = sorted(_load_sources(), key=_is_fallback)
    return next(source for source in sources if source.matches(location))


def describe_broken_sources() -> list[str]:
    """Return a line for each source that cannot be loaded, and is therefore never asked."""
    lines = []
    for name in IMAGE_SOURCES:
        try:
            IMAGE_SOURCES[name]
        except AddOnError as error:
            lines.append(f"not asked: {error}")
    return lines


def _load_sources() -> Iterator[ImageSource]:
    for name in IMAGE_SOURCES:
        # One that is broken must not stop what works without it; `find_images` says so.
        with contextlib.suppress(AddOnError):
            yield IMAGE_SOURCES[name]


def _is_fallback(source: ImageSource) -> bool:
    return source.is_fallback
