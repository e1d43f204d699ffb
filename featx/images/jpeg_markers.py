"""What the markers of a JPEG file say of its scans (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

_EOI, _SOS, _DRI, _DHP = 0xD9, 0xDA, 0xDD, 0xDE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE, _LOSSLESS, _ARITHMETIC = (0xC2, 0xCA), (0xC3, 0xCB), (0xC9, 0xCA, 0xCB)
_DIFFERENTIAL = (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF)
_TABLES = frozenset([0xC4, 0xCC, 0xDB, _DRI, 0xFE, *range(0xE0, 0xF0)])
"""Markers that may stand between scans: DHT, DAC, DQT, DRI, COM, APPn."""
_NEXT = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""A marker with a length, or the last one: not TEM, RSTn, SOI, or a byte 0xFF that is none."""
_PASSED = re.compile(rb"(?:\xff[\x00\x01\xd0-\xd8]|\xff(?=\xff))*+")
"""What may stand before a marker behind a scan."""

_ANY = re.compile(rb"\xff[^\x00\xff]")
_ANY_BUT_RESTARTS = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTARTS = tuple(bytes([0xFF, number]) for number in range(0xD0, 0xD8))

_COEFFICIENTS = 64
_NOT_SENT = 0xFF


@dataclass(slots=True)
class Scans:
    """The scans of a picture.

    Attributes:
        kind: Marker of the frame, SOF0 to SOF15; 0 if there is none.
        start: Where the data of the last scan begin.
        end: Where they end; 0 if there is none.
        has_end_marker: Whether the end marker comes behind them.
        gives_rows: Whether rows are decoded while the scan is read: it is the only one.
        has_restarts: Whether the last scan has all of its restart markers.
        is_hierarchical: Whether it is a pyramid of pictures, each the difference to the one before
            (annex J), which nothing decodes.
    """

    kind: int = 0
    start: int = 0
    end: int = 0
    has_end_marker: bool = False
    gives_rows: bool = False
    has_restarts: bool = True
    is_hierarchical: bool = False
    _size: tuple[int, int] = (0, 0)
    _samplings: dict[int, tuple[int, int]] = field(default_factory=dict)
    _missing_bits: dict[int, bytearray] = field(default_factory=dict)

    @property
    def is_arithmetic(self) -> bool:
        """Whether arithmetic coding is used, instead of Huffman's."""
        return self.kind in _ARITHMETIC

    def are_all_there(self) -> bool:
        """Whether no scan and no restart marker is missing.

        Lower bits may be left out on purpose, which an end marker shows.
        """
        if not self.has_restarts or not self._missing_bits:
            return False
        if self.has_end_marker:
            return all(bits[0] != _NOT_SENT for bits in self._missing_bits.values())
        return not any(any(bits) for bits in self._missing_bits.values())

    def _read_frame(self, kind: int, body: bytes) -> None:
        height, width = struct.unpack_from(">HH", body, 1)
        self.kind, self._size = kind, (width, height)
        for component, sampling in zip(body[6::3], body[7::3], strict=False):
            self._samplings[component] = sampling >> 4, sampling & 15
            self._missing_bits[component] = bytearray([_NOT_SENT] * _COEFFICIENTS)

    def _read_scan(self, body: bytes) -> list[int]:
        """Take the header of a scan; return its components."""
        count = body[0]
        components = list(body[1 : 1 + 2 * count : 2])
        first, last, bits = body[1 + 2 * count : 4 + 2 * count]
        if self.kind in _LOSSLESS:  # These fields then mean something else.
            first, last, bits = 0, _COEFFICIENTS - 1, 0
        for component in components:
            sent = slice(first, min(last + 1, _COEFFICIENTS))
            self._missing_bits[component][sent] = bytes([bits & 15]) * (sent.stop - first)
        self.gives_rows = self.kind not in _PROGRESSIVE and count == len(self._missing_bits)
        return components

    def _count_units(self, components: list[int]) -> int:
        """Return how many MCUs a scan has: blocks, or groups of them (A.2)."""
        most_h = max(h for h, _ in self._samplings.values())
        most_v = max(v for _, v in self._samplings.values())
        width, height = self._size
        side = 1 if self.kind in _LOSSLESS else 8
        if len(components) > 1:
            return -(-width // (side * most_h)) * -(-height // (side * most_v))
        h, v = self._samplings[components[0]]
        columns, rows = -(-width * h // most_h), -(-height * v // most_v)
        return -(-columns // side) * -(-rows // side)


def read_markers(data: bytes) -> Scans:
    """Follow the markers from the beginning of a picture to the end of its last scan.

    Whatever cannot be a marker behind a scan ends it: makers append data of their own.
    """
    scans, position, interval = Scans(), 2, 0
    while True:
        start = _find_marker(data, position, scans.end > 0)
        if start is None:
            return scans
        marker = data[start + 1]
        if marker == _EOI or (scans.end and marker not in _TABLES and marker != _SOS):
            scans.has_end_marker = scans.end > 0 and marker == _EOI
            return scans
        body = data[start + 4 : start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")]
        position = start + 4 + len(body)
        scans.is_hierarchical |= marker == _DHP or marker in _DIFFERENTIAL
        try:
            if marker in _FRAMES:
                scans._read_frame(marker, body)
            elif marker == _DRI:
                interval = int.from_bytes(body, "big")
            elif marker == _SOS:
                position = _pass_scan(data, position, scans, body, interval)
        except (LookupError, ValueError, ZeroDivisionError, struct.error):
            return scans


def _find_marker(data: bytes, position: int, is_behind_scan: bool) -> int | None:
    """Return where the next marker begins; behind a scan, nothing may stand before it."""
    if is_behind_scan:
        passed = _PASSED.match(data, position)
        assert passed is not None
        found = _NEXT.match(data, passed.end())
    else:
        found = _NEXT.search(data, position)
    return None if found is None else found.start()


def _pass_scan(data: bytes, position: int, scans: Scans, header: bytes, interval: int) -> int:
    """Take a scan; return where its data end."""
    components = scans._read_scan(header)
    found = (_ANY_BUT_RESTARTS if interval else _ANY).search(data, position)
    scans.start, scans.end = position, found.start() if found else len(data)
    scans.has_restarts = True
    if interval and (scans.is_arithmetic or not scans.gives_rows):
        expected = (scans._count_units(components) - 1) // interval
        there = sum(data.count(marker, position, scans.end) for marker in _RESTARTS)
        scans.has_restarts = there >= expected
    return scans.end
