"""Addresses of stores in object stores, and where their copies are on the disk.

A copy has the names that the objects have, so that each file of a copy says of which object it is.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from featx.errors import InvalidValue, join_names
from featx.objects.schemes import SCHEMES
from featx.user_cache import user_cache_folder

Purpose = Literal["read", "write"]
"""Copies for reading are kept; those for writing are made anew by each writer."""

COPIES_NAME = "objects"
"""Folder of all copies in the user's cache."""

MAX_NAME_BYTES = 200
"""Longest name between two slashes: disks take 255 bytes, of which suffixes need some."""

# `Path` makes one slash of two. Other slips are addresses, too: a folder "S3:" is never meant.
_ADDRESS = re.compile(r"([a-z][a-z0-9+]+):/{1,3}(?=[^/])", re.IGNORECASE)
_EXAMPLES = [f"{scheme}://BUCKET/FOLDER/NAME.h5" for scheme in SCHEMES]


@dataclass(frozen=True, slots=True)
class Address:
    """The address of an object.

    Attributes:
        scheme: The kind of object store, one of `SCHEMES`.
        path: Bucket and key, with ``/`` between them.
    """

    scheme: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address that text is.

        Raises:
            InvalidValue: If it is none of an object, or holds a password or a query.

        Example:
            >>> Address.parse("s3:/photos/2026/features.h5").url
            's3://photos/2026/features.h5'
        """
        match = _ADDRESS.match(text)
        scheme = "" if match is None else match[1].lower()
        if scheme and scheme not in SCHEMES:
            raise InvalidValue(
                f"A store is at a path, or in an object store at {join_names(_EXAMPLES)}. "
                f"Received: {write_address(text)!r}. Copy it from there first."
            )
        path = "" if match is None else text[match.end() :]
        pieces = re.split(r"[/\\]", path)  # A backslash divides names on Windows.
        is_named = match is not None and not match[0].endswith("///")
        if not is_named or "/" not in path or {"", ".", ".."}.intersection(pieces):
            raise InvalidValue(
                f"A store in an object store is named as {join_names(_EXAMPLES)}. Received: "
                f"{write_address(text)!r}."
            )
        if "@" in pieces[0] or "?" in path:
            raise InvalidValue(
                f"{write_address(text)!r} was given with a password or a query, which are not "
                "used for stores. Leave them out: credentials come from the environment."
            )
        if max(len(os.fsencode(piece)) for piece in pieces) > MAX_NAME_BYTES:
            raise InvalidValue(
                f"{write_address(text)!r} has a name of more than {MAX_NAME_BYTES} bytes, which "
                "copies on a disk cannot have. Choose a shorter one."
            )
        return cls(scheme, path)

    @classmethod
    def of_copy(cls, path: Path) -> Address | None:
        """Return the address whose copy a file is; None if it is not in a copy."""
        found = _split_copy(path)
        return None if found is None else cls(found[1], found[2])

    @property
    def url(self) -> str:
        """The address as people write it."""
        return f"{self.scheme}://{self.path}"

    def copy(self, purpose: Purpose) -> Path:
        """Return where the copy is."""
        return copies_folder() / purpose / self.scheme / self.path


def is_address(text: str) -> bool:
    """Whether text is an address rather than a path, of any kind.

    Example:
        >>> is_address("s3://photos/features.h5"), is_address("photos/features.h5")
        (True, False)
    """
    return _ADDRESS.match(text) is not None


def write_address(text: str) -> str:
    """Return an address as people write it, without a password or a query.

    Example:
        >>> write_address("s3:/photos/features.h5?versionId=1")
        's3://photos/features.h5'
    """
    text = re.sub(r"(?<=/)[^/@]*@", "", text.partition("?")[0])
    return _ADDRESS.sub(r"\1://", text, count=1)


def names_store(text: object) -> bool:
    """Whether an argument that may be many things is the address of a store.

    Example:
        >>> names_store("s3://photos/features.h5"), names_store("s3://photos/cats")
        (True, False)
    """
    if not isinstance(text, (str, Path)):
        return False
    return is_address(str(text)) and str(text).lower().endswith((".h5", ".hdf5"))


def is_copy(path: Path, purpose: Purpose | None = None) -> bool:
    """Whether a file is in a copy, of any purpose when None."""
    found = _split_copy(path)
    return found is not None and purpose in (None, found[0])


def reveal(text: str) -> str:
    """Replace the paths of copies in a text by the addresses that they are copies of.

    Example:
        >>> reveal(f"{str(Address.parse('s3://photos/a.h5').copy('read'))!r} is damaged.")
        "'s3://photos/a.h5' is damaged."
    """
    if f"{os.sep}{COPIES_NAME}{os.sep}" not in text:
        return text
    begin = re.escape(str(copies_folder()) + os.sep)
    return re.sub(rf"{begin}(?:read|write)/({'|'.join(SCHEMES)})/", r"\1://", text)


def location_of(path: Path) -> str:
    """Return where a store is, for a report: its path, or its address."""
    return reveal(str(path))


def copies_folder() -> Path:
    """Return the folder of all copies."""
    return user_cache_folder() / COPIES_NAME


def _split_copy(path: Path) -> tuple[str, str, str] | None:
    """Return purpose, scheme, and bucket with key."""
    text = os.path.abspath(path)
    if f"{os.sep}{COPIES_NAME}{os.sep}" not in text:  # Nearly always; it saves the rest.
        return None
    try:
        begin = str(copies_folder()) + os.sep
    except OSError:  # The user has no home folder, and so no copies.
        return None
    if not text.startswith(begin):
        return None
    purpose, _, rest = text[len(begin) :].replace(os.sep, "/").partition("/")
    scheme, _, rest = rest.partition("/")
    is_one = purpose in ("read", "write") and scheme in SCHEMES and "/" in rest
    return (purpose, scheme, rest) if is_one else None
