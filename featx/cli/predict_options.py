"""Options of `featx predict` that say what is told of a picture; see `featx.DecisionOptions`."""

from __future__ import annotations

from typing import Annotated

import typer

from featx.cli.groups import Group
from featx.options import DecisionOptions


def make_decision(
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="Call images unknown whose best class is less probable, 0 to 1."
        ),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="With a head: name the classes that hold the true one at this rate, e.g. 0.9.",
        ),
    ] = None,
    novelty: Annotated[
        bool,
        typer.Option(
            "--novelty",
            help="With a head: how unlike the images that it was fitted on, 0 to 1 (more unlike "
            "than all that were held out).",
        ),
    ] = False,
) -> DecisionOptions:
    """Return what is said of a picture besides its most probable classes."""
    return DecisionOptions(threshold, coverage, novelty)


DecisionGroup = Annotated[DecisionOptions, Group(make_decision)]
