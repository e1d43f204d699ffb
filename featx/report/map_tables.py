"""A map on stdout: its clusters as a table, its images as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.curation.pictures import PictureFile
from featx.report.drawing import PIPED_WIDTH, make_table, print_result
from featx.report.json_lines import write_json
from featx.report.text import short_path
from featx.units import format_count

if TYPE_CHECKING:
    from featx.curation.map_clusters import MapCluster
    from featx.curation.mapping import MapReport

SHOWN_LABELS = 3


def show_map(report: MapReport, path: Path) -> None:
    """Draw the table of the clusters, and say what was written."""
    table = make_table("cluster", "images", "labels", "for example", right=(1,))
    for cluster in report.clusters:
        example = report.keys[cluster.representatives[0]]
        table.add_row(cluster.name, f"{cluster.size:,}", describe_labels(cluster), example)
    print_result(table, piped=PIPED_WIDTH)
    for line in describe_map(report):
        print_result(line)
    print_result(f"written: {short_path(str(path))}")


def describe_map(report: MapReport) -> Iterator[str]:
    """Yield what the map is of, in sentences."""
    from featx.curation.clustering import CLUSTERINGS
    from featx.curation.layout import LAYOUTS

    yield (
        f"{format_count(len(report), 'image')} in {format_count(len(report.clusters), 'cluster')}, "
        f"layer {report.layer}, placed by {LAYOUTS[report.layout].title}, clustered by "
        f"{CLUSTERINGS[report.clustering].title}"
    )
    alone = int((report.cluster < 0).sum())
    if alone:
        yield f"{format_count(alone, 'image is', 'images are')} in no cluster"


def describe_labels(cluster: MapCluster) -> str:
    """Return the most common labels of a cluster with their numbers."""
    shown = [f"{label} {count:,}" for label, count in cluster.labels[:SHOWN_LABELS]]
    more = len(cluster.labels) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def describe_image(report: MapReport, row: int) -> dict[str, Any]:
    """Return what a map says of an image, as JSON-serialisable values."""
    number = int(report.cluster[row])
    finding = report.findings.get(report.keys[row])
    x, y = report.positions[row].tolist()
    return {
        "key": report.keys[row],
        "x": round(x, 6),
        "y": round(y, 6),
        "label": report.labels[row],
        "split": report.splits[row],
        "cluster": None if number < 0 else report.clusters[number].name,
        "score": None if finding is None else finding.score,
        "finding": None if finding is None else finding.kind,
    }


def picture_file(report: MapReport, row: int) -> PictureFile:
    """Return how the picture of an image is read."""
    return PictureFile(report.root, report.keys[row], report.content_hash[row].tobytes())


def write_map_lines(report: MapReport) -> None:
    """Write the line of each image: ``{"key", "x", "y", "label", "split", "cluster", ...}``."""
    for row in range(len(report)):
        write_json(describe_image(report, row))
