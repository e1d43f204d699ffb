"""`select`: pictures of a store that are worth labelling or keeping."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from featx.arguments import check_given_store, check_head, plain_arguments
from featx.checks.numbers import check_whole_numbers
from featx.curation.balance import share_equally, sizes_of_smallest
from featx.curation.collection import Collection, read_collection
from featx.curation.manifest import write_manifest
from featx.curation.strategy import STRATEGIES, Candidates, Chosen
from featx.errors import InvalidValue
from featx.events import Listener, choose_listener
from featx.heads.head import Head, load_head
from featx.heads.options import FeatureChoice
from featx.heads.vector_batches import check_feature
from featx.images.roots import Root
from featx.images.sources import natural_key
from featx.shown import Shown
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE
from featx.store import FeatureStore, open_store
from featx.store.choice import require_rows
from featx.units import format_count
from featx.wording import option

_COUNT = check_whole_numbers(1)


@dataclass(frozen=True, slots=True, repr=False)
class SelectedPicture(Shown):
    """A picture that was chosen.

    Attributes:
        key: Its key.
        path: Where it is: a path or a URL.
        label: Its label; None if it has none.
        split: Its split; None if it has none.
        score: What speaks for it, as the strategy says; None where nothing was measured.
    """

    key: str
    path: str
    label: str | None = None
    split: str | None = None
    score: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, repr=False)
class SelectReport(Shown):
    """Pictures that were chosen from a store.

    Attributes:
        pictures: The best first; of balanced ones, those of one class after another's.
        strategy: The strategy, by name.
        num_images: Images to choose from.
        layer: The layer.
        root: What keys are relative to.
    """

    pictures: tuple[SelectedPicture, ...]
    strategy: str
    num_images: int
    layer: str
    root: Root

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[SelectedPicture]:
        return iter(self.pictures)

    @property
    def keys(self) -> tuple[str, ...]:
        """Their keys."""
        return tuple(one.key for one in self.pictures)

    def write(self, path: str | Path) -> None:
        """Write a manifest, which `extract` takes as images and `fit_head` as labels.

        The columns are ``path``, ``label``, ``split`` if the store has splits, and ``score``. Paths
        are relative to the manifest where the pictures are below its folder, otherwise absolute;
        of pictures in an archive, at a URL or in memory they are keys.

        Args:
            path: The CSV file; one that exists is replaced.

        Raises:
            InvalidValue: If it cannot be written.
        """
        write_manifest(self.pictures, self.root, Path(path))


@plain_arguments(
    features=check_given_store,
    diverse=_COUNT,
    typical=_COUNT,
    uncertain=_COUNT,
    count=_COUNT,
    head=check_head,
)
def select(
    features: str | Path = DEFAULT_STORE,
    *,
    diverse: int | None = None,
    typical: int | None = None,
    uncertain: int | None = None,
    strategy: str | None = None,
    count: int | None = None,
    balance: bool = False,
    head: str | Path | Head | None = None,
    layer: str | int | None = None,
    pool: str = DEFAULT_READ_POOLING,
    seed: int = 0,
    progress: bool | None = None,
    verbose: bool | None = None,
    listener: Listener | None = None,
) -> SelectReport:
    """Choose pictures that are worth labelling or keeping.

    Reads the features alone; no network runs. One strategy is named, with the number of pictures:
    ``diverse=100`` is ``strategy="diverse", count=100``.

    Args:
        features: The store.
        diverse: So many pictures that are least like each other, and cover all others.
        typical: So many that stand for many others: one of each cluster.
        uncertain: So many of which `head` is least sure; those that it was fitted on are left out.
        strategy: Any strategy, by name; ``random`` is one more.
        count: How many pictures `strategy` chooses.
        balance: Choose equally many of each class. Alone, as many of each as the smallest class
            has, by chance.
        head: A head on features of the store, or its folder.
        layer: The layer; that of the head if there is one, else the deepest one.
        pool: Applied to layers that were stored as maps.
        seed: For whatever is random.
        progress: Whether to show progress; in notebooks and on terminals when None.
        verbose: The same for notes.
        listener: Receives progress and notes, in place of these two.

    Raises:
        StoreNotFound: If there is no such store.
        UnknownName: If there is no such strategy or layer.
        InvalidValue: If there are fewer pictures than asked for, or no labels to balance.
        FingerprintMismatch: If the head takes other features.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> photos = write_images(8, classes=("dark", "light"))
        >>> _ = featx.extract(photos, model=toy_model(), layers=["mean"], output="selected.h5")
        >>> report = select("selected.h5", diverse=2, balance=True)
        >>> sorted(picture.label for picture in report)
        ['dark', 'light']
    """
    named = {"diverse": diverse, "typical": typical, "uncertain": uncertain}
    name, wanted = _name_strategy(named, strategy, count, balance=balance)
    listener = choose_listener(listener, progress=progress, verbose=verbose)
    feature, loaded = FeatureChoice(layer, pool), None
    if head is not None:
        loaded = load_head(head) if isinstance(head, (str, Path)) else head
        feature = _choose_feature_of(loaded, name, layer)
    with open_store(Path(features)) as store:
        _check_store(store, loaded)
        collection = read_collection([store], feature, listener)
    if loaded is not None:
        collection = _leave_out_fitted(collection, loaded, listener)
    candidates = Candidates(collection.values, loaded, seed, listener)
    groups = _divide(collection, wanted, listener) if balance else None
    _check_count(wanted, len(collection), name)
    reason = STRATEGIES[name].unsuited(candidates)
    if reason is not None:
        raise InvalidValue(f"The strategy {name!r} cannot choose: {reason}.")
    if groups is None:
        assert wanted is not None
        chosen = STRATEGIES[name].choose(candidates, wanted)
    else:
        chosen = _choose_of_each(name, candidates, groups)
    return _report(collection, chosen, name)


def _name_strategy(
    named: dict[str, int | None], strategy: str | None, count: int | None, *, balance: bool
) -> tuple[str, int | None]:
    """Return the strategy that was asked for, and how many pictures it chooses."""
    given = [(name, number) for name, number in named.items() if number is not None]
    if strategy is not None:
        STRATEGIES.check(strategy)
        given.append((strategy, count or 0))
    if (strategy is None) != (count is None):
        raise InvalidValue(f"{option('strategy')} and {option('count')} are given together.")
    if len(given) > 1:
        names = " and ".join(name for name, _ in given)
        raise InvalidValue(f"Name one strategy at a time. Received: {names}.")
    if not given and not balance:
        example = option("diverse", 100)
        raise InvalidValue(
            f"Say which pictures, and how many: for example {example}, or {option('balance')} for "
            "as many of each class."
        )
    return given[0] if given else ("random", None)


def _choose_feature_of(head: Head, name: str, layer: str | int | None) -> FeatureChoice:
    """Return the feature that a head takes, which is the one to choose by."""
    if not STRATEGIES[name].uses_head:
        raise InvalidValue(f"The strategy {name!r} uses no head. Take {option('head')} away.")
    if layer not in (None, head.feature.name):
        raise InvalidValue(
            f"The head takes the layer {head.feature.name!r}. Received: {option('layer', layer)}."
        )
    return FeatureChoice(head.feature.name, head.feature.pool)


def _check_store(store: FeatureStore, head: Head | None) -> None:
    require_rows(store)
    if head is not None:
        check_feature(store, head)


def _check_count(wanted: int | None, total: int, name: str) -> None:
    if wanted is not None and wanted > total:
        raise InvalidValue(
            f"There are fewer images than are to be chosen: {total:,}. Received: {name}, {wanted}."
        )


def _leave_out_fitted(collection: Collection, head: Head, listener: Listener) -> Collection:
    """Leave out what the head was fitted on: it knows their labels."""
    known = {row.tobytes() for row in head.fitted_on}
    is_new = np.array([row.tobytes() not in known for row in collection.content_hash], bool)
    if is_new.all():
        return collection
    left_out = format_count(int((~is_new).sum()), "image")
    listener.note(f"{left_out} that the head was fitted on left out")
    if not is_new.any():
        raise InvalidValue(
            "The head was fitted on all images of the store. Choose from a store of new pictures."
        )
    return collection.take(np.flatnonzero(is_new))


def _divide(
    collection: Collection, wanted: int | None, listener: Listener
) -> list[tuple[np.ndarray, int]]:
    """Return the rows of each class, and how many of them are chosen."""
    classes = {label for label in collection.labels if label is not None}
    if not classes:
        raise InvalidValue(
            f"{option('balance')} chooses equally many of each class: the images have no labels."
        )
    names = sorted(classes, key=natural_key)
    place = {name: number for number, name in enumerate(names)}
    numbers = np.array([-1 if one is None else place[one] for one in collection.labels])
    unlabelled = int((numbers < 0).sum())
    if unlabelled:
        listener.note(f"{format_count(unlabelled, 'image')} without a label left out")
    sizes = np.bincount(numbers[numbers >= 0], minlength=len(names))
    if wanted is None:
        shares = sizes_of_smallest(sizes)
    else:
        _check_count(wanted, int(sizes.sum()), "labelled images")
        shares = share_equally(wanted, sizes)
        small = np.flatnonzero(shares < shares.max() - 1)
        if len(small):
            listener.note(
                f"{format_count(len(small), 'class is', 'classes are')} too small for an equal "
                f"share, the first {names[small[0]]!r} with {shares[small[0]]}: the others have "
                f"{shares.max()}"
            )
    rows = [np.flatnonzero(numbers == number) for number in range(len(names))]
    return [(own, int(share)) for own, share in zip(rows, shares, strict=True) if share]


def _choose_of_each(
    name: str, candidates: Candidates, groups: list[tuple[np.ndarray, int]]
) -> Chosen:
    parts = []
    for rows, share in groups:
        own = replace(candidates, values=candidates.values[rows])
        chosen = STRATEGIES[name].choose(own, share)
        parts.append(Chosen(rows[chosen.rows], chosen.scores))
    return Chosen(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


def _report(collection: Collection, chosen: Chosen, name: str) -> SelectReport:
    pictures = tuple(
        SelectedPicture(
            collection.keys[row],
            collection.location(row),
            collection.labels[row],
            collection.splits[row],
            None if np.isnan(score) else round(score, 6),
        )
        for row, score in zip(chosen.rows.tolist(), chosen.scores.tolist(), strict=True)
    )
    return SelectReport(pictures, name, len(collection), collection.layer, collection.roots[0])
