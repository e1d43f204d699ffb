"""Which layers are trained."""

from __future__ import annotations

import pytest

from featx.errors import InvalidValue, UnknownName
from featx.training.freezing import LayerPlace, choose_trained
from featx.training.options import FreezingOptions

PLACES = [
    LayerPlace("stem", 0),
    LayerPlace("body/conv1", 1),
    LayerPlace("body/conv2", 1),
    LayerPlace("pool", 2),
    LayerPlace("dense", 3),
]


@pytest.mark.parametrize(
    ("unfreeze", "freeze", "expected"),
    [
        ("all", "", "stem body/conv1 body/conv2 pool dense"),
        ("none", "", ""),
        (2, "", "pool dense"),
        (0, "", ""),
        (4, "0:2", "pool dense"),
        ("body", "", "body/conv1 body/conv2 pool dense"),
        ("body/conv2", "dense", "body/conv2 pool"),
        ("1:3", "", "body/conv1 body/conv2 pool"),
        ("-1:", "", "dense"),
        ("0:1,3:", "", "stem dense"),
        ("all", "body,-1", "stem pool"),
        ("all", ":3", "dense"),
    ],
)
def test_layers_by_name_number_and_range(unfreeze: str | int, freeze: str, expected: str) -> None:
    assert choose_trained(PLACES, 4, FreezingOptions(unfreeze, freeze)) == set(expected.split())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (FreezingOptions("conv9"), UnknownName, "conv9"),
        (FreezingOptions(5), InvalidValue, "has 4 layers.*unfreeze=5"),
        (
            FreezingOptions(freeze="0:9"),
            InvalidValue,
            r"up to 'dense', .* numbers 0 to 3.*freeze='0:9'",
        ),
        (FreezingOptions(freeze="7"), InvalidValue, "numbers 0 to 3.*freeze='7'"),
        (FreezingOptions("2:1"), InvalidValue, "begins before it ends, as 0:4.*unfreeze='2:1'"),
        (FreezingOptions(freeze="4:"), InvalidValue, "begins before it ends.*freeze='4:'"),
    ],
)
def test_what_is_not_there_is_refused(
    options: FreezingOptions, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        choose_trained(PLACES, 4, options)
