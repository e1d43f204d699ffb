"""`featx models`: what ``-m`` can name."""

from __future__ import annotations

from typing import Annotated

import typer

from featx.cli.options import Json


def models(
    pattern: Annotated[
        str | None, typer.Argument(help="Only names that match, e.g. 'mobilenet*'.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the models that have a name.

    These are the built-in one, the networks of keras.applications, and those of add-ons: input
    size, values of the feature vector, weights, and whether these are on disk already; then what
    was measured of the built-in one beside ImageNet networks. Your own files and folders, and
    modules of TensorFlow Hub, can be named too.

    Example: featx models 'mobilenet*'
    """
    from dataclasses import asdict

    from featx.errors import UnknownName
    from featx.models.catalogue import list_models
    from featx.report.json_lines import write_json
    from featx.report.tables import show_measurements, show_models

    entries = list_models(pattern)
    if not entries:
        everything = [entry.reference.partition(":")[2] for entry in list_models()]
        raise UnknownName("model", pattern or "", everything, remedy="`featx models` lists all.")
    if as_json:
        for entry in entries:
            fields = asdict(entry)
            del fields["is_built_in"]
            if not entry.measurements:
                del fields["measurements"]
            write_json(fields)
        return
    show_models(entries)
    measurements = [line for entry in entries for line in entry.measurements]
    if measurements:
        show_measurements(measurements)
