"""`featx demo`: the whole chain, offline, on real pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import SOME_FAILED, exit_with


def demo(
    folder: Annotated[
        Path, typer.Argument(help="Where to write the pictures and the results.")
    ] = Path("featx-demo"),
) -> None:
    """Show the whole chain, offline, in a folder of its own.

    Handwritten digits from scikit-learn are written as pictures; then the commands that it
    prints are run: features, a classifier, an index, and a sheet of similar pictures.

    Example: featx demo
    """
    from featx.demo import run_demo
    from featx.report.console import ConsoleListener
    from featx.report.demo_screen import DemoScreen

    complete = run_demo(folder, DemoScreen(), ConsoleListener())
    exit_with(0 if complete else SOME_FAILED)
