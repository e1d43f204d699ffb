"""`featx verify`: is every byte of a store as it was written?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import Json, StoreArgument, exit_with
from featx.specs import DEFAULT_STORE

DAMAGED = 1
"""Exit status where something is wrong and was not repaired."""


def verify(
    features: StoreArgument = Path(DEFAULT_STORE),
    images: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Also compare the images there, a folder or archive."),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Drop damaged rows: the next `extract` computes them."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check every byte of a feature store and of its parts.

    Names what is damaged, down to the rows. Exit status: 0 intact or repaired, 1 damaged.

    Example: featx verify flowers.h5 --images flowers/train
    """
    import featx
    from featx.report.console import ConsoleListener
    from featx.report.json_lines import write_json
    from featx.report.store_tables import show_verify_report

    report = featx.verify_store(features, images=images, repair=repair, listener=ConsoleListener())
    if as_json:
        write_json(report.to_dict())
    else:
        show_verify_report(report)
    all_well = report.is_intact and not report.changed
    exit_with(0 if all_well or report.repaired else DAMAGED)
