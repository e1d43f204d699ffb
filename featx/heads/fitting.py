"""`fit_head`: a trained and measured head from a feature store. Never imports TensorFlow."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from featx.errors import InvalidValue
from featx.events import Listener
from featx.heads.evaluation import Evaluation, evaluate
from featx.heads.head import Head, check_replaceable
from featx.heads.kinds import DEFAULT_HEAD_KIND, HEADS, Fitted, HeadKind
from featx.heads.labelled_rows import LabelledRows, RowChoice, read_labelled_rows
from featx.heads.labels import FOLDERS
from featx.poolings import check_vector_pool
from featx.specs import DEFAULT_HEAD, DEFAULT_READ_POOLING, DEFAULT_STORE, DEFAULT_TEST_SIZE
from featx.store import FeatureTable, open_store
from featx.store.reference import StoreReference
from featx.units import format_count


@dataclass(frozen=True, slots=True)
class FitReport:
    """What was fitted, and how well it does on rows that it has not seen.

    Attributes:
        output: The head's folder.
        kind: The kind of head.
        layer: The layer.
        pool: The pooling of its features.
        width: D, values in a feature vector.
        classes: C class names.
        num_train: Rows that it was fitted on to be measured.
        num_unlabelled: Rows left out because they have no label.
        num_unsplit: Labelled rows left out because their split in the store is neither ``train``
            nor ``test`` (or val, valid, validation).
        splits: The store's splits and their numbers of rows, if these were used.
        evaluation: Measures on the held-out rows; None if there were none.
        refitted: Whether the saved head was then fitted again on all labelled rows, with
            the settings that were chosen without the held-out ones.
        settings: What the kind of head chose, for example a regularisation.
    """

    output: str
    kind: str
    layer: str
    pool: str
    width: int
    classes: tuple[str, ...]
    num_train: int
    num_unlabelled: int
    num_unsplit: int
    splits: dict[str, int]
    evaluation: Evaluation | None
    refitted: bool
    settings: dict[str, Any]

    @property
    def accuracy(self) -> float | None:
        """Share of the held-out rows that it classified correctly; None if there were none."""
        return None if self.evaluation is None else self.evaluation.accuracy

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


def fit_head(
    features: str | Path = DEFAULT_STORE,
    *,
    layer: str | None = None,
    labels: str | Path = FOLDERS,
    kind: str = DEFAULT_HEAD_KIND,
    pool: str = DEFAULT_READ_POOLING,
    test_size: float = DEFAULT_TEST_SIZE,
    ignore_split: bool = False,
    seed: int = 0,
    output: str | Path = DEFAULT_HEAD,
    listener: Listener | None = None,
) -> FitReport:
    """Train a classifier on stored features and measure it on a held-out part.

    Args:
        features: The feature store.
        layer: The layer; the deepest in the store when None.
        labels: ``folders`` for those in the store (class folders, or those of a manifest); or a
            table, in CSV or Parquet, with the columns path, label and optionally split.
        kind: The kind of head.
        pool: Pooling of layers that were stored as maps.
        test_size: Share of each class held out to measure on, in [0, 1). Ignored where a split is
            given: by the table, else by the store (from a manifest's column, or the names of arrays
            or folders), if it has both training rows and others. Identical files are always on the
            same side.
        ignore_split: Hold out rows as if no split were given.
        seed: For the split, and for what the kind of head does at random.
        output: The head's folder.
        listener: Receives notes.

    Returns:
        The report. With a random split, the saved head is fitted on all labelled rows; with a
        given one, on its training rows alone, so that the others stay unseen.

    Raises:
        StoreNotFound: If there is no store.
        UnknownName: If there is no such layer, kind or pooling.
        HeadError: If there are fewer than two classes, or labels cannot be read.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> images = write_images(12, classes=("dark", "light"))
        >>> _ = featx.extract(images, model=toy_model(), layers=["mean"], output="f.h5")
        >>> fit_head("f.h5", output="h").evaluation.accuracy
        1.0
    """
    listener = listener or Listener()
    classifier = HEADS[kind]
    check_vector_pool("pooling of a head", pool)
    if not 0 <= test_size < 1:
        raise InvalidValue(f"The held-out share is a number in [0, 1). Received: {test_size}.")
    output = Path(output)
    check_replaceable(output)
    with open_store(features) as store:
        labelled = read_labelled_rows(store, RowChoice(layer, pool, labels, ignore_split), listener)
        reference = StoreReference.to(store, output)
    held_out = labelled.hold_out(test_size, seed, listener)
    examples, feature = labelled.examples, labelled.table.spec
    num_train, width = int((~held_out).sum()), examples.values.shape[1]
    listener.note(
        f"fitting a {kind} head on {num_train:,} of {len(examples):,} images, "
        f"{len(labelled.classes)} classes, {format_count(width, 'value')} each"
    )
    fitted, evaluation = _fit_and_measure(classifier, labelled, held_out, seed)
    refitted = evaluation is not None and labelled.sides is None
    if refitted:
        fitted = Fitted(classifier.refit(examples, fitted.settings, seed), fitted.settings)
    report = FitReport(
        output=str(output),
        kind=kind,
        layer=feature.name,
        pool=feature.pool,
        width=width,
        classes=labelled.classes,
        num_train=num_train,
        num_unlabelled=labelled.num_unlabelled,
        num_unsplit=labelled.num_unsplit,
        splits=labelled.splits,
        evaluation=evaluation,
        refitted=refitted,
        settings=fitted.settings,
    )
    rows = labelled.rows if refitted else labelled.rows[~held_out]
    head = _make_head(report, labelled.table, rows, fitted.weights)
    replace(head, store=reference).save(output)
    return report


def _make_head(
    report: FitReport, table: FeatureTable, rows: np.ndarray, weights: dict[str, np.ndarray]
) -> Head:
    """Return the head that was fitted on some rows of a table."""
    return Head(
        kind=report.kind,
        classes=report.classes,
        feature=table.spec,
        model=table.model,
        weights=weights,
        fitted_on=table.content_hash[rows],
        report=report.to_dict(),
    )


def _fit_and_measure(
    classifier: HeadKind, labelled: LabelledRows, held_out: np.ndarray, seed: int
) -> tuple[Fitted, Evaluation | None]:
    """Fit on the rows that are not held out, and measure on those that are, if any."""
    fitted = classifier.fit(labelled.examples.take(~held_out), seed)
    test = labelled.examples.take(held_out)
    if not len(test):
        return fitted, None
    predicted = classifier.predict(fitted.weights, test.values).argmax(axis=1)
    return fitted, evaluate(test.targets, predicted, labelled.classes)
