"""What a kind of head is, and the kinds there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from featx.registry import Registry

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """N labelled feature vectors.

    Attributes:
        values: float32 (N, D).
        targets: Class numbers, (N,). Each of 0 ... num_classes - 1 is present.
        num_classes: C, at least 2.
        groups: Group numbers, (N,), equal for identical files: these belong on one side of
            every split, or a classifier is measured on what it was fitted on.
    """

    values: np.ndarray
    targets: np.ndarray
    num_classes: int
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: np.ndarray) -> Examples:
        """Return some of the examples.

        Args:
            rows: Row numbers, or bool (N,).
        """
        return Examples(self.values[rows], self.targets[rows], self.num_classes, self.groups[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What fitting gives.

    Attributes:
        weights: All that `HeadKind.predict` needs, as named arrays; no Python objects. They are
            written to the head's folder.
        settings: What was chosen, for example a regularisation: JSON-serialisable. It is shown
            to the user, and fitting again with it chooses nothing.
    """

    weights: dict[str, np.ndarray]
    settings: dict[str, Any]


class HeadKind(Protocol):
    """A kind of classifier.

    `fit_head` calls `fit` with the rows to learn from, measures the result on held-out rows with
    `predict`, and then `refit` with all rows. The contract tests in
    `featx.testing.contracts.heads` say what must hold.
    """

    def fit(self, examples: Examples, seed: int) -> Fitted:
        """Choose settings by these examples alone, and fit.

        Args:
            examples: What to learn from. A class may have a single example.
            seed: For whatever is random: the same seed gives the same weights.
        """
        ...

    def refit(
        self, examples: Examples, settings: Mapping[str, Any], seed: int
    ) -> dict[str, np.ndarray]:
        """Fit with settings that `fit` chose, and return the weights.

        Args:
            examples: What to learn from.
            settings: As `fit` returned them, or as they were read back from JSON.
            seed: As for `fit`.
        """
        ...

    def predict(self, weights: Mapping[str, np.ndarray], values: np.ndarray) -> np.ndarray:
        """Return class probabilities, float32 (N, C), rows summing to 1.

        Args:
            weights: As `fit` or `refit` returned them, or as they were read back.
            values: Feature vectors, (N, D). N may be 0.
        """
        ...


DEFAULT_HEAD_KIND = "linear"

HEADS: Registry[HeadKind] = Registry(
    "kind of head",
    "featx.heads",
    {
        "linear": "featx.heads.linear:linear",
    },
    HeadKind,
)
