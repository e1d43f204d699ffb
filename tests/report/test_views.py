"""What objects show of themselves: a line, a text, and a table in a notebook."""

from __future__ import annotations

import dataclasses
import html.parser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.deploy.checking import ExportComparison
from featx.heads.evaluation import measure_classes
from featx.heads.label_evaluation import measure_labels
from featx.heads.number_evaluation import measure_numbers
from featx.images.sources import ImageFailure
from featx.index.description import IndexDescription
from featx.report.confusion_matrix import MAX_CLASSES, count_pairs
from featx.shown import Shown
from featx.testing import toy_model, write_images
from tests.report.test_tuning_report import make_report

LARGEST_LINE = 250
LARGEST_HTML = 300_000

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m"


class Elements(html.parser.HTMLParser):
    """Takes down the elements of a text, and addresses in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One object of each class that shows itself, made as a user makes it."""
    folder = tmp_path_factory.mktemp("views")
    photos = write_images(30, folder / "photos", classes=("cat", "<b>dog</b>"))
    (photos / "<i>bad.png").write_bytes(b"no picture")
    store_path, model = folder / "f.h5", toy_model()
    extracted = featx.extract(photos, model=model, layers=["mean"], output=store_path)
    fitted = featx.fit_head(store_path, output=folder / "head")
    index = featx.build_index(store_path)
    pictures = sorted(photos.rglob("image*.png"))[:5]
    found = featx.search(pictures, features=store_path, k=8)
    predicted = featx.predict(pictures, head=folder / "head")
    dark = [("a", np.zeros((8, 8, 3), np.uint8), "cat"), ("b", b"no picture", "cat")]
    copies = featx.find_duplicates(store_path, threshold=0.9)
    audited = featx.audit(store_path)
    mapped = featx.map_features(store_path, method="pca")
    selected = featx.select(store_path, diverse=2)
    with featx.open_store(store_path) as store:
        probabilities, limits = np.eye(2), np.full(2, 0.5)
        made = [
            extracted,
            fitted,
            fitted.evaluation,
            featx.evaluate(dark, head=folder / "head"),
            featx.evaluate_retrieval(store_path),
            featx.verify_index(index.path),
            featx.compare_scalings(pictures, model)[0],
            featx.DatabaseReport("db", "lancedb", "images", "mean", 30, 30, 31),
            featx.load_head(folder / "head"),
            index,
            index.description,
            featx.train_index(store_path, kind="ivf"),
            found,
            found.results[0],
            found.results[0].matches[0],
            predicted,
            predicted.predictions[0],
            audited,
            featx.Finding("label", f"{HOSTILE}.png", 0.9, given=HOSTILE, suggested="cat"),
            copies,
            copies.groups[0],
            mapped,
            selected,
            selected.pictures[0],
            featx.verify_store(store_path),
            featx.export_store(store_path, output=folder / "f.csv"),
            featx.merge_stores([store_path], output=folder / "g.h5"),
            featx.pack_store(folder / "g.h5"),
            featx.load_model(model),
            featx.layers(model),
            featx.load_model(model).features()[0],
            store,
            store.features(),
            store.table(),
            featx.open_dataset(store_path),
            featx.Rows(("a",), np.zeros((1, 16), np.uint8), ("x",), np.ones(1), np.ones(1)),
            measure_labels(
                probabilities, probabilities > 0.5, probabilities > 0.4, (HOSTILE, "b"), limits
            ),
            measure_numbers(np.arange(3.0), np.arange(3.0) + 1, 1.0),
            make_report(folder),
            featx.HeadExportReport(
                "m.keras", "keras", "none", 9, None, "m.md", ExportComparison(9, "given", 0.0, 0)
            ),
        ]
        yield {type(one).__name__: one for one in made}


def test_every_object_is_one_short_line(things: dict[str, Any]) -> None:
    for name, thing in things.items():
        assert repr(thing).count("\n") == 0
        assert len(repr(thing)) <= LARGEST_LINE, name
        assert " at 0x" not in repr(thing)
        assert "\x1b" not in str(thing)


def test_html_is_small_closed_escaped_and_without_addresses(things: dict[str, Any]) -> None:
    for name, thing in things.items():
        text = thing._repr_html_()
        assert len(text) <= LARGEST_HTML, name
        elements = Elements(text)
        assert elements.open == []
        shown = {"div", "b", "table", "thead", "tbody", "tr", "th", "td", "bdi", "figure", "img"}
        assert elements.names <= shown, name
        assert all(one.startswith("data:image/jpeg;base64,") for one in elements.addresses)


def test_every_class_that_shows_itself_is_tried(things: dict[str, Any]) -> None:
    shown = {
        name
        for name in featx.__all__
        if isinstance(kind := getattr(featx, name), type) and issubclass(kind, Shown)
    }
    assert shown <= set(things)
    assert len(shown) >= 20


def test_matches_are_shown_as_pictures_of_bounded_number(things: dict[str, Any]) -> None:
    for name, count in (("SearchReport", 18), ("Match", 1), ("PredictReport", 5)):
        assert len(Elements(things[name]._repr_html_()).addresses) == count


def test_a_key_that_leads_out_of_its_root_is_not_opened(tmp_path: Path) -> None:
    write_images(1, tmp_path)
    secret = str(tmp_path / "image_0.png")
    for key in ("../image_0.png", secret):
        match = featx.Match(1, key, secret, 0.5, None)
        assert "data:" not in match._repr_html_()
    assert "data:" not in featx.QueryResult("../image_0.png", secret, ())._repr_html_()
    in_memory = featx.Match(1, "image_0.png", "image_0.png", 0.5, None)
    assert "passed in Python" in in_memory._repr_html_()


def test_long_tables_say_how_much_is_left_out() -> None:
    failures = tuple(ImageFailure(f"{n}{HOSTILE}", HOSTILE * 99, 1, 1) for n in range(500))
    report = featx.ExtractReport("f.h5", 0, 0, 0, 0, 0, 0, 0, 500, failures=failures)
    for text in (str(report), report._repr_html_()):
        assert "and 480 more" in text
        assert len(text) < 40_000
    assert Elements(report._repr_html_()).names == {
        *("div", "b", "bdi", "table", "thead", "tbody", "tr", "th", "td")
    }


def test_names_of_classes_are_escaped_and_cut_everywhere() -> None:
    names = (HOSTILE, "long" * 999)
    measured = measure_classes(np.eye(2)[[0, 1, 1]], np.array([0, 0, 1]), names)
    prediction = featx.Prediction("a.jpg", HOSTILE, names, (0.75, 0.25))
    for shown in (measured, prediction):
        text, page = str(shown), shown._repr_html_()
        assert "\x1b" not in text + repr(shown) + page
        assert HOSTILE[:4] in text
        assert len(text) < 2_000
        assert len(page) < 4_000
        assert "img" not in Elements(page).names


def test_a_description_of_a_million_keys_is_still_a_line(things: dict[str, Any]) -> None:
    small: IndexDescription = things["IndexDescription"]
    large = dataclasses.replace(small, keys=("a.jpg",) * 1_000_000)
    assert "1,000,000" in repr(large)
    assert len(repr(large)) <= LARGEST_LINE


def test_a_store_that_is_gone_is_still_shown(tmp_path: Path) -> None:
    featx.extract(write_images(2), model=toy_model(), layers=["mean"], output=tmp_path / "f.h5")
    with featx.open_store(tmp_path / "f.h5") as store:
        pass
    (tmp_path / "f.h5").unlink()
    assert "There is no feature store" in repr(store)


def test_a_table_of_maps_is_shown_as_one_of_vectors(things: dict[str, Any]) -> None:
    table = things["FeatureTable"]
    maps = dataclasses.replace(table, values=table.values.reshape(len(table.keys), 1, 3, 1))
    assert (str(maps), maps._repr_html_()) == (str(table), table._repr_html_())


def test_reports_draw_what_a_picture_says_better(things: dict[str, Any]) -> None:
    sheet, matrix = things["SearchReport"].plot(), things["FitReport"].plot()
    assert sheet.width > 8 * 120
    assert sheet.height > 5 * 120
    assert matrix.size == things["Evaluation"].plot().size
    nothing = dataclasses.replace(things["FitReport"], evaluation=None)
    with pytest.raises(featx.errors.HeadError, match="test_size"):
        nothing.plot()


def test_a_confusion_matrix_counts_every_image_and_bounds_its_classes() -> None:
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 100, (2, 500))
    names = tuple(f"class {number}" for number in range(100))
    measured = measure_classes(np.eye(100)[predicted], true, names)
    expected = np.zeros((100, 100), int)
    np.add.at(expected, (true, predicted), 1)
    assert np.array_equal(count_pairs(measured)[1], expected)
    small = measure_classes(np.eye(30)[predicted % 30], true % 30, names[:30])
    assert MAX_CLASSES == 30
    assert measured.plot().height == small.plot().height
