"""What a head is, and what each of its arrays means, for `featx info`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.heads.head import Head


@dataclass(frozen=True, slots=True)
class ArrayMeaning:
    """What is in an array of a head.

    Attributes:
        axes: In words of D values of a vector, C classes, N examples and K values of a layer.
        text: What it is for.
    """

    axes: str
    text: str


MEANINGS = {
    "mean": ArrayMeaning("(D,)", "is subtracted from the vectors; centroid: from unit vectors"),
    "scale": ArrayMeaning("(D,)", "divides what is then left"),
    "coefficients": ArrayMeaning("(C, D)", "a row for each class; the product is its score"),
    "intercepts": ArrayMeaning("(C,)", "is added to the scores"),
    "coefficients_0, …": ArrayMeaning("(K, D)", "of each layer in turn: a row for each output"),
    "intercepts_0, …": ArrayMeaning("(K,)", "is added to the outputs of that layer"),
    "multi": ArrayMeaning("()", "several labels: a sigmoid of each score, no softmax"),
    "number": ArrayMeaning("()", "a regression: the score is the answer"),
    "centroids": ArrayMeaning("(C, D)", "of each class: the product with it is the score"),
    "examples": ArrayMeaning("(N, D)", "unit vectors that vote"),
    "targets": ArrayMeaning("(N,) or (N, C)", "class number, labels or number of each example"),
    "counts": ArrayMeaning("(N,)", "how much each example counts"),
    "classes": ArrayMeaning("()", "how many classes there are"),
    "neighbours": ArrayMeaning("()", "how many of the nearest examples vote"),
    "temperature": ArrayMeaning("()", "divides cosines before exp: less favours the nearest"),
    "smoothing": ArrayMeaning("()", "is shared by all classes, beside one vote of the nearest"),
    "prior": ArrayMeaning("(C,)", "what smoothing adds: the mean of the targets"),
}
"""Name → meaning. A kind of another package has names of its own."""

_NUMBERED = re.compile(r"_\d+$")


def find_meaning(name: str) -> str:
    """Return what an array of a head is for; empty for one of another package.

    Example:
        >>> find_meaning("intercepts_2")
        'is added to the outputs of that layer'
    """
    found = MEANINGS.get(_NUMBERED.sub("_0, …", name))
    return "" if found is None else found.text


def summarize_head(head: Head) -> dict[str, Any]:
    """Return the facts that ``featx info`` shows, as JSON-serialisable values."""
    return {
        "path": None if head.folder is None else str(head.folder),
        "kind": head.kind,
        "task": head.task,
        "classes": list(head.classes),
        "columns": list(head.columns),
        "layer": head.feature.name,
        "pool": head.feature.pool,
        "dimension": int(np.prod(head.feature.shape)),
        "model": head.model.reference,
        "fingerprint": head.fingerprint,
        "fitted_on": len(head.fitted_on),
        "evaluation": head.report.get("evaluation"),
        "temperature": head.temperature,
        "operations": [type(operation).__name__ for operation in head.operations],
        "arrays": [
            {
                "name": name,
                "shape": list(values.shape),
                "dtype": str(values.dtype),
                "meaning": find_meaning(name),
            }
            for name, values in head.weights.items()
        ],
    }
