"""Options of `featx search`, in groups; see `featx.index.options`."""

from __future__ import annotations

from typing import Annotated

import typer

from featx.cli.groups import Group
from featx.index.options import MatchOptions, QuestionOptions


def make_question(
    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add",
            "-a",
            metavar="PICTURE",
            help="Add this picture, or stored image by its key, to every query; 2:PICTURE "
            "counts twice. Repeatable.",
        ),
    ] = None,
    subtract: Annotated[
        list[str] | None,
        typer.Option("--subtract", "-s", metavar="PICTURE", help="The same, subtracted."),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="Only this part of the queries: left, top, width, height, in pixels or per cent.",
        ),
    ] = None,
) -> QuestionOptions:
    """Return what is asked besides the queries."""
    return QuestionOptions(add or (), subtract or (), crop)


def make_match(
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Search only images of this class. Repeatable."),
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Search only images whose key, name or folder matches. Repeatable.",
        ),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="SPLIT", help="Search only this split. Repeatable."),
    ] = None,
    where_column: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION",
            help="Search only images for which this holds: 'price < 20 and color in (\"red\",)'.",
        ),
    ] = None,
    skip: Annotated[
        int, typer.Option(min=0, metavar="N", help="Leave out the best N: the next page.")
    ] = 0,
    unique: Annotated[
        bool, typer.Option("--unique", help="Leave out near-copies of better matches.")
    ] = False,
    diverse: Annotated[
        bool, typer.Option("--diverse", help="Matches that also differ from each other.")
    ] = False,
    where: Annotated[
        bool,
        typer.Option(
            "--where",
            help="Say which region of each match is like the query; of a layer stored as maps.",
        ),
    ] = False,
) -> MatchOptions:
    """Return which images can be matches, and which matches are shown."""
    return MatchOptions(
        label or (), path or (), split or (), where_column, skip, unique, diverse, where
    )


QuestionGroup = Annotated[QuestionOptions, Group(make_question)]
MatchGroup = Annotated[MatchOptions, Group(make_match)]
