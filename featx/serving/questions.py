"""What clients may ask: the fields of queries and bodies, with their limits and examples."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from featx.index.options import MatchOptions
from featx.options import DecisionOptions
from featx.specs import DEFAULT_K, DEFAULT_TOP

MOST_MATCHES = 1_000
MOST_ITEMS = 500
MOST_KEYS = 500
MOST_RANKED = 200_000
"""Matches of all queries of a request together, with those that are skipped."""

MOST_CHOSEN = 2_000
"""Matches from which copies or what is alike are left out: each is compared with all before it."""

MOST_WILDCARDS = 32
"""Of all globs of a request: many of them in one take minutes for a million keys."""

Key = Annotated[str, Field(min_length=1, max_length=4096)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Glob = Annotated[str, Field(min_length=1, max_length=400)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Fields(BaseModel):
    """A set of fields; others are refused."""

    model_config = ConfigDict(extra="forbid")


class Filters(Fields):
    """Which images: all conditions hold at once."""

    label: list[str] = Field([], description="Only images of these classes.")
    with_label: list[str] = Field(
        [],
        description="Where images have several labels, only those that have one of these, whatever "
        "else they have: cat for cat and cat|dog.",
    )
    path: list[Glob] = Field(
        [],
        max_length=20,
        description="Only keys, file names or folders that match one of these globs.",
    )
    split: list[str] = Field([], description="Only images of these splits.")
    where_column: str | None = Field(
        None, description="Only images for which this holds.", examples=["price < 20"]
    )
    tag: list[Name] = Field([], description="Only images with all of these tags.")
    decision: list[Literal["keep", "relabel", "reject", "none"]] = Field(
        [], description="Only images that were decided on so."
    )
    cluster: list[int] = Field([], description="Only images in these clusters of the map.")
    lasso: str | None = Field(
        None,
        max_length=20_000,
        description="Only images inside this polygon on the map: x,y,x,y,... in [0, 1].",
        examples=["0.1,0.1,0.4,0.1,0.4,0.5"],
    )

    @property
    def has_filter(self) -> bool:
        """Whether some images are left out."""
        return any(bool(getattr(self, name)) for name in Filters.model_fields)

    @field_validator("path")
    @classmethod
    def _check_wildcards(cls, path: list[str]) -> list[str]:
        if sum(glob.count(sign) for glob in path for sign in "*?[") > MOST_WILDCARDS:
            raise ValueError(f"all globs together have at most {MOST_WILDCARDS} of * ? [")
        return path

    def match_options(self, **more: Any) -> MatchOptions:
        """Return the filters that searches of the library have."""
        return MatchOptions(
            label=self.label,
            path=self.path,
            split=self.split,
            where_column=self.where_column,
            **more,
        )


class ItemsQuery(Filters):
    """A page of the list of images."""

    offset: int = Field(0, ge=0, le=2**40)
    limit: int = Field(50, ge=1, le=MOST_ITEMS)
    predictions: int = Field(0, ge=0, le=20, description="Classes that the head names for each.")
    row: list[Annotated[int, Field(ge=0, le=2**40)]] = Field(
        [],
        max_length=MOST_ITEMS,
        description="These rows, as the map names them, whatever else is said.",
    )


class Term(Fields):
    """A stored image, or one that was sent, which is added or subtracted."""

    key: Key | None = None
    upload: int | None = Field(None, ge=0, description="Number of a picture in this request.")
    weight: float = Field(1.0, gt=0, le=1000, allow_inf_nan=False)


class SearchQuestion(Filters):
    """What is searched for."""

    keys: list[Key] = Field([], max_length=MOST_KEYS, description="Stored images, as queries.")
    add: list[Term] = Field([], max_length=32, description="Added to every query.")
    subtract: list[Term] = Field([], max_length=32, description="Subtracted from every query.")
    crop: str | None = Field(
        None,
        max_length=100,
        description="Only this part of the queries: X,Y,W,H in pixels or per cent.",
        examples=["10%,10%,50%,50%"],
    )
    k: int = Field(DEFAULT_K, ge=1, le=MOST_MATCHES)
    skip: int = Field(0, ge=0, le=100_000)
    threshold: float | None = Field(None, allow_inf_nan=False)
    unique: bool = False
    diverse: bool = False
    where: bool = Field(False, description="Also the region of each match that is like the query.")

    @property
    def is_light(self) -> bool:
        """Whether it is about pictures alone, so that nothing has to be looked up for it."""
        asked = self.keys or self.add or self.subtract or self.crop or self.where
        return not asked and not self.has_filter


class PredictQuestion(Fields):
    """What is predicted: stored images, or the pictures of the request."""

    keys: list[Key] = Field([], max_length=MOST_KEYS)
    top: int = Field(DEFAULT_TOP, ge=1, le=1000)
    threshold: Share | None = None
    coverage: Annotated[float, Field(gt=0, lt=1)] | None = None
    novelty: bool = False

    @property
    def decision(self) -> DecisionOptions:
        """What is said besides the most probable classes."""
        return DecisionOptions(self.threshold, self.coverage, self.novelty)


class FeaturesQuestion(Fields):
    """Whose features are wanted: of stored images, or of the pictures of the request."""

    keys: list[Key] = Field([], max_length=MOST_KEYS)


class Change(Fields):
    """One thing that a person has decided about an image."""

    key: Key
    action: Literal["keep", "relabel", "reject", "clear", "tag", "untag"]
    value: Name | None = Field(None, description="The label, or the tag.")
    finding: Name | None = Field(None, description="The kind of finding that it answers.")


class Changes(Fields):
    """Several of them, which are kept together or not at all."""

    changes: list[Change] = Field(min_length=1, max_length=1_000)


class PageQuery(Fields):
    """A page of groups or findings."""

    offset: int = Field(0, ge=0, le=2**40)
    limit: int = Field(50, ge=1, le=MOST_ITEMS)


class FindingsQuery(PageQuery):
    """A page of findings, perhaps of one kind."""

    kind: Name | None = None


class ExportQuery(Filters):
    """Which images a table lists, and how it names them."""

    format: Literal["csv", "jsonl"] = "csv"
    paths: Literal["key", "absolute"] = Field(
        "key", description="Keys, as fit-head takes them with its labels, or paths of the server."
    )
    csv_safe: bool = Field(
        False,
        description="In CSV, an apostrophe before texts that spreadsheets take for formulas.",
    )


class Login(Fields):
    """The token."""

    token: str = Field(max_length=1_000)
