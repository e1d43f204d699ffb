"""float16 to float32, beside NumPy's conversion."""

from __future__ import annotations

import numpy as np
import pytest

from featx.datasets.half_floats import widen

EVERY = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


@pytest.mark.parametrize("values", [EVERY, EVERY[np.isfinite(EVERY)].reshape(-1, 2)])
def test_every_number_is_the_same(values: np.ndarray) -> None:
    out = np.empty(values.shape, np.float32)
    widen(values, out)
    np.testing.assert_array_equal(out, values.astype(np.float32))
    np.testing.assert_array_equal(np.signbit(out), np.signbit(values))
