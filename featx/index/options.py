"""Options of `build_index` and `search`, in groups: how to compare, what is asked, what answers.

As in `featx.options`, each field is also a keyword of the function: ``unique=True`` is
``match=MatchOptions(unique=True)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from featx.checks.flags import check_flag
from featx.checks.numbers import check_whole_number
from featx.checks.texts import check_choice, check_text, check_texts
from featx.errors import InvalidType, InvalidValue
from featx.keywords import CodeKeywords, LayerSynonyms, RunKeywords
from featx.wording import option

Metric = Literal["cosine", "ip", "l2"]
"""How the vectors of an index are compared: cosine similarity, inner product, distance."""


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How an index compares vectors, and what it may cost.

    Attributes:
        metric: ``cosine`` similarity, ``ip``: inner product, or ``l2``: Euclidean distance.
        pca: Compare this many principal components instead of the vectors, at least 1; they are
            fitted on the store.
        whiten: Scale the components to equal variance.
        min_recall: The share of the 10 nearest vectors that is to be found, from 0 to 1, by an
            index that does not look everywhere; it looks no further than this needs.
        max_memory: Bytes that an index may take, at least 1; as many as there are when None.
            ``auto`` chooses a kind whose vectors fit when they are searched. Building keeps within
            it by training on fewer vectors; where that is not enough, a note says so.
        max_query_time: Milliseconds, by which ``auto`` chooses: it stays exact while one query is
            expected to take no longer. It bounds no search: how far another kind looks follows
            from `min_recall` alone.
        factory: For experts, in place of a kind: a factory string of FAISS, such as
            ``"OPQ64,IVF4096,PQ64"``.
    """

    metric: Metric = "cosine"
    pca: int | None = None
    whiten: bool = False
    min_recall: float = 0.98
    max_memory: int | None = None
    max_query_time: float = 25.0
    factory: str | None = None

    def __post_init__(self) -> None:
        check_choice("metric", self.metric, get_args(Metric))
        for name in ("pca", "max_memory"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check_whole_number(name, value, least=1))
        check_flag("whiten", self.whiten)
        check_text("factory", self.factory)
        for name, most in (("min_recall", 1.0), ("max_query_time", math.inf)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InvalidType(f"{option(name)} takes a number. Received: {value!r}.")
            if not 0 < value <= most:
                limits = "above 0, at most 1" if most == 1 else "above 0"
                raise InvalidValue(f"{option(name)} is {limits}. Received: {value!r}.")
            object.__setattr__(self, name, float(value))
        if self.whiten and self.pca is None:
            raise InvalidValue(
                f"{option('whiten', True)} scales principal components: say how many with "
                f"{option('pca')}."
            )


class IndexKeywords(TypedDict, total=False):
    """The fields of `IndexOptions` as keywords."""

    metric: Metric
    pca: int | None
    whiten: bool
    min_recall: float
    max_memory: int | None
    max_query_time: float
    factory: str | None


class BuildKeywords(IndexKeywords, LayerSynonyms, total=False):
    """The options that `featx.build_index` takes as keywords."""


@dataclass(frozen=True, slots=True)
class MatchOptions:
    """Which images can be matches, and which matches are shown; all conditions hold at once.

    Attributes:
        label: Only images of these classes.
        path: Only images whose key, file name, or folder matches one of these globs; ``*`` also
            matches ``/``.
        split: Only images of these splits.
        where_column: Only images for which this holds, such as ``"price < 20"``: columns that a
            manifest brought, and ``key``, ``label``, ``split``. Columns and splits are read from
            the store.
        skip: Leave out this many of the best matches: the next page is ``skip=k``.
        unique: Leave out near-copies of better matches (a cosine of 0.995, less the mean of the
            features). Identical files become one match, which names them.
        diverse: Choose matches that also differ from each other.
        where: Say which region of each match is like the query, as `Match.box`. The layer is to be
            stored as maps (``pool="none"``). With `QuestionOptions.crop`, the best 200 images are
            ranked by their most similar regions.
    """

    label: str | Sequence[str] = ()
    path: str | Sequence[str] = ()
    split: str | Sequence[str] = ()
    where_column: str | None = None
    skip: int = 0
    unique: bool = False
    diverse: bool = False
    where: bool = False

    def __post_init__(self) -> None:
        for name in ("label", "path", "split"):
            object.__setattr__(self, name, check_texts(name, getattr(self, name)))
        check_text("where_column", self.where_column)
        object.__setattr__(self, "skip", check_whole_number("skip", self.skip, least=0))
        check_flag("unique", self.unique)
        check_flag("diverse", self.diverse)
        check_flag("where", self.where)

    @property
    def has_filter(self) -> bool:
        """Whether some images may be left out beforehand."""
        return bool(self.label or self.path or self.split) or self.where_column is not None


@dataclass(frozen=True, slots=True)
class QuestionOptions:
    """What is asked besides the queries.

    Attributes:
        add: Pictures, or keys of stored images, that are added to every query. ``"2:cat.jpg"``
            counts twice; so does ``"2:"`` before a query.
        subtract: The same, subtracted.
        crop: Only this part of each query: left, top, width and height in pixels of the picture
            as it is seen, or each in per cent: ``"10%,10%,50%,50%"``.
    """

    add: str | Sequence[str] = ()
    subtract: str | Sequence[str] = ()
    crop: str | None = None

    def __post_init__(self) -> None:
        for name in ("add", "subtract"):
            object.__setattr__(self, name, check_texts(name, getattr(self, name)))
        check_text("crop", self.crop)


class MatchKeywords(TypedDict, total=False):
    """The fields of `MatchOptions` as keywords."""

    label: str | Sequence[str]
    path: str | Sequence[str]
    split: str | Sequence[str]
    where_column: str | None
    skip: int
    unique: bool
    diverse: bool
    where: bool


class QuestionKeywords(TypedDict, total=False):
    """The fields of `QuestionOptions` as keywords."""

    add: str | Sequence[str]
    subtract: str | Sequence[str]
    crop: str | None


class SearchKeywords(
    CodeKeywords, RunKeywords, QuestionKeywords, MatchKeywords, LayerSynonyms, total=False
):
    """The options that `featx.search` takes as keywords."""


SEARCH_GROUPS = (QuestionOptions, MatchOptions)
"""The groups of `search` that are its own."""
