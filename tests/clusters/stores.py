"""What two stores must have in common to be the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import featx


def read_all(path: Path) -> dict[str, Any]:
    """Return all that a store says of its images."""
    with featx.open_store(path) as store:
        store.load_columns()
        return {
            "keys": list(store.keys),
            "content": store.content_hash.tolist(),
            "labels": list(store.labels),
            "splits": list(store.splits),
            "columns": {name: list(values) for name, values in store.columns.items()},
            "times": store.file_mtime_ns.tolist(),
            "failures": list(store.failures),
            "missing": sorted(store.missing_keys),
            "features": {
                each.name: store.table(each.name, pool="none").values.tobytes()
                for each in store.header.features
            },
            "fingerprint": store.header.fingerprint,
        }


def check_same(one: Path, other: Path) -> None:
    """Require two stores that differ in nothing but how they were computed."""
    expected, received = read_all(one), read_all(other)
    for name, value in expected.items():
        assert received[name] == value, name
