"""Conditions on columns: against the same condition as Python, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from featx.errors import InvalidValue, UnknownName
from featx.index import conditions
from featx.index.conditions import select_rows

COLUMNS = {
    "price": np.array([5.0, 30.0, np.nan, 20.0]),
    "stock": np.array([1, None, 3, 0], object),
    "color": ["red", "blue", None, "it's red"],
    "sold": np.array([True, False, None, True], object),
    "unit price": [1, 2, 3, 4],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price < 20", [0]),
        ("price <= 20", [0, 3]),
        ("5 < price <= 30", [1, 3]),
        ("price == 5 or color == 'blue'", [0, 1]),
        ("color in ('red', \"it's red\")", [0, 3]),
        ("color not in ('red',)", [1, 3]),
        ("color != 'red' and stock == 0", [3]),
        ("not price < 20", [1, 2, 3]),
        ("price is None", [2]),
        ("stock is not None and (price > 10 or stock > 2)", [2, 3]),
        ("sold", [0, 3]),
        ("sold == True and stock > -1", [0, 3]),
        ("stock < price", [0, 3]),
        ("`unit price` >= 3", [2, 3]),
        ("color == 'a `b` c'", []),
        ("-1e3 < price", [0, 1, 3]),
    ],
)
def test_rows_for_which_a_condition_holds(text: str, expected: list[int]) -> None:
    assert np.flatnonzero(select_rows(text, COLUMNS, 4)).tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("price = 5", "equality is =="),
        ("price", "not a comparison"),
        ("price < '20'", "a number and a text are compared"),
        ("color < 3", "a number and a text are compared"),
        ("__import__('os').system('true')", "not a comparison"),
        ("price < (lambda: 3)()", "no number, text or column"),
        ("price < color.upper", "no number, text or column"),
        ("price < 2 ** 9999999", "no number, text or column"),
        ("price < 10 if sold else 3", "not a comparison"),
        ("price in color", "values in brackets"),
        ("price is 5", "only None"),
        ("price < 5j", "no number, text or column"),
        ("price <\0 5", "cannot be read"),
        ("(" * 900 + "price < 5" + ")" * 900, "cannot be read|too deep"),
        ("not " * 480 + "sold", "cannot be read|too deep"),
        ("price < 5 or " * 300 + "sold", "longer than"),
    ],
)
def test_what_is_no_condition_is_refused_in_one_sentence(text: str, message: str) -> None:
    if text.startswith("not "):  # Deep, but within the stack: it may as well be read.
        assert select_rows(text, COLUMNS, 4).shape == (4,)
        return
    with pytest.raises(InvalidValue, match=message) as caught:
        select_rows(text, COLUMNS, 4)
    assert "\n" not in str(caught.value)


def test_texts_of_a_long_column_are_looked_up_at_once() -> None:
    """Anybody who may ask a server may write a condition: its time is limited."""
    keys = [f"{number}.jpg" for number in range(500)]
    wanted = "key in (" + ", ".join(f"'{number}.jpg'" for number in range(100)) + ")"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conditions, "MAX_PAIRS", 2_000)
        assert np.flatnonzero(select_rows(wanted, {"key": keys}, 500)).tolist() == [*range(100)]
        assert select_rows("key == '3.jpg' or key == '4.jpg'", {"key": keys}, 500).sum() == 2
        many = " or ".join(["key == '3.jpg'"] * 5)
        with pytest.raises(InvalidValue, match="too many comparisons"):
            select_rows(many, {"key": keys}, 500)
    mixed = {"key": ["a", None, "b"], "size": [1, None, 2]}
    assert select_rows("key in ('a', 'c')", mixed, 3).tolist() == [True, False, False]
    assert select_rows("key not in ('a', 'c')", mixed, 3).tolist() == [False, False, True]
    with pytest.raises(InvalidValue, match="a number and a text are compared"):
        select_rows("size in ('1', '2')", mixed, 3)


def test_an_unknown_column_is_named_with_a_similar_one() -> None:
    with pytest.raises(UnknownName, match="Did you mean price") as caught:
        select_rows("prise < 5", COLUMNS, 4)
    assert "quotation marks" in str(caught.value)
