"""`extract` on a real cluster of Ray: the store of one machine, row for row and bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import featx
from featx.extraction import ExtractReport
from featx.testing import write_images
from tests.clusters.stores import check_same

Run = Callable[..., ExtractReport]


def test_the_store_is_that_of_one_machine(run: Run, ray: Any, photos: Path, tmp_path: Path) -> None:
    write_images(150, photos, classes=("cat", "dog"))
    (photos / "cat" / "broken.png").write_bytes(b"no picture")
    options: dict[str, Any] = {"layers": ["mean", "map"], "pool": "none"}
    run(output=tmp_path / "alone.h5", **options)
    report = run(cluster="local", num_cpus=1, **options)
    check_same(tmp_path / "alone.h5", tmp_path / "features.h5")
    assert (report.rows, report.failed) == (150, 1)
    with featx.open_store(tmp_path / "features.h5") as store:
        (about,) = store.header.runs
    assert (about["workers"], about["ray"]) == (2, ray.__version__)
    assert ray.is_initialized()
