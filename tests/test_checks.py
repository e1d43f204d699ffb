"""Checks of options that are passed in Python."""

from __future__ import annotations

import pytest

from featx.checks.flags import check_verbose
from featx.checks.layers import check_layers
from featx.checks.texts import check_choice
from featx.errors import InvalidType, UnknownName


def test_check_choice_lets_the_choices_pass() -> None:
    check_choice("pooling", "avg", ("avg", "max"))
    with pytest.raises(
        UnknownName, match=r"There is no pooling named 'mix'\..*Choose avg or max\."
    ):
        check_choice("pooling", "mix", ("avg", "max"))
    with pytest.raises(InvalidType, match=r"^An engine is a text, .* Received: list\.$"):
        check_choice("engine", ["x"] * 1000, ("a", "b"))


class Tensor:
    """A tensor that is not computed yet, as libraries have it: it says no when it is read."""

    def __iter__(self) -> None:
        raise NotImplementedError("Iterating over a symbolic tensor is not supported.")


def test_check_verbose_takes_what_keras_does() -> None:
    assert [check_verbose("verbose", one) for one in (True, 1, 2, 0, "auto", None)] == [
        True, True, True, False, None, None,
    ]  # fmt: skip
    for value in (3, "yes", 1.0):
        with pytest.raises(InvalidType, match="'verbose' takes True or False"):
            check_verbose("verbose", value)


def test_check_layers_refuses_what_cannot_be_read() -> None:
    with pytest.raises(InvalidType, match="takes a name or a number, or several in a list"):
        check_layers("layer", Tensor())
