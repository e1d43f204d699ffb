"""Views of indexes and of what was found in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from featx.report.retrieval_tables import measure_texts
from featx.report.text import describe_box, short_path
from featx.report.views.view import (
    MOST_PICTURES,
    MOST_ROWS,
    Picture,
    Rows,
    View,
    list_facts,
    list_names,
)
from featx.units import format_bytes

if TYPE_CHECKING:
    from featx.index.description import IndexDescription
    from featx.index.matches import Match
    from featx.index.retrieval_report import RetrievalReport
    from featx.index.searching import QueryResult, SearchReport
    from featx.index.shared_training import IndexTraining
    from featx.index.vector_index import VectorIndex
    from featx.index.verification import IndexReport
    from featx.specs import FeatureSpec, ModelSpec

PICTURED_QUERIES = 3
"""Queries whose matches are shown as pictures; the others are in the table."""


def view_index(index: VectorIndex) -> View:
    """Return what is in an index, and how it searches."""
    from featx.index.summary import describe_metric, describe_recall

    description = index.description
    return View(
        "VectorIndex",
        short_path(index.path),
        list_facts(
            ("images", f"{len(index):,}"),
            ("search", f"{index.summary}, {describe_metric(description.options)}"),
            ("recall", describe_recall(index)),
            *_describe(description.feature, description.model),
        ),
    )


def view_description(description: IndexDescription) -> View:
    """Return what an index is of, without its keys."""
    return View(
        "IndexDescription",
        facts=list_facts(
            ("images", f"{len(description.keys):,} ({list_names(description.keys)})"),
            ("kind", description.kind),
            *_describe(description.feature, description.model),
        ),
    )


def view_training(training: IndexTraining) -> View:
    """Return what indexes are filled by."""
    return View(
        "IndexTraining",
        short_path(training.path),
        list_facts(
            ("kind", training.kind),
            ("lists", f"{training.lists:,}"),
            ("trained", f"on {training.trained_on:,} vectors, for {training.train_for:,} images"),
            *_describe(training.feature, training.model),
        ),
    )


def view_match(match: Match) -> View:
    """Return one match, with its picture."""
    return View(
        "Match",
        match.key,
        list_facts(
            ("rank", str(match.rank)),
            ("score", f"{match.score:.4f}"),
            ("label", match.label or ""),
            ("box", "" if match.box is None else describe_box(match.box)),
        ),
        pictures=(("", (_picture(match),)),),
    )


def view_result(result: QueryResult) -> View:
    """Return a query and its matches."""
    return View(
        "QueryResult",
        short_path(result.query),
        (("matches", f"{len(result.matches):,}"),),
        _list_matches([result], len(result.matches)),
        (("", _pictures(result, MOST_PICTURES - 1)),),
    )


def view_search(report: SearchReport) -> View:
    """Return queries and their matches, the first ones with pictures."""
    shown = report.results[:PICTURED_QUERIES]
    each = MOST_PICTURES // max(1, len(shown)) - 1
    return View(
        "SearchReport",
        "",
        list_facts(
            ("queries", f"{len(report.results):,}"),
            ("failed", f"{len(report.failures):,}" if report.failures else ""),
            ("images searched", f"{report.index_size:,}"),
            ("layer", report.layer),
        ),
        _list_matches(report.results, sum(len(result.matches) for result in report.results)),
        tuple((short_path(result.query), _pictures(result, each)) for result in shown),
    )


def view_retrieval(report: RetrievalReport) -> View:
    """Return how well each layer and pooling finds images of the same class."""
    best = report.best
    k = report.k
    cells = [
        (trial.layer, trial.pool, trial.projection or "as stored", *measure_texts(trial.total))
        for trial in report.trials[:MOST_ROWS]
    ]
    headers = ("layer", "pool", "compared", "nearest", f"P@{k}", f"R@{k}", f"NDCG@{k}", "mAP")
    return View(
        "RetrievalReport",
        "",
        list_facts(
            ("queries", f"{best.total.queries:,}"),
            ("images searched", f"{report.images:,}"),
            ("best", f"{best.layer}, pool {best.pool}" if len(report.trials) > 1 else ""),
            ("nearest", f"{best.total.nearest:.3f}"),
            (f"P@{k}", f"{best.total.precision:.3f}"),
        ),
        Rows(headers, cells, len(report.trials), (3, 4, 5, 6, 7)),
    )


def view_checking(report: IndexReport) -> View:
    """Return whether an index is intact."""
    return View(
        "IndexReport",
        short_path(report.index),
        list_facts(
            ("intact", "yes" if report.is_intact else "no"),
            ("images", f"{report.rows:,}"),
            ("size", format_bytes(report.num_bytes)),
            ("store", "" if report.store is None else short_path(report.store)),
        ),
        Rows(("problem",), [(text,) for text in report.problems[:MOST_ROWS]], len(report.problems)),
    )


def _describe(feature: FeatureSpec, model: ModelSpec) -> list[tuple[str, str]]:
    width = feature.shape[0]
    return [("layer", f"{feature.name} ({width:,})"), ("model", model.reference)]


def _list_matches(results: Any, total: int) -> Rows:
    cells = [
        (
            short_path(result.query) if match.rank == 1 else "",
            str(match.rank),
            f"{match.score:.4f}",
            match.label or "–",
            match.key,
        )
        for result in results[:MOST_ROWS]
        for match in result.matches[:MOST_ROWS]
    ][:MOST_ROWS]
    headers = ("query", "rank", "score", "label", "image")
    return Rows(headers, cells, total, (1, 2))


def _pictures(result: QueryResult, most: int) -> tuple[Picture, ...]:
    """Return the query and its first matches."""
    # A query is what the user named, or an image of the store by its key.
    key = "" if result.query == result.path else result.query
    query = Picture(result.path, short_path(result.query), "query", key=key)
    return (query, *(_picture(match) for match in result.matches[:most]))


def _picture(match: Match) -> Picture:
    title = match.label or match.key
    return Picture(match.path, match.key, title, f"{match.score:.3f}", key=match.key)


VIEWS: Mapping[str, Callable[[Any], View]] = {
    "IndexDescription": view_description,
    "IndexReport": view_checking,
    "IndexTraining": view_training,
    "Match": view_match,
    "QueryResult": view_result,
    "RetrievalReport": view_retrieval,
    "SearchReport": view_search,
    "VectorIndex": view_index,
}
