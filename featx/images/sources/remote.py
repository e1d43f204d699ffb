"""Images at a URL: everything that fsspec opens, such as s3://, gs:// and https://.

A key is the path below the URL that was named; the key of a single file is its name.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib
import logging
import os
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from featx.errors import ImageError, ImagesNotFound, InvalidValue
from featx.host import environment
from featx.images.roots import MEMORY, is_url, public_url
from featx.images.sources.endings import IMAGE_SUFFIXES
from featx.images.sources.items import MAX_MEMBER_BYTES, ImageItem, Listing
from featx.images.sources.keys import is_picture_name, label_of, member_key
from featx.images.sources.kinds import ImageSource
from featx.images.sources.request import SourceRequest

WHOLE_FILES = "the server sends only whole files: download it first"
_OTHER_RANGE = "the server sends another range than it was asked for: download it first"

_BLOCK_BYTES = 1 << 20
_PARTIAL = 206
"""Status of an answer with the range that was asked for."""

_NOT_AT_URLS = re.compile(r"\.(npy|npz)$", re.IGNORECASE)


class RemoteSource(ImageSource):
    """Files and folders at URLs."""

    is_fallback = True

    def matches(self, location: str) -> bool:
        """Whether a location is a URL."""
        return is_url(location)

    def list_images(self, request: SourceRequest) -> Listing:
        """List the pictures below a URL, or the one picture there.

        Raises:
            InvalidValue: If no installed package can open it.
            ImagesNotFound: If there is nothing, or it cannot be reached.
        """
        url = request.location
        filesystem, path = open_url(url)
        found = _find(filesystem, path, url)
        is_glob = has_wildcard(url)
        is_file = list(found) == [path] and found[path].get("type") == "file"
        is_single = is_file and not is_glob
        if is_single and _NOT_AT_URLS.search(public_url(url)):
            raise InvalidValue(
                f"{public_url(url)!r} is a file of arrays at a URL: featx reads these from a disk. "
                "Download it first; pictures, archives and tables are read from URLs."
            )
        below = (
            public_url(_fixed(url) if is_glob else url).removeprefix(request.root.text).strip("/")
        )
        top = _fixed(path) if is_glob else path
        # Only a folder is listed completely.
        listing = Listing(is_complete=not is_glob and not is_single, by_folder=True)
        reader = RemoteReader(filesystem)
        for file, info in found.items():
            if info.get("type") == "directory":
                continue
            if is_single:
                name = (unquote(below) if url.startswith("http") else below) or _file_name(url)
            else:
                name = "/".join(filter(None, (below, _path_below(file, top))))
            key = _add_file(listing, request, reader, name, info, is_named=is_single)
            if key is not None:
                reader.paths[key] = file
        return listing


SOURCE = RemoteSource()


def _find(filesystem: Any, path: str, url: str) -> dict[str, dict[str, Any]]:
    """Return path → facts of the files that a URL names.

    Raises:
        ImagesNotFound: If there is nothing, or it cannot be reached.
    """
    found: dict[str, dict[str, Any]]
    try:
        if has_wildcard(url):
            found = filesystem.glob(path, detail=True)
        elif _is_picture(url) or not filesystem.isdir(path):
            found = {path: filesystem.info(path)}
        else:
            found = filesystem.find(path, detail=True)
    except Exception as error:  # Each filesystem raises errors of its own libraries.
        raise ImagesNotFound(
            f"{public_url(url)!r} cannot be listed: {describe_error(error)}. Check the address, "
            "and that this machine may read it."
        ) from error
    return found


def _path_below(path: str, top: str) -> str:
    """Return a file's path below the folder that was listed."""
    if "://" in path:
        path, top = unquote(path), unquote(top)
    return path.removeprefix(top).strip("/")


def _add_file(
    listing: Listing,
    request: SourceRequest,
    reader: RemoteReader,
    name: str,
    info: dict[str, Any],
    *,
    is_named: bool,
) -> str | None:
    """Add one file; return its key, or None if it is not a usable image."""
    try:
        key = member_key(name)
    except ImageError as error:
        listing.fail(name, error.reason)
        return None
    if not is_named and not is_picture_name(key):
        listing.overlook(key)
        return None
    size, stamp = item_size(info), version_stamp(info)
    if size > MAX_MEMBER_BYTES:
        listing.fail(key, describe_too_large(size), size, stamp)
        return None
    listing.items.append(ImageItem(key, request.root, label_of(key), size, stamp, reader))
    return key


def common_root(urls: Sequence[str]) -> str:
    """Return the URL that keys are relative to: a folder, or the folder of a file.

    It holds no passwords and signatures, since it is recorded.

    Raises:
        InvalidValue: If the URLs are of different servers.

    Example:
        >>> common_root(["s3://bucket/a/1.jpg", "s3://bucket/b/2.jpg"])
        's3://bucket'
        >>> common_root(["https://user:secret@host/photos/"])
        'https://host/photos'
    """
    folders = []
    for url in urls:
        base = public_url(_fixed(url)) if has_wildcard(url) else public_url(url)
        folders.append(base.rpartition("/")[0] if _is_picture(url) else base)
    pieces = [folder.split("/") for folder in folders]
    first = pieces[0]
    count = min(map(len, pieces))
    same = next((i for i in range(count) if len({p[i] for p in pieces}) > 1), count)
    if same < min(3, len(first)):  # scheme, nothing, host
        raise InvalidValue(
            f"URLs of different servers go into separate stores. Received: {folders[0]!r} and "
            f"{next(f for f in folders if f.split('/')[:3] != first[:3])!r}."
        )
    return "/".join(first[:same])


class RemoteReader:
    """Reads files of one filesystem of fsspec.

    Attributes:
        paths: Key → the file's path there.
    """

    def __init__(self, filesystem: Any) -> None:
        self.paths: dict[str, str] = {}
        self._filesystem = filesystem

    def of_keys(self, keys: Collection[str]) -> RemoteReader:
        """Return a reader of some files; see `Divisible`."""
        some = RemoteReader(self._filesystem)
        some.paths = {key: self.paths[key] for key in keys}
        return some

    def read(self, item: ImageItem) -> bytes:
        """Return the bytes of one file."""
        path = self.paths[item.key]
        try:
            if item.size >= 0 and not is_web(self._filesystem):
                data = bytes(self._filesystem.cat_file(path))
            else:  # A server need not say how much it will send, nor keep to it.
                data = read_most(self._filesystem, path, MAX_MEMBER_BYTES + 1)
        except Exception as error:  # Each filesystem raises errors of its own libraries.
            raise OSError(describe_error(error)) from error
        if len(data) > MAX_MEMBER_BYTES:
            raise ImageError(f"at most {MAX_MEMBER_BYTES:,} bytes are read from a URL")
        return data


def is_web(filesystem: Any) -> bool:
    """Whether what answers is a web server, which may send anything."""
    return "https" in filesystem.protocol


def read_most(filesystem: Any, path: str, size: int, start: int = 0) -> bytes:
    """Read a file from a position on, but no more than so many bytes, whatever a server sends.

    Raises:
        OSError: If a web server gives no ranges, and one behind the beginning is asked for; or if
            it gives another one.
    """
    options: dict[str, Any] = {}
    if is_web(filesystem):
        # As a stream. The size is unused there, and saves a request for it.
        options = {"block_size": 0, "size": 1}
        if size <= MAX_MEMBER_BYTES:  # Not all that there may be.
            options["headers"] = {"Range": f"bytes={start}-{start + size - 1}"}
    data = bytearray()
    with filesystem.open(path, "rb", **options) as file:
        if options:
            _check_range(file.r, start)
        elif start:
            file.seek(start)
        while len(data) < size and (block := file.read(min(size - len(data), _BLOCK_BYTES))):
            data += block
    return bytes(data)


def _check_range(answer: Any, start: int) -> None:
    """Refuse an answer of a web server that does not begin at a position."""
    if answer.status != _PARTIAL:
        if start:
            raise OSError(WHOLE_FILES)
    elif not answer.headers.get("Content-Range", "").lower().startswith(f"bytes {start}-"):
        raise OSError(_OTHER_RANGE)


def make_url_item(key: str, url: str, label: str | None) -> ImageItem:
    """Return the item for one picture at a URL, which is opened only when it is read."""
    return ImageItem(key, MEMORY, label, -1, -1, _OneUrl(url))


class _OneUrl:
    """One file at a URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def read(self, item: ImageItem) -> bytes:
        try:
            filesystem, path = open_url(self._url)
        except InvalidValue as error:
            raise ImageError(str(error).rstrip(".")) from error
        reader = RemoteReader(filesystem)
        reader.paths[item.key] = path
        return reader.read(item)


def open_url(url: str) -> tuple[Any, str]:
    """Return the filesystem of fsspec that opens a URL, and the path there.

    Raises:
        InvalidValue: If no installed package does.
    """
    import fsspec.core

    if url.startswith(("gs://", "gcs://")):
        _import_gcsfs()
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise InvalidValue(
            f"{public_url(url)!r} needs another package: {_describe_missing(url, error)}."
        ) from error
    except ValueError as error:
        reason = describe_error(error)
        raise InvalidValue(f"{public_url(url)!r} cannot be opened: {reason}.") from error
    filesystem.invalidate_cache()  # What it listed for this process earlier may be old.
    return filesystem, path


def _import_gcsfs() -> None:
    """Import gcsfs, if it is there, without what asks a second service for the kind of a bucket.

    It would do so for minutes where that cannot be reached, and print what came of it. Whoever has
    zonal buckets sets the variable.
    """
    name = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"
    if "gcsfs" not in sys.modules:
        with contextlib.suppress(ImportError), environment({name: os.environ.get(name, "false")}):
            importlib.import_module("gcsfs")
    # It logs each refusal with a traceback, which Python prints where nobody listens.
    logger = logging.getLogger("gcsfs")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


_EXTRAS = {"http": "http", "https": "http", "s3": "s3", "gs": "gs", "gcs": "gs", "abfs": "abfs"}
"""Scheme → the extra of fsspec that brings what opens it."""


def _describe_missing(url: str, error: ImportError) -> str:
    """Return what to install, as far as it is known."""
    extra = _EXTRAS.get(url.partition("://")[0])
    return describe_error(error) if extra is None else f"pip install 'fsspec[{extra}]'"


def _is_picture(url: str) -> bool:
    return os.path.splitext(public_url(url))[1].lower() in IMAGE_SUFFIXES and not has_wildcard(url)


def _file_name(url: str) -> str:
    return unquote(public_url(url).rpartition("/")[2])


def has_wildcard(url: str) -> bool:
    """Whether a URL is a glob."""
    # In a web address a question mark is not a wildcard.
    return any(char in url for char in ("*" if url.startswith("http") else "*?["))


def _fixed(text: str) -> str:
    """Return the folder before the first wildcard."""
    return re.split(r"[*?\[]", text, maxsplit=1)[0].rpartition("/")[0]


def describe_too_large(size: int) -> str:
    """Return why a file of more bytes than are read is refused."""
    return f"it has {size:,} bytes: at most {MAX_MEMBER_BYTES:,} are read from a URL"


def item_size(info: Mapping[str, Any]) -> int:
    """Return the size in bytes; -1 where it is not told."""
    size = info.get("size")
    return int(size) if size is not None else -1


def version_stamp(info: Mapping[str, Any]) -> int:
    """Return the modification time in nanoseconds, or a number for the version; -1 for neither."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(name)
        if isinstance(value, str):
            try:
                value = datetime.datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, datetime.datetime):
            value = value.timestamp()
        if isinstance(value, (int, float)):
            return int(value * 1_000_000) * 1000
    tag = info.get("ETag") or info.get("etag") or info.get("md5Hash")
    if tag:
        digest = hashlib.blake2b(str(tag).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 2
    return -1


def describe_error(error: BaseException) -> str:
    """Return what a filesystem of fsspec says, without passwords."""
    text = " ".join(str(error).split()) or type(error).__name__
    if re.fullmatch(r"\w+://\S+", text):  # Nothing but the address.
        cause = error.__cause__
        return "there is no such file" if cause is None else describe_error(cause)
    # A message may repeat the URL with its password.
    return re.sub(r"(?<=://)[^/@\s]*@", "", text).rstrip(".")
