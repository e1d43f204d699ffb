"""The file made of others: order, classes, runs, interruptions, full disks."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx.store.assembly as assembly_module
from featx.errors import StoreDamaged, StoreError
from featx.store import FeatureStore, open_store
from featx.store.assembly import assemble_store
from featx.store.parts import PartWriter, list_parts, next_part_number, parts_folder
from featx.store.planning import PlannedRows, plan_rows
from featx.store.rows import StoreHeader
from tests.store_samples import VECTOR_HEADER as HEADER
from tests.store_samples import (
    Sources,
    chunk_offset,
    failure,
    flip,
    make_copies,
    rows_of,
    values_of,
    write_sample,
)


def test_classes_are_merged_and_renumbered(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    sources.add("10/a.png", label="10")
    sources.add("2/b.png", label="2")
    sources.add("c.png")
    sources.add("gone/d.png", label="gone")
    with sources.assemble(dropped=["gone/d.png"]) as store:
        assert store.classes == ("2", "10")
        assert store.labels == ("10", "2", None)


def planned(header: StoreHeader, sources: Sequence[FeatureStore]) -> PlannedRows:
    return PlannedRows(sources, plan_rows(sources), header)


def test_rows_of_many_blocks_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly_module, "BLOCK_BYTES", 3 * HEADER.row_bytes)
    keys = [f"{number}.png" for number in range(10)]
    path = tmp_path / "one.h5"
    write_sample(path, {"v": np.arange(20, dtype=np.float32).reshape(10, 2)}, keys)
    with open_store(path) as source:
        plan = plan_rows([source], dropped=["4.png"])
        assemble_store(tmp_path / "all.h5", PlannedRows([source], plan, HEADER), next_part=0)
    with open_store(tmp_path / "all.h5") as store:
        assert list(values_of(store).items()) == [
            (f"{number}.png", 2.0 * number) for number in range(10) if number != 4
        ]


def test_nothing_at_all_is_still_a_store(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    sources.add(failures=[failure("a.png")])
    with sources.assemble() as store:
        assert (store.keys, store.failures) == ((), (failure("a.png"),))
        assert store.features("v").shape == (0, 2)


def test_damaged_source_is_named_and_the_previous_file_stays(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    sources.add("a.png", "b.png", value=3)
    sources.stores[0].close()
    path = tmp_path / "source-0.h5"
    flip(path, chunk_offset(path, "features/f000"))
    write_sample(tmp_path / "all.h5", {"v": np.ones((1, 2), np.float32)})
    previous = (tmp_path / "all.h5").read_bytes()
    with open_store(path) as source, pytest.raises(StoreDamaged, match=r"source-0\.h5"):
        assemble_store(tmp_path / "all.h5", planned(HEADER, [source]), next_part=0)
    assert (tmp_path / "all.h5").read_bytes() == previous
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all.h5", "source-0.h5"]


def test_runs_are_added_up_and_the_newest_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly_module, "MAX_RECORDED_RUNS", 2)
    stores = []
    for number in range(6):
        run = {"started": f"2026-01-0{1 + number // 2}", "computed": 1, "seconds": 0.5}
        writer = PartWriter(tmp_path / "p", replace(HEADER, runs=(run,)), max_bytes=1)
        writer.add(rows_of(f"{number}.png"))
    for path in list_parts(tmp_path / "p"):
        with open_store(path) as part:
            part.load_columns()
        stores.append(part)
    header = replace(HEADER, runs=())
    assemble_store(tmp_path / "all.h5", planned(header, stores[1:]), next_part=0)
    assemble_store(tmp_path / "two.h5", planned(header, stores[:3]), next_part=0)
    with open_store(tmp_path / "all.h5") as all_parts, open_store(tmp_path / "two.h5") as two:
        assert [(run["started"], run["computed"]) for run in two.header.runs] == [
            ("2026-01-01", 2),
            ("2026-01-02", 1),
        ]
        assert [(run["started"], run["computed"]) for run in all_parts.header.runs] == [
            ("2026-01-02", 2),
            ("2026-01-03", 2),
        ]


def test_missing_keys_are_marked(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    sources.add("a.png", "b.png", "c.png")
    plan = plan_rows(sources.stores, dropped=["c.png"])
    assemble_store(
        tmp_path / "all.h5",
        PlannedRows(sources.stores, plan, HEADER),
        next_part=0,
        missing=["b.png", "c.png", "other.png"],
    )
    with open_store(tmp_path / "all.h5") as store:
        assert store.missing.tolist() == [False, True]


def test_store_remembers_which_parts_it_has(tmp_path: Path) -> None:
    path = tmp_path / "all.h5"
    folder = parts_folder(path)

    def assemble(*keys: str) -> FeatureStore:
        sources = [open_store(path)] if path.exists() else []
        first = sources[0].next_part if sources else 0
        for key in keys:
            PartWriter(folder, HEADER, max_bytes=1, first_number=first).add(rows_of(key))
        sources += [open_store(part) for part in list_parts(folder, first)]
        assemble_store(
            path,
            planned(HEADER, sources),
            next_part=next_part_number(folder, max([0, *(s.next_part for s in sources)])),
        )
        for source in sources:
            source.close()
        return open_store(path)

    with assemble("a.png", "b.png") as store:
        assert store.next_part == 2
    for part in list_parts(folder):
        part.unlink()
    with assemble() as store:
        assert store.next_part == 2  # Also when the parts are gone.
    with assemble("c.png") as store:
        assert (store.next_part, store.keys) == (3, ("a.png", "b.png", "c.png"))


def test_copies_get_features_and_labels_of_their_own(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    copies = make_copies({"x/copy.png": "b.png 1"}, labels=["x"])
    sources.add("a.png", "b.png", value=1)
    sources.add("c.png", value=2, copies=copies)
    with sources.assemble(order=["a.png", "b.png", "x/copy.png", "c.png"]) as store:
        assert list(values_of(store).items()) == [
            ("a.png", 1),
            ("b.png", 1),
            ("x/copy.png", 1),
            ("c.png", 2),
        ]
        assert store.labels == (None, None, "x", None)
        assert store.classes == ("x",)
        assert len(store.copies) == 0  # Only parts have them.


# Full disks


def test_failed_write_says_what_to_do_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *arguments: Any, **options: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "all.h5"
    write_sample(path, {"v": np.ones((1, 2), np.float32)})
    previous = path.read_bytes()
    monkeypatch.setattr(assembly_module, "write_store", full)
    with (
        open_store(path) as source,
        pytest.raises(StoreError, match=r"all\.h5.*disk is full.*make room and run the same"),
    ):
        assemble_store(path, planned(HEADER, [source]), next_part=0)
    assert path.read_bytes() == previous
    assert list(tmp_path.iterdir()) == [path]


FULL_DISK = textwrap.dedent(
    """
    import resource, sys
    from pathlib import Path
    import numpy as np
    from featx.errors import StoreError
    from featx.store import open_store
    from featx.store.assembly import assemble_store
    from featx.store.parts import PartWriter
    from featx.store.planning import PlannedRows, plan_rows
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
                    plan = plan_rows([part])
                    assemble_store(
                        folder / "all.h5", PlannedRows([part], plan, header), next_part=1
                    )
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

    real = FeatureStore.features
    monkeypatch.setattr(FeatureStore, "features", interrupted)
    sources = Sources(tmp_path)
    sources.add("a.png")
    # A shell has its background jobs ignore interruptions.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            sources.assemble()
    finally:
        signal.signal(signal.SIGINT, before)
    assert [path.name for path in tmp_path.iterdir()] == ["source-0.h5"]
