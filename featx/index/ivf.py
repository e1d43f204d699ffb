"""The kinds ``ivf`` and ``ivf-rabitq``: vectors in lists, of which a search reads the nearest.

Each vector belongs to the list with the nearest centre, as a code: its values in 8 bits each, or
one bit for each (RaBitQ, Gao and Long, 2024). The lists stay in the file, mapped, and are compared
with their checksums when they are first read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from featx.index.codes import SHARED_ARRAYS, Coder, read_coder
from featx.index.container import Arrays, Section
from featx.index.ivf_update import Change, Kept
from featx.index.kinds import Effort, IndexPart, Parameters, Space, Update, Vectors
from featx.index.list_merge import merge_codes
from featx.index.list_search import search_by_list, suits_lists
from featx.index.lists import CodeFile, ListContent, MappedLists, list_sections
from featx.index.nearest import FAISS_API, select_rows, start_faiss, to_scores
from featx.index.recipes import Recipe
from featx.index.training import train_coder

TRAINING_PER_LIST = 64
"""Vectors for each centre; FAISS asks for at least 39."""

MOST_LISTS = 65_536

PROBES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Lists that are read for a query: the steps in which recall is tuned."""

ROWS_PER_MATCH = 4
"""Vectors that the lists of a query hold on average, for each match that is asked for."""


def choose_lists(count: int) -> int:
    """Return how many lists N vectors are divided into: about the square root, a power of 2.

    Example:
        >>> choose_lists(1_000_000), choose_lists(1)
        (1024, 1)
    """
    return int(min(MOST_LISTS, 2 ** max(0, round(math.log2(count) / 2))))


class IvfSearch:
    """Inverted lists in a mapped file."""

    def __init__(self, coder: Coder, lists: MappedLists, space: Space, probes: int = 1) -> None:
        self._coder, self._lists, self._space = coder, lists, space
        self._probes = probes

    @property
    def summary(self) -> str:
        """How it searches."""
        return f"{self._probes} of {len(self._coder):,} lists searched"

    @property
    def parameters(self) -> Parameters:
        """How many lists there are, and how many are read."""
        return {"lists": len(self._coder), "nprobe": self._probes}

    def efforts(self) -> Sequence[Effort]:
        """Return numbers of lists to read, up to all."""
        total = len(self._coder)
        steps = [*(probes for probes in PROBES if probes < total), total]
        return [Effort({"nprobe": probes}, probes / total) for probes in steps]

    def with_parameters(self, parameters: Parameters) -> IvfSearch:
        """Return the same lists, of which another number is read."""
        probes = parameters.get("nprobe", self._probes)
        if not isinstance(probes, int) or not 1 <= probes <= len(self._coder):
            raise ValueError(f"it cannot read {probes} of {len(self._coder)} lists")
        return IvfSearch(self._coder, self._lists, self._space, probes)

    def search(
        self, queries: np.ndarray, count: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the best vectors; see `featx.index.kinds.VectorSearch.search`."""
        start_faiss()
        rotated = self._coder.rotate(queries)
        probes = self._probes_for(count, allowed)
        distances, lists = self._coder.quantizer.search(rotated, probes)
        if suits_lists(self._coder, len(rotated), probes):
            asked = rotated, lists
            scores, rows = search_by_list(self._coder, self._lists, asked, count, allowed)
        else:
            scores, rows = self._search_by_query((rotated, distances, lists), count, allowed)
        if (rows >= self._space.count).any() or (rows < -1).any():
            raise ValueError("it names rows that there are not")
        return to_scores(scores, self._space), rows

    def _search_by_query(
        self,
        asked: tuple[np.ndarray, np.ndarray, np.ndarray],
        count: int,
        allowed: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Let FAISS search for rotated queries, with their lists and the distances to these."""
        rotated, distances, lists = asked
        self._lists.check(np.unique(lists[lists >= 0]))
        scores = np.empty((len(rotated), count), np.float32)
        rows = np.empty((len(rotated), count), np.int64)
        parameters = FAISS_API.SearchParametersIVF(sel=select_rows(allowed), nprobe=lists.shape[1])
        places = [FAISS_API.swig_ptr(array) for array in (lists, distances, scores, rows)]
        self._coder.index.search_preassigned_c(  # The form for Python takes no parameters.
            len(rotated), FAISS_API.swig_ptr(rotated), count, *places, False, parameters
        )
        return scores, rows

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Return chosen vectors as they were compressed: looks through all lists for them."""
        out = np.zeros((len(rows), self._space.width), np.float32)
        for number in range(len(self._coder) if len(rows) else 0):
            codes, members = self._lists.take(number)
            here = np.flatnonzero(np.isin(rows, members))
            if len(here):
                order = np.argsort(members)
                places = order[np.searchsorted(members, rows[here], sorter=order)]
                out[here] = self._coder.decode(codes[places], number)
        return out

    def _probes_for(self, count: int, allowed: np.ndarray | None) -> int:
        """Return how many lists to read so that they hold enough vectors."""
        possible = self._space.count if allowed is None else max(1, int(allowed.sum()))
        needed = ROWS_PER_MATCH * count / possible * len(self._coder)
        return int(min(len(self._coder), max(self._probes, np.ceil(needed))))


class Ivf:
    """A kind with inverted lists.

    Args:
        recipe: How vectors of a space are compressed.
    """

    is_exact = False
    shared_arrays = SHARED_ARRAYS

    def __init__(self, recipe: Callable[[Space], Recipe]) -> None:
        self._recipe = recipe

    def training_rows(self, space: Space) -> int:
        """Return how many vectors the centres are found with."""
        return TRAINING_PER_LIST * self._recipe(space).lists

    def train(self, training: np.ndarray, space: Space) -> Coder:
        """Return centres and codes for vectors like some vectors."""
        return train_coder(training, self._recipe(space), space)

    def build(self, vectors: Vectors, space: Space) -> Sequence[Section]:
        """Return the arrays of an index; the vectors are read once."""
        return _fill(self.train(vectors.training, space), vectors)

    def check_shared(self, space: Space) -> None:
        """All such indexes can be filled by several machines."""

    def train_arrays(self, training: np.ndarray, space: Space) -> Sequence[Section]:
        """Return centres and codes; see `featx.index.kinds.SharedKind`."""
        coder = self.train(training, space)
        return coder.sections(np.zeros(len(coder), np.int64))

    def fill(self, trained: Arrays, vectors: Vectors, space: Space) -> Sequence[Section]:
        """Return the arrays of an index by centres and codes that there are; reads vectors once."""
        return _fill(read_coder(trained, space, self._recipe(space)), vectors)

    def merge(
        self, trained: Arrays, parts: Iterable[IndexPart], vectors: Vectors, space: Space
    ) -> Sequence[Section]:
        """Return the arrays of an index of the vectors of several others, whose codes it copies."""
        coder = read_coder(trained, space, self._recipe(space))
        codes = merge_codes(coder, parts, vectors)
        return _arrays_of(coder, codes, map(codes.take_sorted, range(len(coder))))

    def update(
        self, arrays: Arrays, vectors: Vectors, space: Space, old_rows: np.ndarray
    ) -> Update | None:
        """Return the arrays of an index of changed vectors: codes of old ones are copied."""
        coder = read_coder(arrays, space, self._recipe(space))
        old_count = int(arrays["sizes"].all().sum())
        lists = MappedLists(arrays, coder.code_size, len(coder), old_count)
        change = Change(vectors, space, Kept(lists, old_rows, old_count))
        trained = np.array(arrays["trained_sizes"].all(), np.int64)
        drifted = change.find_drifted(coder, trained)
        rows = change.find_rows(drifted)
        note = None
        if len(drifted):
            coder = change.train_again(coder, drifted, rows)
            note = f"{len(drifted)} of {len(trained)} lists had grown and were trained again"
        codes = coder.encode_rows(vectors, rows)
        sizes = change.kept.sizes(len(coder))
        sizes[drifted] = 0
        sizes += codes.sizes
        trained.resize(len(coder))  # 0 for lists that are new: the mean counts.
        trained[drifted] = 0
        joined = change.join(drifted, codes)
        sections = [*coder.sections(trained), *list_sections(sizes, coder.code_size, joined)]
        return Update(sections, note)

    def open(self, arrays: Arrays, space: Space) -> IvfSearch:
        """Return the index that some arrays are; see `featx.index.kinds.IndexKind.open`."""
        coder = read_coder(arrays, space, self._recipe(space))
        lists = MappedLists(arrays, coder.code_size, len(coder), space.count)
        coder.map(lists)
        return IvfSearch(coder, lists, space)


def _fill(coder: Coder, vectors: Vectors) -> list[Section]:
    """Return the arrays of an index of some vectors, which are read once."""
    codes = coder.encode_all(vectors)
    return _arrays_of(coder, codes, map(codes.take, range(len(coder))))


def _arrays_of(coder: Coder, codes: CodeFile, lists: Iterable[ListContent]) -> list[Section]:
    return [*coder.sections(codes.sizes), *list_sections(codes.sizes, coder.code_size, lists)]


ivf = Ivf(lambda space: Recipe("SQ8", choose_lists(space.count)))
ivf_rabitq = Ivf(lambda space: Recipe("RaBitQ", choose_lists(space.count), transforms="RR"))
