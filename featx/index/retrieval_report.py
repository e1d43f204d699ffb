"""What `evaluate_retrieval` measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from featx.shown import Shown
from featx.units import format_count


@dataclass(frozen=True, slots=True)
class ClassRetrieval:
    """Retrieval measured on the images of one class, or on all.

    Attributes:
        name: The class; ``""`` for all.
        queries: How many images were asked for.
        nearest: Share of them whose nearest neighbour is of their class.
        precision: Share of the k nearest that are of their class.
        recall: Share of their class among the k nearest.
        ndcg: Normalised discounted cumulative gain of the k nearest (Järvelin and Kekäläinen,
            2002).
        average_precision: Mean average precision over all images; None with an index, which does
            not rank all of them.
    """

    name: str
    queries: int
    nearest: float
    precision: float
    recall: float
    ndcg: float
    average_precision: float | None


@dataclass(frozen=True, slots=True)
class RetrievalTrial:
    """One way to compare images, measured.

    Attributes:
        layer: The layer.
        pool: The pooling.
        projection: ``""``, or ``PCA 128``, or ``PCA 128, whitened``.
        dimension: Values of a vector.
        total: The measures on all queries.
        classes: On those of each class.
    """

    layer: str
    pool: str
    projection: str
    dimension: int
    total: ClassRetrieval
    classes: tuple[ClassRetrieval, ...]


@dataclass(frozen=True, slots=True, repr=False)
class RetrievalReport(Shown):
    """What `evaluate_retrieval` measured.

    Attributes:
        trials: In the order of layers and poolings.
        k: How many neighbours were looked at.
        images: Images with a class, among which neighbours are.
        left_out: Images without a class.
        single: Images that were not asked for, since no other file is of their class.
    """

    trials: tuple[RetrievalTrial, ...]
    k: int
    images: int
    left_out: int
    single: int

    @property
    def best(self) -> RetrievalTrial:
        """The trial with the best mean average precision; with an index, the best NDCG."""
        return max(
            self.trials,
            key=lambda trial: (
                trial.total.ndcg
                if trial.total.average_precision is None
                else trial.total.average_precision
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


def describe_images(report: RetrievalReport) -> str:
    """Return what was measured on, in a line."""
    text = (
        f"{format_count(report.best.total.queries, 'image')} asked for among {report.images:,}; "
        "neighbours by cosine similarity, identical files left out"
    )
    if report.left_out:
        text += f"; {format_count(report.left_out, 'image')} without a class"
    if report.single:
        text += f"; {report.single:,} alone in their class"
    return text
