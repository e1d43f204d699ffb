from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.events import Listener
from featx.store import FeatureStore
from tests.store_samples import Color, write_color, write_sample

HOSTILE_KEYS = (
    "plain/a.png",
    'quoted/"b", c.png',
    "lines/d\ne\r\nf\r.png",
    "tab/\tg.png",
    "Blüten/日本 \U0001f33c.png",
    "back\\slash\\t.png",
    " ",
    "=1+1.png",
)
HOSTILE_LABELS = ("plain", 'quo"ted,', "li\nnes", "t\tab", "Blüten", None, None, " ")

COLORS: tuple[Color, ...] = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255))


class Notes(Listener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.stages: list[tuple[str, int]] = []
        self.advanced: list[int] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def start(self, total: int, what: str) -> None:
        self.stages.append((what, total))
        self.advanced.append(0)

    def advance(self, count: int) -> None:
        self.advanced[-1] += count


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def values() -> np.ndarray:
    """As many rows as there are hostile keys, with numbers that are hard to write as text."""
    values = np.random.default_rng(0).standard_normal((len(HOSTILE_KEYS), 5), np.float32)
    info = np.finfo(np.float32)
    values[0] = [0.1, -0.0, info.max, info.tiny, info.smallest_subnormal]
    values[1] = [np.inf, -np.inf, 1 / 3, 16_777_217, -info.max]
    return values


@pytest.fixture
def hostile(tmp_path: Path, values: np.ndarray) -> Path:
    """A store with names that break careless writers."""
    path = tmp_path / "hostile.h5"
    write_sample(path, {"gap": values}, HOSTILE_KEYS, labels=HOSTILE_LABELS)
    return path


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores are read in blocks of three rows."""
    real = FeatureStore.iter_vectors

    def iter_vectors(self: FeatureStore, *arguments: Any) -> Iterator[np.ndarray]:
        for block in real(self, *arguments):
            for start in range(0, len(block), 3):
                yield block[start : start + 3]

    monkeypatch.setattr(FeatureStore, "iter_vectors", iter_vectors)


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    """A store of five pictures of one colour each, which are there."""
    keys = [f"image_{number}.png" for number in range(len(COLORS))]
    for key, color in zip(keys, COLORS, strict=True):
        write_color(tmp_path / "photos" / key, color)
    path = tmp_path / "colors.h5"
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)
    write_sample(path, {"gap": rows}, keys, root=tmp_path / "photos")
    return path
