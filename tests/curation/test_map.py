"""A map: what is near what, what clusters are called, and the files that it is written to."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image
from typer.testing import CliRunner

import featx
from featx.cli.app import app
from featx.curation.layout import LAYOUTS
from featx.errors import FeatxError
from featx.index.all_neighbours import Directions
from featx.report.map_detail import order_by_detail, order_by_level
from tests.browser import Browser, start_browser
from tests.curation.stores import make_classes, write_vectors

HOSTILE = "</script><script>document.title='run'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> object:
    yield from start_browser()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 vectors of three classes with pictures, and names that would break a page."""
    values, _ = make_classes([30, 20, 10], spread=0.3)
    labels = [f"{HOSTILE}\n'\""] * 30 + ["b & c"] * 20 + [None] * 10
    keys = [f"{number:03d}{HOSTILE[:9].replace('/', '')}.png" for number in range(60)]
    pictures = {}
    for number, key in enumerate(keys[:-1]):  # The last picture is missing.
        file = io.BytesIO()
        colour = (number * 4, 255 - number * 4, 128)
        Image.new("RGB", (60, 30 + number), colour).save(file, "PNG")
        pictures[key] = file.getvalue()
    path = tmp_path_factory.mktemp("map") / "f.h5"
    return write_vectors(path, values, keys, labels=labels, pictures=pictures)


@pytest.fixture(scope="module")
def report(store: Path) -> featx.MapReport:
    return featx.map_features(store, method="pca", clusters=3, audit=True)


def test_clusters_are_named_by_their_labels_or_the_nearest(report: featx.MapReport) -> None:
    sizes = [cluster.size for cluster in report.clusters]
    assert sizes == [30, 20, 10]
    assert report.clusters[0].name == f"{HOSTILE}\n'\""
    assert report.clusters[1].name == "b & c"
    assert report.clusters[2].name.startswith("like ")
    assert np.array_equal(report.cluster, np.repeat([0, 1, 2], sizes))
    for number, cluster in enumerate(report.clusters):
        assert set(report.cluster[list(cluster.representatives)]) == {number}
        assert not set(cluster.representatives) & set(cluster.outliers)


def test_clusters_of_unlabelled_images_are_numbered(tmp_path: Path) -> None:
    values, _ = make_classes([8, 6], spread=0.1)
    report = featx.map_features(write_vectors(tmp_path / "f.h5", values), method="pca", clusters=2)
    assert [one.name for one in report.clusters] == ["cluster 1", "cluster 2"]
    assert [one.size for one in report.clusters] == [8, 6]


def test_any_first_points_are_spread_over_the_map() -> None:
    random = np.random.default_rng(2)
    positions = np.concatenate([0.1 * random.random((900, 2)), random.random((100, 2))])
    order = order_by_detail(positions, [5])
    assert sorted(order.tolist()) == list(range(1000))
    assert 5 in order[:4]
    cells = {tuple(cell) for cell in (positions[order[:16]] * 4).astype(int).tolist()}
    assert len(cells) >= 13  # The first 900 are in one of the 16.


def test_pictures_that_are_seen_together_are_stored_together() -> None:
    positions = np.random.default_rng(4).random((20_000, 2))
    order = order_by_level(positions, 500)
    assert sorted(order.tolist()) == list(range(20_000))
    assert sorted(order[:500].tolist()) == list(range(500))
    stored = np.argsort(order)
    window = np.flatnonzero((np.abs(positions - 0.3) < 0.05).all(axis=1))  # 1 % of the map.
    assert len(window) > 150
    assert len(np.unique(stored[window] // 100)) < 20  # Of 200 sheets of 100 pictures.


def test_a_page_of_hostile_names_shows_them_and_runs_nothing(
    report: featx.MapReport, browser: Browser, tmp_path: Path
) -> None:
    report.write(tmp_path / "map.html")
    browser.open(tmp_path / "map.html")
    outside = [one for one in browser.requested() if not one.startswith("data:image/jpeg;")]
    assert outside == [(tmp_path / "map.html").as_uri()]
    thrown = [e for e in browser.events if e["method"] == "Runtime.exceptionThrown"]
    assert thrown == []
    assert browser.evaluate("document.title") == "Map of pictures"
    assert browser.evaluate("document.querySelectorAll('img[onerror]').length") == 0
    legend = browser.evaluate("document.getElementById('map-legend').textContent")
    assert HOSTILE in legend
    assert "b & c" in legend
    # Everything in view is selected, and the keys are those of the store.
    browser.evaluate("document.getElementById('map-view').click()")
    keys = browser.evaluate("document.getElementById('map-keys').value")
    assert keys.split("\n") == list(report.keys)
    # A key moves the map, and Enter says what is in the middle.
    browser.evaluate("document.getElementById('map-canvas').focus()")
    browser.press("Enter")
    text = browser.evaluate("document.getElementById('map-picked-text').textContent")
    assert any(key in text for key in report.keys)
    names = [name for _, name in browser.accessible()]
    assert any(name.startswith("Map of 60 images") for name in names)
    assert browser.evaluate("document.querySelectorAll('h3 bdi').length") == 3
    for width in (390, 800, 1440):
        browser.open(tmp_path / "map.html", width=width, dark=width == 800)
        wide = browser.evaluate("document.documentElement.scrollWidth")
        assert wide <= width


def test_a_lasso_selects_what_it_encloses(
    report: featx.MapReport, browser: Browser, tmp_path: Path
) -> None:
    report.write(tmp_path / "map.html", thumbnails=5)
    browser.open(tmp_path / "map.html")
    while browser.evaluate("width") == 1:
        pass  # The canvas gets its size behind the event of loading.
    browser.evaluate("""(() => {
        document.getElementById('map-lasso').click();
        const x = px(7), y = py(7);
        lasso = [[x - 3, y - 3], [x + 3, y - 3], [x + 3, y + 3], [x - 3, y + 3]];
        canvas.onpointerup({type: 'pointerup'});
    })()""")
    row = browser.evaluate("data.rows[7]")
    assert report.keys[row] in browser.evaluate("document.getElementById('map-keys').value")
    assert browser.evaluate("selected.size") < 30
    assert browser.evaluate("sizes.length") == 10
    text = browser.evaluate("document.querySelector('footer').textContent")
    assert "5 of 60 images are shown as pictures" in text


def test_a_picture_replaces_only_a_picture_of_featx(
    report: featx.MapReport, tmp_path: Path
) -> None:
    path = tmp_path / "map.png"
    report.write(path)
    report.write(path)
    with Image.open(path) as picture:
        assert picture.size == (1600, 1600)
        colours = picture.convert("RGB").getcolors(1 << 20)
    assert len(colours) > 100
    Image.new("RGB", (9, 9)).save(path)
    with pytest.raises(FeatxError, match="left alone"):
        report.write(path)
    with pytest.raises(FeatxError, match=r"a page \(.html\)"):
        report.write(tmp_path / "map.svg")


def test_the_table_is_what_embedding_atlas_documents(
    report: featx.MapReport, tmp_path: Path
) -> None:
    report.write(tmp_path / "map.parquet")
    rows = pyarrow.parquet.read_table(tmp_path / "map.parquet").to_pylist()
    assert [row["key"] for row in rows] == list(report.keys)
    values = report.values - report.values.mean(axis=0)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    distances = 1 - values @ values.T
    np.fill_diagonal(distances, np.inf)
    for number, row in enumerate(rows):
        assert (row["x"], row["y"]) == pytest.approx(report.positions[number], abs=1e-5)
        nearest = np.sort(distances[number])[:15]
        assert row["neighbors"]["distances"] == pytest.approx(nearest, abs=1e-4)
        assert number not in row["neighbors"]["ids"]
    assert rows[-1]["image"] is None
    with Image.open(io.BytesIO(rows[0]["image"]["bytes"])) as picture:
        assert picture.format == "JPEG"
    assert rows[0]["image"]["path"] == report.keys[0]


def test_the_command_draws_a_table_and_prints_lines(store: Path, tmp_path: Path) -> None:
    output = tmp_path / "map.parquet"
    arguments = ["map", str(store), "-o", str(output), "--method", "pca", "--clusters", "3"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    table, _, _ = result.stdout.partition("60 images in 3 clusters")
    assert table != result.stdout
    assert max(map(len, table.splitlines())) <= 80
    lines = CliRunner().invoke(app, [*arguments, "--json"]).stdout.splitlines()
    assert len(lines) == 60
    expected = {"key", "x", "y", "label", "split", "cluster", "score", "finding"}
    assert set(json.loads(lines[0])) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "tsn"}, "Did you mean tsne"),
        ({"clustering": "hdbscan", "clusters": 3}, "finds the number of clusters itself"),
    ],
)
def test_what_cannot_be_mapped_is_one_sentence(
    options: dict[str, object], message: str, store: Path
) -> None:
    with pytest.raises(FeatxError, match=message):
        featx.map_features(store, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_umap_places_many_images_between_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("umap")
    monkeypatch.setattr("featx.curation.layouts.umap.MOST", 100)
    values, labels = make_classes([120] * 3)
    directions = Directions(values, values.mean(axis=0))
    placed = LAYOUTS["umap"].place(directions, seed=1)
    assert placed.shape == (360, 2)
    assert np.isfinite(placed).all()
    distances = np.linalg.norm(placed[:, None] - placed[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    targets = np.unique(labels, return_inverse=True)[1]
    assert (targets[distances.argmin(axis=1)] == targets).mean() > 0.95


def test_a_layout_that_suits_the_number_of_images_is_chosen_and_said(tmp_path: Path) -> None:
    values, _ = make_classes([2, 1])
    notes: list[str] = []

    class Notes(featx.Listener):
        def note(self, text: str) -> None:
            notes.append(text)

    path = write_vectors(tmp_path / "f.h5", values)
    assert featx.map_features(path, listener=Notes()).layout == "pca"
    assert "PCA" in notes[-1]
    assert "t-SNE: needs at least 5 images" in notes[-1]
    with pytest.raises(FeatxError, match="t-SNE cannot be used: needs at least 5"):
        featx.map_features(path, method="tsne")
