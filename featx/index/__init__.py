"""Vector indexes: which stored pictures look most like this one."""

from __future__ import annotations

from featx.index.building import build_index, is_current
from featx.index.searching import QueryResult, SearchReport, search
from featx.index.vector_index import Match, VectorIndex, open_index

__all__ = [
    "Match",
    "QueryResult",
    "SearchReport",
    "VectorIndex",
    "build_index",
    "is_current",
    "open_index",
    "search",
]
