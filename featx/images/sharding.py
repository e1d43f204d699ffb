"""Dividing images among machines, the same way on each of them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from featx.errors import InvalidValue
from featx.images.sources import ImageSet
from featx.wording import option


def parse_shard(text: str) -> tuple[int, int]:
    """Read ``i/n``: the i-th of n shards, counted from 1.

    Raises:
        InvalidValue: If the text is something else.

    Example:
        >>> parse_shard("2/4")
        (2, 4)
    """
    pieces = text.split("/")
    if len(pieces) == 2 and all(piece.isascii() and piece.isdigit() for piece in pieces):
        number, count = int(pieces[0]), int(pieces[1])
        if 1 <= number <= count:
            return number, count
    raise InvalidValue(
        f"A shard is i/n, the i-th of n, counted from 1: {option('shard', '1/4')} to 4/4. "
        f"Received: {text!r}."
    )


def shard_of(key: str, count: int) -> int:
    """Return the shard, from 1, that an image belongs to.

    By a hash of its key (BLAKE2b), so that machines need not agree on anything else, and an
    image stays in its shard when others come and go.

    Example:
        >>> [shard_of(f"{number}.jpg", 2) for number in range(6)]
        [1, 2, 1, 1, 1, 1]
    """
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count + 1


def select_shard(found: ImageSet, number: int, count: int) -> ImageSet:
    """Return the images of one shard; what could not be listed belongs to every shard."""
    items = tuple(item for item in found.items if shard_of(item.key, count) == number)
    stream = found.stream
    if stream is not None:
        stream = (item for item in stream if shard_of(item.key, count) == number)
    # Images of other shards are not gone, even where a source knows what is.
    left_out = found.left_out.union(item.key for item in found.items).difference(
        item.key for item in items
    )
    return replace(found, items=items, stream=stream, left_out=left_out)
