"""Filters over arrays are those over Python's own values, and fast."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from featx.errors import FeatxError
from featx.images.sources.request import make_exclusion
from featx.index.conditions import select_rows
from featx.index.glob_rows import join_keys, match_keys
from featx.index.text_column import Names

PART = st.text("ab.*?[]!\n\\(|ü^$", min_size=1, max_size=4).filter(lambda text: text != ".")
KEYS = st.lists(st.lists(PART, min_size=1, max_size=3).map("/".join), min_size=1, max_size=6)
PATTERNS = st.lists(st.text("ab.*?/[!]\n\\(|ü^$-", min_size=1, max_size=6), min_size=1, max_size=2)


@given(KEYS, PATTERNS)
@settings(max_examples=100, deadline=None)
@example(["a1/b", "a/b2", "ab"], ["[!b][0-9]", "a[!a]b", "[a-b]*"])
@example(["a/b", "b/a/c", "a/b\n"], ["a/b", "**/c/", "b*c"])
def test_globs_match_what_exclusions_match(keys: list[str], patterns: list[str]) -> None:
    matches = make_exclusion(patterns)
    assert matches is not None
    assert match_keys(keys, join_keys(keys), patterns).tolist() == [matches(key) for key in keys]


def test_globs_may_be_too_long_for_an_expression() -> None:
    keys = [f"7{'-' * 1_000}/a.jpg", "b/7.jpg"]
    long = [f"{number}{'?' * 1_000}" for number in range(100)]
    assert match_keys(keys, join_keys(keys), long).tolist() == [True, False]


SIGNS = ("<", "<=", ">", ">=", "==", "!=", "is", "is not")
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**70]))


@given(
    st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "b", "B"])), max_size=6),
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3), max_size=6),
    st.lists(st.floats(allow_infinity=True) | st.integers(-3, 3).map(float), max_size=6),
    st.sampled_from(SIGNS),
    st.one_of(NUMBERS, st.sampled_from([0.5, -1.0, "a", "c", "'", True])),
    st.booleans(),
    st.sampled_from(["text", "whole", "part"]),
)
@settings(max_examples=100, deadline=None)
def test_conditions_on_arrays_are_those_on_values(
    texts: list[str | None],
    whole: list[int],
    part: list[float],
    sign: str,
    value: object,
    is_left: bool,
    name: str,
) -> None:
    count = min(len(texts), len(whole), len(part))
    texts, whole, part = texts[:count], whole[:count], part[:count]
    shown = "None" if sign.startswith("is") else repr(value)
    is_left = is_left or sign.startswith("is")
    condition = f"{name} {sign} {shown}" if is_left else f"{shown} {sign} {name}"
    floats = [None if one != one else one for one in part]
    slow = {"text": texts, "whole": whole, "part": floats}
    fast = {
        "text": Names.of(texts),
        "whole": np.array(whole, np.int64),
        "part": np.array(part, np.float64),
    }
    assert outcome(condition, fast, count) == outcome(condition, slow, count)


def outcome(condition: str, columns: dict[str, object], count: int) -> object:
    try:
        return select_rows(condition, columns, count).tolist()  # type: ignore[arg-type]
    except FeatxError as error:
        return type(error)


@pytest.mark.slow
def test_a_million_rows_take_a_fifth_of_a_second() -> None:
    keys = [f"{number // 1000:05d}/{number:08d}.jpg" for number in range(1_000_000)]
    joined = join_keys(keys)
    columns = {"price": np.arange(1e6) % 100, "color": Names.of(["red", "blue"] * 500_000)}
    for call in (
        lambda: match_keys(keys, joined, ["*7.jpg"]),
        lambda: select_rows("price < 20 and color == 'red'", columns, 1_000_000),
    ):
        began = time.process_time()
        assert 0 < call().sum() < 1_000_000
        assert time.process_time() - began < 0.2
