"""Part numbers and --overwrite: whatever is killed when, a part counts once, and for one store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featx.extraction import ExtractReport
from featx.store import open_store
from featx.store.parts import OVERWRITE_NAME, list_parts, parts_folder
from featx.testing import ToyBackbone
from tests.store_samples import all_rows, counts, write_color, write_numbered

Run = Callable[..., ExtractReport]

LIMIT = 30
"""Bytes of features: less than 3 rows."""

pytestmark = pytest.mark.usefixtures("small_parts")


def kill_at(monkeypatch: pytest.MonkeyPatch, moment: str, number: int = 0) -> None:
    """End the command after n calls of a function, as a kill there would."""
    count = 0

    def killed(*arguments: object, **options: object) -> object:
        nonlocal count
        count += 1
        if count > number:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    real: Callable[..., object] = ToyBackbone.__call__ if moment == "compute" else killed
    targets = {
        "compute": "featx.testing.toy.ToyBackbone.__call__",
        "assembly": "featx.extraction.running.assemble_store",
        "tidying": "featx.store.views.remove_leftovers",
    }
    monkeypatch.setattr(targets[moment], killed)


def test_parts_that_the_store_has_are_not_taken_again(
    photos: Path, store: Path, run: Run, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_numbered(photos, 5)
    with monkeypatch.context() as patch:
        kill_at(patch, "tidying")
        with pytest.raises(KeyboardInterrupt):
            run(batch_size=2)
    assert len(list_parts(parts_folder(store))) == 3
    # Were they taken again, they would bring the old rows back.
    write_color(photos / "1.png", (99, 99, 99))
    (photos / "4.png").unlink()
    with monkeypatch.context() as patch:
        kill_at(patch, "tidying")
        with pytest.raises(KeyboardInterrupt):
            run(batch_size=2, prune=True)
    before = all_rows(store)
    assert len(before) == 4 + 1
    assert [path.name for path in list_parts(parts_folder(store))][-1] == "part-000003.h5"
    calls.clear()
    assert counts(run(batch_size=2)) == {"rows": 4, "skipped": 4}
    assert calls == []
    assert all_rows(store) == before
    assert not parts_folder(store).exists()
    with open_store(store) as opened:
        assert opened.next_part == 4


@pytest.mark.parametrize("limit", [None, LIMIT])
@pytest.mark.parametrize("option", [{}, {"overwrite": True}])
def test_kill_between_marker_and_first_part_changes_nothing(
    photos: Path,
    store: Path,
    run: Run,
    calls: list[int],
    monkeypatch: pytest.MonkeyPatch,
    limit: int | None,
    option: dict[str, bool],
) -> None:
    write_numbered(photos, 5)
    run(batch_size=2, single_file_limit=limit)
    before = all_rows(store)
    with monkeypatch.context() as patch:
        kill_at(patch, "compute")
        with pytest.raises(KeyboardInterrupt):
            run(batch_size=2, overwrite=True)
    assert (parts_folder(store) / OVERWRITE_NAME).exists()
    assert all_rows(store) == before
    calls.clear()
    write_color(photos / "new.png", (1, 2, 3))
    report = run(batch_size=2, **option)
    # Without the option the store is gone on with; with it, it is replaced.
    assert (report.done, report.skipped) == ((6, 0) if option else (1, 5))
    assert sum(calls) == report.done
    assert all_rows(store)[:5] == before[:5]
    assert not (parts_folder(store) / OVERWRITE_NAME).exists()


@pytest.mark.parametrize("limit", [None, LIMIT])
@pytest.mark.parametrize("option", [{}, {"overwrite": True}])
@pytest.mark.parametrize("moment", ["compute", "assembly"])
def test_killed_overwrite_goes_on(
    photos: Path,
    store: Path,
    run: Run,
    calls: list[int],
    monkeypatch: pytest.MonkeyPatch,
    limit: int | None,
    option: dict[str, bool],
    moment: str,
) -> None:
    write_numbered(photos, 5)
    run(batch_size=2, single_file_limit=limit)
    for number in range(5):
        write_color(photos / f"{number}.png", (200, number, number), mtime=1000 + number)
    with monkeypatch.context() as patch:
        kill_at(patch, moment, 1 if moment == "compute" else 0)
        with pytest.raises(KeyboardInterrupt):
            run(batch_size=2, overwrite=True)
    done = 2 if moment == "compute" else 5
    calls.clear()
    report = run(batch_size=2, **option)
    assert (report.done, report.skipped, report.rows) == (5 - done, done, 5)
    with open_store(store) as opened:
        np.testing.assert_allclose(opened.features("mean")[:, 0], 200 / 255, rtol=1e-6)
    folder = parts_folder(store)
    assert not folder.exists() or not (folder / OVERWRITE_NAME).exists()


@pytest.mark.parametrize("limit", [None, LIMIT])
def test_kill_after_an_overwrite_leaves_old_parts_that_count_no_more(
    photos: Path,
    store: Path,
    run: Run,
    calls: list[int],
    monkeypatch: pytest.MonkeyPatch,
    limit: int | None,
) -> None:
    write_numbered(photos, 5)
    run(batch_size=2, single_file_limit=LIMIT)  # A view: its parts are beside the new ones.
    (photos / "4.png").unlink()
    with monkeypatch.context() as patch:
        kill_at(patch, "tidying")
        with pytest.raises(KeyboardInterrupt):
            run(batch_size=2, overwrite=True, single_file_limit=limit)
    assert (parts_folder(store) / OVERWRITE_NAME).exists()
    assert len(list_parts(parts_folder(store))) == 3 + 2
    before = all_rows(store)
    calls.clear()
    assert counts(run(batch_size=2)) == {"rows": 4, "skipped": 4}
    assert calls == []
    assert all_rows(store) == before
    folder = parts_folder(store)
    assert [path.name for path in list_parts(folder)] == (
        [] if limit is None else ["part-000003.h5", "part-000004.h5"]
    )
    assert not (folder / OVERWRITE_NAME).exists()


def test_killed_overwrite_with_other_options_keeps_the_store(
    photos: Path, store: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_numbered(photos, 5)
    run(batch_size=2)
    before = all_rows(store)
    with monkeypatch.context() as patch:
        kill_at(patch, "compute", 1)
        with pytest.raises(KeyboardInterrupt):
            run(batch_size=2, overwrite=True, layers=["map"])
    assert all_rows(store) == before
    report = run(batch_size=2, overwrite=True, layers=["head/double"])  # Gives up the maps.
    assert (report.done, report.rows) == (5, 5)
    with open_store(store) as opened:
        assert opened.layers == ("head/double",)
