from __future__ import annotations

from pathlib import Path

import pytest

from featx.testing import register_toy_model, write_images
from tests.cli.program import Program


@pytest.fixture
def featx(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    register_toy_model()
    return Program(monkeypatch, capsys)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of twelve pictures in two classes, which is the current folder."""
    folder = write_images(12, tmp_path / "photos", classes=("dark", "light"))
    monkeypatch.chdir(folder)
    return folder
