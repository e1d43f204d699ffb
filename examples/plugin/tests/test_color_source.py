"""The model source: values by hand, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import featx
from featx.errors import InvalidValue, UnknownName


def test_values_by_hand() -> None:
    images = np.zeros((1, 64, 64, 3), np.uint8)
    images[:, :16, :, 0] = 255  # The upper quarter is red.
    values = featx.load_model("color:histogram,bins=2")(images, ["grid", "histogram"])
    assert values["grid"][0, :, 0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert values["histogram"].tolist() == [[0.75, 0, 0, 0, 0.25, 0, 0, 0]]


def test_what_is_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean histogram"):
        featx.load_model("color:histogramm")
    with pytest.raises(InvalidValue, match="from 2 to 16"):
        featx.load_model("color:histogram,bins=99")
    with pytest.raises(InvalidValue, match="multiples of 4"):
        featx.load_model("color:histogram", img_size=(30, 30))
