"""Views: stores above the limit for one file, whose features stay in part files."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import featx.store.views as views_module
from featx.errors import StoreDamaged, StoreError
from featx.extraction import ExtractReport, extract
from featx.models import SOURCES
from featx.store import FeatureStore, open_store
from featx.store.parts import parts_folder
from featx.store.values import LayerValues
from featx.store.views import referenced_parts
from featx.testing import toy_model
from tests.store_samples import (
    Color,
    all_rows,
    chunk_offset,
    counts,
    flip,
    list_files,
    make_parts_small,
    mean_of,
    means,
    write_color,
    write_numbered,
)

LIMIT = 50
"""Bytes of features; the layer ``mean`` has 12 for each row."""

Run = Callable[..., ExtractReport]


@pytest.fixture(scope="module")
def folder_of_the_view(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine pictures, and a view of them: made once, since most tests begin with it."""
    folder = tmp_path_factory.mktemp("view")
    write_numbered(folder / "photos", 9)
    options: dict[str, Any] = {"single_file_limit": LIMIT, "batch_size": 4}
    with pytest.MonkeyPatch.context() as patch:
        make_parts_small(patch)
        output = folder / "features.h5"
        extract(folder / "photos", model=toy_model(), layers=["mean"], output=output, **options)
    SOURCES.remove("toy")
    return folder


@pytest.fixture
def view(folder_of_the_view: Path, photos: Path, store: Path, small_parts: None) -> Path:
    """A view of 9 rows in parts of 4, 4 and 1, with its pictures beside it."""
    shutil.copytree(folder_of_the_view, photos.parent, dirs_exist_ok=True)
    return store


@pytest.fixture
def view_made_here(run: Run, photos: Path, store: Path, small_parts: None) -> Path:
    """The same view, whose parts name this folder as that of their pictures."""
    write_numbered(photos, 9)
    run(single_file_limit=LIMIT, batch_size=4)
    return store


@pytest.fixture
def extend(run: Run, small_parts: None) -> Callable[[], ExtractReport]:
    """Run the command that made the view again."""
    return lambda: run(batch_size=4)


def part_names(path: Path) -> list[str]:
    """Names of the parts that a view refers to; it has no others beside it."""
    with open_store(path) as store:
        names = [part.name for part in referenced_parts(store)]
    assert sorted(names) == sorted(list_parts_of(path))
    return names


def list_parts_of(path: Path) -> dict[str, tuple[int, int, int]]:
    """Part file → inode, size, modification time."""
    files = list_files(parts_folder(path))
    return {name: status for name, status in files.items() if name != "lock"}


def plain_rows(path: Path) -> np.ndarray:
    """The rows as plain h5py gives them, through the virtual dataset."""
    with h5py.File(path, "r", locking=False) as file:
        assert file["features/f000"].is_virtual
        return np.asarray(file["features/f000"][:])


def means_of(colors: dict[str, Color]) -> dict[str, Any]:
    """What `means` gives for pictures of these colours."""
    return {key: pytest.approx(mean_of(color), abs=1e-6) for key, color in colors.items()}


def rebuild(run: Run, photos: Path, limit: int) -> None:
    """Add a picture, so that the store is written anew, with another limit."""
    number = len(list(photos.iterdir()))
    write_numbered(photos, 1, first=number)
    run(single_file_limit=limit)


# The same rows as in one file


def test_view_has_the_rows_of_one_file(view: Path, run: Run, tmp_path: Path) -> None:
    one = tmp_path / "one.h5"
    run(output=one, batch_size=4)
    assert not parts_folder(one).exists()
    assert all_rows(view) == all_rows(one)
    with open_store(view) as store, open_store(one) as single:
        assert store.contents == single.contents
        assert single.row_map is None
        np.testing.assert_array_equal(plain_rows(view), single.features("mean")[:])
    assert part_names(view) == ["part-000000.h5", "part-000001.h5", "part-000002.h5"]


def test_format_of_a_view_is_what_the_documentation_says(view: Path) -> None:
    assert view.read_bytes().startswith(b"featx-store\nkind view\n")
    with h5py.File(view, "r") as file:
        names = [f"features.h5.parts/part-00000{number}.h5" for number in range(3)]
        assert [name.decode() for name in file["parts/file"]] == names
        assert file["parts/rows"][:].tolist() == [4, 4, 1]
        for name, sha256 in zip(names, file["parts/sha256"], strict=True):
            assert sha256 in (view.parent / name).read_bytes()[:512]
        assert file["row_part"].dtype == np.int32
        assert file["row_part"][:].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2]
        assert file["row_index"].dtype == np.int64
        assert file["row_index"][:].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0]
        assert [source.file_name for source in file["features/f000"].virtual_sources()] == names
        assert file["features/f000"].attrs["name"].decode() == "mean"
        assert file.attrs["next_part"] == 3
        assert file.attrs["single_file_limit"] == LIMIT


def test_limit_itself_is_still_one_file(run: Run, photos: Path, store: Path) -> None:
    write_numbered(photos, 9)
    run(single_file_limit=9 * 12)
    with open_store(store) as opened:
        assert opened.row_map is None
    write_numbered(photos, 1, first=9)
    run()
    with open_store(store) as opened:
        assert opened.row_map is not None


def test_identical_images_share_their_features_in_a_view(
    photos: Path, view: Path, extend: Callable[[], ExtractReport], calls: list[int]
) -> None:
    shutil.copy(photos / "2.png", photos / "copy.png")
    assert counts(extend()) == {"rows": 10, "skipped": 9, "reused": 1}
    assert calls == []
    rows = means(view)
    assert rows["copy.png"] == rows["2.png"]
    np.testing.assert_array_equal(plain_rows(view), np.array(list(rows.values()), np.float32))
    assert part_names(view) == ["part-000000.h5", "part-000001.h5", "part-000002.h5"]


@pytest.mark.parametrize("name", ["100%b 50%.h5", "Straße 猫 – é.h5", 'a b\'s "c".h5'])
def test_names_with_percent_signs_and_other_scripts(
    run: Run, photos: Path, tmp_path: Path, small_parts: None, name: str
) -> None:
    colors = write_numbered(photos, 5)
    run(output=tmp_path / name, single_file_limit=LIMIT, batch_size=2)
    rows = means(tmp_path / name)
    assert rows == means_of(colors)
    np.testing.assert_array_equal(
        plain_rows(tmp_path / name), np.array(list(rows.values()), np.float32)
    )


def test_maps_and_half_precision(
    run: Run, photos: Path, store: Path, tmp_path: Path, small_parts: None
) -> None:
    write_numbered(photos, 5)
    options = {"layers": ["map", "mean"], "pool": "none", "dtype": "float16", "batch_size": 2}
    run(single_file_limit=LIMIT, **options)
    run(output=tmp_path / "one.h5", **options)
    assert all_rows(store) == all_rows(tmp_path / "one.h5")
    with h5py.File(store, "r", locking=False) as file, open_store(store) as opened:
        assert file["features/f000"].shape == (5, 2, 2, 3)
        for name, layer in [("f000", "map"), ("f001", "mean")]:
            np.testing.assert_array_equal(file[f"features/{name}"][:], opened.features(layer)[:])


# Parts that are not there, or are others


def spoil_missing(part: Path) -> None:
    part.unlink()


def spoil_foreign(part: Path) -> None:
    shutil.copy(part.with_name("part-000000.h5"), part)


def spoil_truncated(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-9])


def spoil_flipped(part: Path) -> None:
    flip(part, chunk_offset(part, "features/f000") + 1)


def spoil_emptied(part: Path) -> None:
    part.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_missing, "is missing"),
        (spoil_foreign, "belongs to another store"),
        (spoil_truncated, "bytes and was written with"),
        (spoil_flipped, "damaged"),
        (spoil_emptied, "damaged"),
    ],
)
def test_spoilt_part_is_named_and_its_rows_are_never_made_up(
    view: Path, spoil: Callable[[Path], None], message: str
) -> None:
    expected = means(view)
    part = parts_folder(view) / "part-000001.h5"
    spoil(part)
    with open_store(view) as store:
        assert store.keys == tuple(expected)  # Everything but the features is in the view.
        values = store.features("mean")
        rows = list(expected.values())
        assert values[[8, 0, 3]].tolist() == [rows[8], rows[0], rows[3]]
        for selection in (slice(None), 4, [0, 7], slice(3, 5)):
            with pytest.raises(StoreDamaged, match=message):
                values[selection]
        with pytest.raises(StoreDamaged):
            store.table("mean")


@pytest.mark.parametrize("spoil", [spoil_missing, spoil_foreign, spoil_truncated, spoil_emptied])
def test_message_names_the_spoilt_part(view: Path, spoil: Callable[[Path], None]) -> None:
    part = parts_folder(view) / "part-000001.h5"
    spoil(part)
    with open_store(view) as store, pytest.raises(StoreDamaged) as caught:
        store.features("mean")[:]
    assert str(part) in str(caught.value)


def test_plain_hdf5_shows_nan_for_a_missing_part(view: Path) -> None:
    expected = np.array(list(means(view).values()))
    (parts_folder(view) / "part-000001.h5").unlink()
    rows = plain_rows(view)
    assert np.isnan(rows[4:8]).all()
    np.testing.assert_array_equal(np.delete(rows, range(4, 8), 0), expected[[0, 1, 2, 3, 8]])


def test_damaged_view_is_refused_and_says_where_the_features_are(
    view_made_here: Path, extend: Callable[[], ExtractReport], run: Run, calls: list[int]
) -> None:
    view = view_made_here
    before = all_rows(view)
    flip(view, view.stat().st_size // 2)
    for read in (lambda: open_store(view), extend):
        with pytest.raises(StoreDamaged, match=r"features\.h5.*features are in its parts"):
            read()
    view.rename(view.with_name("away.h5"))  # As the message says.
    calls.clear()
    run(single_file_limit=LIMIT, batch_size=4)
    assert calls == []
    assert all_rows(view) == before


# Moving and renaming


def test_view_moves_together_with_its_parts(view: Path, tmp_path: Path) -> None:
    before, plain = all_rows(view), plain_rows(view)
    (tmp_path / "elsewhere").mkdir()
    for path in (view, parts_folder(view)):
        shutil.move(path, tmp_path / "elsewhere" / path.name)
    moved = tmp_path / "elsewhere" / view.name
    assert all_rows(moved) == before
    np.testing.assert_array_equal(plain_rows(moved), plain)


def test_view_is_found_from_any_working_folder(
    view: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_rows(view)
    monkeypatch.chdir(tmp_path)
    assert all_rows(Path("features.h5")) == before
    monkeypatch.chdir(tmp_path / "photos")
    assert all_rows(Path("../features.h5")) == before


def test_view_alone_can_be_renamed_and_goes_on(
    view: Path, run: Run, photos: Path, calls: list[int]
) -> None:
    before, plain = all_rows(view), plain_rows(view)
    renamed = view.with_name("renamed.h5")
    view.rename(renamed)
    assert all_rows(renamed) == before
    np.testing.assert_array_equal(plain_rows(renamed), plain)
    write_color(photos / "new.png", (1, 2, 3))
    calls.clear()
    assert counts(run(output=renamed)) == {"rows": 10, "done": 1, "skipped": 9}
    assert calls == [1]
    assert all_rows(renamed)[:9] == before[:9]
    # It needs the other store's folder no longer.
    shutil.rmtree(parts_folder(view))
    assert all_rows(renamed)[:9] == before[:9]


# Growing, shrinking, wearing out


def test_new_rows_only_write_new_parts(
    view: Path, photos: Path, extend: Callable[[], ExtractReport]
) -> None:
    before, parts = all_rows(view), list_parts_of(view)
    write_numbered(photos, 2, first=9)
    assert counts(extend()) == {"rows": 11, "done": 2, "skipped": 9}
    assert list_parts_of(view).items() > parts.items()
    assert part_names(view) == [*parts, "part-000003.h5"]
    assert all_rows(view)[:9] == before[:9]


def test_file_that_grows_over_the_limit_becomes_a_part_by_a_second_name(
    run: Run, photos: Path, store: Path
) -> None:
    colors = write_numbered(photos, 4)
    run(single_file_limit=LIMIT)
    inode = store.stat().st_ino
    colors |= write_numbered(photos, 1, first=4)
    run()
    part = parts_folder(store) / "rows-000000.h5"
    assert part.stat().st_ino == inode
    assert store.stat().st_ino != inode
    assert part_names(store) == ["rows-000000.h5", "part-000001.h5"]
    assert means(store) == means_of(colors)


def test_file_is_copied_where_there_are_no_hard_links(
    run: Run, photos: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError("no hard links here")

    colors = write_numbered(photos, 4)
    run(single_file_limit=LIMIT)
    monkeypatch.setattr(os, "link", refuse)
    colors |= write_numbered(photos, 1, first=4)
    run()
    assert part_names(store) == ["rows-000000.h5", "part-000001.h5"]
    assert means(store) == means_of(colors)


def test_view_below_the_limit_becomes_one_file_without_parts(
    view_made_here: Path, photos: Path, run: Run, calls: list[int]
) -> None:
    view = view_made_here
    rows = means(view)
    for number in range(6):
        (photos / f"{number}.png").unlink()
    calls.clear()
    assert counts(run(prune=True)) == {"rows": 3, "skipped": 3, "removed": 6}
    assert calls == []
    with open_store(view) as store:
        assert store.row_map is None
        assert store.next_part == 3  # Numbers are not given twice.
    assert not parts_folder(view).exists()
    assert means(view) == {f"{number}.png": rows[f"{number}.png"] for number in (6, 7, 8)}


def test_part_that_is_hardly_used_is_written_anew(
    view_made_here: Path, photos: Path, run: Run
) -> None:
    view = view_made_here
    rows = means(view)
    parts = list_parts_of(view)
    for number in (0, 1, 4, 5, 6):
        (photos / f"{number}.png").unlink()
    run(prune=True, single_file_limit=40)
    # Half of the first part is in use still, a quarter of the second.
    assert part_names(view) == ["part-000000.h5", "part-000002.h5", "rows-000000.h5"]
    assert list_parts_of(view).items() > {
        (name, parts[name]) for name in ("part-000000.h5", "part-000002.h5")
    }
    left = {f"{number}.png": rows[f"{number}.png"] for number in (2, 3, 7, 8)}
    assert means(view) == left
    np.testing.assert_array_equal(plain_rows(view), np.array(list(left.values()), np.float32))


def test_too_many_pieces_are_written_anew_in_order(
    view: Path,
    photos: Path,
    extend: Callable[[], ExtractReport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(views_module, "MAX_RUNS", 5)
    monkeypatch.setattr(views_module, "ASSEMBLED_BYTES", 5 * 12)
    write_color(photos / "1.png", (1, 1, 1))
    extend()
    with open_store(view) as store:
        assert store.row_map is not None
        assert len(store.row_map.runs()) == 5  # 0, 1, 2 and 3, 4 to 7, 8
    write_color(photos / "6.png", (6, 6, 6))
    extend()
    with open_store(view) as store:
        assert store.row_map is not None
        assert store.row_map.runs() == [(0, 0, 0, 5), (5, 1, 0, 4)]
    assert part_names(view) == ["rows-000000.h5", "rows-000001.h5"]
    rows = means(view)
    assert list(rows) == [f"{number}.png" for number in range(9)]
    colors = write_numbered(photos, 9) | {"1.png": (1, 1, 1), "6.png": (6, 6, 6)}
    assert rows == means_of(colors)


@pytest.mark.parametrize("change", ["nothing", "grown", "worn"])
def test_lost_view_is_made_anew_from_its_parts(
    view_made_here: Path, photos: Path, run: Run, calls: list[int], change: str
) -> None:
    view = view_made_here
    if change == "grown":
        rebuild(run, photos, 10**6)
        rebuild(run, photos, LIMIT)
        assert part_names(view) == ["rows-000000.h5", "part-000004.h5"]
    elif change == "worn":
        for number in (4, 5, 6):
            (photos / f"{number}.png").unlink()
        run(prune=True)
        assert "rows-000000.h5" in part_names(view)
    before = means(view)
    view.unlink()
    calls.clear()
    count = len(before)
    assert counts(run(single_file_limit=LIMIT)) == {"rows": count, "skipped": count}
    assert calls == []
    assert means(view) == before


def test_other_limit_alone_changes_the_kind(
    run: Run, photos: Path, store: Path, calls: list[int]
) -> None:
    write_numbered(photos, 9)
    run(single_file_limit=50)
    before = all_rows(store)
    calls.clear()
    for limit in (10**6, 50):
        run(single_file_limit=limit)
        with open_store(store) as opened:
            assert opened.header.single_file_limit == limit
            assert (opened.row_map is None) == (limit == 10**6)
        assert all_rows(store) == before
    assert calls == []


def test_parts_of_a_renamed_view_are_not_taken_by_a_new_store(
    run: Run, photos: Path, store: Path, small_parts: None
) -> None:
    write_numbered(photos, 5)
    run(single_file_limit=50, batch_size=2)
    before = all_rows(store)
    renamed = store.with_name("renamed.h5")
    store.rename(renamed)
    with contextlib.suppress(StoreError):  # It may refuse and say why.
        run(batch_size=2)
    assert all_rows(renamed) == before  # Its parts were taken as unfinished work, and deleted.


def test_lost_view_is_made_anew_although_a_changed_row_was_moved(
    run: Run,
    photos: Path,
    store: Path,
    small_parts: None,
    calls: list[int],
) -> None:
    write_numbered(photos, 8)
    run(single_file_limit=30, batch_size=4)
    write_color(photos / "1.png", (7, 8, 9))  # Into a part with two others,
    for number in (8, 9):
        write_color(photos / f"{number}.png", (7, 8, number + 2))
    run(batch_size=4)
    for number in (8, 9):
        (photos / f"{number}.png").unlink()
    run(prune=True)  # which go: it is moved to rows-000000; part-000000 has its old row.
    before = all_rows(store)
    store.unlink()
    calls.clear()
    run(single_file_limit=30)
    assert calls == []
    assert sorted(all_rows(store)[:-1]) == sorted(before[:-1])


# Readers meanwhile


def read_keys(store: FeatureStore) -> None:
    assert store.keys


def read_one_part(store: FeatureStore) -> None:
    assert len(store.features("mean")[:2]) == 2


READERS: dict[str, Callable[[FeatureStore], object]] = {
    "nothing": lambda store: None,
    "keys": read_keys,
    "one part": read_one_part,
    "closed": lambda store: store.close(),
}
"""What a reader has seen → what it did with the store before the store was replaced."""


@pytest.mark.parametrize("change", ["replaced", "one file", "one file and view again"])
def test_readers_of_a_replaced_view_get_their_own_rows_or_are_told(
    view: Path, photos: Path, run: Run, change: str
) -> None:
    if change == "one file and view again":  # Which gives the name of a part again.
        rebuild(run, photos, 10**6)
        rebuild(run, photos, LIMIT)
        assert part_names(view) == ["rows-000000.h5", "part-000004.h5"]
    rows = means(view)
    with contextlib.ExitStack() as stack:
        stores = {seen: stack.enter_context(open_store(view)) for seen in READERS}
        values = {seen: store.features("mean") for seen, store in stores.items()}
        for seen, read in READERS.items():
            read(stores[seen])
        for number in range(9):
            write_color(photos / f"{number}.png", (255, 255, number))
        if change == "replaced":
            run(batch_size=2)
        else:
            run(single_file_limit=10**6)
        if change == "one file and view again":
            rebuild(run, photos, LIMIT)
            assert "rows-000000.h5" in part_names(view)
        for seen, store in stores.items():
            refusals = refusals_or_rows(store, values[seen], rows)
            assert all("was replaced by a newer version" in text for text in refusals), seen
            assert refusals or seen != "closed"
    assert means(view)["3.png"] == mean_of((255, 255, 3))


def refusals_or_rows(
    store: FeatureStore, values: LayerValues, rows: dict[str, list[float]]
) -> list[str]:
    """Read a store that has these rows; return the messages of what is refused."""
    expected = np.array(list(rows.values()))
    refusals: list[str] = []
    for selection in (slice(None), [8, 1], slice(0, 2)):
        try:
            got = values[selection]
        except StoreError as error:
            refusals.append(str(error))
        else:
            np.testing.assert_array_equal(got, expected[selection])
    try:
        assert store.keys == tuple(rows)
    except StoreError as error:
        refusals.append(str(error))
    return refusals


def test_reader_of_a_view_that_only_grew_goes_on(
    view: Path, photos: Path, extend: Callable[[], ExtractReport]
) -> None:
    rows = np.array(list(means(view).values()))
    with open_store(view) as store:
        write_numbered(photos, 2, first=9)
        extend()
        np.testing.assert_array_equal(store.features("mean")[:], rows)
    assert len(means(view)) == 11
