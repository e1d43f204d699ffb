"""Keys of images: their order and labels, and which names are images or refused."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from functools import lru_cache

from featx.errors import ImageError
from featx.images.roots import is_url, public_url
from featx.images.sources.endings import IMAGE_SUFFIXES


def beginnings(key: str) -> Iterator[str]:
    """Yield the beginnings of a key up to each of its folders, the empty one first.

    Whether a key is in one of many archives or folders is then a lookup in a set.

    Example:
        >>> list(beginnings("a.tar/cats/1.jpg"))
        ['', 'a.tar/', 'a.tar/cats/']
    """
    yield ""
    end = key.find("/")
    while end >= 0:
        yield key[: end + 1]
        end = key.find("/", end + 1)


def label_of(key: str) -> str | None:
    """Return the first folder of a key, or None for an image in the root itself.

    Example:
        >>> label_of("cats/1.jpg"), label_of("1.jpg")
        ('cats', None)
    """
    # Interned: a million images share a thousand labels.
    return sys.intern(key.split("/", 1)[0]) if "/" in key else None


def member_key(name: str) -> str:
    """Return the key of a member of an archive, or of a line of a list.

    Raises:
        ImageError: If the path is absolute or leads out of its root.

    Example:
        >>> member_key("./cats//1.jpg")
        'cats/1.jpg'
        >>> member_key("cats/../../1.jpg")
        Traceback (most recent call last):
        ...
        featx.errors.ImageError: its path leads out of its folder: '..' is refused
    """
    if name.startswith(("/", "\\")) or _DRIVE.match(name):
        raise ImageError("its path is absolute: only paths below the root are taken")
    if ".." in _SEPARATORS.split(name):
        raise ImageError("its path leads out of its folder: '..' is refused")
    check_path(name)
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def check_inside(key: str) -> None:
    """Refuse a key whose picture is not below its root: a store or index may hold any text.

    Raises:
        ImageError: If it is absolute, leads out of the root, or is no path at all.

    Example:
        >>> check_inside("cats/../../1.jpg")
        Traceback (most recent call last):
        ...
        featx.errors.ImageError: its path leads out of its folder: '..' is refused
    """
    if os.path.isabs(key):
        raise ImageError("its path is absolute: only paths below the root are taken")
    if ".." in key.replace(os.sep, "/").split("/"):
        raise ImageError("its path leads out of its folder: '..' is refused")
    check_path(key)


def check_path(path: str) -> None:
    """Refuse text that no file can have as its path.

    Raises:
        ImageError: Says why.
    """
    if "\0" in path:
        raise ImageError("its path holds a zero byte")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise ImageError("its path is text that no file can have as its name") from None


_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_SEPARATORS = re.compile(r"[\\/]")


def is_hidden(key: str) -> bool:
    """Whether a part of a key is hidden, or a folder in which a system keeps its own copies.

    These are the thumbnails of Synology and QNAP, and what macOS adds to zip archives.

    Example:
        >>> is_hidden("a/._1.jpg"), is_hidden("a/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg")
        (True, True)
        >>> is_hidden("a/1.jpg")
        False
    """
    return _HIDDEN.search(key) is not None


_HIDDEN = re.compile(r"(?:^|/)(?:\.|(?:@eadir|@__thumb|__macosx)(?:/|$))", re.IGNORECASE)


def is_picture_name(key: str) -> bool:
    """Whether a key has the ending of a picture, and no part of it is hidden.

    Example:
        >>> is_picture_name("a/1.JPG"), is_picture_name("a/._1.jpg"), is_picture_name("a/1.txt")
        (True, False, False)
    """
    return ending_of(key) in IMAGE_SUFFIXES and not is_hidden(key)


def ending_of(name: str) -> str:
    """Return the ending of a name in lower case.

    Example:
        >>> ending_of("a/1.JPG")
        '.jpg'
    """
    return os.path.splitext(name)[1].lower()


def natural_key(name: str) -> str:
    """Sort key under which ``2.jpg`` comes before ``10.jpg``, folder by folder.

    Names that differ only in leading zeros follow in the order of their text.

    Example:
        >>> sorted(["b/10.jpg", "b/2.jpg", "a/3.jpg"], key=natural_key)
        ['a/3.jpg', 'b/2.jpg', 'b/10.jpg']
    """
    # One string: cheaper to compare and keep than nested tuples. Characters below
    # all others make its order: the end of the name < the end of a folder < a number < text.
    folder, slash, file = name.rpartition("/")
    return f"{_order_of_folder(folder + slash)}{_SPECIAL.sub(_replace_special, file)}\0{name}"


@lru_cache(maxsize=1024)  # A folder has many files.
def _order_of_folder(folder: str) -> str:
    return _SPECIAL.sub(_replace_special, folder)


_SPECIAL = re.compile(r"[0-9]+|[/\0-\3]")


def _replace_special(match: re.Match[str]) -> str:
    text = match[0]
    if text == "/":
        return "\1"
    if text <= "\3":  # Text that looks like one of our marks sorts after them.
        return f"\3{text}"
    digits = text.lstrip("0")
    return f"\2{chr(len(digits))}{digits}"  # Of two numbers the longer is the larger.


def is_file_with(location: str, endings: tuple[str, ...]) -> bool:
    """Whether a location is a file on disk with one of several endings.

    Example:
        >>> is_file_with("a/B.TAR", (".tar", ".zip")), is_file_with("s3://a/b.tar", (".tar",))
        (True, False)
    """
    has_ending = location.lower().endswith(endings)
    return has_ending and not is_url(location) and not os.path.isdir(location)


def is_file_anywhere_with(location: str, endings: tuple[str, ...]) -> bool:
    """Whether a location is a file, on disk or at a URL, with one of several endings.

    Example:
        >>> is_file_anywhere_with("https://a/b.TAR?signature=1", (".tar",))
        True
        >>> is_file_anywhere_with("s3://a/folder.tar/", (".tar",))
        False
    """
    if is_url(location):
        return not location.endswith("/") and public_url(location).lower().endswith(endings)
    return is_file_with(location, endings)


def printable_key(name: str) -> str:
    r"""Return a name that is not UTF-8 with the bytes that are not written as numbers.

    Example:
        >>> printable_key("a\udcff.jpg"), printable_key("\ud800")
        ('a\\xff.jpg', '\\ud800')
    """
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # Half of a surrogate pair, which no file system gives.
        return name.encode("utf-8", "backslashreplace").decode("utf-8")


def is_utf8(name: str) -> bool:
    """Whether a name can be encoded as UTF-8, as a store requires."""
    if name.isascii():
        return True
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
