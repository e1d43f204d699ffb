"""`featx verify`: is every byte of a store or an index as it was written?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import Json, exit_with
from featx.specs import DEFAULT_STORE

DAMAGED = 1
"""Exit status where something is wrong and was not repaired."""


def verify(
    features: Annotated[
        Path, typer.Argument(help="A feature store that `extract` wrote, or an index.")
    ] = Path(DEFAULT_STORE),
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
    """Check every byte of a feature store and of its parts, or of an index.

    Names what is damaged, down to the rows. An index is also compared with its store.
    Exit status: 0 intact or repaired, 1 damaged.

    Example: featx verify flowers.h5 --images flowers/train
    """
    import featx
    from featx.index.files import is_index_file
    from featx.report.console import ConsoleListener
    from featx.report.index_tables import show_index_report
    from featx.report.json_lines import write_json
    from featx.report.store_tables import show_verify_report

    if is_index_file(features):
        if images is not None or repair:
            raise typer.BadParameter("--images and --repair are for stores")
        checked = featx.verify_index(features)
        if as_json:
            write_json(checked.to_dict())
        else:
            show_index_report(checked)
        exit_with(0 if checked.is_intact else DAMAGED)
        return
    report = featx.verify_store(features, images=images, repair=repair, listener=ConsoleListener())
    if as_json:
        write_json(report.to_dict())
    else:
        show_verify_report(report)
    all_well = report.is_intact and not report.changed
    exit_with(0 if all_well or report.repaired else DAMAGED)
