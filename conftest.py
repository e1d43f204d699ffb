"""Doctests of the package write their files into a temporary folder; collecting is no garbage."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest


def pytest_collection() -> None:
    """Thousands of tests are made that stay: looking for garbage among them is a fifth of it."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave out of what is looked through from now on what stays until the end."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _doctests_write_elsewhere(request: pytest.FixtureRequest) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        folder: Path = request.getfixturevalue("tmp_path")
        request.getfixturevalue("monkeypatch").chdir(folder)
