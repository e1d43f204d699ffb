"""Groups of options: as objects, as keywords, and what is said about wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import featx
from featx.errors import (
    FeatxError,
    InvalidType,
    InvalidValue,
    RepeatedOption,
    UnknownName,
    UnknownOption,
)
from featx.options import InputOptions, RunOptions, Selection, UpdateOptions, fill_group


@pytest.mark.parametrize(
    ("function", "option", "suggestion"),
    [
        (featx.extract, "bach_size", "batch_size"),
        (featx.extract, "layer_names", "layers"),
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
        (lambda: RunOptions(precision="float8"), "no precision named 'float8'"),  # type: ignore[arg-type]
        (lambda: InputOptions(preprocess="vgg"), "no preprocessing named 'vgg'"),  # type: ignore[arg-type]
    ],
)
def test_groups_refuse_unknown_names(make: Callable[[], object], message: str) -> None:
    with pytest.raises(FeatxError, match=message):
        make()


NUMBERS = {
    "max_pixels": 1,
    "batch_size": 1,
    "workers": 1,
    "max_failures": 0,
    "single_file_limit": 0,
}
FLAGS = ("overwrite", "prune", "strict", "retry_failed", "wait", "dry_run")
SIZE = r"takes \(height, width\), whole numbers, each at least 1"
SHARD = r"takes \(i, n\), whole numbers, i from 1 to n"


def make_group(name: str, value: object) -> Any:
    """Return the group that has a field, with this value of it."""
    groups = (InputOptions, Selection, RunOptions, UpdateOptions)
    group: Any = next(group for group in groups if name in group.__annotations__)
    return group(**{name: value})


def check_refusal(name: str, value: object, error: type[FeatxError], message: str) -> None:
    """Require one error of a group, with the option, what it takes, and what came."""
    with pytest.raises(InvalidValue, match=f"^'{name}' {message}") as caught:
        make_group(name, value)
    assert type(caught.value) is error
    assert f"Received: {value!r}. " in str(caught.value)


@pytest.mark.parametrize(("name", "least"), NUMBERS.items())
def test_numbers_are_whole_and_large_enough(name: str, least: int) -> None:
    message = f"takes a whole number, at least {least}"
    check_refusal(name, least - 1, InvalidValue, message)
    for value in ("2", 2.5, True, [2]):
        check_refusal(name, value, InvalidType, message)
    for value in (least, np.int64(least)):
        assert type(getattr(make_group(name, value), name)) is int
    assert getattr(make_group(name, None), name) is None


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", ["yes", 1, None])
def test_flags_are_true_or_false(name: str, value: object) -> None:
    check_refusal(name, value, InvalidType, "takes True or False")


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        *(("img_size", size, InvalidType, SIZE) for size in ("x", 2.5, (2.5, 3), (True, 3))),
        *(("img_size", size, InvalidValue, SIZE) for size in (0, (3, 4, 5), (0, 0), (-1, 5), ())),
        *(("shard", shard, InvalidType, SHARD) for shard in ("3/2", 2, ("1", "2"))),
        *(("shard", shard, InvalidValue, SHARD) for shard in ((3, 2), (0, 2), (1,), (1, 2, 3))),
        *(("exclude", globs, InvalidType, "takes a text, or several") for globs in (3, ["a", 3])),
    ],
)
def test_pairs_and_texts_are_checked(
    name: str, value: object, error: type[FeatxError], message: str
) -> None:
    check_refusal(name, value, error, message)


def test_what_is_taken_becomes_plain() -> None:
    assert make_group("img_size", [np.int64(224), 320]).img_size == (224, 320)
    assert make_group("shard", [1, 4]).shard == (1, 4)
    assert make_group("exclude", "daisy") == Selection(exclude=("daisy",))
    assert make_group("exclude", ["daisy", "*.gif"]).exclude == ("daisy", "*.gif")
    assert make_group("exclude", None) == Selection()
    for names in (iter(["a", "b"]), np.array(["a", "b"]), ["a", "b"]):
        assert make_group("class_names", names) == Selection(class_names=("a", "b"))
    assert make_group("class_names", "names.txt").class_names == "names.txt"


@pytest.mark.parametrize("function", [featx.extract, featx.predict, featx.search])
@pytest.mark.parametrize("run", [InputOptions(), {"workers": 2}, RunOptions, 2])
def test_another_object_than_the_group_is_refused(
    function: Callable[..., Any], run: object
) -> None:
    with pytest.raises(InvalidType, match=r"^'run' takes featx\.RunOptions\(\.\.\.\)") as caught:
        function("no-such-folder", run=run)
    assert f"Received: {run!r}. " in str(caught.value)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("parameter", "group"),
    [("input", "InputOptions"), ("selection", "Selection"), ("update", "UpdateOptions")],
)
def test_the_parameter_of_each_group_is_named(parameter: str, group: str) -> None:
    wrong: Any = {parameter: RunOptions()}
    with pytest.raises(InvalidType, match=rf"^'{parameter}' takes featx\.{group}\("):
        featx.extract("no-such-folder", **wrong)


def test_an_unknown_field_of_a_group_is_an_error_of_python() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'worker'"):
        RunOptions(worker=3)  # type: ignore[call-arg]


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
