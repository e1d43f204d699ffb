"""Numbers and units as people write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from featx.errors import InvalidValue
from featx.wording import option

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def format_bytes(count: float) -> str:
    """Return a number of bytes with a unit.

    Example:
        >>> format_bytes(1_536_000)
        '1.5 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def format_count(count: int, one: str, many: str | None = None) -> str:
    """Return a number and a noun, in the singular for one.

    Args:
        count: How many.
        one: Name of one of them, with all words that depend on the number.
        many: Name of several; `one` with an s when None.

    Example:
        >>> format_count(1200, "image"), format_count(1, "image is gone", "images are gone")
        ('1,200 images', '1 image is gone')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def format_share(part: int, whole: int, one: str) -> str:
    """Return how many of some things, named as a sentence names them that has spoken of them.

    Args:
        part: How many, at most `whole`.
        whole: Of how many, at least 1.
        one: Name of one of them, which takes an s.

    Example:
        >>> [format_share(*counts, "image") for counts in ((3, 5), (5, 5), (0, 5), (1, 1))]
        ['3 of the 5 images', 'all 5 images', 'none of the 5 images', 'the image']
    """
    if whole == 1 and part:
        return f"the {one}"
    if part == whole:
        return f"all {whole:,} {one}s"
    return f"{f'{part:,}' if part else 'none'} of the {format_count(whole, one)}"


def format_number(value: float, sign: str = "") -> str:
    """Return a measured number with four digits, or all of those before its point.

    Args:
        value: The number.
        sign: ``+`` for numbers that show theirs.

    Example:
        >>> [format_number(value) for value in (0.00123456, 3.14159, 9999.9, 15620.3)]
        ['0.001235', '3.142', '10,000', '15,620']
    """
    return f"{value:{sign},.0f}" if 9999.5 <= abs(value) < 1e15 else f"{value:{sign}.4g}"


def format_rate(rate: float) -> str:
    """Return a number per second, with decimals below 10, so that only 0 is written as 0.

    Example:
        >>> [format_rate(rate) for rate in (1234.5, 12.3, 3.26, 0.4, 0.0123, 0.0)]
        ['1,234', '12', '3.3', '0.4', '0.01', '0']
    """
    if rate >= 10:
        return f"{rate:,.0f}"
    return f"{rate:.1f}" if rate >= 0.1 else f"{rate:.1g}"


def format_shape(shape: Sequence[int | None]) -> str:
    """Return a shape such as 7×7×512; a size that varies is a question mark.

    Example:
        >>> format_shape((7, 7, 512)), format_shape((None, 64))
        ('7×7×512', '?×64')
    """
    return "×".join("?" if size is None else str(size) for size in shape)


def parse_bytes(text: str) -> int:
    """Parse a number of bytes with or without a unit.

    Raises:
        InvalidValue: If it is something else.

    Example:
        >>> parse_bytes("4GB"), parse_bytes("1.5 MiB"), parse_bytes("0")
        (4000000000, 1572864, 0)
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in _UNITS:
        raise InvalidValue(f"A size is a number of bytes, as in 500MB or 4GB. Received: {text!r}.")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def parse_img_size(text: str) -> tuple[int, int]:
    """Read an image size: ``224`` for a square, ``224x320`` for height x width.

    Returns:
        ``(height, width)`` in pixels.

    Raises:
        InvalidValue: If the text is neither form.

    Example:
        >>> parse_img_size("224"), parse_img_size("224x320")
        ((224, 224), (224, 320))
    """
    parts = text.lower().split("x")
    if len(parts) in (1, 2) and all(part.isascii() and part.isdigit() for part in parts):
        height, width = int(parts[0]), int(parts[-1])
        if height >= 1 and width >= 1:
            return height, width
    raise InvalidValue(
        f"An image size is one number of pixels, or HEIGHTxWIDTH. Received: {text!r}. For example: "
        f"{option('img_size', 224)} or {option('img_size', (224, 320))}."
    )
