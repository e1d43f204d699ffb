"""Recipes: factory strings of FAISS, such as ``OPQ64,IVF4096,PQ64``, as far as featx holds them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from featx.errors import InvalidValue
from featx.wording import option

_TRANSFORM = r"(?:PCA[WR]{0,2}\d{1,5}|OPQ\d{1,4}(?:_\d{1,5})?|RR\d{1,5})"
_CODE = r"(?:Flat|SQ4|SQ6|SQ8|SQfp16|SQbf16|PQ\d{1,4}(?:x\d{1,2})?|RaBitQ)"
_LISTS = re.compile(rf"(?:({_TRANSFORM}(?:,{_TRANSFORM})*),)?(?:IVF(\d{{1,7}}),)?({_CODE})")
_GRAPH = re.compile(r"HNSW(\d{1,3})?(?:[,_](Flat|SQ8))?")

MOST_BITS = 12
"""Of a number of a product quantizer: 4,096 words."""

DEFAULT_LINKS = 32
"""Links of a vector in a graph, as FAISS has it where none are stated."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How vectors are compressed, and how they are arranged.

    Attributes:
        code: FAISS's name of the compression, such as ``SQ8``.
        lists: Inverted lists.
        transforms: What is done to vectors first, such as ``OPQ64``.
        is_residual: Whether the difference from the centre of its list is compressed.
        links: Links of a vector in a graph; None for lists.
    """

    code: str
    lists: int = 1
    transforms: str = ""
    is_residual: bool = False
    links: int | None = None

    @property
    def product(self) -> tuple[int, int] | None:
        """Parts and bits for each, of a product quantizer; None for another code."""
        found = re.fullmatch(r"PQ(\d+)(?:x(\d+))?", self.code)
        return (int(found[1]), int(found[2] or 8)) if found else None

    @property
    def text(self) -> str:
        """The factory string."""
        return ",".join(filter(None, [self.transforms, f"IVF{self.lists}", self.code]))


def parse_recipe(text: str) -> Recipe:
    """Return what a factory string says.

    Raises:
        InvalidValue: If featx does not hold such an index.

    Example:
        >>> parse_recipe("OPQ64,IVF4096,PQ64").product
        (64, 8)
        >>> parse_recipe("IVF1024_HNSW32,Flat")
        Traceback (most recent call last):
        ...
        featx.errors.InvalidValue: A factory string is ... Received: factory='IVF1024_HNSW32,Flat'.
    """
    found = _GRAPH.fullmatch(text)
    if found:
        recipe = Recipe(found[2] or "Flat", links=int(found[1] or DEFAULT_LINKS))
        if 2 <= (recipe.links or 0) <= 256:
            return recipe
    found = _LISTS.fullmatch(text)
    if found:
        lists = int(found[2] or 1)
        recipe = Recipe(found[3], lists, found[1] or "", is_residual=found[3] != "Flat")
        parts, bits = recipe.product or (1, 8)
        if lists and parts and 1 <= bits <= MOST_BITS and not re.search(r"\D0+\b", text):
            return recipe
    raise InvalidValue(
        "A factory string is PCA…, OPQ… or RR…, then IVF…, then Flat, SQ4, SQ6, SQ8, SQfp16, "
        "SQbf16, PQ… or RaBitQ, such as 'OPQ64,IVF4096,PQ64'; or HNSW32, also with SQ8. "
        f"Received: {option('factory', text)}."
    )
