"""The map, the duplicates and the findings of a store, as the routes list them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.atomic import replace_file
from featx.curation.auditing import audit
from featx.curation.duplicate_groups import DuplicateGroup
from featx.curation.duplicates import find_duplicates
from featx.curation.findings import FINDINGS
from featx.curation.mapping import map_features
from featx.index.text_column import Names
from featx.serving.listings import Listing
from featx.serving.remarks import Remarks
from featx.specs import digest
from featx.store import FeatureStore, open_store
from featx.user_cache import UNREADABLE, user_cache_folder

FOLDER = "maps"
MOST_MAPS = 16
"""In the cache; the oldest are deleted."""


@dataclass(frozen=True, slots=True)
class MapPoints:
    """Where the images are.

    Attributes:
        rows: int32 (M,): rows of the images that have a place.
        positions: float32 (M, 2), in [0, 1].
        clusters: int32 (M,), -1 for none.
        names: Names of the clusters.
        layout: How images were placed.
        remarks: What was said while it was made.
    """

    rows: np.ndarray
    positions: np.ndarray
    clusters: np.ndarray
    names: tuple[str, ...]
    layout: str
    remarks: tuple[str, ...] = ()

    def to_bytes(self, labels: np.ndarray) -> bytes:
        """Return five columns of M little-endian values: x, y (float32), cluster, label, row."""
        columns = [
            *(self.positions[:, axis].astype("<f4") for axis in (0, 1)),
            self.clusters.astype("<i4"),
            labels[self.rows].astype("<i4"),
            self.rows.astype("<i4"),
        ]
        return b"".join(column.tobytes() for column in columns)

    def in_clusters(self, count: int, clusters: list[int]) -> np.ndarray:
        """Return which of `count` rows are in some clusters."""
        return self._spread(count, np.isin(self.clusters, clusters))

    def inside(self, count: int, polygon: np.ndarray) -> np.ndarray:
        """Return which of `count` rows are inside a polygon, float (P, 2): even-odd rule."""
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        near = ((self.positions >= low) & (self.positions <= high)).all(axis=1)
        x, y = self.positions[near].T
        found = np.zeros(len(x), bool)
        for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if y1 == y2:
                continue
            crosses = (y1 > y) != (y2 > y)
            found ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
        near[near] = found
        return self._spread(count, near)

    def write(self, path: Path) -> None:
        """Write it to a file."""
        known = {"names": self.names, "layout": self.layout, "remarks": self.remarks}
        about = json.dumps(known).encode()
        with path.open("wb") as file:
            np.savez(
                file,
                rows=self.rows,
                positions=self.positions,
                clusters=self.clusters,
                about=np.frombuffer(about, np.uint8),
            )

    @classmethod
    def read(cls, path: Path, count: int) -> MapPoints:
        """Read what `write` has written.

        Args:
            path: The file.
            count: Rows of the store.

        Raises:
            ValueError: If it is that of another store.
        """
        with np.load(path, allow_pickle=False) as found:
            about = json.loads(bytes(found["about"]).decode())
            points = cls(
                found["rows"],
                found["positions"],
                found["clusters"],
                tuple(map(str, about["names"])),
                str(about["layout"]),
                tuple(map(str, about.get("remarks", ()))),
            )
        fits = points.rows.ndim == 1 and points.positions.shape == (len(points.rows), 2)
        if not fits or len(points.clusters) != len(points.rows) or points.rows.max() >= count:
            raise ValueError("it is another map")
        return points

    def _spread(self, count: int, chosen: np.ndarray) -> np.ndarray:
        out = np.zeros(count, bool)
        out[self.rows[chosen]] = True
        return out


def make_map(store: Path, listener: Remarks) -> MapPoints:
    """Return the map of a store, from the user's cache if it was made before."""
    listener.store = store
    with open_store(store) as opened:
        keys, cached = opened.keys, _map_path(opened)
    if cached is not None:
        with contextlib.suppress(*UNREADABLE):
            return MapPoints.read(cached, len(keys))
    report = map_features(store, listener=listener)
    rows = {key: row for row, key in enumerate(keys)}
    points = MapPoints(
        np.array([rows[key] for key in report.keys], np.int32),
        report.positions,
        report.cluster.astype(np.int32),
        tuple(cluster.name for cluster in report.clusters),
        report.layout,
        tuple(listener.remarks),
    )
    if cached is not None:
        with contextlib.suppress(OSError):
            _keep_map(cached, points)
    return points


def _map_path(store: FeatureStore) -> Path | None:
    labels = Names.of(store.labels, store.classes)
    known = [store.contents, list(labels.names), digest(labels.codes.tolist())]
    try:
        return user_cache_folder() / FOLDER / f"{digest(known)}.npz"
    except OSError:
        return None


def _keep_map(path: Path, points: MapPoints) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as temporary:
        points.write(temporary)
    known = sorted(path.parent.glob("*.npz"), key=lambda one: one.stat().st_mtime)
    for old in known[:-MOST_MAPS]:
        old.unlink(missing_ok=True)


def make_duplicates(store: Path, listener: Remarks) -> Listing:
    """Return the groups of copies of a store."""
    listener.store = store
    report = find_duplicates(store, listener=listener)
    known = {"layer": report.layer, "threshold": report.threshold, "recall": report.recall}
    about = known | {"num_images": report.num_images, "remarks": listener.remarks}
    return Listing.of(about, map(_describe_group, report.groups), {})


def _describe_group(group: DuplicateGroup) -> dict[str, Any]:
    pictures = [
        {
            "key": one.key,
            "similarity": round(one.similarity, 6),
            "file_size": one.file_size,
            "width": one.width,
            "height": one.height,
            "label": one.label,
            "split": one.split,
            "can_go": one.can_go,
        }
        for one in group.pictures
    ]
    return group.to_dict() | {"pictures": pictures}


def make_audit(store: Path, listener: Remarks) -> Listing:
    """Return what is doubtful in a store, without paths: by kind, the highest scores first."""
    listener.store = store
    report = audit(store, listener=listener)
    findings = (
        {name: value for name, value in one.to_dict().items() if name != "path"} for one in report
    )
    counts, others = dict(report.counts), dict.fromkeys(FINDINGS.names, 0)
    skipped = dict(report.skipped)
    about = {"counts": counts, "skipped": skipped, "remarks": listener.remarks}
    return Listing.of(about, findings, counts | {**others, **counts})


MAKERS: dict[str, Callable[[Path, Remarks], MapPoints | Listing]] = {
    "map": make_map,
    "duplicates": make_duplicates,
    "audit": make_audit,
}


def describe_kinds() -> dict[str, dict[str, str]]:
    """Return what the kinds of findings are called, and what a person may do about them."""
    return {
        name: {"title": kind.title, "advice": kind.advice}
        for name, kind in ((name, FINDINGS[name]) for name in FINDINGS.names)
    }
