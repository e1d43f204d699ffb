"""Parts and the file made from them: bounds, order, replacement, full disks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx.store.parts as writer_module
from featx.errors import StoreDamaged, StoreError
from featx.images.sources import ImageFailure
from featx.store import FeatureStore, open_store
from featx.store.assembly import assemble_store
from featx.store.parts import PartWriter, list_parts, remove_leftovers
from featx.store.planning import plan_rows
from tests.store_samples import content_hash, make_header, make_rows, write_sample

HEADER = make_header({"v": (2,)})  # 8 bytes a row


def rows_of(*keys: str, value: float = 0.0, label: str | None = None) -> Any:
    values = np.full((len(keys), 2), value, np.float32)
    contents = [f"{key} {value}" for key in keys]
    return make_rows({"v": values}, keys, labels=[label] * len(keys), contents=contents)


def failure(key: str, reason: str = "broken") -> ImageFailure:
    return ImageFailure(key, reason, 5, 7)


def keys_of(paths: Iterable[Path]) -> list[tuple[str, ...]]:
    keys = []
    for path in paths:
        with open_store(path) as store:
            keys.append(store.keys)
    return keys


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
    monkeypatch.setattr(writer_module.time, "monotonic", lambda: now)
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
        assert part.header == HEADER
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


# Assembling


class Sources:
    """Open stores, oldest first, written from rows and failures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stores: list[FeatureStore] = []

    def add(self, *keys: str, failures: Sequence[ImageFailure] = (), **rows: Any) -> None:
        path = self.folder / f"source-{len(self.stores)}.h5"
        made = rows_of(*keys, **rows)
        contents = [f"{key} {rows.get('value', 0.0)}" for key in keys]
        write_sample(
            path,
            made.features,
            made.keys,
            labels=made.labels,
            contents=contents,
            failures=failures,
        )
        self.stores.append(open_store(path))

    def assemble(self, **options: Any) -> FeatureStore:
        path = self.folder / "all.h5"
        plan = plan_rows(self.stores, **options)
        assemble_store(path, HEADER, self.stores, plan)
        for store in self.stores:
            store.close()
        opened = open_store(path)
        assert len(opened) == len(plan)
        return opened


def values(store: FeatureStore) -> dict[str, float]:
    return dict(zip(store.keys, store.features("v")[:, 0].tolist(), strict=True))


def test_later_rows_replace_earlier_ones(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    sources.add("a.png", "b.png", "c.png", value=1)
    sources.add("d.png", "b.png", value=2)
    with sources.assemble() as store:
        assert list(values(store).items()) == [
            ("a.png", 1),
            ("c.png", 1),
            ("d.png", 2),
            ("b.png", 2),
        ]
        assert [row.tobytes() for row in store.content_hash] == [
            content_hash(f"{key} {value:.0f}") for key, value in values(store).items()
        ]
        assert store.file_size.tolist() == [100, 102, 100, 101]


def test_same_row_again_keeps_its_place(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    sources.add("a.png", "b.png", "c.png", value=1)
    sources.add("b.png", value=1)
    sources.add("a.png", value=2)
    with sources.assemble() as store:
        assert list(values(store).items()) == [("b.png", 1), ("c.png", 1), ("a.png", 2)]


def test_failure_replaces_a_row_and_success_clears_a_failure(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    sources.add("a.png", "b.png", failures=[failure("c.png"), failure("d.png", "old")])
    sources.add("c.png", failures=[failure("a.png"), failure("d.png", "new")])
    with sources.assemble() as store:
        assert store.keys == ("b.png", "c.png")
        assert store.failures == (failure("d.png", "new"), failure("a.png"))


def test_dropped_keys_and_failures(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    sources.add("a.png", "b.png", "c.png", failures=[failure("x.png"), failure("y.png")])
    with sources.assemble(dropped=["b.png"], dropped_failures=["x.png"]) as store:
        assert store.keys == ("a.png", "c.png")
        assert store.failures == (failure("y.png"),)


def test_touched_files_get_their_new_times(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    sources.add("a.png", "b.png")
    with sources.assemble(file_stats={"b.png": (100, 42)}) as store:
        assert store.file_size.tolist() == [100, 100]
        assert store.file_mtime_ns.tolist() == [10**18, 42]


def test_classes_are_merged_and_renumbered(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    sources.add("10/a.png", label="10")
    sources.add("2/b.png", label="2")
    sources.add("c.png")
    sources.add("gone/d.png", label="gone")
    with sources.assemble(dropped=["gone/d.png"]) as store:
        assert store.classes == ("2", "10")
        assert store.labels == ("10", "2", None)


def test_rows_of_many_blocks_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "BLOCK_BYTES", 3 * HEADER.row_bytes)
    keys = [f"{number}.png" for number in range(10)]
    path = tmp_path / "one.h5"
    write_sample(path, {"v": np.arange(20, dtype=np.float32).reshape(10, 2)}, keys)
    with open_store(path) as source:
        assemble_store(tmp_path / "all.h5", HEADER, [source], dropped=["4.png"])
    with open_store(tmp_path / "all.h5") as store:
        assert list(values(store).items()) == [
            (f"{number}.png", 2.0 * number) for number in range(10) if number != 4
        ]


def test_nothing_at_all_is_still_a_store(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    sources.add(failures=[failure("a.png")])
    with sources.assemble() as store:
        assert (store.keys, store.failures) == ((), (failure("a.png"),))
        assert store.features("v").shape == (0, 2)


def test_damaged_source_is_named_and_the_former_file_stays(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    sources.add("a.png", "b.png", value=3)
    offset = sources.stores[0].features("v").id.get_chunk_info(0).byte_offset
    sources.stores[0].close()
    path = tmp_path / "source-0.h5"
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    write_sample(tmp_path / "all.h5", {"v": np.ones((1, 2), np.float32)})
    former = (tmp_path / "all.h5").read_bytes()
    with open_store(path) as source, pytest.raises(StoreDamaged, match=r"source-0\.h5"):
        assemble_store(tmp_path / "all.h5", HEADER, [source])
    assert (tmp_path / "all.h5").read_bytes() == former
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all.h5", "source-0.h5"]


# Full disks


def test_failed_write_says_what_to_do_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *arguments: Any, **options: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "all.h5"
    write_sample(path, {"v": np.ones((1, 2), np.float32)})
    former = path.read_bytes()
    monkeypatch.setattr(writer_module, "write_store", full)
    with (
        open_store(path) as source,
        pytest.raises(StoreError, match=r"all\.h5.*disk is full.*make room and run the same"),
    ):
        assemble_store(path, HEADER, [source])
    assert path.read_bytes() == former
    assert list(tmp_path.iterdir()) == [path]


def test_rows_survive_a_failed_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = writer_module.write_store

    def full(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(writer_module, "write_store", real)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(writer_module, "write_store", full)
    writer = PartWriter(tmp_path / "p", HEADER, max_bytes=10**9)
    writer.add(rows_of("a.png"))
    with pytest.raises(StoreError, match="Input/output error"):
        writer.commit()
    assert list_parts(tmp_path / "p") == []
    writer.commit()
    assert keys_of(list_parts(tmp_path / "p")) == [("a.png",)]


FULL_DISK = textwrap.dedent(
    """
    import resource, sys
    from pathlib import Path
    import numpy as np
    from featx.errors import StoreError
    from featx.store import open_store
    from featx.store.writer import PartWriter, assemble_store
    from tests.store_samples import make_header, make_rows

    folder, limit = Path(sys.argv[1]), int(sys.argv[2])
    header = make_header({"v": (1000,)})
    rows = make_rows({"v": np.ones((500, 1000), np.float32)})
    writer = PartWriter(folder, header, max_bytes=10**9)
    writer.add(rows)
    writer.commit()
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    writer.add(rows)
    for attempt in ("commit", "commit again", "assemble"):
        try:
            if attempt == "assemble":
                with open_store(folder / "part-000000.h5") as part:
                    assemble_store(folder / "all.h5", header, [part])
            else:
                writer.commit()
        except StoreError as error:
            print(attempt, "refused:", error)
    print(sorted(path.name for path in folder.iterdir()))
    """
)


@pytest.mark.parametrize("limit", [4000, 1_990_000])  # In the header; in the features.
def test_real_write_error_neither_crashes_nor_leaves_half_a_file(
    tmp_path: Path, limit: int
) -> None:
    # HDF5 itself ends the process with a segmentation fault here: see guarded_file.py.
    pytest.importorskip("resource")
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(limit)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    for line, attempt in zip(lines, ("commit", "commit again", "assemble"), strict=False):
        assert line.startswith(f"{attempt} refused: ")
        assert "File too large. Everything committed before is kept; make room" in line
    assert lines[3:] == ["['part-000000.h5']"]


def test_interrupt_while_writing_waits_for_hdf5_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Any:
        import _thread
        import time

        _thread.interrupt_main()
        time.sleep(0.05)
        return real(*arguments)

    real = writer_module._read_rows
    monkeypatch.setattr(writer_module, "_read_rows", interrupted)
    sources = Sources(tmp_path)
    sources.add("a.png")
    with pytest.raises(KeyboardInterrupt):
        sources.assemble()
    assert [path.name for path in tmp_path.iterdir()] == ["source-0.h5"]
