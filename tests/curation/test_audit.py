"""An audit: what was planted is found, and nothing where nothing was planted."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from typer.testing import CliRunner

import featx
from featx.cli.app import app
from featx.curation.difference import compare_sets
from featx.curation.findings import FINDINGS
from featx.errors import InvalidValue, UnknownName
from tests.curation.stores import make_classes, write_vectors
from tests.curation.test_duplicates import draw, encode, near

HOSTILE = "<img src=x onerror=alert(1)>\n'"


def keys(report: featx.AuditReport, kind: str) -> list[str | None]:
    return [finding.key for finding in report.of_kind(kind)]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 vectors of three classes with six wrong labels, an outlier, a copy, a small class."""
    values, labels = make_classes([100, 100, 100, 4], spread=0.8)
    for row in range(0, 300, 50):
        labels[row] = f"class_{(row // 100 + 1) % 3}"
    far = 6 * np.random.default_rng(8).normal(size=(1, 32))
    copy = near(values, 11)[np.newaxis]
    values = np.concatenate([values, far, copy]).astype(np.float32)
    labels += ["class_1", "class_2"]
    path = tmp_path_factory.mktemp("planted") / "f.h5"
    return write_vectors(path, values, labels=labels)


def test_what_was_planted_is_found(planted: Path) -> None:
    report = featx.audit(planted)
    wrong = {f"{row:06d}.png" for row in range(0, 300, 50)}
    found = keys(report, "label")
    assert wrong <= set(found[:8])  # The outlier and the copy belong elsewhere, too.
    suggested = {one.key: one.suggested for one in report.of_kind("label")}
    assert all(suggested[f"{row:06d}.png"] == f"class_{row // 100}" for row in range(0, 300, 50))
    assert keys(report, "outlier")[0] == "000304.png"
    assert [(one.key, one.other) for one in report.of_kind("duplicate")] == [
        ("000305.png", "000011.png")
    ]
    assert [one.given for one in report.of_kind("small_class")] == ["class_3"]
    assert set(report.skipped) == {"split", "drift", "picture"}
    scores = [[one.score for one in report.of_kind(kind)] for kind in report.kinds]
    assert all(each == sorted(each, reverse=True) for each in scores)


def test_outliers_among_neighbours_of_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, _ = make_classes([400] * 3, spread=0.4)
    values[7] = 6 * np.random.default_rng(8).normal(size=32)
    store = write_vectors(tmp_path / "f.h5", values)
    exact = featx.audit(store, kinds=["outlier"])
    monkeypatch.setattr("featx.index.all_neighbours.MOST_COMPARED", 400 * 1200)
    monkeypatch.setattr("featx.index.all_neighbours.MOST_LOOKED_AT", 1200 * 1200 // 20)
    monkeypatch.setattr("featx.curation.kinds.outlier.CHECKED", 400)
    notes: list[str] = []
    listener = featx.Listener()
    listener.note = notes.append  # type: ignore[method-assign]
    report = featx.audit(store, kinds=["outlier"], listener=listener)
    assert any("of the 10 nearest of each image" in note for note in notes)
    assert {"000007.png"} <= set(keys(exact, "outlier")) == set(keys(report, "outlier"))


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_found_in_clean_classes(seed: int, tmp_path: Path) -> None:
    values, labels = make_classes([80] * 4, spread=0.4, seed=seed)
    report = featx.audit(write_vectors(tmp_path / "f.h5", values, labels=labels))
    assert len(report) == 0
    assert set(report.kinds) == {"label", "duplicate", "outlier", "overlap", "small_class"}


def test_labels_that_no_head_can_tell_apart_are_said_to_be_so(tmp_path: Path) -> None:
    values = np.random.default_rng(3).normal(size=(300, 8))
    labels = [f"class {number % 6}" for number in range(300)]
    notes: list[str] = []
    listener = featx.Listener()
    listener.note = notes.append  # type: ignore[method-assign]
    store = write_vectors(tmp_path / "f.h5", values, labels=labels)
    report = featx.audit(store, kinds=["label"], listener=listener)
    assert len(report) > 100
    assert any("these features tell classes apart in" in note for note in notes)


def test_copies_of_a_picture_count_once(tmp_path: Path) -> None:
    """Many copies of one picture under a wrong class, beside another picture of the same."""
    values, labels = make_classes([60] * 3)
    copies = np.repeat(values[:1], 40, axis=0)
    near = values[:1] + 0.2 * np.random.default_rng(3).normal(size=(4, 32))
    every = np.concatenate([values, near, copies]).astype(np.float32)
    given = [*labels, *["class_0"] * 4, *["class_1"] * 40]
    store = write_vectors(tmp_path / "f.h5", every, labels=given)
    report = featx.audit(store, kinds=["label", "overlap"])
    wrong = {f"{row:06d}.png" for row in range(184, 224)}
    assert set(keys(report, "label")) == wrong
    assert {one.suggested for one in report.of_kind("label")} == {"class_0"}
    assert report.counts["overlap"] == 0  # One picture of two is no overlap.


def test_copies_in_one_split_are_no_difference(tmp_path: Path) -> None:
    values, labels = make_classes([40] * 3)
    splits = np.where(np.random.default_rng(0).random(120) < 0.5, "test", "train").tolist()
    store = write_vectors(
        tmp_path / "f.h5", np.repeat(values, 6, 0), labels=np.repeat(labels, 6).tolist(),
        splits=np.repeat(splits, 6).tolist(),
    )  # fmt: skip
    assert featx.audit(store, kinds=["split"]).counts == {"split": 0}


def make_tags(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return 240 vectors with any of four tags each, and which of them apply."""
    random = np.random.default_rng(seed)
    applies = random.random((240, 4)) < [0.5, 0.3, 0.3, 0.2]
    values = 3 * applies @ np.linalg.qr(np.random.default_rng(1).normal(size=(32, 4)))[0].T
    return (values + 0.4 * random.normal(size=(240, 32))).astype(np.float32), applies


def test_several_labels_of_each_picture(tmp_path: Path) -> None:
    values, applies = make_tags()
    wrong = {3: 0, 50: 1, 111: 2, 200: 3}
    for row, tag in wrong.items():
        applies[row, tag] ^= True
    values[239], applies[239] = values[7], applies[7] ^ [True, False, False, False]
    names = np.array(["a", "b", "c", "d"])
    texts = ["|".join(names[row]) or "|" for row in applies]
    store = write_vectors(tmp_path / "f.h5", values, labels=texts)
    report = featx.audit(store, label_columns="label")
    found = {one.key: one for one in report.of_kind("label")}
    for row, tag in wrong.items():
        one = found[f"{row:06d}.png"]
        right = applies[row].copy()
        right[tag] ^= True
        assert (one.given, one.suggested) == (texts[row], "|".join(names[right]) or "|")
        assert (
            f"{names[tag]} {'does not apply' if applies[row, tag] else 'is missing'}" in one.detail
        )
    assert len(found) <= 12
    assert [(one.key, one.other) for one in report.of_kind("duplicate")] == [
        ("000239.png", "000007.png")
    ]
    assert report.counts["small_class"] == report.counts["overlap"] == 0
    table = tmp_path / "labels.csv"
    report.write_labels(table)
    again = featx.audit(store, labels=table, label_columns=["label"], kinds=["label"])
    assert len(again) < len(report.of_kind("label"))


def test_several_labels_from_columns_of_a_table(tmp_path: Path) -> None:
    values, applies = make_tags()
    table = tmp_path / "tags.csv"
    lines = [f"{row:06d}.png,{int(tags[0])},{int(tags[1])}" for row, tags in enumerate(applies)]
    table.write_text("\n".join(["path,indoors,sunny", *lines, ""]), encoding="utf-8")
    store = write_vectors(tmp_path / "f.h5", values)
    result = CliRunner().invoke(
        app, ["audit", str(store), "--labels", str(table), "--label-columns", "indoors,sunny"]
    )
    assert result.exit_code == 0, result.output
    assert "not looked for: split" in result.stdout
    with pytest.raises(UnknownName, match="rainy"):
        featx.audit(store, labels=table, label_columns=["rainy"])


def test_what_cannot_be_learned_of_several_labels_is_said(tmp_path: Path) -> None:
    values, _ = make_tags()
    texts = ["a|b"] * 239 + ["a|b|c"]
    store = write_vectors(tmp_path / "f.h5", values, labels=texts)
    report = featx.audit(store, label_columns="label")
    assert "two others lack" in report.skipped["label"]
    assert [one.given for one in report.of_kind("small_class")] == ["c"]


def test_classes_that_overlap_are_named(tmp_path: Path) -> None:
    values, labels = make_classes([100, 100, 100], spread=0.3)
    values[100:200] += values[:100].mean(axis=0) - values[100:200].mean(axis=0)
    report = featx.audit(write_vectors(tmp_path / "f.h5", values, labels=labels), kinds="overlap")
    (finding,) = report.findings
    assert (finding.given, finding.other) == ("class_0", "class_1")
    assert finding.score > 0.3


def test_random_splits_do_not_differ_and_planted_ones_do(tmp_path: Path) -> None:
    values, labels = make_classes([150] * 3)
    targets = np.repeat(np.arange(3), 150)
    alarms = 0
    for seed in range(4):
        sides = np.random.default_rng(seed).random(450) < 0.3
        difference = compare_sets(values, sides, targets, seed)
        assert difference is not None
        alarms += difference.is_real
    assert alarms == 0
    # Other shares of the classes alone are no difference; brighter pictures of one class are.
    uneven = np.random.default_rng(0).random(450) < np.array([0.1, 0.5, 0.8])[targets]
    assert not compare_sets(values, uneven, targets, 0).is_real  # type: ignore[union-attr]
    splits = np.where(np.random.default_rng(1).random(450) < 0.3, "test", "train")
    values[(splits == "test") & (targets == 1)] += 0.6
    path = write_vectors(tmp_path / "f.h5", values, labels=labels, splits=splits.tolist())
    (finding,) = featx.audit(path, kinds=["split"]).findings
    assert (finding.key, finding.given, finding.other) == (None, "train", "test")
    assert "most in class_1" in finding.detail


def test_a_leak_between_splits_is_found(tmp_path: Path) -> None:
    values, labels = make_classes([60] * 3)
    values[90] = near(values, 0)
    splits = ["train"] * 90 + ["test"] * 90
    path = write_vectors(tmp_path / "f.h5", values, labels=labels, splits=splits)
    leaks = [one for one in featx.audit(path, kinds=["split"]) if one.key]
    assert [(one.key, one.other, one.given) for one in leaks] == [
        ("000090.png", "000000.png", "test")
    ]


def test_copies_of_a_picture_without_label_and_split_are_compared(tmp_path: Path) -> None:
    values, labels = make_classes([60] * 3)
    values[1:4] = values[0]
    values[5] = near(values, 0)
    given: list[str | None] = [None, "class_0", "class_1", None, *labels[4:]]
    splits = [None, "train", "test", None, *["train"] * 176]
    contents = ["same"] * 4 + [f"{number}" for number in range(4, 180)]
    path = write_vectors(tmp_path / "f.h5", values, labels=given, splits=splits, contents=contents)
    for kind in ("split", "duplicate"):
        found = {(one.other, one.key) for one in featx.audit(path, kinds=[kind]) if one.key}
        assert ("000001.png", "000002.png") in found
        assert not {"000000.png", "000003.png"} & {key for pair in found for key in pair}


def test_drift_is_found_where_there_is_one(tmp_path: Path) -> None:
    values, labels = make_classes([100] * 2)
    again, _ = make_classes([100] * 2, seed=5)
    names = [f"new{number}.png" for number in range(200)]
    old = write_vectors(tmp_path / "old.h5", values, labels=labels)
    same = write_vectors(tmp_path / "same.h5", again, names, labels=labels)
    assert len(featx.audit(same, against=old, kinds=["drift"])) == 0
    assert len(featx.audit(old, against=old, kinds=["drift"])) == 0
    again[:80] += 1.5
    labels = [*labels[:-1], "class_9"]
    moved = write_vectors(tmp_path / "moved.h5", again, names, labels=labels)
    report = featx.audit(moved, against=old, kinds=["drift"])
    about = [one for one in report if one.key is None]
    assert [one.given for one in about] == ["class_9", None]
    listed = [int(str(key)[3:-4]) for key in keys(report, "drift") if key]
    assert len(listed) == 20
    assert np.mean([number < 80 for number in listed]) > 0.9


def test_pictures_that_show_little_are_found(tmp_path: Path) -> None:
    pictures = {f"{number:02d}.jpg": encode(draw(number)) for number in range(40)}
    pictures["blurred.jpg"] = encode(draw(50).filter(ImageFilter.GaussianBlur(12)))
    pictures["dark.jpg"] = encode(draw(51).point(lambda value: value // 7))
    pictures["plain.jpg"] = encode(Image.new("RGB", (96, 96), (120, 130, 140)))
    pictures["tiny.jpg"] = encode(draw(52, size=16))
    pictures["long.jpg"] = encode(draw(53).resize((400, 60)))
    values = np.random.default_rng(0).normal(size=(len(pictures), 16)).astype(np.float32)
    path = write_vectors(tmp_path / "f.h5", values, list(pictures), pictures=pictures)
    found = {one.key: one.detail for one in featx.audit(path, pictures=True).of_kind("picture")}
    assert set(found) == {"blurred.jpg", "dark.jpg", "plain.jpg", "tiny.jpg", "long.jpg"}
    words = {"blurred", "dark", "plain", "tiny", "odd"}
    assert {detail.split()[0] for detail in found.values()} == words


@pytest.mark.parametrize(
    ("labels", "reason"),
    [(None, "no labels"), (["a"] * 60, "one class, 'a'"), ([f"{n}" for n in range(60)], "no two")],
)
def test_stores_without_two_classes(labels: list[str] | None, reason: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(60, 16)).astype(np.float32)
    report = featx.audit(write_vectors(tmp_path / "f.h5", values, labels=labels))
    assert reason in report.skipped["label"]
    assert "outlier" in report.kinds


@pytest.mark.parametrize("count", [1, 2, 3])
def test_stores_of_few_images(count: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(count, 16)).astype(np.float32)
    labels = ["a", "b", "b"][:count]
    report = featx.audit(write_vectors(tmp_path / "f.h5", values, labels=labels))
    assert {one.kind for one in report} == {"small_class"}


def test_an_empty_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="holds no features"):
        featx.audit(write_vectors(tmp_path / "f.h5", np.zeros((0, 16), np.float32)))
    broken = write_vectors(tmp_path / "nan.h5", np.full((3, 16), np.nan, np.float32))
    assert featx.audit(broken).skipped["outlier"] == "there are no usable images"


def test_equal_vectors_and_hostile_names(tmp_path: Path) -> None:
    values = np.ones((40, 16), np.float32)
    values[20:] = -1
    labels = [HOSTILE] * 20 + ["b"] * 19 + [HOSTILE]
    names = [f"a\n{number}.png" for number in range(40)]
    path = write_vectors(tmp_path / "f.h5", values, names, labels=labels)
    page, table = tmp_path / "page.html", tmp_path / "labels.csv"
    result = CliRunner().invoke(
        app, ["audit", str(path), "--report", str(page), "--suggest", str(table)]
    )
    assert result.exit_code == 0, result.output
    assert f"written: {page}" in result.stderr
    assert f"written: {table}, with 0 labels to look at" in result.stderr
    assert HOSTILE not in page.read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))
    assert {row["path"] for row in rows} == set(names)
    assert {row["label"] for row in rows} == {HOSTILE, "b"}
    report = featx.audit(path)
    assert "a\n39.png" in {one.key for one in report.of_kind("duplicate")} | {
        one.other for one in report.of_kind("duplicate")
    }


def test_many_classes(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(1000, 8)).astype(np.float32)
    labels = [f"{number // 2}" for number in range(1000)]
    report = featx.audit(write_vectors(tmp_path / "f.h5", values, labels=labels))
    assert report.counts["small_class"] == 500


@pytest.mark.slow
def test_suggested_labels_are_taken_by_fit_head(planted: Path, tmp_path: Path) -> None:
    report = featx.audit(planted)
    report.write_labels(tmp_path / "labels.csv")
    fitted = featx.fit_head(planted, labels=tmp_path / "labels.csv", output=tmp_path / "head")
    given = featx.fit_head(planted, output=tmp_path / "given")
    assert fitted.evaluation.accuracy > given.evaluation.accuracy  # type: ignore[union-attr]
    again = featx.audit(planted, labels=tmp_path / "labels.csv")
    assert len(again.of_kind("label")) < len(report.of_kind("label"))
    with pytest.raises(InvalidValue, match=r"is a CSV file: NAME\.csv"):
        report.write_labels(tmp_path / "labels.txt")


def test_lines_of_json_have_the_fields_that_are_documented(planted: Path) -> None:
    result = CliRunner().invoke(app, ["audit", str(planted), "--json", "--kind", "label"])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines
    fields = ["kind", "key", "score", "given", "suggested", "other", "detail", "path"]
    assert all(list(line) == fields for line in lines)
    both = ["audit", str(planted), "--json", "--kind", "label", "--kind", "outlier"]
    lines = [json.loads(line) for line in CliRunner().invoke(app, both).stdout.splitlines()]
    assert {line["kind"] for line in lines} == {"label", "outlier"}
    with pytest.raises(UnknownName, match="Did you mean label"):
        featx.audit(planted, kinds=["labels"])


def test_what_is_shown_of_an_audit(planted: Path) -> None:
    report = featx.audit(planted)
    assert repr(report).startswith("<AuditReport: findings ")
    assert repr(report.findings[0]).startswith("<Finding '0")
    assert "<table" in report._repr_html_()


def test_every_kind_says_what_it_is() -> None:
    for name in FINDINGS.names:
        assert FINDINGS[name].title[0].isupper()
        assert FINDINGS[name].advice.endswith(".")
