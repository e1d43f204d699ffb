"""Images at URLs that a table names: their sizes and versions, folder by folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featx.errors import ImageError
from featx.images.roots import Root, is_url, public_url
from featx.images.sources.items import MAX_MEMBER_BYTES, ImageFailure, ImageItem, make_failure
from featx.images.sources.keys import label_of, member_key
from featx.images.sources.remote import (
    RemoteReader,
    describe_error,
    describe_too_large,
    item_size,
    open_url,
    version_stamp,
)
from featx.images.sources.tables import spellings


def url_of_row(path: str, folder: str) -> str:
    """Return the URL that a row of a table names: its own, or one relative to the table's folder.

    Raises:
        ImageError: If it is no path below that folder.
    """
    if is_url(path.strip()):
        return path.strip()
    return f"{folder}/{member_key(list(spellings(path))[-1])}"


def key_of_url(url: str, root: str) -> str:
    """Return the key of an image at a URL.

    Raises:
        ImageError: If it is not below the root, or leads out of it.
    """
    below = public_url(url).removeprefix(f"{root}/")
    if is_url(below):
        raise ImageError("its URL is not below that of the others: put it in another table")
    return member_key(below)


class RemoteRows:
    """Makes the items of a table's rows. Each folder that they are in is listed once.

    Servers of web pages cannot list: of what is there, neither size nor version is known, and each
    image is read to see whether it has changed.

    Args:
        root: What keys are relative to.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._filesystem, _ = open_url(root.text)
        self._reader = RemoteReader(self._filesystem)
        self._listed: tuple[str, Mapping[str, Any]] | None = None
        self._can_list = not root.text.startswith("http")

    def make_item(self, key: str, url: str) -> ImageItem | ImageFailure:
        """Return one image, or why there is none."""
        try:
            path = str(self._filesystem._strip_protocol(url))
            facts: Mapping[str, Any] = self._find(path) if self._can_list else {}
        except FileNotFoundError:
            return make_failure(key, "there is no such file")
        except Exception as error:  # Each filesystem raises errors of its own libraries.
            return make_failure(key, describe_error(error))
        size, stamp = item_size(facts), version_stamp(facts)
        if size > MAX_MEMBER_BYTES:
            return make_failure(key, describe_too_large(size), size, stamp)
        self._reader.paths[key] = path
        return ImageItem(key, self._root, label_of(key), size, stamp, self._reader)

    def _find(self, path: str) -> Mapping[str, Any]:
        folder = path.rpartition("/")[0]
        if self._listed is None or self._listed[0] != folder:
            entries = self._filesystem.ls(folder, detail=True)
            self._listed = folder, {entry["name"].lstrip("/"): entry for entry in entries}
            self._filesystem.invalidate_cache(folder)  # Or it keeps all listings in memory.
        found = self._listed[1].get(path.lstrip("/"))
        if found is None:
            raise FileNotFoundError(path)
        return found  # type: ignore[no-any-return]
