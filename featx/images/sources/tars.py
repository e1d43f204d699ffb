"""Images in tar archives, plain or compressed, such as the shards of a WebDataset.

Plain archives are read at any position, by an index of offsets. Compressed ones can only be read
from beginning to end: their images come in that order.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import threading
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Generator
from typing import IO, Any

from featx.errors import ImagesNotFound, InvalidValue
from featx.images.sources.archives import TAR_ENDINGS, ArchiveListing, list_unreadable
from featx.images.sources.items import ImageItem, Listing
from featx.images.sources.keys import is_file_anywhere_with, is_picture_name
from featx.images.sources.kinds import ImageSource
from featx.images.sources.located_files import LocatedFile, locate_file
from featx.images.sources.request import SourceRequest

_Opener = Callable[[IO[bytes]], Any]

_OPENERS: dict[bytes, _Opener] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
"""First bytes of a file → how it is opened."""

_DAMAGE = (
    tarfile.TarError,
    EOFError,
    OSError,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    RecursionError,  # Headers that announce further headers.
)

PASSED_BYTES = 64 << 20
"""Bytes of passed members of a compressed archive that are kept: threads ask a little out of
order."""


class TarSource(ImageSource):
    """Tar archives, compressed or not."""

    is_container = True

    def matches(self, location: str) -> bool:
        """Whether a file is a tar archive, by its ending."""
        return is_file_anywhere_with(location, TAR_ENDINGS)

    def list_images(self, request: SourceRequest) -> Listing:
        """List the members of an archive; in a damaged one, those before the damage."""
        try:
            file = locate_file(request.location)
            opener = _opener(file)
        except ImagesNotFound:  # At a URL.
            raise
        except OSError as error:
            return list_unreadable(request, error)
        reader = PlainTar(file) if opener is None else CompressedTar(file, opener, request.prefix)
        found = ArchiveListing(request, reader, file.stamp)
        size = file.size if opener is None else None
        count = -1
        try:
            for count, (archive, member) in enumerate(iterate_members(file, opener)):
                if size is not None and member.offset_data + member.size > size and member.isreg():
                    raise tarfile.ReadError(f"{member.name!r} is cut off")
                if opener is not None and member.isreg() and is_picture_name(member.name):
                    _pass_over(archive, member)  # Its end shows whether it is whole.
                key = found.add(member.name, member.size, _problem(member))
                if key is not None:
                    reader.offsets[key] = member.offset_data if opener is None else count
                elif member.isreg() and found.is_sidecar(member.name, member.size):
                    content = archive.extractfile(member)
                    found.label(member.name, content.read() if content is not None else b"")
        except _DAMAGE as error:
            found.breaks_off(" ".join(str(error).split()) or type(error).__name__)
        return found.finish()


SOURCE = TarSource()


def _opener(file: LocatedFile) -> _Opener | None:
    """Return how a compressed archive is opened; None for a plain one."""
    head = file.read(0, 6)
    if head.startswith((b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")):
        raise InvalidValue(
            f"{file.name!r} is compressed with zstd or lz4, which Python cannot read. Decompress "
            "it (zstd -d), or pack it as .tar, .tar.gz, .tar.bz2 or .tar.xz."
        )
    return next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)


def _problem(member: tarfile.TarInfo) -> str | None:
    """Return why a member named like a picture is refused; None if it is not."""
    if member.issym() or member.islnk():
        return "a link inside an archive: it is not followed"
    if member.isdir():
        return "a folder"
    if not member.isreg():
        return "not a regular file"
    if member.issparse():
        return "a sparse file: its bytes are not contiguous"
    return None


def _pass_over(archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    content = archive.extractfile(member)
    while content is not None and content.read(1 << 20):
        pass


class _StrictHeader(tarfile.TarInfo):
    """Reports damaged headers; tarfile treats any but the first as the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Any:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _READ_WHOLE and not 0 <= header.size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        return header

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Any:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            # Zeros, as at the end of an archive: the only header error that is none.
            if type(error).__name__ == "EOFHeaderError":
                raise
            reason = _HEADER_PROBLEMS.get(type(error).__name__, str(error))
            raise tarfile.ReadError(reason) from None


MAX_HEADER_BYTES = 1 << 20
"""Largest extension header (long names and the like), which tarfile reads into memory."""

_READ_WHOLE = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)

_HEADER_PROBLEMS = {
    "EmptyHeaderError": "it breaks off without an end",
    "TruncatedHeaderError": "it breaks off in a header",
}


def _check_sum(file: IO[bytes]) -> None:
    """Read beyond the last member: only then does gzip compare its checksum.

    Raises:
        ReadError: If it differs; which members are damaged is unknown.
    """
    try:
        while file.read(1 << 20):
            pass
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise tarfile.ReadError(f"any of them may be damaged ({error})") from error


def iterate_members(
    file: LocatedFile, opener: _Opener | None
) -> Generator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yield the members one by one, each readable until the next is taken; none is kept."""
    with file.open() as packed, packed if opener is None else opener(packed) as content:
        mode: Any = "r:" if opener is None else "r|"
        with tarfile.open(fileobj=content, mode=mode, tarinfo=_StrictHeader) as archive:
            while (member := archive.next()) is not None:
                if not member.isdir():
                    yield archive, member
                archive.members = []  # type: ignore[attr-defined]
        if opener is not None:
            _check_sum(content)


class PlainTar:
    """Reads members of a plain archive by their offset.

    Attributes:
        offsets: Key → where the member's bytes begin.
    """

    def __init__(self, file: LocatedFile) -> None:
        self.file = file
        self.offsets: dict[str, int] = {}

    def of_keys(self, keys: Collection[str]) -> PlainTar:
        """Return a reader of some members; see `Divisible`."""
        some = PlainTar(self.file)
        some.offsets = {key: self.offsets[key] for key in keys}
        return some

    def read(self, item: ImageItem) -> bytes:
        """Return the bytes of one member."""
        data = self.file.read(self.offsets[item.key], item.size)
        if len(data) != item.size:
            raise OSError(f"{self.file.name!r} has been cut off since it was listed")
        return data


class CompressedTar:
    """Reads members of a compressed archive in one pass, if they are asked for in order.

    Attributes:
        prefix: Beginning of the keys.
        offsets: Key → number of the member.
    """

    def __init__(self, file: LocatedFile, opener: _Opener, prefix: str = "") -> None:
        self.file = file
        self.prefix = prefix
        self.offsets: dict[str, int] = {}
        self._opener = opener
        self._wanted: frozenset[int] = frozenset()
        self._last = -1
        self._lock = threading.Lock()
        self._members: Generator[tuple[tarfile.TarFile, tarfile.TarInfo]] | None = None
        self._next = 0
        self._passed: OrderedDict[int, bytes] = OrderedDict()
        self._passed_bytes = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _make_compressed, (self.file, self._opener, self.prefix, self.offsets)

    def of_keys(self, keys: Collection[str]) -> CompressedTar:
        """Return a reader of some members; see `Divisible`."""
        offsets = {key: self.offsets[key] for key in keys}
        return _make_compressed(self.file, self._opener, self.prefix, offsets)

    def position(self, item: ImageItem) -> int:
        """Return the position of an item in the archive."""
        return self.offsets[item.key]

    def read(self, item: ImageItem) -> bytes:
        """Return the bytes of one member."""
        number = self.offsets[item.key]
        try:
            with self._lock:
                return self._read(number)
        except _DAMAGE as error:
            self.close()
            raise OSError(f"{self.file.name!r}: {error}") from error
        finally:
            _mark(self)

    @property
    def is_open(self) -> bool:
        """Whether it holds an open file or passed members."""
        return self._members is not None or bool(self._passed)

    def close(self) -> None:
        """Release the file and the passed members; reading then starts from the beginning."""
        with self._lock:
            self._close()
            self._passed.clear()
            self._passed_bytes = 0

    def _close(self) -> None:
        if self._members is not None:
            self._members.close()
            self._members = None

    def _read(self, number: int) -> bytes:
        if number in self._passed:
            data = self._passed.pop(number)
            self._passed_bytes -= len(data)
            return data
        if self._members is None or number < self._next:
            self._close()
            self._wanted = frozenset(self.offsets.values())
            self._last = max(self._wanted)
            self._members, self._next = iterate_members(self.file, self._opener), 0
        for archive, member in self._members:
            current, self._next = self._next, self._next + 1
            is_near = number - current <= _NEAR and member.size <= PASSED_BYTES
            is_kept = is_near and current in self._wanted and current not in self._passed
            if current != number and not (is_kept and member.isreg()):
                continue
            content = archive.extractfile(member)
            data = content.read() if content is not None else b""
            if current == number:
                if current >= self._last:
                    self._close()
                return data
            self._keep(current, data)
        raise OSError("it has changed since it was listed")

    def _keep(self, number: int, data: bytes) -> None:
        self._passed[number] = data
        self._passed_bytes += len(data)
        while self._passed_bytes > PASSED_BYTES:
            self._passed_bytes -= len(self._passed.popitem(last=False)[1])


def _make_compressed(
    file: LocatedFile, opener: _Opener, prefix: str, offsets: dict[str, int]
) -> CompressedTar:
    reader = CompressedTar(file, opener, prefix)
    reader.offsets = offsets
    return reader


_NEAR = 64
"""Members this close before one that is asked for are kept: other threads may ask for them."""

_MAX_OPEN = 4
"""Compressed archives kept open at a time; of many small ones, several are read at once."""

_open: OrderedDict[weakref.ref[CompressedTar], None] = OrderedDict()
_open_lock = threading.Lock()


def _mark(reader: CompressedTar) -> None:
    """Note that an archive is in use, and close those that have not been read for longest."""
    closing = []
    with _open_lock:
        _open.pop(weakref.ref(reader), None)
        if reader.is_open:
            _open[weakref.ref(reader)] = None
        while len(_open) > _MAX_OPEN:
            closing.append(_open.popitem(last=False)[0]())
    # Not while holding the lock: another thread may hold that of the archive to be closed.
    for other in closing:
        if other is not None:
            other.close()
