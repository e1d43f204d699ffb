"""A command: how many images of each class a store has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer


def count(
    features: Annotated[Path, typer.Argument(metavar="FEATURES", help="A feature store.")],
    least: Annotated[int, typer.Option(help="Leave out classes with fewer images.")] = 1,
) -> None:
    """Count the images of each class.

    Example: featx count flowers.h5 --least 10
    """
    import featx

    with featx.open_store(features) as store:
        counts = Counter(str(label) for label in store.labels)
    for label, number in sorted(counts.items()):
        if number >= least:
            typer.echo(f"{label} {number}")
