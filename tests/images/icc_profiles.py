"""Colour profiles made by hand (ICC.1:2001-04): what they describe is known by formula."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

ADOBE_RGB = np.array(
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)
"""Columns: XYZ of red, green and blue under D50 (Adobe RGB (1998) Color Image Encoding)."""

DISPLAY_P3 = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
WHITE = (0.9642, 1.0, 0.8249)
"""XYZ of D50."""

GAMMA = 563 / 256
"""Of Adobe RGB."""


def rgb_profile(primaries: np.ndarray = ADOBE_RGB, gamma: float = GAMMA) -> bytes:
    """Return a profile of three primaries and one curve."""
    tags = [(name, _xyz(primaries[:, i])) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))]
    tags += [(name, _curve(gamma)) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return _profile(b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    """Return a profile of grey levels with one curve."""
    return _profile(b"GRAY", b"XYZ ", [(b"kTRC", _curve(gamma))])


def cmyk_profile(lab_of_ink: Sequence[tuple[float, float, float]]) -> bytes:
    """Return a profile of a press: L*, a* and b* of all 16 combinations of full inks, K fastest."""
    levels = [round(c) for lab in lab_of_ink for c in (lab[0] * 2.55, lab[1] + 128, lab[2] + 128)]
    identity = bytes(range(256))
    table = struct.pack(">4s4xBBBx", b"mft1", 4, 3, 2)
    table += struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table += identity * 4 + bytes(levels) + identity * 3
    return _profile(b"CMYK", b"Lab ", [(b"A2B0", table)], kind=b"prtr")


def to_srgb(pixels: np.ndarray, primaries: np.ndarray = ADOBE_RGB) -> np.ndarray:
    """Convert values in [0, 255] by formula, not by LittleCMS."""
    linear = (pixels / 255) ** GAMMA @ primaries.T @ np.linalg.inv(SRGB).T
    linear = np.clip(linear, 0, 1)
    bent = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return 255 * bent


def _xyz(values: Sequence[float] | np.ndarray) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(65536 * value) for value in values))


def _curve(gamma: float) -> bytes:
    return struct.pack(">4s4xIH", b"curv", 1, round(256 * gamma))


def _profile(
    space: bytes, connection: bytes, tags: list[tuple[bytes, bytes]], kind: bytes = b"mntr"
) -> bytes:
    text = b"made by hand"
    description = struct.pack(">4s4xI", b"desc", len(text) + 1) + text + bytes(1 + 78)
    tags = [(b"desc", description), (b"wtpt", _xyz(WHITE)), *tags]
    start = 128 + 4 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        table += struct.pack(">4sII", name, start + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s28x", start + len(content), b"test", 0x02200000, kind, space, connection,
        struct.pack(">6H", 2026, 1, 1, 0, 0, 0), b"acsp",
    )  # fmt: skip
    header += struct.pack(">3i", *(round(65536 * value) for value in WHITE))
    return header.ljust(128, b"\0") + table + content
