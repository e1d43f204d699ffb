"""What a kind of index is, and the kinds there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from featx.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from featx.index.container import Arrays, Section

AUTO = "auto"
"""In place of a kind: the one that suits the number of vectors."""

FACTORY = "factory"
"""The kind that is built as a factory string says."""

Parameters = Mapping[str, "int | float | str"]
"""What an index was built or is searched with, by name: ``{"lists": 1024, "nprobe": 8}``."""


@dataclass(frozen=True, slots=True)
class Space:
    """The vectors of an index.

    Attributes:
        count: N, at least 1.
        width: D, at least 1.
        metric: ``ip``: the largest inner product is best (vectors of a cosine index have length
            1), or ``l2``: the smallest distance.
        factory: What an expert asked for, a factory string of FAISS; only of the kind `FACTORY`.
    """

    count: int
    width: int
    metric: Literal["ip", "l2"] = "ip"
    factory: str | None = None


@dataclass(frozen=True, slots=True)
class Vectors:
    """N vectors of D values that are too many to hold.

    Attributes:
        read: Returns an iterator of float32 (n, D) blocks in order. Each call reads them again.
        take: Returns chosen vectors, float32 (n, D), for row numbers in any order.
        training: float32 (n, D): some of them, drawn from all over, none of which is used to
            measure recall. Empty for a kind that needs none.
        scratch: A folder for temporary files, that of the index.
    """

    read: Callable[[], Iterator[np.ndarray]]
    take: Callable[[np.ndarray], np.ndarray]
    training: np.ndarray
    scratch: Path = field(default_factory=Path)


@dataclass(frozen=True, slots=True)
class Effort:
    """How far a kind that does not look everywhere looks, and what it finds there.

    Attributes:
        parameters: For `VectorSearch.with_parameters`.
        cost: How much is looked at, relative to everything.
    """

    parameters: Parameters
    cost: float


class VectorSearch(Protocol):
    """N vectors of D values that can be searched."""

    @property
    def summary(self) -> str:
        """How it searches, in a few words for the user, for example ``"exact"``."""
        ...

    @property
    def parameters(self) -> Parameters:
        """What it was built with and is searched with."""
        ...

    def efforts(self) -> Sequence[Effort]:
        """Return the settings that recall is tuned with, the cheapest first; none if exact."""
        ...

    def with_parameters(self, parameters: Parameters) -> VectorSearch:
        """Return the same index, searched with other parameters; unknown ones are ignored.

        They may come from a stranger's file.

        Raises:
            ValueError: If one is out of its range.
        """
        ...

    def search(
        self, queries: np.ndarray, count: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the best vectors.

        Args:
            queries: float32 (Q, D) without NaN.
            count: Matches for each query, from 1 to N.
            allowed: bool (N,): only these rows are found; all when None.

        Returns:
            Scores, float32, and row numbers, both (Q, count) and best first. A score is an inner
            product, or a squared distance with its sign turned, so that larger is better. Where
            fewer are found, the rest of the rows is -1.
        """
        ...

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Return vectors as they were put in, or as they were compressed: float32 (n, D).

        Args:
            rows: Row numbers, int64 (n,), each from 0 to N - 1. n may be 0.
        """
        ...


class IndexKind(Protocol):
    """A kind of vector index.

    It says which arrays are kept, and searches in them. featx writes them into one file with
    keys, labels and identity, maps them, and compares them with checksums when they are read. The
    contract tests in `featx.testing.contracts.indexes` say what must hold.
    """

    is_exact: bool
    """Whether it finds the best vectors always, and keeps vectors as they were put in."""

    def training_rows(self, space: Space) -> int:
        """Return how many vectors it is trained on; 0 if it is not trained."""
        ...

    def build(self, vectors: Vectors, space: Space) -> Sequence[Section]:
        """Return the arrays of an index. They are written in this order."""
        ...

    def update(
        self, arrays: Arrays, vectors: Vectors, space: Space, old_rows: np.ndarray
    ) -> Update | None:
        """Return the arrays of an index of changed vectors; None to build it anew.

        Only asked of kinds that are not exact: of others, vectors are taken from the old index.

        Args:
            arrays: Those of the old index.
            vectors: Without vectors to train on. Only `take` is used, for the new ones.
            space: The new one.
            old_rows: int64 (N,): the row of each vector in the old index; -1 for new ones.
        """
        ...

    def open(self, arrays: Arrays, space: Space) -> VectorSearch:
        """Return the index that some arrays are.

        They may come from a stranger: types, shapes and the numbers in them are checked.

        Raises:
            ValueError: If they cannot be those of such vectors. (Also KeyError and TypeError.)
        """
        ...


@runtime_checkable
class SharedKind(Protocol):
    """What a kind can do, too, of which several machines fill indexes that become one.

    All of these are filled by the same arrays of training, so that codes can be copied.
    """

    shared_arrays: tuple[str, ...]
    """Names of those arrays, of which some may be missing: equal in indexes that become one."""

    def check_shared(self, space: Space) -> None:
        """Refuse vectors of which no such index can be made.

        Raises:
            InvalidValue: If there are none of this `Space.factory`.
        """
        ...

    def train_arrays(self, training: np.ndarray, space: Space) -> Sequence[Section]:
        """Return what codes and lists are made by, for vectors like some vectors."""
        ...

    def fill(self, trained: Arrays, vectors: Vectors, space: Space) -> Sequence[Section]:
        """Return the arrays of an index, of which those of training are as they were.

        Args:
            trained: Arrays of `train_arrays`, or of an index that has them, perhaps a stranger's.
            vectors: Without vectors to train on; read once.
            space: The vectors.

        Raises:
            ValueError: If the arrays cannot be those of such vectors. (Also KeyError.)
        """
        ...

    def merge(
        self, trained: Arrays, parts: Iterable[IndexPart], vectors: Vectors, space: Space
    ) -> Sequence[Section]:
        """Return the arrays of an index of the vectors of several others.

        Args:
            trained: As for `fill`.
            parts: The others, one after the other; each is given up before the next is taken.
            vectors: All vectors. Only `take` is used, for those that no part has.
            space: The vectors.

        Raises:
            ValueError: If an array cannot be that of such vectors. (Also KeyError.)
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class IndexPart:
    """An index that becomes a part of another one.

    Attributes:
        arrays: Its arrays.
        rows: int64 (n,): the row in the other of each of its own; -1 for what is left out.
    """

    arrays: Arrays
    rows: np.ndarray


@dataclass(frozen=True, slots=True)
class Update:
    """A changed index.

    Attributes:
        sections: Its arrays.
        note: What else was done, for the user, for example that lists were trained again.
    """

    sections: Sequence[Section]
    note: str | None = None


INDEXES: Registry[IndexKind] = Registry(
    "kind of index",
    "featx.indexes",
    {
        "flat": "featx.index.flat:flat",
        "ivf": "featx.index.ivf:ivf",
        "ivf-rabitq": "featx.index.ivf:ivf_rabitq",
        "hnsw": "featx.index.hnsw:hnsw",
        FACTORY: "featx.index.factory:factory",
    },
    IndexKind,
)
