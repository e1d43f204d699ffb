"""What makes a fitted head a classifier of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from featx.errors import InvalidValue
from featx.store import FeatureStore, FeatureTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featx.features.vectors import HasVectors


class FittedClassifier:
    """Base class of `featx.Head`: methods and attributes of a classifier that stays as it is.

    In `cross_val_score` and the like it is measured on each fold: cloning gives the same head, and
    `fit` learns nothing, as with scikit-learn's `FrozenEstimator`.
    """

    __slots__ = ()
    _estimator_type = "classifier"

    if TYPE_CHECKING:
        classes: tuple[str, ...]

        def predict_proba(self, values: HasVectors) -> np.ndarray:
            """Return class probabilities."""
            ...

    @property
    def classes_(self) -> np.ndarray:
        """The C class names as an array, in the order of the probabilities."""
        return np.array(self.classes)

    def predict(self, values: HasVectors) -> np.ndarray:
        """Return the most probable class of each image, (N,), as text.

        Args:
            values: As for `predict_proba`.
        """
        best: np.ndarray = self.classes_[self.predict_proba(values).argmax(axis=1)]
        return best

    def score(self, values: HasVectors, labels: Sequence[Any] | np.ndarray | None = None) -> float:
        """Return the share of images whose most probable class is right, in [0, 1].

        What the head was fitted on is not left out: `featx.predict` does that.

        Args:
            values: As for `predict_proba`.
            labels: N class names; of a store and a table of features their own when None. Images
                without a label do not count.

        Raises:
            InvalidValue: If there are no labels.
        """
        if labels is None and isinstance(values, (FeatureStore, FeatureTable)):
            labels = values.labels
        if labels is None:
            raise InvalidValue("score() needs labels: one for each image, score(values, labels).")
        predicted = self.predict(values)
        given = list(labels)
        if len(given) != len(predicted):
            raise InvalidValue(
                f"Labels are one for each image. Received: {len(given):,} for "
                f"{len(predicted):,} images."
            )
        pairs = [(a, str(b)) for a, b in zip(predicted, given, strict=True) if b is not None]
        if not pairs:
            raise InvalidValue("None of the images has a label.")
        return float(np.mean([a == b for a, b in pairs]))

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
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=False),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(),
            requires_fit=False,
        )
