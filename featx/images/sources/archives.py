"""What tar and zip archives share: which members are pictures, and their labels."""

from __future__ import annotations

import json
import os
import sys

from featx.errors import ImageError
from featx.images.sources.items import MAX_MEMBER_BYTES, ImageItem, Listing, Reader
from featx.images.sources.keys import (
    is_picture_name,
    is_utf8,
    label_of,
    member_key,
)
from featx.images.sources.request import SourceRequest
from featx.images.sources.split_folders import common_folder
from featx.units import format_count

TAR_ENDINGS = tuple(
    ".tar .tar.gz .tgz .tar.bz2 .tbz .tbz2 .tar.xz .txz .tar.zst .tzst .tar.zstd .tar.lz4".split()
)
ZIP_ENDINGS = (".zip",)

MAX_SIDECAR_BYTES = 1 << 16
"""Largest ``.cls`` or ``.json`` file beside a picture that is read for its label, in bytes."""


_MAX_SIZE = (1 << 63) - 1


class ArchiveListing:
    """Collects the members of one archive.

    Keys are paths inside the archive, preceded by the archive's own path below the root where
    several locations are read. The label is the first folder below those that all pictures share,
    or the content of a ``.cls`` file beside the picture. Of two members with one path the last one
    counts, as when unpacking.

    Args:
        request: The archive.
        reader: Reads its members.
        mtime_ns: The archive's modification time, used for all members: times inside may be
            anything, and packing reproducibly sets them all to 0.
    """

    def __init__(self, request: SourceRequest, reader: Reader, mtime_ns: int) -> None:
        self.listing = Listing()
        self._request = request
        self._reader = reader
        self._mtime_ns = mtime_ns
        self._items: dict[str, ImageItem] = {}
        self._failures: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._labels: dict[str, str | None] = {}
        self._twice: dict[str, None] = {}

    def add(self, name: str, size: int, problem: str | None = None) -> str | None:
        """Take a member; return its key, or None if it is not a usable picture.

        Args:
            name: Its path as recorded in the archive.
            size: Its size in bytes.
            problem: Why it cannot be read, if that is known.
        """
        try:
            member = member_key(name)
        except ImageError as error:
            if is_picture_name(os.path.basename(name)):
                self._fail(self._request.prefix + name, error.reason, size)
            return None
        if not is_picture_name(member):
            self.listing.overlook(member)
            return None
        key = self._request.prefix + member
        if self._request.is_excluded is not None and self._request.is_excluded(key):
            self.listing.left_out.add(key)
            return None
        if key in self._items or key in self._failures:
            self._twice[key] = None
            self._items.pop(key, None)
            self._failures.pop(key, None)
        if size > MAX_MEMBER_BYTES:
            problem = (
                f"it claims {size:,} bytes: at most {MAX_MEMBER_BYTES:,} are read out of an archive"
            )
        if problem is not None or not is_utf8(key):
            self._fail(key, problem or "its name is not valid UTF-8: rename it", size)
            return None
        root = self._request.root
        self._items[key] = ImageItem(key, root, None, size, self._mtime_ns, self._reader)
        return key

    def is_sidecar(self, name: str, size: int) -> bool:
        """Whether a member holds a label, as in a WebDataset, and should be passed to `label`."""
        return name.lower().endswith((".cls", ".json")) and size <= MAX_SIDECAR_BYTES

    def label(self, name: str, data: bytes) -> None:
        """Take the file beside a picture that holds its label: ``000012.cls`` for ``000012.jpg``.

        Without one, the label is ``label``, ``class`` or ``cls`` in ``000012.json``.
        """
        try:
            stem, suffix = split_sample(member_key(name))
        except ImageError:
            return
        if suffix == "cls":
            self._labels[stem] = _clean(data.decode("utf-8", "replace"))
        elif suffix == "json" and stem not in self._labels:
            try:
                fields = json.loads(data)
            except (ValueError, RecursionError):
                return
            for field in ("label", "class", "cls"):
                value = fields.get(field) if isinstance(fields, dict) else None
                if isinstance(value, (str, int)) and not isinstance(value, bool):
                    self._labels[stem] = _clean(str(value))
                    return

    def breaks_off(self, reason: str) -> None:
        """Record that the archive is damaged from here on; what was found counts."""
        name = os.path.basename(self._request.location)
        self.listing.is_complete = False
        self.listing.fail(
            self._request.prefix.rstrip("/") or name,
            "the archive is damaged behind its "
            + format_count(len(self._items), "image that can be read", "images that can be read")
            + f": {reason}",
        )

    def finish(self) -> Listing:
        """Return the members."""
        listing, skipped = self.listing, len(self._request.prefix)
        # A user cannot name a folder inside an archive, so folders that all share are passed over.
        common = common_folder(key[skipped:] for key in self._items)
        listing.by_folder = not self._labels
        for key, item in self._items.items():
            member = key[skipped:]
            label = label_of(member[len(common) :])
            if self._labels:
                label = self._labels.get(split_sample(member)[0], label)
            if label is not None:
                item = ImageItem(key, item.root, label, item.size, item.mtime_ns, item.reader)
            listing.items.append(item)
        for key, reason in self._failures.items():
            listing.fail(key, reason, self._sizes[key], self._mtime_ns)
        if self._twice:
            listing.notes.append(
                f"{os.path.basename(self._request.location)!r} holds "
                f"{format_count(len(self._twice), 'member')} twice, for example "
                f"{next(iter(self._twice))!r}: the last one counts"
            )
        return listing

    def _fail(self, key: str, reason: str, size: int) -> None:
        # A header may claim more than the ledger can hold.
        self._failures[key], self._sizes[key] = reason, min(size, _MAX_SIZE)


def list_unreadable(request: SourceRequest, error: OSError) -> Listing:
    """Return the listing of an archive that cannot be read at all."""
    listing = Listing(is_complete=False)
    name = request.prefix.rstrip("/") or os.path.basename(request.location)
    listing.fail(name, str(error.strerror or error))
    return listing


def split_sample(name: str) -> tuple[str, str]:
    """Return the stem that the files of a WebDataset sample share, and the rest.

    Example:
        >>> split_sample("train/000012.seg.png")
        ('train/000012', 'seg.png')
    """
    folder, _, file = name.rpartition("/")
    stem, _, suffix = file.partition(".")
    return f"{folder}/{stem}" if folder else stem, suffix.lower()


def _clean(text: str) -> str | None:
    text = text.strip()
    return sys.intern(text) if text else None
