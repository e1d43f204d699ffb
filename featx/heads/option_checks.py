"""Options of `fit_head` that would have no effect together: refused, or named in a note."""

from __future__ import annotations

from featx.errors import InvalidValue
from featx.heads.kinds import HEADS, FitJob
from featx.heads.options import AUTO, DEFAULT_DROPOUT, EvaluationOptions, HeadOptions
from featx.heads.row_table import check_rows_path
from featx.specs import DEFAULT_TEST_SIZE
from featx.wording import option

NETWORK = "mlp"
"""The kind of featx's own that has hidden layers; those of add-ons may read the same options."""


def check_options(evaluation: EvaluationOptions, job: FitJob) -> None:
    """Refuse what cannot be done, before anything is read; note what is not used.

    Raises:
        InvalidValue: If an option is that of another kind, or of a table that is not written.
        HeadError: If the rows cannot be written.
        UnknownName: If there is no such kind.
    """
    kind = job.options.kind
    if kind != AUTO:
        HEADS.check(kind)
        named = list_network_options(job.options)
        if named and kind != NETWORK and HEADS.package_of(kind) is None:
            raise InvalidValue(
                f"{named[0]} goes with {option('kind', NETWORK)}. Received: {option('kind', kind)}."
            )
    check_rows_path(evaluation.rows, csv_safe=evaluation.csv_safe)
    if evaluation.cv is not None and evaluation.test_size != DEFAULT_TEST_SIZE:
        job.listener.note(
            f"{option('test_size')} is not used: a cross-validation holds out every image once"
        )


def list_network_options(options: HeadOptions) -> list[str]:
    """Return the options of hidden layers that were given, as they are written."""
    given = {"hidden": options.hidden is not None, "dropout": options.dropout != DEFAULT_DROPOUT}
    return [option(name) for name, is_given in given.items() if is_given]


def note_nothing_held_out(
    evaluation: EvaluationOptions, job: FitJob, *, is_split_given: bool
) -> None:
    """Say why no image is held out, and which options have no effect then."""
    if is_split_given:
        job.listener.note(
            "no images are held out: the given split has none to measure on; "
            f"{option('ignore_split', True)} holds out a share of each class"
        )
    elif evaluation.test_size > 0:
        grouped = "" if evaluation.groups is None else f" by {option('groups')}"
        job.listener.note(
            f"no images are held out: each class is a single image or group{grouped}, and nothing "
            "of it would be left to fit on"
        )
    wanted = {"rows": evaluation.rows is not None, "learning_curve": evaluation.learning_curve}
    for name, is_wanted in wanted.items():
        if is_wanted:
            job.listener.note(f"{option(name)} is not used: no images are held out to measure on")
