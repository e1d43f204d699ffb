"""An interrupted cell of a notebook: what was computed is kept, and the cell runs again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.extraction import ExtractReport
from featx.testing import ToyBackbone, write_images

pytestmark = pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) is not signal.default_int_handler, reason="SIGINT is ignored"
)


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the toy be interrupted, once, as a person does it, in its n-th batch."""
    real = ToyBackbone.__call__

    def interrupt(batch: int) -> None:
        left = [batch]

        def call(
            self: ToyBackbone, images: np.ndarray, names: Sequence[str]
        ) -> dict[str, np.ndarray]:
            left[0] -= 1
            if left[0] == 0:
                signal.raise_signal(signal.SIGINT)
            return real(self, images, names)

        monkeypatch.setattr(ToyBackbone, "__call__", call)

    return interrupt


@pytest.mark.usefixtures("small_parts")
def test_an_extraction_keeps_what_it_has_and_goes_on(
    run: Callable[..., ExtractReport],
    interrupt: Callable[[int], None],
    photos: Path,
    store: Path,
) -> None:
    write_images(12, photos)
    interrupt(5)
    with pytest.raises(KeyboardInterrupt):
        run(batch_size=2)
    report = run(batch_size=2)
    assert 2 <= report.skipped < 12
    assert report.done + report.skipped == report.rows == 12
    with featx.open_store(store) as kept:
        features = kept.table().values
    run(batch_size=2, overwrite=True)
    with featx.open_store(store) as fresh:
        assert np.array_equal(features, fresh.table().values)


def test_arrays_are_computed_again(
    toy: str, interrupt: Callable[[int], None], photos: Path
) -> None:
    write_images(12, photos)
    extractor = featx.Extractor(toy, "mean", batch_size=2)
    interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        extractor(photos)
    assert np.asarray(extractor(photos)).shape == (12, 3)


def test_heads_and_indexes_are_the_old_ones_or_the_new_ones(
    run: Callable[..., ExtractReport],
    photos: Path,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_images(12, photos, classes=("cat", "dog"))
    run()
    head, index = tmp_path / "head", tmp_path / "features.faiss"
    jobs: list[tuple[Callable[[], Any], Path, Callable[[], Any]]] = [
        (lambda: featx.fit_head(store, output=head), head, lambda: featx.load_head(head)),
        (lambda: featx.build_index(store), index, lambda: featx.open_index(index)),
    ]
    for make, path, check in jobs:
        make()
        before = {file: file.read_bytes() for file in [path, *path.rglob("*")] if file.is_file()}
        with monkeypatch.context() as patch:
            patch.setattr("os.replace", lambda *names: signal.raise_signal(signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                make()
        assert {file: file.read_bytes() for file in before} == before
        check()
        make()
        check()
