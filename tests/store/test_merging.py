"""Merging: many stores with few open files, and what is there while the rest is computed."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import FingerprintMismatch, StoreError
from featx.store import open_store
from featx.store.parts import PartWriter, parts_folder
from featx.store.repeated_keys import find_repeated_keys
from tests.store_samples import VECTOR_HEADER, Sources, rows_of, values_of, write_sample


def write_shard(path: Path, *keys: str, value: float = 0.0) -> Path:
    """Write a store of the layer ``v`` with one value in all rows."""
    made = rows_of(*keys, value=value)
    contents = [f"{key} {value:g}" for key in keys]
    write_sample(path, made.features, made.keys, labels=made.labels, contents=contents)
    return path


def begin_part(path: Path, *keys: str) -> None:
    """Write a part beside a store, as an extraction does that goes on."""
    writer = PartWriter(parts_folder(path), VECTOR_HEADER, max_bytes=1)
    writer.add(rows_of(*keys, value=9))


def keys_of(path: Path) -> tuple[str, ...]:
    with open_store(path) as store:
        return store.keys


@pytest.mark.parametrize("limit", [None, 0])
def test_what_is_finished_is_merged_and_the_rest_added_later(
    tmp_path: Path, limit: int | None
) -> None:
    paths = [tmp_path / f"{number}.h5" for number in range(4)]
    output = tmp_path / "all.h5"
    write_shard(paths[0], "a", "b", value=1)
    begin_part(paths[1], "half")
    report = featx.merge_stores(paths, output, partial=True, single_file_limit=limit)
    assert report.unfinished == tuple(map(str, paths[1:]))
    assert (report.rows, report.sources, report.duplicates) == (2, 1, ())
    write_shard(paths[2], "c", value=2)
    write_shard(paths[3], "d", value=3)
    report = featx.merge_stores(paths, output, partial=True, single_file_limit=limit)
    assert (report.rows, report.unfinished) == (4, (str(paths[1]),))
    assert report.duplicates == ()
    with open_store(output) as store:
        assert values_of(store) == {"a": 1, "b": 1, "c": 2, "d": 3}
    # What went in stays, even if its store is gone.
    paths[0].unlink()
    report = featx.merge_stores(paths, output, partial=True, single_file_limit=limit)
    assert (report.rows, len(report.unfinished)) == (4, 2)
    assert featx.verify_store(output).is_intact


def test_of_a_store_that_goes_on_the_last_whole_version_goes_in(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "1.h5", "a", value=1)
    begin_part(path, "half")
    with pytest.raises(StoreError, match="is not finished.*partial=True"):
        featx.merge_stores([path], tmp_path / "all.h5")
    report = featx.merge_stores([path], tmp_path / "all.h5", partial=True)
    assert report.unfinished == (str(path),)
    assert keys_of(tmp_path / "all.h5") == ("a",)


def test_without_any_store_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="None of the stores is finished yet"):
        featx.merge_stores([tmp_path / "1.h5"], tmp_path / "all.h5", partial=True)
    assert list(tmp_path.iterdir()) == []


def test_refused_stores_leave_nothing_beside_the_output(tmp_path: Path) -> None:
    paths = [write_shard(tmp_path / "1.h5", "a"), tmp_path / "2.h5"]
    write_sample(paths[1], {"other": np.zeros((1, 3), np.float32)}, ["b"])
    message = r"received \['other'\]. Make them with the same options, or merge fewer.$"
    with pytest.raises(FingerprintMismatch, match=message):
        featx.merge_stores(paths, tmp_path / "all.h5")
    with pytest.raises(StoreError, match="no feature store"):
        featx.merge_stores([paths[0], tmp_path / "3.h5"], tmp_path / "all.h5")
    assert sorted(tmp_path.iterdir()) == paths


def test_what_has_changed_since_is_a_conflict(tmp_path: Path) -> None:
    path, output = write_shard(tmp_path / "1.h5", "a", "b", value=1), tmp_path / "all.h5"
    featx.merge_stores([path], output, partial=True)
    write_shard(path, "a", "b", value=2)
    with pytest.raises(StoreError, match="2 images have different content"):
        featx.merge_stores([path], output, partial=True)
    featx.merge_stores([path], output, partial=True, keep="last")
    with open_store(output) as store:
        assert values_of(store) == {"a": 2, "b": 2}


@pytest.mark.parametrize("seed", range(5))
def test_repeated_keys_are_those_that_a_table_of_them_finds(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    sources = Sources(tmp_path)
    contents: dict[str, set[float]] = {}
    counts: dict[str, int] = {}
    for _ in range(4):
        keys = [f"{number}.png" for number in random.permutation(12)[: random.integers(0, 9)]]
        value = float(random.integers(2))
        sources.add(*keys, value=value)
        for key in keys:
            contents.setdefault(key, set()).add(value)
            counts[key] = counts.get(key, 0) + 1
    same, different = find_repeated_keys(sources.stores)
    assert set(different) == {key for key, values in contents.items() if len(values) > 1}
    assert set(same) == {key for key, count in counts.items() if count > 1} - set(different)
    assert same == [key for key in contents if key in same]
    for store in sources.stores:
        store.close()


def merge_with_few_files(folder: Path, names: Sequence[str], limit: int) -> None:
    """Merge in a process that may have `limit` files open."""
    code = (
        "import resource, sys; from featx.store import merge_stores\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))\n"
        "merge_stores(sys.argv[2:], sys.argv[1], single_file_limit=0)\n"
    )
    paths = [str(folder / name) for name in names]
    subprocess.run([sys.executable, "-c", code, str(folder / "all.h5"), *paths], check=True)


def test_more_stores_are_merged_than_files_may_be_open(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 64
    names = [f"{number}.h5" for number in range(70)]
    for number, name in enumerate(names):
        write_shard(tmp_path / name, f"{number}.png", value=number)
    merge_with_few_files(tmp_path, names, 64)
    with open_store(tmp_path / "all.h5") as store:
        assert values_of(store) == {f"{number}.png": number for number in range(70)}
