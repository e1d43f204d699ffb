"""Parts: bounds, numbers, copies, leftovers, and the marker of an --overwrite."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from featx.errors import StoreError
from featx.store import open_store
from featx.store.parts import (
    OVERWRITE_NAME,
    PartWriter,
    find_overwrite,
    list_parts,
    remove_leftovers,
    start_overwrite,
)
from featx.store.writing import write_store
from tests.store_samples import VECTOR_HEADER as HEADER
from tests.store_samples import failure, keys_of, make_copies, rows_of


def test_parts_are_bounded_by_bytes(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path / "p", HEADER, max_bytes=24, max_seconds=1e9)
    for number in range(7):
        writer.add(rows_of(f"{number}.png"))
    assert keys_of(list_parts(tmp_path / "p")) == [
        ("0.png", "1.png", "2.png"),
        ("3.png", "4.png", "5.png"),
    ]
    writer.commit()
    writer.commit()  # Nothing left: no empty part.
    assert [path.name for path in sorted((tmp_path / "p").iterdir())] == [
        "part-000000.h5",
        "part-000001.h5",
        "part-000002.h5",
    ]
    assert keys_of([tmp_path / "p" / "part-000002.h5"]) == [("6.png",)]


def test_parts_are_bounded_by_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    clock = SimpleNamespace(monotonic=lambda: now)  # Not of other modules and threads.
    monkeypatch.setattr("featx.store.parts.time", clock)
    writer = PartWriter(tmp_path / "p", HEADER, max_bytes=10**9, max_seconds=15)
    now = 114.9
    writer.add(rows_of("a.png"))
    assert list_parts(tmp_path / "p") == []
    now = 115.0
    writer.fail(failure("b.png"))
    now = 129.9
    writer.add(rows_of("c.png"))
    assert keys_of(list_parts(tmp_path / "p")) == [("a.png",)]
    with open_store(list_parts(tmp_path / "p")[0]) as part:
        assert part.failures == (failure("b.png"),)
    now = 130.0
    writer.add(rows_of("d.png"))
    assert keys_of(list_parts(tmp_path / "p")) == [("a.png",), ("c.png", "d.png")]


def test_part_carries_labels_and_header(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path / "p", HEADER, max_bytes=1)
    writer.add(rows_of("a/1.png", label="a"))
    with open_store(tmp_path / "p" / "part-000000.h5") as part:
        (run,) = part.header.runs
        assert (run["featx"], run["computed"]) == ("test", 1)
        assert part.header == replace(HEADER, runs=(run,))
        assert part.labels == ("a",)
        assert part.classes == ("a",)


def test_numbering_goes_on_after_an_interruption(tmp_path: Path) -> None:
    for key in ("a.png", "b.png"):
        PartWriter(tmp_path / "p", HEADER, max_bytes=1).add(rows_of(key))
    assert keys_of(list_parts(tmp_path / "p")) == [("a.png",), ("b.png",)]


def test_leftovers_of_killed_writers_are_ignored_and_removed(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    PartWriter(folder, HEADER, max_bytes=1).add(rows_of("a.png"))
    (folder / "part-000001.h5.123.tmp").write_bytes(b"half a part")
    (folder / "lock").touch()
    assert keys_of(list_parts(folder)) == [("a.png",)]
    PartWriter(folder, HEADER, max_bytes=1).add(rows_of("b.png"))
    assert keys_of(list_parts(folder)) == [("a.png",), ("b.png",)]
    remove_leftovers(folder, keep=())
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_part_appears_only_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = os.replace, []

    def replace(source: Path, target: Path) -> None:
        with open_store(source) as part:
            seen.append((part.keys, Path(target).name, Path(target).exists()))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    PartWriter(tmp_path / "p", HEADER, max_bytes=1).add(rows_of("a.png"))
    assert seen == [(("a.png",), "part-000000.h5", False)]
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["part-000000.h5"]


def test_rows_survive_a_failed_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = write_store

    def full(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr("featx.store.parts.write_store", real)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("featx.store.parts.write_store", full)
    writer = PartWriter(tmp_path / "p", HEADER, max_bytes=10**9)
    writer.add(rows_of("a.png"))
    with pytest.raises(StoreError, match="Input/output error"):
        writer.commit()
    assert list_parts(tmp_path / "p") == []
    writer.commit()
    assert keys_of(list_parts(tmp_path / "p")) == [("a.png",)]


def test_copies_travel_without_features(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path / "p", HEADER)
    writer.add(rows_of("a.png", value=1))
    writer.add_copies(make_copies({"x/a.png": "a.png 1"}, labels=["x"]))
    writer.add_copies(make_copies({"a-much-longer-name/b.png": "a.png 1"}))
    writer.commit()
    with open_store(tmp_path / "p" / "part-000000.h5") as part:
        assert part.keys == ("a.png",)
        assert part.copies.keys == ("x/a.png", "a-much-longer-name/b.png")
        assert part.copies.labels == ("x", None)
        hashes = [*part.content_hash, *part.copies.content_hash]
        assert {row.tobytes() for row in hashes} == {hashes[0].tobytes()}
        assert part.copies.file_size.tolist() == [100, 100]
        assert part.copies.features == {}


def test_part_of_copies_alone_is_committed(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path / "p", HEADER)
    writer.add_copies(make_copies({"b.png": "a.png 1"}))
    writer.commit()
    with open_store(tmp_path / "p" / "part-000000.h5") as part:
        assert (len(part), part.copies.keys) == (0, ("b.png",))


# Numbers


def test_numbers_go_on_where_the_store_says(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    PartWriter(folder, HEADER, max_bytes=1, first_number=7).add(rows_of("a.png"))
    PartWriter(folder, HEADER, max_bytes=1, first_number=7).add(rows_of("b.png"))
    PartWriter(folder, HEADER, max_bytes=1).add(rows_of("c.png"))
    assert [path.name for path in list_parts(folder)] == [
        "part-000007.h5",
        "part-000008.h5",
        "part-000009.h5",
    ]
    assert keys_of(list_parts(folder, 8)) == [("b.png",), ("c.png",)]


def test_parts_are_sorted_by_number_beyond_six_digits(tmp_path: Path) -> None:
    for number in (999_999, 1_000_000, 2):
        (tmp_path / f"part-{number:06d}.h5").touch()
    assert [path.stem for path in list_parts(tmp_path)] == [
        "part-000002",
        "part-999999",
        "part-1000000",
    ]


def test_leftovers_that_a_view_refers_to_are_kept(tmp_path: Path) -> None:
    names = ["part-000001.h5", "rows-000000.h5", "part-000002.h5", "rows-000001.h5.12.tmp", "lock"]
    for name in [*names, OVERWRITE_NAME]:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, keep=[tmp_path / "part-000002.h5", tmp_path / "rows-000000.h5"])
    assert {path.name for path in tmp_path.iterdir()} == {
        "part-000002.h5",
        "rows-000000.h5",
        "lock",
    }


# Starting over

REQUEST = {"model": "toy:colors", "layers": ("mean",)}


def make_parts(folder: Path, first: int, *keys: str) -> None:
    for key in keys:
        PartWriter(folder, HEADER, max_bytes=1, first_number=first).add(rows_of(key))


def test_marker_counts_only_with_parts_of_its_own(tmp_path: Path) -> None:
    make_parts(tmp_path, 0, "old.png")
    assert find_overwrite(tmp_path) is None
    assert start_overwrite(tmp_path, REQUEST, 1) == 1
    assert find_overwrite(tmp_path) is None  # Killed here: nothing replaces the store.
    make_parts(tmp_path, 1, "new.png")
    assert find_overwrite(tmp_path) == find_overwrite(tmp_path, REQUEST) == 1
    assert find_overwrite(tmp_path, REQUEST | {"layers": ["map"]}) is None


def test_starting_afresh_gives_up_unfinished_work_and_nothing_else(tmp_path: Path) -> None:
    make_parts(tmp_path, 0, "in use.png", "unfinished.png")
    assert start_overwrite(tmp_path, REQUEST, 1) == 1
    assert keys_of(list_parts(tmp_path)) == [("in use.png",)]


def test_starting_afresh_again_goes_on_with_the_same_request_only(tmp_path: Path) -> None:
    start_overwrite(tmp_path, REQUEST, 3)
    make_parts(tmp_path, 3, "new.png")
    assert start_overwrite(tmp_path, REQUEST, 3) == 3
    assert keys_of(list_parts(tmp_path)) == [("new.png",)]
    assert start_overwrite(tmp_path, REQUEST | {"layers": []}, 3) == 3
    assert list_parts(tmp_path) == []


def test_marker_of_an_overwrite_that_was_taken_in_is_void(tmp_path: Path) -> None:
    start_overwrite(tmp_path, REQUEST, 3)
    make_parts(tmp_path, 3, "taken in.png")
    assert start_overwrite(tmp_path, REQUEST, 4) == 4  # The store has part 3: not to be replaced.
    assert keys_of(list_parts(tmp_path)) == [("taken in.png",)]
    assert find_overwrite(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"first_part": "x", "request": 1}', '"text"'])
def test_damaged_marker_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / OVERWRITE_NAME).write_text(text)
    with pytest.raises(StoreError, match=rf"{OVERWRITE_NAME}.*is damaged.*delete it together with"):
        find_overwrite(tmp_path)


def test_no_folder_has_no_marker(tmp_path: Path) -> None:
    assert find_overwrite(tmp_path / "none") is None
    assert list_parts(tmp_path / "none") == []
