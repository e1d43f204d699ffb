"""Predictions of a head for stored and for new pictures, in the words of the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from featx.files import HASH_BYTES
from featx.heads.prediction_report import Prediction
from featx.heads.prediction_stream import HeadPredictor, PredictionCounts
from featx.heads.usable_rows import UNUSABLE, find_usable
from featx.heads.vector_batches import VectorBatch
from featx.images.roots import MEMORY
from featx.images.sources import ImageFailure
from featx.options import DecisionOptions
from featx.report.json_lines import describe_prediction
from featx.serving.network import ComputedPicture, Results
from featx.serving.questions import PredictQuestion
from featx.serving.snapshot import Snapshot
from featx.serving.web import Problem, refuse_only
from featx.specs import DEFAULT_TOP, FeatureSpec
from featx.wording import option


def require_head(snapshot: Snapshot) -> Any:
    """Return the head; refuse where there is none."""
    if snapshot.head is None:
        raise Problem(409, f"No head is served: name one with {option('head')}.")
    return snapshot.head


def read_row_vectors(snapshot: Snapshot, rows: np.ndarray) -> VectorBatch:
    """Return the head's features of stored images."""
    head, store = require_head(snapshot), snapshot.store
    if not snapshot.predicts_rows:
        raise Problem(409, "The store does not have the features that the head takes.")
    values = store.vectors(head.feature.name, head.feature.pool, rows)
    names = [snapshot.columns.keys[row] for row in rows.tolist()]
    labels = [snapshot.columns.labels[row] for row in rows.tolist()]
    hashes = store.content_hash[rows]
    return VectorBatch(MEMORY, names, labels, hashes, values.reshape(len(rows), -1))


def predict_batch(
    snapshot: Snapshot, batch: VectorBatch, question: PredictQuestion
) -> list[Prediction | None]:
    """Return the prediction of each picture; None where its features are not finite."""
    head = require_head(snapshot)
    top = question.top if head.task == "single" else DEFAULT_TOP
    predictor = HeadPredictor(head, top, question.decision)
    usable = find_usable(batch.values)
    found = iter(
        list(predictor.predict(batch.take(np.flatnonzero(usable)), PredictionCounts()))
        if usable.any()
        else []
    )
    return [next(found) if one else None for one in usable.tolist()]


def predict_rows(snapshot: Snapshot, rows: np.ndarray, top: int) -> list[Any]:
    """Return what the head predicts of stored images, for lists of them."""
    question = PredictQuestion(keys=[], top=top)
    predictions = predict_batch(snapshot, read_row_vectors(snapshot, rows), question)
    return [None if one is None else _describe_briefly(one) for one in predictions]


def _describe_briefly(prediction: Prediction) -> Any:
    if prediction.number is not None:
        return {"number": prediction.number}
    if prediction.labels is not None:
        return {"labels": prediction.labels}
    pairs = zip(prediction.classes, prediction.probabilities, strict=True)
    return {"classes": [{"class": name, "probability": value} for name, value in pairs]}


def describe_predictions(
    names: Sequence[str], predictions: Sequence[Prediction | None], decision: DecisionOptions
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return results and failures, as ``featx predict --json`` gives its lines."""
    columns = [
        name
        for name, wanted in (
            ("unknown", decision.threshold is not None),
            ("candidates", decision.coverage is not None),
            ("novelty", decision.novelty),
        )
        if wanted
    ]
    results, failures = [], []
    for name, prediction in zip(names, predictions, strict=True):
        if prediction is None:
            failures.append({"key": name, "reason": f"its features are {UNUSABLE}"})
            continue
        lines = [line | {"path": name} for line in describe_prediction(prediction, columns)]
        results.append({"query": name, "label": prediction.label, "predictions": lines})
    return results, failures


def batch_of(snapshot: Snapshot, results: Results) -> tuple[VectorBatch, list[dict[str, str]]]:
    """Return the head's features of pictures that were computed, and the failures."""
    feature = require_head(snapshot).feature
    known = [one for one in results if not isinstance(one, ImageFailure)]
    failures = [
        {"key": one.key, "reason": one.reason} for one in results if isinstance(one, ImageFailure)
    ]
    batch = VectorBatch(
        MEMORY,
        [one.name for one in known],
        [None] * len(known),
        np.array([one.content_hash for one in known], np.uint8).reshape(-1, HASH_BYTES),
        stack_vectors(known, feature),
    )
    return batch, failures


def stack_vectors(pictures: Sequence[ComputedPicture], feature: FeatureSpec) -> np.ndarray:
    """Return a feature of n pictures, float32 (n, D)."""
    vectors = [one.features[feature.name] for one in pictures]
    return np.array(vectors, np.float32).reshape(len(vectors), math.prod(feature.shape))


def predict_question(
    snapshot: Snapshot, question: PredictQuestion, computed: Results
) -> dict[str, Any]:
    """Return the predictions of stored and computed pictures, as JSON-serialisable values.

    Raises:
        Problem: If there are neither, or there is no head.
    """
    head = require_head(snapshot)
    if not question.keys and not computed:
        raise Problem(422, "Send a picture, or name stored images with keys.")
    results: list[dict[str, Any]] = []
    batch, failures = batch_of(snapshot, computed)
    batches = [batch] if len(batch.keys) else []
    if question.keys:
        rows = np.array([snapshot.columns.row(key) for key in question.keys], np.int64)
        batches.insert(0, read_row_vectors(snapshot, rows))
    for one in batches:
        found, failed = describe_predictions(
            one.keys, predict_batch(snapshot, one, question), question.decision
        )
        results += found
        failures += failed
    if not results and not question.keys:
        refuse_only(failures)
    return {"task": head.task, "results": results, "failures": failures}
