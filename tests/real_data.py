"""Where real weights and photographs lie, for tests that need them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REAL_DATA = Path(
    os.environ.get("FEATX_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data"
).absolute()

needs_real_data = pytest.mark.skipif(
    not REAL_DATA.is_dir(),
    reason="real weights and photographs are not here (set FEATX_TEST_DATA to their folder)",
)
