"""Options of `search`, in groups: what is asked, and what may answer.

As in `featx.options`, each field is also a keyword of the function: ``unique=True`` is
``match=MatchOptions(unique=True)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from featx.checks import check_flag, check_text, check_texts, check_whole_number
from featx.keywords import CodeKeywords, LayerSynonyms, RunKeywords


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
