"""The facts about a store that ``featx info`` shows, as data."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from featx.images.sources.columns import value_at
from featx.objects.addresses import location_of
from featx.store.columns import kind_of
from featx.store.reader import FeatureStore
from featx.store.views import referenced_parts


def summarize_store(store: FeatureStore) -> dict[str, Any]:
    """Return the facts that ``featx info`` shows, as JSON-serialisable values."""
    header = store.header
    item = np.dtype(header.dtype).itemsize
    counts, splits = Counter(store.labels), Counter(store.splits)
    parts = None if store.row_map is None else store.row_map.parts
    return {
        "path": location_of(store.path),
        "kind": "one file" if parts is None else "view",
        "parts": [] if parts is None else [part.file for part in parts],
        "bytes": store.path.stat().st_size,
        "parts_bytes": sum(
            path.stat().st_size for path in referenced_parts(store) if path.exists()
        ),
        "missing_parts": [path.name for path in referenced_parts(store) if not path.exists()],
        "rows": len(store),
        "missing": int(store.missing.sum()),
        "features": [
            {
                "layer": spec.name,
                "kind": spec.kind,
                "pool": spec.pool,
                "shape": list(spec.shape),
                "dtype": header.dtype,
                "bytes": len(store) * item * math.prod(spec.shape),
                "fingerprint": spec.fingerprint(header.model),
            }
            for spec in header.features
        ],
        "model": header.model.reference,
        "weights": header.model.location,
        "weights_sha256": header.model.weights_sha256,
        "input": header.model.input.to_dict(),
        "fingerprint": store.fingerprint,
        "contents": store.contents,
        "root": str(store.root),
        "classes": {name: counts[name] for name in store.classes},
        "unlabelled": counts[None],
        "splits": {name: splits[name] for name in store.split_names},
        "columns": {name: _describe_column(column) for name, column in store.columns.items()},
        "failures": [{"key": f.key, "reason": f.reason} for f in store.failures],
        "runs": [dict(run) for run in header.runs],
        "single_file_limit": header.single_file_limit,
    }


def _describe_column(column: np.ndarray) -> dict[str, Any]:
    missing = len(column) - sum(value_at(column, row) is not None for row in range(len(column)))
    return {"kind": kind_of(column) or "text", "missing": missing}
