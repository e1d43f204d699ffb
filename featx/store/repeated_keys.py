"""Keys that several stores have."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from featx.store.stored_columns import StoreColumns

DIGEST_BYTES = 16


def find_repeated_keys(stores: Sequence[StoreColumns]) -> tuple[list[str], list[str]]:
    """Return the keys that several stores have, with the same and with different content.

    Digests of keys are sorted, which takes 40 bytes of memory for each row; a table of the keys
    would take five times as much.
    """
    digests = np.concatenate([_digest(store.keys) for store in stores])
    contents = np.concatenate([_as_words(store.content_hash) for store in stores])
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # Stable: the first store comes first.
    same_key = (digests[order[1:]] == digests[order[:-1]]).all(axis=1)
    groups = np.concatenate([[0], np.cumsum(~same_key)])[: len(order)]
    differs = same_key & (contents[order[1:]] != contents[order[:-1]]).any(axis=1)
    conflicting = np.unique(groups[1:][differs])
    repeated = np.unique(groups[1:][same_key])
    begins = np.searchsorted(groups, repeated)
    in_conflict = np.isin(repeated, conflicting)
    firsts = order[begins]
    return _keys_at(stores, firsts[~in_conflict]), _keys_at(stores, firsts[in_conflict])


def _keys_at(stores: Sequence[StoreColumns], rows: np.ndarray) -> list[str]:
    """Return the keys of rows, counted through all stores, in their order."""
    ends = np.cumsum([len(store.keys) for store in stores])
    rows = np.sort(rows)
    numbers = np.searchsorted(ends, rows, side="right").tolist()
    return [
        stores[number].keys[row - (int(ends[number - 1]) if number else 0)]
        for number, row in zip(numbers, rows.tolist(), strict=True)
    ]


def _digest(keys: Sequence[str]) -> np.ndarray:
    joined = b"".join(
        hashlib.blake2b(key.encode(), digest_size=DIGEST_BYTES).digest() for key in keys
    )
    return np.frombuffer(joined, np.uint64).reshape(-1, 2)


def _as_words(hashes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(hashes).view(np.uint64).reshape(-1, 2)
