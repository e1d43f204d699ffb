"""`featx audit`: what to look at in a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featx.cli.options import Json, OneLayer, ReadPool, StoreArgument
from featx.cli.registry_choice import Help
from featx.curation.findings import FINDINGS
from featx.errors import join_names
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE


def audit(
    *,
    features: StoreArgument = Path(DEFAULT_STORE),
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", "--kinds", metavar="KIND"),
        Help(
            lambda: f"Look for this only: {join_names(FINDINGS.names)}. Repeatable. [default: all]"
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="OLD.h5", help="What has changed since an older store."),
    ] = None,
    pictures: Annotated[
        bool,
        typer.Option("--pictures", help="Read the pictures: which are dark, blurred, tiny or odd?"),
    ] = False,
    labels: Annotated[
        str,
        typer.Option(
            metavar="folders|FILE.csv", help="Labels of the store, or of a table as in fit-head."
        ),
    ] = "folders",
    label_columns: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN[,COLUMN]",
            help="Several labels for each image, from columns as in fit-head (label: the images' "
            "own labels).",
        ),
    ] = None,
    layer: OneLayer = None,
    pool: ReadPool = DEFAULT_READ_POOLING,
    seed: Annotated[int, typer.Option(min=0, help="For folds and samples.")] = 0,
    most: Annotated[
        int, typer.Option("--most", min=1, metavar="N", help="Findings of each kind in the table.")
    ] = 10,
    suggest: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.csv", help="Write all labels, the suggested ones in place: for fit-head."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Write the findings as one page.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find what is doubtful: labels, outliers, copies, classes, splits, drift.

    Reads the features alone, unless --pictures is given; no network runs. Nothing is changed:
    look at what is found, correct the table of --suggest, and give it to fit-head --labels.

    Example: featx audit flowers.h5 --report audit.html --suggest labels.csv
    """
    import featx
    from featx.checks.texts import split_names
    from featx.curation.auditing import check_table_path
    from featx.report.audit_page import write_audit_page
    from featx.report.console import ConsoleListener
    from featx.report.finding_tables import show_audit, write_findings
    from featx.report.page import check_page_path
    from featx.report.text import short_path
    from featx.units import format_count

    if report is not None:
        check_page_path(report)
    if suggest is not None:
        check_table_path(suggest)
    listener = ConsoleListener()
    found = featx.audit(
        features,
        kinds=kinds or None,
        against=against,
        pictures=pictures,
        labels=labels,
        label_columns=split_names(label_columns) if label_columns else (),
        layer=layer,
        pool=pool,
        seed=seed,
        listener=listener,
    )
    if report is not None:
        write_audit_page(found, report)
    if suggest is not None:
        found.write_labels(suggest)
    if as_json:
        write_findings(found)
    else:
        show_audit(found, most)
    if report is not None:
        listener.note(f"written: {short_path(report)}")
    if suggest is not None:
        count = format_count(len(found.of_kind("label")), "label")
        listener.note(f"written: {short_path(suggest)}, with {count} to look at")
