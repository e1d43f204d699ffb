"""`extract` on a cluster: the store of one machine, row for row and bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import featx
from featx.extraction import ExtractReport
from featx.testing import write_images

Run = Callable[..., ExtractReport]


def read(path: Path) -> dict[str, Any]:
    """Return all that a store says of its images."""
    with featx.open_store(path) as store:
        store.load_columns()
        return {
            "keys": list(store.keys),
            "content": store.content_hash.tolist(),
            "labels": list(store.labels),
            "times": store.file_mtime_ns.tolist(),
            "failures": list(store.failures),
            "missing": sorted(store.missing_keys),
            "features": {
                each.name: store.table(each.name, pool="none").values.tobytes()
                for each in store.header.features
            },
            "fingerprint": store.header.fingerprint,
        }


def check_same(one: Path, other: Path) -> None:
    """Require two stores that differ in nothing but how they were computed."""
    expected, received = read(one), read(other)
    for name, value in expected.items():
        assert received[name] == value, name


@pytest.fixture
def mixed(photos: Path) -> Path:
    """Photos of two classes, two of them identical, and two that are none."""
    write_images(150, photos, classes=("cat", "dog"))
    (photos / "cat" / "copy.png").write_bytes((photos / "cat" / "image_0.png").read_bytes())
    (photos / "cat" / "broken.png").write_bytes(b"no picture")
    (photos / "dog" / "empty.png").write_bytes(b"")
    return photos


def test_the_store_is_that_of_one_machine(run: Run, ray: Any, mixed: Path, tmp_path: Path) -> None:
    alone = run(output=tmp_path / "alone.h5", layers=["mean", "map"], pool="none")
    report = run(layers=["mean", "map"], pool="none", cluster="local", num_cpus=1)
    check_same(tmp_path / "alone.h5", tmp_path / "features.h5")
    assert (report.rows, report.failed) == (alone.rows, alone.failed) == (151, 2)
    assert [one.key for one in report.failures] == [one.key for one in alone.failures]
    with featx.open_store(tmp_path / "features.h5") as store:
        (about,) = store.header.runs
    assert (about["workers"], about["ray"]) == (2, ray.__version__)
    assert about["computed"] == report.done
    assert not (tmp_path / "features.h5.parts").exists()

    again = run(layers=["mean", "map"], pool="none", cluster="local", num_cpus=1)
    assert (again.done, again.skipped) == (0, 151)
    (mixed / "cat" / "image_2.png").unlink()
    (mixed / "cat" / "image_4.png").rename(mixed / "cat" / "moved.png")
    write_images(1, mixed / "dog", size=(6, 6))
    for output in ("alone.h5", "features.h5"):
        options = {} if output == "alone.h5" else {"cluster": "local"}
        last = run(
            layers=["mean", "map"], pool="none", output=tmp_path / output, prune=True, **options
        )
        assert (last.done, last.renamed, last.removed, last.rows) == (1, 1, 1, 151)
    check_same(tmp_path / "alone.h5", tmp_path / "features.h5")
