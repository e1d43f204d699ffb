"""Checks of options that are passed in Python."""

from __future__ import annotations

import pytest

from featx.checks import check_choice
from featx.errors import UnknownName


def test_check_choice_lets_the_choices_pass() -> None:
    check_choice("pooling", "avg", ("avg", "max"))
    with pytest.raises(
        UnknownName, match=r"There is no pooling named 'mix'\..*Choose avg or max\."
    ):
        check_choice("pooling", "mix", ("avg", "max"))
