"""`search`: matches of pictures, from an index that is built or brought up to date first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from featx.arguments import plain_arguments
from featx.checks.layers import check_layer
from featx.checks.libraries import require_library
from featx.checks.texts import check_path, check_texts
from featx.errors import InvalidValue
from featx.events import Listener
from featx.features.query_images import QueryImages, require_images
from featx.images.roots import MEMORY, Root
from featx.images.sources import ImageFailure, Images
from featx.index.answering import REGION_CANDIDATES, Answerer
from featx.index.filtering import select_images
from featx.index.matches import Match
from featx.index.options import (
    SEARCH_GROUPS,
    MatchOptions,
    QuestionOptions,
    SearchKeywords,
)
from featx.index.piped import Queries, read_piped
from featx.index.questions import QuestionMaker
from featx.index.ready import IndexRequest, ready_index
from featx.models.in_memory import InMemory, check_model
from featx.models.reference import locate_again
from featx.options import RunOptions, fill_group
from featx.shown import Shown
from featx.specs import DEFAULT_K
from featx.trust import GivenTrust
from featx.units import format_count
from featx.wording import option

if TYPE_CHECKING:
    import pandas
    from PIL.Image import Image as PillowImage

    from featx.index.locating import RegionFinder
    from featx.index.vector_index import VectorIndex


@dataclass(frozen=True, slots=True, repr=False)
class QueryResult(Shown):
    """A query and its matches, best first.

    Attributes:
        query: The picture's path, or the key of an image in the store.
        path: The picture.
        matches: The matches.
        terms: What was added to the query or subtracted, with ``+`` or ``-`` before it.
    """

    query: str
    path: str
    matches: tuple[Match, ...]
    terms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class SearchReport(Shown):
    """Results in natural order of the queries, and the queries that could not be used.

    Attributes:
        results: One for each query that could be used.
        failures: The others, with the reason.
        index_size: N, images in the index.
        layer: The layer that is compared.
        root: What the keys of the matches are relative to.
        has_boxes: Whether the regions of the matches were asked for.
    """

    results: tuple[QueryResult, ...]
    failures: tuple[ImageFailure, ...]
    index_size: int
    layer: str
    root: Root = MEMORY
    has_boxes: bool = False

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame of pandas with a row for each match.

        Its columns are query, rank, key, score, label and path; and box, if it was asked for.

        Raises:
            LibraryMissing: If pandas is not installed.
        """
        library = require_library("pandas", "to_pandas")
        names = ["rank", "key", "score", "label", "path", *(["box"] if self.has_boxes else [])]
        rows = [
            (result.query, *(getattr(match, name) for name in names))
            for result in self.results
            for match in result.matches
        ]
        return library.DataFrame(rows, columns=["query", *names])

    def plot(self) -> PillowImage:
        """Draw queries and matches with labels and scores, as ``featx search --sheet`` does.

        Returns:
            A Pillow image, which a notebook shows; ``plot().save("matches.png")`` keeps it.
        """
        from featx.report.contact_sheet import draw_contact_sheet

        return draw_contact_sheet(self)


@plain_arguments(RunOptions, *SEARCH_GROUPS, keys=check_texts, model=check_model)
def search(
    queries: Images = (),
    *,
    keys: Sequence[str] = (),
    features: str | Path | None = None,
    index: str | Path | None = None,
    layer: str | int | None = None,
    k: int = DEFAULT_K,
    threshold: float | None = None,
    model: Any = None,
    weights: str | Path | None = None,
    trust_model_code: GivenTrust = False,
    allow_download: bool = False,
    run: RunOptions | None = None,
    question: QuestionOptions | None = None,
    match: MatchOptions | None = None,
    listener: Listener | None = None,
    **options: Unpack[SearchKeywords],
) -> SearchReport:
    """Find the stored images that look most like some pictures.

    Args:
        queries: Pictures: paths, URLs or objects, as for `featx.extract`. Their features are
            computed exactly as those of the store were. ``"-"`` reads a picture, or a list of paths
            and keys, from the standard input.
        keys: Keys of images of the store as queries: no network is run, and each image is left
            out of its own matches.
        features: The feature store; ``features.h5`` when neither it nor `index` is given.
        index: The index; the store's name ending in ``.faiss`` when None. Built when it is
            missing and brought up to date when the store has changed.
        layer: The layer to compare; that of the index when None, or the deepest in the store
            when it is built.
        k: The most matches for each query.
        threshold: Leave out matches with a lower cosine similarity, in [-1, 1].
        model: The model that made the features, if it is in memory, or in a file that has moved;
            its name may be given, too.
        weights: Where the model's weights (or its file or folder) are now, if they have moved.
        trust_model_code: See `featx.load_model`.
        allow_download: Download the model that the index names, if it is not here. Unasked, nothing
            is fetched because of what a file says.
        run: How queries are read and the network is run; in ``float32`` unless it says otherwise.
        question: What is added to every query or subtracted from it, and which part of the
            pictures is meant.
        match: Which of the images are searched, and which of the matches are shown.
        listener: Receives notes, progress and failures; when None, who looks on sees them.
        options: Fields of these groups as keywords, such as ``workers=4`` or ``label="rose"``.

    Returns:
        The matches of each query.

    Raises:
        IndexFileError: If the index is damaged, or missing with no store to build it from.
        NotInstalled: If the index is of a kind, or has a pooling, that is not installed here.
        FingerprintMismatch: If index and store do not belong together.
        ImagesNotFound: If a query does not exist.
        AllImagesFailed: If none of the queries could be used; names the first reason.

    Example:
        >>> search("query.jpg", features="no-such.h5")
        Traceback (most recent call last):
        ...
        featx.errors.StoreNotFound: There is no feature store 'no-such.h5'. ...
    """
    run = fill_group(RunOptions, run, options)
    question = fill_group(QuestionOptions, question, options)
    match = fill_group(MatchOptions, match, options)
    listener = run.choose_listener(listener)
    reference = check_model("model", model)
    asked_for = Queries(queries, tuple(keys))
    _check(asked_for.has_images or bool(keys), k)
    opened = ready_index(
        IndexRequest(
            None if features is None else Path(features),
            None if index is None else Path(index),
            check_layer("layer", layer),
        ),
        listener,
    )
    allowed = select_images(opened, match)
    finder = _make_finder(opened, allow_download=allow_download) if match.where else None
    compares_regions = match.where and question.crop is not None
    answerer = Answerer(opened, k, threshold, match, allowed, finder, compares_regions)
    _note_limits(answerer, listener)
    own = None
    if isinstance(reference, str):
        own = locate_again(reference, opened.description.model)
    asked_for = read_piped(asked_for, opened)
    query = QueryImages(
        asked_for.images,
        run=run,
        weights=check_path("weights", weights if own is None else own),
        model=reference if isinstance(reference, InMemory) else None,
        trust_model_code=trust_model_code,
        allow_download=allow_download,
    )
    maker = QuestionMaker(opened, query, question, listener)
    pictures = maker.ask_pictures() if asked_for.has_images else []
    asked = [*maker.ask_keys(asked_for.keys), *pictures]
    results = tuple(
        QueryResult(one.query, one.path, matches, one.terms)
        for one, matches in zip(asked, answerer.answer(asked), strict=True)
    )
    if finder is not None and finder.missing:
        listener.note(
            f"{format_count(finder.missing, 'match', 'matches')} without a box: the pictures are "
            "not here, or have changed"
        )
    name = opened.description.feature.name
    report = SearchReport(results, maker.failures, len(opened), name, opened.root, match.where)
    require_images(report, maker.failures, len(results))
    return report


def _check(is_asked: bool, k: int) -> None:
    """Refuse a search that cannot have matches."""
    if not is_asked:
        raise InvalidValue(
            f"Nothing to search for: name a picture, or an image with {option('keys')}."
        )
    if k < 1:
        raise InvalidValue(f"At least one match is asked for. Received: k={k}.")


def _make_finder(index: VectorIndex, *, allow_download: bool) -> RegionFinder:
    from featx.index.locating import RegionFinder

    return RegionFinder(index, allow_download=allow_download)


def _note_limits(answerer: Answerer, listener: Listener) -> None:
    """Say what a user may not expect of the matches."""
    index = answerer.index
    total = format_count(len(index), "image")
    if answerer.allowed is not None:
        listener.note(f"the filters leave {answerer.num_allowed:,} of {total}")
    elif answerer.k > len(index):
        listener.note(f"the index holds {total}: all of them are ranked")
    if answerer.compares_regions and answerer.num_allowed > REGION_CANDIDATES:
        listener.note(
            f"regions are compared of the {REGION_CANDIDATES} images that are nearest as wholes"
        )
    if index.candidates and not index.ranks_exactly():
        listener.note(
            f"the store {index.description.store.path!r} is not here, or has changed: matches are "
            "in the order of compressed vectors"
        )
