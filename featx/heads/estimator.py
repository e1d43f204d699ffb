"""What makes a fitted head a classifier, or a regressor, of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from featx.checks.messages import describe_value
from featx.errors import InvalidType, InvalidValue
from featx.features.vectors import open_if_store
from featx.heads.measures import r_squared
from featx.store import FeatureStore, FeatureTable
from featx.units import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featx.features.vectors import HasVectors
    from featx.heads.kinds import Task


class FittedEstimator:
    """Base class of `featx.Head`: methods and attributes of an estimator that stays as it is.

    Of one class for each picture it is a classifier, of several labels a multilabel one, of a
    number a regressor.

    In `cross_val_score` and the like it is measured on each fold: cloning gives the same head, and
    `fit` learns nothing, as with scikit-learn's `FrozenEstimator`.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        classes: tuple[str, ...]
        task: Task
        thresholds: tuple[float, ...]

        def predict_proba(self, values: HasVectors) -> np.ndarray:
            """Return class probabilities."""
            ...

        def predict_numbers(self, values: HasVectors) -> np.ndarray:
            """Return numbers."""
            ...

    @property
    def _estimator_type(self) -> str:
        return "regressor" if self.task == "regression" else "classifier"

    @property
    def classes_(self) -> np.ndarray:
        """The C class names as an array, in the order of the probabilities.

        Raises:
            AttributeError: If it predicts a number, as of scikit-learn's regressors.
        """
        if self.task == "regression":
            raise AttributeError("A head that predicts a number has no classes.")
        return np.array(self.classes)

    def predict(self, values: HasVectors) -> np.ndarray:
        """Return what is predicted of each image.

        Args:
            values: As for `predict_proba`.

        Returns:
            The most probable class, (N,), as text; of several labels, which of them apply, int
            (N, C) of 0 and 1; of a number, float32 (N,).
        """
        if self.task == "regression":
            return self.predict_numbers(values)
        if self.task == "multi":
            return (self.predict_proba(values) >= np.array(self.thresholds)).astype(int)
        best: np.ndarray = self.classes_[self.predict_proba(values).argmax(axis=1)]
        return best

    def score(self, values: HasVectors, labels: Sequence[Any] | np.ndarray | None = None) -> float:
        """Return the share of images whose most probable class is right, in [0, 1].

        Of several labels, the share of images all of whose labels are right; of a number,
        R squared. Both as in scikit-learn, from 0 and 1 in (N, C), or N numbers.

        What the head was fitted on is not left out: `featx.predict` does that.

        Args:
            values: As for `predict_proba`.
            labels: N class names; of a store and a table of features their own when None. Images
                without a label do not count.

        Raises:
            InvalidValue: If there are no labels, or not as many as images and classes.
        """
        values = open_if_store(values)
        if self.task != "single":
            return self._score_values(values, labels)
        if labels is None and isinstance(values, (FeatureStore, FeatureTable)):
            labels = values.labels
        if labels is None:
            raise InvalidValue("score() needs labels: one for each image, score(values, labels).")
        predicted = self.predict(values)
        given = _list_labels(labels)
        if len(given) != len(predicted):
            raise InvalidValue(
                f"Labels are one for each image. Received: {len(given):,} for "
                f"{format_count(len(predicted), 'image')}."
            )
        pairs = [(a, str(b)) for a, b in zip(predicted, given, strict=True) if b is not None]
        if not pairs:
            raise InvalidValue("None of the images has a label.")
        return float(np.mean([a == b for a, b in pairs]))

    def _score_values(
        self, values: HasVectors, targets: Sequence[Any] | np.ndarray | None
    ) -> float:
        """Return the score of several labels, or of a number."""
        predicted = self.predict(values)
        try:
            given = np.asarray(targets, np.float64)
        except (TypeError, ValueError):
            given = np.zeros(0)
        if given.shape != predicted.shape or not np.isfinite(given).all():
            what = "a number for each image" if self.task == "regression" else "0 and 1 for labels"
            raise InvalidValue(
                f"score() needs {what}, of shape {predicted.shape}. Received: "
                f"{'nothing' if targets is None else np.shape(given)}."
            )
        if self.task == "multi":
            return float((predicted == given).all(axis=1).mean())
        found = r_squared(predicted.astype(np.float64), given)
        return float(np.allclose(predicted, given)) if found is None else found

    def fit(self, values: object = None, labels: object = None) -> Self:
        """Return the head as it is: `featx.fit_head` fits another one."""
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return no parameters: there is nothing to choose in a head that was fitted."""
        return {}

    def set_params(self, **parameters: Any) -> Self:
        """Take no parameters; see `get_params`."""
        if parameters:
            raise InvalidValue(
                f"A head that was fitted has no parameters. Received: {', '.join(parameters)}. "
                "featx.fit_head fits with others."
            )
        return self

    def __sklearn_clone__(self) -> Self:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        is_regressor = self.task == "regression"
        classifier = ClassifierTags(multi_label=self.task == "multi")
        return Tags(
            estimator_type=self._estimator_type,
            target_tags=TargetTags(required=False),
            classifier_tags=None if is_regressor else classifier,
            regressor_tags=RegressorTags() if is_regressor else None,
            input_tags=InputTags(),
            requires_fit=False,
        )


def _list_labels(labels: Any) -> list[Any]:
    """Return labels as a list.

    Raises:
        InvalidType: If they are no list or array of names.
    """
    is_one = isinstance(labels, (str, bytes)) or not hasattr(labels, "__iter__")
    if is_one or getattr(labels, "shape", None) == ():
        raise InvalidType(
            "'labels' takes a list or an array of names of classes, one for each image. Received: "
            f"{describe_value(labels)}."
        )
    return list(labels)
