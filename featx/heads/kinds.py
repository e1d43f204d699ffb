"""What a kind of head is, and the kinds there are.

A kind chooses its settings by cross-validation (`HeadKind.choose`), fits with them
(`HeadKind.fit`), and says how to predict with the arrays that fitting gave, as a short tuple of
operations (`HeadKind.operations`). Everything else is the same for all kinds::

    store ─ labelled_rows ─▶ Examples ─ choose ─▶ Choice: settings, loss
                                │ fit                │
                                ▼                    │
                             weights  ◀──────────────┘
                                │ operations
                                ▼
                             operations.compute ─▶ probabilities ─ evaluation ─▶ report

So a prediction is stated once. `featx.heads.operations` computes it in NumPy; another target
translates the same operations. What a kind is told besides the examples (seed, options, whom to
tell what is being tried) comes in one object, `FitJob`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from featx.events import Listener
from featx.heads.options import HeadOptions
from featx.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from featx.heads.operations import Operation

BLOCK_VALUES = 1 << 22
"""Numbers of a block of rows that is computed at once: 16 MB."""

Task = Literal["single", "multi", "regression"]
"""What is predicted: one class of several, any number of classes, or a number."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """N feature vectors with what is to be predicted of them.

    Attributes:
        values: float32 (N, D), finite. Where they do not fit into memory, they stay on the disk
            (`featx.heads.stored_values`): kinds take them from `blocks`, or a few rows at a time.
        targets: By the task. ``single``: class numbers, int (N,), each of 0 ... num_classes - 1
            present. ``multi``: whether a class applies, bool (N, C). ``regression``: float (N,).
        num_classes: C, at least 2 for ``single``, at least 1 for ``multi``; 1 for ``regression``.
        groups: Group numbers, (N,), equal for identical files: these belong on one side of
            every split, or a head is measured on what it was fitted on.
        task: What is predicted.
        weights: How much each example counts, positive, float (N,); all alike when None.
    """

    values: np.ndarray
    targets: np.ndarray
    num_classes: int
    groups: np.ndarray
    task: Task = "single"
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: np.ndarray | slice) -> Examples:
        """Return some of the examples.

        Args:
            rows: Row numbers, bool (N,), or a slice. Rows that follow one another are not copied.
        """
        from featx.heads.stored_values import take_rows

        rows = _as_slice(rows)
        return Examples(
            take_rows(self.values, rows),
            self.targets[rows],
            self.num_classes,
            self.groups[rows],
            self.task,
            None if self.weights is None else self.weights[rows],
        )

    @property
    def counts(self) -> np.ndarray:
        """How much each example counts, float64 (N,): `weights`, or ones."""
        import numpy as np

        return np.ones(len(self)) if self.weights is None else np.asarray(self.weights, float)

    def without_values(self) -> Examples:
        """Return the same examples with no values, of which parts can be taken for nothing."""
        import numpy as np

        return replace(self, values=np.empty((len(self), 0), np.float32))

    def replace_values(self, values: np.ndarray) -> Examples:
        """Return the same examples with other values (N, K)."""
        return replace(self, values=values)

    def blocks(self) -> Iterator[Examples]:
        """Yield all examples in their order, some thousand at a time, in float32."""
        yield from (self.take(rows) for rows in self.block_rows())

    def block_rows(self, share: int = 1) -> Iterator[slice]:
        """Yield the rows of each block, or of a share of it: a half, a third ..."""
        step = max(1, BLOCK_VALUES // share // max(1, self.values.shape[1]))
        for start in range(0, len(self), step):
            yield slice(start, start + step)


def _as_slice(rows: np.ndarray | slice) -> np.ndarray | slice:
    """Return rows that follow one another as a slice, and others as they are."""
    if isinstance(rows, slice):
        return rows
    numbers = rows.nonzero()[0] if rows.dtype == bool else rows
    if len(numbers) == 0:
        return slice(0, 0)
    first, last = int(numbers[0]), int(numbers[-1])
    is_run = last - first + 1 == len(numbers) and bool((numbers[1:] > numbers[:-1]).all())
    return slice(first, last + 1) if is_run else rows


@dataclass(frozen=True, slots=True)
class FitJob:
    """What a kind is told besides the examples.

    Attributes:
        seed: For whatever is random: the same seed gives the same weights.
        options: What the user asked for; a kind reads the options that are its own.
        listener: `Listener.trying` is told what is being tried, for whoever waits.
        start: Weights of an earlier fit on most of the same examples, from which a kind may go on
            instead of starting anew.
    """

    seed: int = 0
    options: HeadOptions = field(default_factory=HeadOptions)
    listener: Listener = field(default_factory=Listener)
    start: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings that a kind chose, and how well it did with them on rows that it had not seen.

    Attributes:
        settings: For example a regularisation: JSON-serialisable. They are shown to the user,
            and fitting with them chooses nothing.
        loss: Mean loss on held-out rows, by which kinds are compared: cross-entropy in nats
            (``single``; ``multi``: its mean over the classes) or squared error. None where there
            are too few examples to hold any out.
        accuracy: Of ``single``: share of the held-out rows whose best class is right.
        num_held_out: Rows that loss and accuracy were measured on.
    """

    settings: dict[str, Any]
    loss: float | None = None
    accuracy: float | None = None
    num_held_out: int = 0


class HeadKind(Protocol):
    """A kind of head.

    `fit_head` calls `choose` and `fit` with the rows to learn from, measures the result on
    held-out rows, and then calls `fit` with all rows. The contract tests in
    `featx.testing.contracts.heads` say what must hold.

    Attributes:
        tasks: The tasks that it can learn.
    """

    tasks: tuple[Task, ...]

    def suits(self, examples: Examples) -> bool:
        """Whether ``--kind auto`` tries it on these examples: not where it would take too long."""
        ...

    def choose(self, examples: Examples, job: FitJob) -> Choice:
        """Choose settings by these examples alone.

        Args:
            examples: What to learn from, of one of `tasks`. A class may have a single example.
            job: Seed, options and listener.
        """
        ...

    def fit(
        self, examples: Examples, settings: Mapping[str, Any], job: FitJob
    ) -> dict[str, np.ndarray]:
        """Fit with settings that `choose` chose.

        Args:
            examples: What to learn from.
            settings: As `choose` returned them, or as they were read back from JSON.
            job: As for `choose`.

        Returns:
            All that a prediction needs, as named arrays; no Python objects. They are written to
            the head's folder.
        """
        ...

    def operations(self, weights: Mapping[str, np.ndarray]) -> tuple[Operation, ...]:
        """Return what is done, one after the other, with vectors (N, D) to predict.

        The last one gives (N, C), for ``single`` probabilities that sum to 1, for ``multi``
        independent probabilities; for ``regression`` numbers (N, 1).

        Args:
            weights: As `fit` returned them, or as they were read back from the head's folder.

        Returns:
            Those of `featx.heads.operations`, or objects of your own that can be called with
            vectors; what is not in that module cannot be exported.
        """
        ...


HEADS: Registry[HeadKind] = Registry(
    "kind of head",
    "featx.heads",
    {
        "linear": "featx.heads.linear:linear",
        "ridge": "featx.heads.ridge:ridge",
        "lda": "featx.heads.lda:lda",
        "knn": "featx.heads.knn:knn",
        "centroid": "featx.heads.centroid:centroid",
        "mlp": "featx.heads.mlp:mlp",
    },
    HeadKind,
)
