"""`map_features`: where the images of a store are among each other, and what they form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featx.arguments import check_given_flag, check_given_store, plain_arguments
from featx.checks.numbers import check_whole_numbers
from featx.checks.texts import check_text
from featx.curation.auditing import audit as find_doubtful
from featx.curation.clustering import CLUSTERINGS, ClusterJob
from featx.curation.collection import Collection, read_collection
from featx.curation.findings import Finding
from featx.curation.layout import LAYOUTS, choose_layout
from featx.curation.map_clusters import MapCluster, describe_clusters
from featx.errors import InvalidValue
from featx.events import Listener, choose_listener
from featx.heads.near_duplicates import mean_of
from featx.heads.options import FeatureChoice
from featx.images.roots import Root
from featx.index.all_neighbours import Directions
from featx.shown import Shown
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE, DEFAULT_THUMBNAILS
from featx.store import open_store
from featx.store.choice import require_rows
from featx.units import format_count
from featx.wording import option


@dataclass(frozen=True, repr=False, eq=False)
class MapReport(Shown):
    """A map of N images.

    Attributes:
        positions: Where they are, in [0, 1], float32 (N, 2): from left to right, and from top to
            bottom.
        cluster: Number of the cluster of each, (N,); -1 for those of none.
        clusters: The clusters, the largest first.
        findings: Key → the finding of an audit with the highest score; empty without one.
        layout: How images were placed, by name.
        clustering: How they were clustered, by name.
        layer: The layer.
        root: What keys are relative to.
        keys: N keys.
        labels: N labels, None where there is none.
        splits: N names of splits, None where there is none.
        content_hash: uint8 (N, 16).
        values: Features, finite, float32 (N, D).
    """

    positions: np.ndarray
    cluster: np.ndarray
    clusters: tuple[MapCluster, ...]
    findings: dict[str, Finding]
    layout: str
    clustering: str
    layer: str
    root: Root
    keys: tuple[str, ...]
    labels: tuple[str | None, ...]
    splits: tuple[str | None, ...]
    content_hash: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def write(
        self,
        path: str | Path,
        *,
        thumbnails: int = DEFAULT_THUMBNAILS,
        listener: Listener | None = None,
    ) -> None:
        """Write the map, by the ending of the file.

        A ``.html`` page is explored in a browser; a ``.png`` is one picture; a ``.parquet`` is for
        Embedding Atlas, which opens it without computing anything.

        Args:
            path: The file. A page or map of featx is replaced, any other page or picture left
                alone.
            thumbnails: The most pictures that a page contains; the others are dots.
            listener: Receives progress and notes.

        Raises:
            InvalidValue: If the path cannot be that of a map.
        """
        from featx.report.map_files import write_map

        write_map(self, Path(path), thumbnails, listener or Listener())


@plain_arguments(
    features=check_given_store,
    method=check_text,
    clustering=check_text,
    clusters=check_whole_numbers(1),
    audit=check_given_flag,
)
def map_features(
    features: str | Path = DEFAULT_STORE,
    *,
    method: str | None = None,
    clustering: str = "kmeans",
    clusters: int | None = None,
    audit: bool = False,
    layer: str | int | None = None,
    pool: str = DEFAULT_READ_POOLING,
    seed: int = 0,
    progress: bool | None = None,
    verbose: bool | None = None,
    listener: Listener | None = None,
) -> MapReport:
    """Place the images of a store on a plane, similar ones near each other, and cluster them.

    Reads the features alone; no network runs.

    Args:
        features: The store.
        method: The layout: ``tsne``, ``umap`` or ``pca``. When None, t-SNE for up to 10,000
            images; for more UMAP where it is installed, else PCA. A note says which.
        clustering: ``kmeans`` on the features, or ``hdbscan`` on the map.
        clusters: Number of k-means clusters; when None, that of the classes, or a root of the
            number of images without labels.
        audit: Also look for what is doubtful, by which the map can then be coloured.
        layer: The layer; the deepest one when None.
        pool: Applied to layers that were stored as maps.
        seed: For whatever is random.
        progress: Whether to show progress; in notebooks and on terminals when None.
        verbose: The same for notes.
        listener: Receives progress and notes, in place of these two.

    Raises:
        StoreNotFound: If there is no such store.
        UnknownName: If there is no such layout, clustering or layer.
        InvalidValue: If a layout is not installed, or there are too few images for it.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> photos = write_images(8, classes=("dark", "light"))
        >>> _ = featx.extract(photos, model=toy_model(), layers=["mean"], output="mapped.h5")
        >>> report = map_features("mapped.h5", method="pca")
        >>> report.positions.shape, sorted(cluster.name for cluster in report.clusters)
        ((8, 2), ['dark', 'light'])
    """
    _check_names(method, clustering, clusters)
    listener = choose_listener(listener, progress=progress, verbose=verbose)
    with open_store(Path(features)) as store:
        require_rows(store)
        collection = read_collection([store], FeatureChoice(layer, pool), listener)
    if not len(collection):
        raise InvalidValue(f"No features in {str(features)!r} are finite: there is nothing to map.")
    name = _choose_method(method, len(collection), listener)
    directions = Directions(collection.values, mean_of(collection.values))
    listener.trying(f"{LAYOUTS[name].title} of {format_count(len(collection), 'image')}")
    positions = _fit_square(LAYOUTS[name].place(directions, seed))
    listener.trying(f"clusters: {CLUSTERINGS[clustering].title}")
    count = clusters or _count_classes(collection)
    found = CLUSTERINGS[clustering].assign(ClusterJob(directions, positions, count, seed))
    numbers = _number_by_size(found)
    findings: dict[str, Finding] = {}
    if audit:
        found_doubts = find_doubtful(
            features, layer=layer, pool=pool, seed=seed, listener=listener
        ).findings
        for one in sorted(found_doubts, key=lambda one: one.score):
            if one.key is not None:
                findings[one.key] = one
    return MapReport(
        positions,
        numbers,
        describe_clusters(numbers, directions, collection.labels),
        findings,
        name,
        clustering,
        collection.layer,
        collection.roots[0],
        collection.keys,
        collection.labels,
        collection.splits,
        collection.content_hash,
        collection.values,
    )


def _check_names(method: str | None, clustering: str, clusters: int | None) -> None:
    if method is not None:
        LAYOUTS.check(method)
    CLUSTERINGS.check(clustering)
    if clusters is not None and not CLUSTERINGS[clustering].takes_count:
        raise InvalidValue(
            f"{clustering} finds the number of clusters itself. Take {option('clusters')} away, or "
            f"choose {option('clustering', 'kmeans')}."
        )


def _choose_method(method: str | None, count: int, listener: Listener) -> str:
    """Return a layout that suits a number of images, and say which one nobody named."""
    if method is None:
        name, reasons = choose_layout(count)
        listener.note(f"layout: {LAYOUTS[name].title}" + (f" ({reasons})" if reasons else ""))
        return name
    reason = LAYOUTS[method].unsuited(count)
    if reason is not None:
        raise InvalidValue(f"{LAYOUTS[method].title} cannot be used: {reason}.")
    return method


def _count_classes(collection: Collection) -> int | None:
    classes = {label for label in collection.labels if label is not None}
    return len(classes) if 1 < len(classes) <= len(collection) else None


def _fit_square(positions: np.ndarray) -> np.ndarray:
    """Move and scale positions into a square of side 1, its middle theirs."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    extent = float((high - low).max())
    scaled = (positions - (low + high) / 2) / (extent or 1.0) + 0.5
    return np.asarray(np.clip(scaled, 0, 1), np.float32)


def _number_by_size(numbers: np.ndarray) -> np.ndarray:
    """Number clusters anew, the largest first, without gaps; -1 stays."""
    used, place = np.unique(numbers, return_inverse=True)
    sizes = np.bincount(place.reshape(-1))
    sizes[used < 0] = -1
    ranks = np.empty(len(used), np.int64)
    ranks[np.argsort(-sizes, kind="stable")] = np.arange(len(used))
    return np.where(numbers < 0, -1, ranks[place.reshape(-1)])
