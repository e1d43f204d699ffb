"""Groups of options: as objects, as keywords, and what is said about wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import featx
from featx.errors import FeatxError, InvalidValue, RepeatedOption, UnknownName, UnknownOption
from featx.options import InputOptions, RunOptions, UpdateOptions, fill_group


@pytest.mark.parametrize(
    ("function", "option", "suggestion"),
    [
        (featx.extract, "bach_size", "batch_size"),
        (featx.extract, "layer", "layers"),
        (featx.extract, "retry_fail", "retry_failed"),
        (featx.predict, "weight", "weights"),
        (featx.predict, "precison", "precision"),
        (featx.search, "engin", "engine"),
        (featx.load_model, "image_size", "img_size"),
    ],
)
def test_an_unknown_option_is_named_with_the_one_that_was_meant(
    function: Callable[..., Any], option: str, suggestion: str
) -> None:
    with pytest.raises(UnknownOption) as caught:
        function("no-such-folder", **{option: 1})
    assert isinstance(caught.value, UnknownName)
    assert isinstance(caught.value, TypeError)
    assert suggestion in caught.value.suggestions
    assert f"There is no option of featx.{function.__name__}() named {option!r}" in str(
        caught.value
    )


def test_an_option_of_another_function_is_unknown() -> None:
    with pytest.raises(UnknownOption, match="'prune'"):
        featx.predict("photos", prune=True)  # type: ignore[call-arg]


def test_an_option_given_twice_is_refused() -> None:
    with pytest.raises(RepeatedOption, match="'workers' was given twice: in RunOptions") as caught:
        featx.extract("photos", run=RunOptions(workers=2), workers=3)
    assert isinstance(caught.value, InvalidValue)
    assert isinstance(caught.value, TypeError)


def test_keywords_complete_a_group() -> None:
    base = RunOptions(workers=2)
    assert fill_group(RunOptions, base, {"batch_size": 8}) == RunOptions(workers=2, batch_size=8)
    assert fill_group(RunOptions, None, {"prune": True}) == RunOptions()
    assert base == RunOptions(workers=2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RunOptions(batch_size=0), "at least one image"),
        (lambda: RunOptions(workers=0), "at least one thread"),
        (lambda: RunOptions(max_pixels=0), "at least one pixel"),
        (lambda: UpdateOptions(max_failures=-1), "At least 0 images may fail"),
        (lambda: RunOptions(precision="float8"), "no precision named 'float8'"),  # type: ignore[arg-type]
        (lambda: InputOptions(preprocess="vgg"), "no preprocessing named 'vgg'"),  # type: ignore[arg-type]
    ],
)
def test_groups_refuse_what_cannot_be(make: Callable[[], object], message: str) -> None:
    with pytest.raises(FeatxError, match=message):
        make()


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        (UpdateOptions(), None),
        (UpdateOptions(max_failures=3), 3),
        (UpdateOptions(strict=True, max_failures=3), 0),
    ],
)
def test_how_many_images_may_fail(options: UpdateOptions, limit: int | None) -> None:
    assert options.failure_limit == limit
