"""A store that another program has open for writing: it is said to be open, not damaged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import featx
from featx.errors import StoreLocked
from featx.extraction.report import ExtractReport
from featx.testing import write_images

Run = Callable[..., ExtractReport]

HOLD = """
import sys
import h5py
file = h5py.File(sys.argv[1], "r+")
if sys.argv[2] == "changed":
    file["more"] = list(range(1000))
    file.flush()
print("open", flush=True)
sys.stdin.read()
"""

IS_OPEN = "is open for writing in another program"


@pytest.fixture
def hold() -> Iterator[Callable[[Path, str], subprocess.Popen[str]]]:
    """A function that opens a file in another process, until the end of the test."""
    holders: list[subprocess.Popen[str]] = []

    def hold(path: Path, state: str) -> subprocess.Popen[str]:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), state],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        return holder

    yield hold
    for holder in holders:
        holder.communicate()


def assert_said(store: Path, photos: Path, run: Run, named: Path) -> None:
    """Call everything that opens a store; each names the file that is open."""
    other = store.with_name("other.h5")
    calls: list[Callable[[], object]] = [
        lambda: featx.open_store(store).features()[:],
        lambda: featx.verify_store(store),
        lambda: featx.verify_store(store, repair=True),
        lambda: featx.export_store(store, store.with_name("out.csv")),
        lambda: featx.merge_stores([store], other),
        lambda: featx.pack_store(store, output=other),
        lambda: featx.fit_head(store, output=store.with_name("head")),
        lambda: featx.search(photos, features=store),
    ]
    calls += [run] if named == store else []  # Parts are not needed for nothing new.
    for call in calls:
        with pytest.raises(StoreLocked, match=IS_OPEN) as caught:
            call()
        assert str(named) in str(caught.value)
        assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("state", ["unchanged", "changed"])
def test_a_file_that_is_open_for_writing(
    run: Run,
    photos: Path,
    store: Path,
    hold: Callable[[Path, str], subprocess.Popen[str]],
    state: str,
) -> None:
    write_images(6, photos)
    run()
    holder = hold(store, state)
    assert_said(store, photos, run, store)
    holder.communicate()
    if state == "unchanged":
        assert len(featx.open_store(store).keys) == 6, "as before, once it is closed"


@pytest.mark.parametrize("state", ["unchanged", "changed"])
def test_a_view_that_is_open_for_writing(
    run: Run,
    photos: Path,
    store: Path,
    hold: Callable[[Path, str], subprocess.Popen[str]],
    state: str,
) -> None:
    write_images(6, photos)
    run(single_file_limit=1)
    assert list(store.with_name(f"{store.name}.parts").glob("*.h5")), "a view"
    hold(store, state)
    assert_said(store, photos, run, store)


def test_a_part_that_is_open_for_writing(
    run: Run, photos: Path, store: Path, hold: Callable[[Path, str], subprocess.Popen[str]]
) -> None:
    write_images(6, photos)
    run(single_file_limit=1)
    part = next(store.with_name(f"{store.name}.parts").glob("*.h5"))
    hold(part, "unchanged")
    with pytest.raises(StoreLocked, match=IS_OPEN):
        featx.verify_store(store)
    assert_said(store, photos, run, part)
