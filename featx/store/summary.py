"""What there is to say about a store, as data."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from featx.store.reader import FeatureStore


def summarize_store(store: FeatureStore) -> dict[str, Any]:
    """Return the facts that ``featx info`` shows, as JSON-serialisable values."""
    header = store.header
    item = np.dtype(header.dtype).itemsize
    counts = Counter(store.labels)
    return {
        "path": str(store.path),
        "bytes": store.path.stat().st_size,
        "rows": len(store),
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
        "failures": [{"key": f.key, "reason": f.reason} for f in store.failures],
        "provenance": dict(header.provenance),
    }
