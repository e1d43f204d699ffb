"""Fixtures of the tests of stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from featx.extraction import ExtractReport


@pytest.fixture
def run_interrupted(
    run: Callable[..., ExtractReport], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Extract until everything is computed, and end before the store is made."""

    def run_interrupted(**options: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("featx.extraction.running.assemble_store", _stop)
            with pytest.raises(KeyboardInterrupt):
                run(**options)

    return run_interrupted


def _stop(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt
