"""Copies: which are found, which is the best of them, and what is said where there are none."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps
from typer.testing import CliRunner

import featx
from featx.cli.app import app
from featx.curation import pairs
from featx.curation.threshold import choose_threshold
from featx.errors import FeatxError, FingerprintMismatch, InvalidValue
from featx.heads.near_duplicates import mean_of
from featx.index.all_neighbours import Directions, find_neighbours
from featx.report.drawing import write_name
from featx.report.duplicate_tables import show_duplicates
from tests.curation.stores import make_classes, write_vectors


def near(values: np.ndarray, row: int, distance: float = 0.02) -> np.ndarray:
    """Return a vector that is almost that of a row."""
    noise = np.random.default_rng(row).normal(size=values.shape[1])
    return np.asarray(values[row] + distance * noise, np.float32)


@pytest.fixture(scope="module")
def set_with_copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 vectors of four classes, of which 30 come three times, in changed copies."""
    values, labels = make_classes([100] * 4)
    copies = [near(values, row, 0.02 * (1 + turn)) for row in range(30) for turn in (0, 1)]
    keys = [f"{row:03d}.png" for row in range(400)]
    keys += [f"{row:03d}-copy{turn}.png" for row in range(30) for turn in (0, 1)]
    path = tmp_path_factory.mktemp("copies") / "f.h5"
    every = np.concatenate([values, copies])
    return write_vectors(path, every, keys, labels=[*labels, *labels[:30], *labels[:30]])


def test_all_copies_are_found_and_nothing_else(set_with_copies: Path) -> None:
    report = featx.find_duplicates(set_with_copies, pictures=False)
    assert {frozenset(group.keys) for group in report} == {
        frozenset({f"{row:03d}.png", f"{row:03d}-copy0.png", f"{row:03d}-copy1.png"})
        for row in range(30)
    }
    assert len(report.can_go) == 60
    assert all(group.best not in "".join(report.can_go) for group in report)
    assert report.recall is None


@pytest.mark.parametrize("seed", range(3))
def test_no_alarm_where_there_are_no_copies(seed: int, tmp_path: Path) -> None:
    values, _ = make_classes([150, 100, 50], seed=seed)
    report = featx.find_duplicates(write_vectors(tmp_path / "f.h5", values), pictures=False)
    assert len(report) == 0
    assert "chosen on" in report.origin


def test_the_threshold_stands_where_most_images_are_copies() -> None:
    values, _ = make_classes([60] * 3)
    copies = [near(values, row, 0.01 * turn) for row in range(180) for turn in range(1, 7)]
    every = np.concatenate([values, copies])
    chosen = choose_threshold(Directions(every, mean_of(every)))
    similarity = find_neighbours(Directions(every, mean_of(every)), np.arange(180), 6).similarity
    assert (similarity >= chosen.similarity).mean() > 0.95
    alone = choose_threshold(Directions(values, mean_of(values)))
    largest = find_neighbours(Directions(values, mean_of(values)), np.arange(180), 1).similarity
    assert alone.similarity > largest.max()


def test_a_chain_is_no_group(tmp_path: Path) -> None:
    angles = np.deg2rad(np.arange(0, 50, 5))  # Neighbours at a cosine of .996, ends at .7.
    chain = np.zeros((10, 16))
    chain[:, 0], chain[:, 1] = np.cos(angles), np.sin(angles)
    report = featx.find_duplicates(
        write_vectors(tmp_path / "f.h5", chain.astype(np.float32)), threshold=0.98, pictures=False
    )
    assert len(report) > 1
    places = [[int(key[:6]) for key in group.keys] for group in report]
    assert all(max(each) - min(each) <= 4 for each in places)
    assert all(group.similarity >= 0.98 for group in report)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_a_leak_is_found_behind_copies_in_the_same_split(
    order: tuple[int, ...], tmp_path: Path
) -> None:
    angles = np.deg2rad([0, 8, 16])  # The middle one is a copy of both others.
    values = np.eye(13, 16, dtype=np.float32)
    values[:3] = 0
    values[:3, :2] = np.stack([np.cos(angles), np.sin(angles)], axis=1)[list(order)]
    names = ["test.png", "middle.png", "train.png"]
    splits = ["test", "test", "train"]
    path = write_vectors(
        tmp_path / "f.h5",
        values,
        [names[place] for place in order] + [f"{number}.png" for number in range(10)],
        splits=[splits[place] for place in order] + ["train"] * 10,
    )
    leaks = featx.find_duplicates(path, across_splits=True, threshold=0.985, pictures=False)
    assert [Path(one).name for one in leaks.can_go] == ["train.png"]


def test_a_file_is_no_copy_of_itself(tmp_path: Path) -> None:
    values, _ = make_classes([20] * 3)
    data = encode(draw(0))
    names = [f"{number}.jpg" for number in range(60)]
    pictures = {"0.jpg": data, "1.jpg": data, "2.jpg": data}
    values[1:3] = values[0]
    first = write_vectors(tmp_path / "old.h5", values, names, pictures=pictures)
    second = write_vectors(tmp_path / "new.h5", values[:30], names[:30], pictures=pictures)
    folder = tmp_path / "pictures"
    (folder / "2.jpg").unlink()
    (folder / "2.jpg").symlink_to(folder / "0.jpg")

    assert featx.find_duplicates(first, across=second).can_go == ()  # Both are of one folder.
    (group,) = featx.find_duplicates(first)
    assert {Path(path).name for path in featx.find_duplicates(first).can_go} == {"1.jpg"}
    assert group.keys[0] in ("0.jpg", "2.jpg")


def encode(picture: Image.Image, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)
    return file.getvalue()


def draw(seed: int, size: int = 96) -> Image.Image:
    """Return a picture with edges, different on its left and its right."""
    small = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture small, blurred, at low and at high quality; another one mirrored; 40 others."""
    first, second = draw(0), draw(1)
    pictures = {
        "large.jpg": encode(first, quality=95),
        "blurred.jpg": encode(first.filter(ImageFilter.GaussianBlur(4)), quality=100),
        "low\nquality.jpg": encode(first, quality=40),
        "small.jpg": encode(first.resize((48, 48)), quality=100),
        "second.jpg": encode(second, quality=90),
        "mirrored.jpg": encode(ImageOps.mirror(second), quality=80),
    }
    pictures |= {f"other{number}.jpg": encode(draw(number)) for number in range(2, 42)}
    random = np.random.default_rng(3)
    values = random.normal(size=(len(pictures), 24)).astype(np.float32)
    for row in range(1, 4):
        values[row] = near(values, 0, 0.01 * row)
    values[5] = values[4] + 0.4 * random.normal(size=24)  # Similar, not a copy to the network.
    path = tmp_path_factory.mktemp("photos") / "f.h5"
    return write_vectors(path, values, list(pictures), pictures=pictures)


def test_the_best_copy_is_large_then_sharp_then_little_compressed(photos: Path) -> None:
    (group,) = featx.find_duplicates(photos)
    assert group.best == "large.jpg"
    assert set(group.keys) == {"large.jpg", "blurred.jpg", "low\nquality.jpg", "small.jpg"}
    assert [(one.width, one.can_go) for one in group.pictures[:1]] == [(96, False)]
    (by_size,) = featx.find_duplicates(photos, pictures=False)
    assert by_size.pictures[0].file_size == max(one.file_size for one in by_size.pictures)


def test_mirrored_copies_are_found_when_asked_for(photos: Path) -> None:
    groups = {frozenset(group.keys) for group in featx.find_duplicates(photos, flipped=True)}
    assert frozenset({"second.jpg", "mirrored.jpg"}) in groups
    assert len(groups) == 2


def test_the_mirrored_one_is_named(photos: Path, tmp_path: Path) -> None:
    report = featx.find_duplicates(photos, flipped=True)
    marked = {one.key: one.is_mirrored for group in report for one in group.pictures}
    assert [key for key, is_mirrored in marked.items() if is_mirrored] == ["mirrored.jpg"]
    lines = [json.loads(line) for line in run(str(photos), "--flipped", "--json").splitlines()]
    assert [line.get("mirrored") for line in lines] == [None, ["mirrored.jpg"]]
    rows = list(csv.DictReader(io.StringIO(run(str(photos), "--flipped", "--csv"))))
    assert [row["key"] for row in rows if row["mirrored"] == "1"] == ["mirrored.jpg"]
    page = tmp_path / "page.html"
    table = run(str(photos), "--flipped", "--html", str(page))
    folder, *drawn = table.splitlines()
    assert folder == f"pictures in {photos.parent / 'pictures'}/:"
    assert [line.split()[-1] for line in drawn if " mirrored " in line] == ["mirrored.jpg"]
    assert ", mirrored, 96×96" in page.read_text(encoding="utf-8")


def test_a_mirrored_copy_that_features_find_is_named_too(tmp_path: Path) -> None:
    picture = draw(0)
    pictures = {"a.jpg": encode(picture), "b.jpg": encode(ImageOps.mirror(picture), quality=70)}
    values = np.tile(np.random.default_rng(0).normal(size=(1, 24)), (2, 1)).astype(np.float32)
    store = write_vectors(tmp_path / "f.h5", values, list(pictures), pictures=pictures)
    (group,) = featx.find_duplicates(store, threshold=0.9, flipped=True)
    assert [(one.key, one.is_mirrored) for one in group.pictures] == [
        ("a.jpg", False),
        ("b.jpg", True),
    ]
    (group,) = featx.find_duplicates(store, threshold=0.9)
    assert not any(one.is_mirrored for one in group.pictures)


def test_pictures_that_are_gone_are_said_to_be(set_with_copies: Path) -> None:
    notes: list[str] = []

    class Notes(featx.Listener):
        def note(self, text: str) -> None:
            notes.append(text)

    report = featx.find_duplicates(set_with_copies, listener=Notes())
    assert len(report) == 30
    assert any("90 pictures of 90 cannot be read" in note for note in notes)
    with pytest.raises(InvalidValue, match="none of them can be read"):
        featx.find_duplicates(set_with_copies, flipped=True)


def test_leaks_between_two_stores_and_between_splits(tmp_path: Path) -> None:
    train, _ = make_classes([100] * 3)
    test, _ = make_classes([30] * 3, seed=9)
    test[:5] = [near(train, row) for row in range(5)]
    first = write_vectors(tmp_path / "train.h5", train, [f"t{n}.png" for n in range(300)])
    second = write_vectors(tmp_path / "test.h5", test, [f"e{n}.png" for n in range(90)])
    report = featx.find_duplicates(first, across=second, pictures=False)
    assert {(group.keys, group.other_keys) for group in report} == {
        ((f"t{number}.png",), (f"e{number}.png",)) for number in range(5)
    }
    assert {Path(path).name for path in report.can_go} == {f"t{number}.png" for number in range(5)}
    both = write_vectors(
        tmp_path / "both.h5",
        np.concatenate([train, test]),
        splits=["train"] * 300 + ["test"] * 90,
    )
    leaks = featx.find_duplicates(both, across_splits=True, pictures=False)
    some = [None] * 300 + ["train"] * 60 + ["test"] * 30
    partly = write_vectors(tmp_path / "s.h5", np.concatenate([train, test]), splits=some)
    assert len(featx.find_duplicates(partly, across_splits=True, pictures=False)) == 0
    assert len(leaks) == 5
    assert {Path(path).stem for path in leaks.can_go} == {f"{number:06d}" for number in range(5)}
    other = write_vectors(tmp_path / "other.h5", test, weights="1" * 64)
    with pytest.raises(FingerprintMismatch, match="cannot be compared"):
        featx.find_duplicates(first, across=other)
    with pytest.raises(InvalidValue, match="compares the splits"):
        featx.find_duplicates(first, across_splits=True)


def test_the_same_store_on_both_sides_is_refused(set_with_copies: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.h5"
    link.symlink_to(set_with_copies)
    for other in (set_with_copies, link):
        with pytest.raises(InvalidValue, match="compares two stores"):
            featx.find_duplicates(set_with_copies, across=other)


def write_three(path: Path, keys: Sequence[str] = ("a.jpg", "b.jpg", "c.jpg")) -> Path:
    """Write a store of pictures that are copies of one, the first the largest."""
    values = np.tile(np.random.default_rng(0).normal(size=(1, 24)), (len(keys), 1))
    pictures = {
        key: encode(draw(0).resize((96 - 8 * place,) * 2), quality=90)
        for place, key in enumerate(keys)
    }
    return write_vectors(path, values.astype(np.float32), keys, pictures=pictures)


def test_a_file_of_two_stores_cannot_go(tmp_path: Path) -> None:
    first = write_three(tmp_path / "all.h5")
    second = write_three(tmp_path / "part.h5", ["a.jpg"])
    (group,) = featx.find_duplicates(first, across=second, threshold=0.9)
    assert {Path(one.path).name for one in group.pictures if one.can_go} == {"b.jpg", "c.jpg"}


@pytest.mark.parametrize("reads", [True, False])
def test_the_file_behind_a_link_cannot_go(tmp_path: Path, reads: bool) -> None:
    store = write_three(tmp_path / "f.h5", ["a.jpg", "behind_it.jpg"])
    target = tmp_path / "pictures" / "behind_it.jpg"
    target.write_bytes((tmp_path / "pictures" / "a.jpg").read_bytes())
    (tmp_path / "pictures" / "a.jpg").unlink()
    (tmp_path / "pictures" / "a.jpg").symlink_to("behind_it.jpg")
    report = featx.find_duplicates(store, threshold=0.9, pictures=reads)
    assert len(report) == 1
    assert report.can_go == ()


@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_the_best_copy_is_one_that_is_there(tmp_path: Path, harm: str) -> None:
    store = write_three(tmp_path / "f.h5")
    best = tmp_path / "pictures" / "a.jpg"
    best.unlink() if harm == "gone" else best.write_bytes(encode(draw(7), quality=90))
    (group,) = featx.find_duplicates(store, threshold=0.9)
    assert group.best == "b.jpg"
    assert [one.key for one in group.pictures if one.can_go] == ["c.jpg"]


def test_paths_are_never_options_of_rm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_three(tmp_path / "f.h5", ["large.jpg", "-i.jpg"])
    monkeypatch.chdir(tmp_path / "pictures")
    result = CliRunner().invoke(app, ["duplicates", "../f.h5", "--threshold", "0.9", "-0"])
    assert result.stdout == "./-i.jpg\0"


def test_paths_with_line_breaks_are_written_with_zero_bytes_alone(tmp_path: Path) -> None:
    names = ["large.jpg", "a\nb.jpg", "c.jpg"]
    store = str(write_three(tmp_path / "f.h5", names))
    result = CliRunner().invoke(app, ["duplicates", store, "--threshold", "0.9", "-f"])
    assert result.stdout == f"{tmp_path / 'pictures' / 'c.jpg'}\n"
    assert "1 path with a line break left out" in result.stderr
    result = CliRunner().invoke(app, ["duplicates", store, "--threshold", "0.9", "-0"])
    written = result.stdout.split("\0")
    assert sorted(Path(path).name for path in written) == ["", "a\nb.jpg", "c.jpg"]


def test_names_are_escaped_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_name("a\x1b[31mb\n.jpg", "\0")
    assert capsys.readouterr().out == "a\x1b[31mb\n.jpg\0"
    monkeypatch.setattr("featx.report.drawing.is_terminal", lambda: True)
    write_name("a\x1b[31mb\n.jpg", "\n")
    assert capsys.readouterr().out == "a\\x1b[31mb\\n.jpg\n"


def test_what_is_in_an_archive_is_not_named_for_deletion(tmp_path: Path) -> None:
    store = write_three(tmp_path / "f.h5")
    folder = tmp_path / "pictures"
    with tarfile.open(tmp_path / "pictures.tar", "w") as archive:
        archive.add(folder, arcname=".")
    shutil.rmtree(folder)
    (tmp_path / "pictures.tar").rename(folder)
    report = featx.find_duplicates(store, threshold=0.9, pictures=False)
    assert len(report.can_go) == 2
    assert not any(one.is_file for group in report for one in group.pictures)
    result = CliRunner().invoke(app, ["duplicates", str(store), "--no-pictures", "-0"])
    assert result.stdout == ""
    assert "2 pictures that can go left out" in result.stderr


def test_the_table_fits_a_terminal(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = featx.find_duplicates(photos, flipped=True)
    monkeypatch.setattr("featx.report.drawing.terminal_width", lambda: 80)
    show_duplicates(report)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_the_table_fits_80_columns_in_a_pipe(photos: Path) -> None:
    result = CliRunner().invoke(app, ["duplicates", str(photos), "--no-pictures"])
    table, _, _ = result.stdout.partition(" of copies")
    assert "best" in table
    assert max(map(len, table.splitlines()[:-1])) <= 80


def test_many_similar_pictures_of_one_split_are_compared_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, _ = make_classes([900, 300], spread=0.02)
    values[900:] = np.random.default_rng(2).normal(size=(300, 32))
    splits = ["train"] * 897 + ["test"] * 3 + ["train"] * 300
    path = write_vectors(tmp_path / "f.h5", values, splits=splits)
    taken: list[int] = []
    take = Directions.take

    def count(self: Directions, rows: np.ndarray | slice) -> np.ndarray:
        taken.append(1)
        return take(self, rows)

    monkeypatch.setattr(Directions, "take", count)
    report = featx.find_duplicates(path, across_splits=True, threshold=0.95, pictures=False)
    assert 1 <= len(report) <= 3
    for group in report:
        assert {one.split for one in group.pictures} == {"test", "train"}
    directions = Directions(values, mean_of(values))
    similarity = take(directions, np.arange(897)) @ take(directions, np.arange(897, 900)).T
    assert len(report.can_go) == (similarity.max(axis=1) >= 0.95).sum()
    assert len(taken) < 100  # Not once for each of the 900.


def test_the_option_of_the_page_is_named(set_with_copies: Path) -> None:
    result = CliRunner().invoke(app, ["duplicates", str(set_with_copies), "--html", "no/x.html"])
    assert "choose another with html=" in str(result.exception)


@pytest.mark.slow
def test_what_is_left_out_of_an_index_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    values, _ = make_classes([300] * 4)
    every = np.concatenate([values, [near(values, row) for row in range(300)]])
    copies = np.arange(len(every))
    exact = pairs.find_near_pairs(every, copies, 0.98, featx.Listener())
    assert exact.recall is None
    monkeypatch.setattr(pairs, "MOST_EXACT", 100)
    monkeypatch.setattr(pairs, "CHECKED", 300)
    monkeypatch.setattr("featx.index.all_neighbours.MOST_COMPARED", 1_000_000)
    found = pairs.find_near_pairs(every, copies, 0.98, featx.Listener())
    assert found.recall is not None
    share = len(found.rows) / len(exact.rows)
    assert abs(found.recall - share) < 0.05
    assert share > 0.9


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_images(count: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(max(1, count), 16)).astype(np.float32)
    values = np.concatenate([values[:1]] * count or [values[:0]])  # As a store, so as a folder.
    values[1:] += 1e-3
    report = featx.find_duplicates(write_vectors(tmp_path / "f.h5", values), pictures=False)
    assert [len(group.pictures) for group in report] == ([count] if count > 1 else [])


def test_equal_and_broken_vectors(tmp_path: Path) -> None:
    values = np.ones((500, 16), np.float32)
    values[0], values[1] = np.nan, np.inf
    report = featx.find_duplicates(write_vectors(tmp_path / "f.h5", values), pictures=False)
    assert [len(group.pictures) for group in report] == [498]
    assert report.num_images == 498


@pytest.mark.parametrize(
    ("count", "width", "threshold"), [(20, 64, 0.985), (60, 64, 0.995), (500, 4, 1)]
)
def test_where_nothing_can_be_measured_the_threshold_is_a_usual_one(
    count: int, width: int, threshold: float, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)
    report = featx.find_duplicates(write_vectors(tmp_path / "f.h5", values), pictures=False)
    assert report.threshold == threshold


def test_threshold_that_is_none(set_with_copies: Path) -> None:
    for value in (0, -1, 1.5, float("nan")):
        with pytest.raises(FeatxError, match="above 0 and up to 1"):
            featx.find_duplicates(set_with_copies, threshold=value)


def test_what_a_stranger_names_outside_of_the_root_is_not_to_go(tmp_path: Path) -> None:
    values = np.ones((3, 16), np.float32)
    names = ["a.png", "../b.png", "/etc/c.png"]
    report = featx.find_duplicates(write_vectors(tmp_path / "f.h5", values, names), pictures=False)
    assert len(report.groups[0].keys) == 3
    assert {Path(path).name for path in report.can_go} <= {"a.png"}


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["duplicates", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_form_of_output_says_the_same(photos: Path, tmp_path: Path) -> None:
    (line,) = run(str(photos), "--json").splitlines()
    group = json.loads(line)
    assert list(group) == ["group", "keys", "best", "similarity", "exact"]
    rows = list(csv.DictReader(io.StringIO(run(str(photos), "--csv"))))
    assert [row["key"] for row in rows] == group["keys"]
    paths = run(str(photos), "-0").split("\0")
    assert paths.pop() == ""
    expected = [str(photos.parent / "pictures" / row["key"]) for row in rows if row["best"] == "0"]
    assert paths == expected
    page = tmp_path / "page.html"
    table = run(str(photos), "--html", str(page))
    assert "4 of 46 images in 1 group of copies; 3 can go" in table
    assert "low\\nquality.jpg" in table
    text = page.read_text(encoding="utf-8")
    assert text.count("<img") == 4
    assert "the best copy" in text


def test_names_like_formulas_are_no_formulas_in_a_safe_table(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    names = ["=1.jpg", "+1.jpg", "plain.jpg"]
    write_vectors(path, np.ones((3, 24), np.float32), names, pictures=dict.fromkeys(names, b"a"))
    for options, mark in ((["--csv"], ""), (["--csv", "--csv-safe"], "'")):
        rows = list(csv.DictReader(io.StringIO(run(str(path), "--no-pictures", *options))))
        expected = {f"{mark}=1.jpg", f"{mark}+1.jpg", "plain.jpg"}
        assert {row["key"] for row in rows} == expected
    refused = CliRunner().invoke(app, ["duplicates", str(path), "--csv-safe"])
    assert (refused.exit_code, "goes with --csv" in refused.output) == (2, True)


def test_what_is_shown_of_a_report(photos: Path) -> None:
    report = featx.find_duplicates(photos)
    assert repr(report).startswith("<DuplicatesReport: groups 1, can go 3, images compared 46")
    assert repr(report.groups[0]).startswith("<DuplicateGroup 'large.jpg': pictures 4")
    assert "large.jpg" in str(report)
    assert "<table" in report._repr_html_()
