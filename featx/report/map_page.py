"""A page with a map that zooms over thumbnails: ``featx map -o map.html``."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.events import Listener
from featx.report.map_detail import order_by_detail, order_by_level
from featx.report.map_tables import describe_labels, describe_map, picture_file
from featx.report.page import Page, Section, element, write_page
from featx.report.page.gallery import Tile, make_gallery
from featx.report.page.markup import Content, Markup, embed_data, isolate
from featx.report.page.sprites import COLUMNS, PER_SHEET, TILE, Sprites
from featx.report.page.thumbnails import Thumbnails
from featx.units import format_count

if TYPE_CHECKING:
    from featx.curation.map_clusters import MapCluster
    from featx.curation.mapping import MapReport

MOST_LISTED = 60
"""Clusters that are listed with pictures; the largest ones."""

FIRST_LEVEL = 16 * PER_SHEET
"""Pictures that are stored by detail alone: more than are seen at once."""

NO_NUMBER = 0xFFFFFFFF
STEPS = 10
"""Classes of the score."""

HELP = (
    "Drag to move, turn the wheel or pinch to zoom, click a picture for what is known of it. "
    "With Lasso on, or the shift key held, draw around pictures to select them. "
    "Keys: arrows, + and -, 0 for the whole map, Enter for the picture in the middle, "
    "Escape to clear."
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Something by which points are coloured.

    Attributes:
        title: What it is called.
        names: Its values, the most common first or in their order.
        numbers: Which of them each point has, uint32 (N,); `NO_NUMBER` where none.
        none: What a point without one is called.
        ordered: Whether the values have an order.
    """

    title: str
    names: Sequence[str]
    numbers: np.ndarray
    none: str
    ordered: bool = False


def write_map_page(report: MapReport, path: Path, thumbnails: int, listener: Listener) -> None:
    """Write a map as one page that needs nothing else.

    Args:
        report: The map.
        path: The HTML file.
        thumbnails: The most pictures in it, about 2 kB each.
        listener: Receives progress and notes.
    """
    first = [row for cluster in report.clusters for row in cluster.representatives]
    order = order_by_detail(report.positions, first)
    pictured = order_by_level(report.positions[order[:thumbnails]], FIRST_LEVEL)
    sprites = Sprites([picture_file(report, row) for row in order[pictured]], listener)
    with Thumbnails() as small:
        clusters = list(_list_clusters(report, small))
    sections = (
        Section("Map", [_make_map(report), _embed_pictures(report, order, pictured, sprites)]),
        Section("Clusters", clusters),
    )
    introduction = [element("p", line) for line in describe_map(report)]
    small_print = (element("p", note) for note in _list_notes(report, sprites))
    write_page(Page("Map of pictures", introduction, sections, small_print, _read_script()), path)
    for note in _list_notes(report, sprites):
        listener.note(note.rstrip("."))


def _list_notes(report: MapReport, sprites: Sprites) -> Iterator[str]:
    """Yield which pictures are not shown, once all sheets were made."""
    if len(report) > len(sprites.sizes):
        yield (
            f"{len(sprites.sizes):,} of {format_count(len(report), 'image')} are shown as "
            "pictures, spread over the map; the others are dots."
        )
    missing = int((sprites.sizes[:, 0] == 0).sum())
    if missing:
        count = format_count(missing, "picture")
        yield f"{count} cannot be shown, the first because it is {sprites.reason}."


def _embed_pictures(
    report: MapReport, order: np.ndarray, pictured: np.ndarray, sprites: Sprites
) -> Iterator[Markup]:
    """Yield the sheets one at a time, then the data, which has the sizes of all pictures."""
    for number, sheet in enumerate(sprites.make_sheets()):
        yield embed_data(f"map-sheet-{number}", sheet)
    sizes, tiles = np.zeros_like(sprites.sizes), np.empty(len(pictured), "<u4")
    sizes[pictured], tiles[pictured] = sprites.sizes, np.arange(len(pictured))
    data = {
        "places": _encode(np.rint(report.positions[order] * 65535).astype("<u2")),
        "rows": order.tolist(),
        "keys": [report.keys[row] for row in order.tolist()],
        "kinds": [_describe_kind(kind, order) for kind in _list_kinds(report)],
        "clusters": list(_describe_clusters(report)),
        "sizes": _encode(sizes),
        "tiles": _encode(tiles),
        "tile": TILE,
        "columns": COLUMNS,
        "perSheet": PER_SHEET,
    }
    yield embed_data("map-data", data)


def _read_script() -> str:
    """Return the script of the map, and what the page of a server imports as well."""
    page = Path(__file__).with_name("page")
    own, shared = ((page / name).read_text(encoding="utf-8") for name in ("map.js", "lasso.js"))
    return own + shared.replace("export function", "function")


def _list_kinds(report: MapReport) -> Iterator[_Kind]:
    if any(label is not None for label in report.labels):
        yield _count_values("label", report.labels, "no label")
    numbers = np.where(report.cluster < 0, NO_NUMBER, report.cluster).astype("<u4")
    yield _Kind("cluster", [one.name for one in report.clusters], numbers, "no cluster")
    if any(split is not None for split in report.splits):
        yield _count_values("split", report.splits, "no split")
    if report.findings:
        scores = np.full(len(report), NO_NUMBER, "<u4")
        found = [report.findings.get(key) for key in report.keys]
        for row, one in enumerate(found):
            if one is not None:
                scores[row] = min(STEPS - 1, int(one.score * STEPS))
        names = [f"{step / STEPS:.1f} to {(step + 1) / STEPS:.1f}" for step in range(STEPS)]
        yield _Kind("score of the audit", names, scores, "nothing found", ordered=True)
        kinds = [None if one is None else one.kind for one in found]
        yield _count_values("finding", kinds, "nothing found")


def _count_values(title: str, values: Sequence[str | None], none: str) -> _Kind:
    common = Counter(value for value in values if value is not None).most_common()
    place: dict[str | None, int] = {value: number for number, (value, _) in enumerate(common)}
    numbers = np.array([place.get(value, NO_NUMBER) for value in values], "<u4")
    return _Kind(title, [value for value, _ in common], numbers, none)


def _describe_kind(kind: _Kind, order: np.ndarray) -> dict[str, Any]:
    return {
        "title": kind.title,
        "names": list(kind.names),
        "numbers": _encode(kind.numbers[order]),
        "none": kind.none,
        "ordered": kind.ordered,
    }


def _describe_clusters(report: MapReport) -> Iterator[dict[str, Any]]:
    """Yield name, middle and extent of each cluster."""
    for number, cluster in enumerate(report.clusters):
        places = report.positions[report.cluster == number]
        middle = np.median(places, axis=0)
        extent = 2 * float(np.quantile(np.abs(places - middle).max(axis=1), 0.9))
        x, y = (round(float(at), 5) for at in middle)
        yield {"name": cluster.name, "x": x, "y": y, "extent": max(extent, 0.02)}


def _encode(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _make_map(report: MapReport) -> Content:
    """Return the canvas and what is around it."""

    def button(name: str, text: str, **more: Any) -> Markup:
        return element("button", text, id=f"map-{name}", type="button", **more)

    about = f"Map of {format_count(len(report), 'image')}; the clusters are listed below it"
    return [
        element("noscript", element("p", "The map needs scripts; the clusters below do not.")),
        element(
            "div",
            element("label", "Colour by ", element("select", id="map-colour")),
            button("in", "Zoom in"),
            button("out", "Zoom out"),
            button("whole", "Whole map"),
            button("lasso", "Lasso", aria_pressed="false"),
            button("view", "Select what is in view"),
            element(
                "label",
                element("input", id="map-names", type="checkbox", checked=""),
                " Names of clusters",
            ),
            class_="map-bar",
        ),
        element(
            "canvas",
            id="map-canvas",
            tabindex=0,
            role="application",
            aria_label=about,
            aria_describedby="map-help",
        ),
        element("ul", id="map-legend", class_="legend", aria_label="Colours"),
        element(
            "div",
            element("canvas", id="map-picked-image", width=160, height=160, aria_hidden="true"),
            element("dl", id="map-picked-text"),
            id="map-picked",
            class_="picked",
            hidden="",
            aria_live="polite",
        ),
        element(
            "div",
            element("h3", "", id="map-count", aria_live="polite"),
            element("textarea", id="map-keys", readonly="", rows=6, aria_label="Selected keys"),
            button("copy", "Copy the keys"),
            " ",
            button("clear", "Clear"),
            element("span", id="map-copied", class_="note", role="status"),
            id="map-selection",
            hidden="",
        ),
        element("p", HELP, id="map-help", class_="note"),
    ]


def _list_clusters(report: MapReport, thumbnails: Thumbnails) -> Iterator[Content]:
    for number, cluster in enumerate(report.clusters[:MOST_LISTED]):
        labels = describe_labels(cluster)
        facts = format_count(cluster.size, "image") + (f": {labels}" if labels else "")
        yield element("h3", isolate(cluster.name))
        yield element("p", isolate(facts), class_="note")
        yield element(
            "p",
            element("button", "Show on the map", type="button", data_cluster=number),
        )
        tiles = list(_make_tiles(report, cluster))
        yield make_gallery(
            "Pictures that stand for it, then those least like it", tiles, thumbnails
        )
    rest = len(report.clusters) - MOST_LISTED
    if rest > 0:
        yield element("p", f"and {format_count(rest, 'smaller cluster')}", class_="note")


def _make_tiles(report: MapReport, cluster: MapCluster) -> Iterator[Tile]:
    rows = [(row, "typical") for row in cluster.representatives]
    rows += [(row, "least like it") for row in cluster.outliers]
    for row, detail in rows:
        file = picture_file(report, row)
        title = report.labels[row] or "no label"
        yield Tile(file.key, title, detail, content_hash=file.content_hash, root=file.root)
