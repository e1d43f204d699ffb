"""Images in zip archives, read without unpacking the archive.

An archive that was cut off has lost its directory, which is at the end: its members are then
found one after the other from the beginning.
"""

from __future__ import annotations

import bz2
import os
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import IO

from featx.errors import ImageError, ImagesNotFound
from featx.images.sources.archives import ZIP_ENDINGS, ArchiveListing, list_unreadable
from featx.images.sources.items import MAX_MEMBER_BYTES, ImageItem, Listing
from featx.images.sources.keys import is_file_anywhere_with
from featx.images.sources.kinds import ImageSource
from featx.images.sources.located_files import LocatedFile, locate_file
from featx.images.sources.request import SourceRequest

BOMB_BYTES = 64 << 20
BOMB_RATIO = 200
"""A member of more bytes than this, compressed by more than this ratio, is not a picture: formats
that can be compressed at all (BMP, TIFF, PPM) shrink less, unless they are blank."""

PACKED_RATIO, PACKED_BYTES = 2, 4096
"""A member takes at most this many times its own bytes, and these, when it is packed: deflate adds
5 bytes for each block of 16 KiB or more, bzip2 a hundredth and 600 bytes."""

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED, _SIZES_BEHIND, _IS_UTF8 = 1, 8, 0x800
_STORED, _DEFLATED, _BZIP2 = 0, 8, 12


@dataclass(frozen=True, slots=True)
class _Member:
    """Position of a member; `offset` is that of its local header."""

    offset: int
    packed: int
    size: int
    method: int
    crc: int


class ZipSource(ImageSource):
    """Zip archives."""

    is_container = True

    def matches(self, location: str) -> bool:
        """Whether a file is a zip archive, by its ending."""
        return is_file_anywhere_with(location, ZIP_ENDINGS)

    def list_images(self, request: SourceRequest) -> Listing:
        """List the members of an archive; in a damaged one, those before the damage."""
        try:
            file = locate_file(request.location)
            try:
                return _list_directory(request, file)
            except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
                return _list_headers(request, file, str(error))
        except ImagesNotFound:  # At a URL.
            raise
        except OSError as error:
            return list_unreadable(request, error)


SOURCE = ZipSource()


def _list_directory(request: SourceRequest, file: LocatedFile) -> Listing:
    """List the members that the archive's directory names."""
    reader = ZipReader(file)
    found = ArchiveListing(request, reader, file.stamp)
    with file.open() as opened, zipfile.ZipFile(opened) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            member = _Member(
                offset=info.header_offset,
                packed=info.compress_size,
                size=info.file_size,
                method=info.compress_type,
                crc=info.CRC,
            )
            mode = info.external_attr >> 16
            problem = _problem(member, info.flag_bits, mode, file.size)
            key = found.add(info.filename, info.file_size, problem)
            if key is not None:
                reader.members[key] = member
    return found.finish()


def _list_headers(request: SourceRequest, file: LocatedFile, damage: str) -> Listing:
    """List the members before a damage, one after the other by their own headers."""
    reader = ZipReader(file)
    found = ArchiveListing(request, reader, file.stamp)
    with file.open() as opened:
        for name, member, flags in _scan(opened):
            key = found.add(name, member.size, _problem(member, flags, 0, file.size))
            if key is not None:
                reader.members[key] = member
    found.breaks_off(damage)
    return found.finish()


def _problem(member: _Member, flags: int, mode: int, num_bytes: int) -> str | None:
    """Return why a member of an archive of `num_bytes` is refused; None if it is not."""
    if flags & _ENCRYPTED:
        return "it is encrypted: pack it without a password"
    if mode & 0o170000 == 0o120000:
        return "a link inside an archive: it is not followed"
    if member.method not in (_STORED, _DEFLATED, _BZIP2):
        return f"packed with method {member.method}: only stored, deflate and bzip2 are read"
    if member.offset < 0 or member.offset + member.packed > num_bytes:
        return "damaged: the archive's directory says that it is beyond the archive's end"
    if member.size > BOMB_BYTES and member.size > BOMB_RATIO * max(1, member.packed):
        return f"it claims {member.size:,} bytes in {member.packed:,}: that is a zip bomb"
    if member.packed > PACKED_RATIO * member.size + PACKED_BYTES:
        return f"damaged: it claims {member.size:,} bytes, packed in {member.packed:,}"
    return None


def _scan(file: IO[bytes]) -> Iterator[tuple[str, _Member, int]]:
    """Yield name, member and flags of the complete members, by their local headers."""
    end = file.seek(0, os.SEEK_END)
    offset = 0
    while True:
        file.seek(offset)
        head = file.read(_LOCAL_HEADER.size)
        if len(head) < _LOCAL_HEADER.size or not head.startswith(_SIGNATURE):
            return
        _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL_HEADER.unpack(
            head
        )
        name = file.read(name_size).decode("utf-8" if flags & _IS_UTF8 else "cp437", "replace")
        data = offset + _LOCAL_HEADER.size + name_size + extra_size
        if flags & _SIZES_BEHIND and not packed:
            file.seek(data)
            sizes = _measure(file) if method == _DEFLATED else None
            if sizes is None:
                return
            packed, size, crc = sizes
            file.seek(data + packed)
            offset = data + packed + (16 if file.read(4) == b"PK\x07\x08" else 12)
        else:
            offset = data + packed
        if data + packed > end or 0xFFFFFFFF in (packed, size):
            return
        if not name.endswith("/"):
            yield (
                name,
                _Member(
                    data - _LOCAL_HEADER.size - name_size - extra_size, packed, size, method, crc
                ),
                flags,
            )


def _measure(file: IO[bytes]) -> tuple[int, int, int] | None:
    """Return the compressed and real size of deflated data, and its CRC; None if cut off."""
    inflater, packed, size, crc = zlib.decompressobj(-15), 0, 0, 0
    while not inflater.eof:
        chunk = inflater.unconsumed_tail or file.read(1 << 16)
        if not chunk:
            return None
        packed += 0 if inflater.unconsumed_tail else len(chunk)
        try:
            data = inflater.decompress(chunk, 1 << 20)
        except zlib.error:
            return None
        size, crc = size + len(data), zlib.crc32(data, crc)
        if size > MAX_MEMBER_BYTES:
            return None
    return packed - len(inflater.unused_data), size, crc


class ZipReader:
    """Reads members of an archive.

    Attributes:
        members: Key → member.
    """

    def __init__(self, file: LocatedFile) -> None:
        self.file = file
        self.members: dict[str, _Member] = {}

    def of_keys(self, keys: Collection[str]) -> ZipReader:
        """Return a reader of some members; see `Divisible`."""
        some = ZipReader(self.file)
        some.members = {key: self.members[key] for key in keys}
        return some

    def read(self, item: ImageItem) -> bytes:
        """Return the bytes of one member, checked with its CRC."""
        member = self.members[item.key]
        head = self.file.read(member.offset, _LOCAL_HEADER.size)
        if len(head) < _LOCAL_HEADER.size or not head.startswith(_SIGNATURE):
            raise ImageError("damaged: the archive has no member where its directory says")
        name_size, extra_size = _LOCAL_HEADER.unpack(head)[-2:]
        data_offset = member.offset + _LOCAL_HEADER.size + name_size + extra_size
        packed = self.file.read(data_offset, member.packed)
        data = _unpack(packed, member)
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise ImageError("damaged: its bytes in the archive are not those that were packed")
        return data


def _unpack(packed: bytes, member: _Member) -> bytes:
    """Unpack at most one byte more than the member claims to have."""
    try:
        if member.method == _DEFLATED:
            return zlib.decompressobj(-15).decompress(packed, member.size + 1)
        if member.method == _BZIP2:
            return bz2.BZ2Decompressor().decompress(packed, member.size + 1)
    except (zlib.error, OSError, ValueError) as error:
        raise ImageError(f"damaged in the archive: {error}") from error
    return packed
