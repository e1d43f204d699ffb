"""Results for people: tables on stdout, drawn by rich."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from featx.heads.usable_rows import UNUSABLE
from featx.report.columns import Table
from featx.report.drawing import make_table, print_result, terminal_width
from featx.report.evaluation_tables import describe_near_duplicates, show_evaluation
from featx.report.store_tables import describe_counts
from featx.report.text import common_folder, list_settings, short_path
from featx.units import format_bytes, format_count

if TYPE_CHECKING:
    from featx.deploy.exporting import HeadExportReport
    from featx.exports.databases import DatabaseReport
    from featx.exports.exporting import ExportReport
    from featx.heads.fitting import FitReport
    from featx.heads.kinds import Task
    from featx.heads.layer_choice import LayerTrial
    from featx.heads.prediction_report import Prediction
    from featx.models.catalogue_entry import CatalogueEntry, Measurement

SHOWN_CANDIDATES = 5

TABLE_ROWS = 500
"""Images in a table: its widths are known only when all of it is, and that takes memory."""

LEAST_PROBABILITY = 0.00005
"""Classes of less are not shown behind the first: they would be 0.0000."""


def show_models(entries: Sequence[CatalogueEntry]) -> None:
    """Draw what ``featx models`` found."""
    width = terminal_width()
    table = _draw_models(entries, "no: downloaded once")
    is_short = width is not None and table.width() > width
    print_result(_draw_models(entries, "no") if is_short else table)
    if is_short and not all(entry.on_disk for entry in entries):
        print_result("Weights that are not on disk are downloaded once, when they are first used.")


def _draw_models(entries: Sequence[CatalogueEntry], missing: str) -> Table:
    """Return the table of models; `missing` says that weights are not on disk."""
    table = make_table(
        "model", "input", "vector", "parameters", "weights", "on disk", right=(1, 2, 3, 4)
    )
    for entry in entries:
        on_disk = "yes" if entry.on_disk else missing
        table.add_row(
            entry.reference,
            f"{entry.size}×{entry.size}",
            f"{entry.width:,}",
            f"{entry.parameters:.1f} M",
            format_bytes(entry.megabytes * 1e6),
            "built in" if entry.is_built_in else on_disk,
        )
    return table


def show_measurements(measurements: Sequence[Measurement]) -> None:
    """Draw how good the built-in backbone is, beside others, on photographs it never saw."""
    table = make_table(
        "features", "photographs", "nearest", "precision@10", "mAP", "linear head",
        right=(2, 3, 4, 5),
    )  # fmt: skip
    for line in measurements:
        table.add_row(
            line.extractor,
            line.dataset,
            f"{line.nearest:.3f}",
            f"{line.precision_at_10:.3f}",
            f"{line.mean_average_precision:.3f}",
            f"{line.linear:.3f}",
        )
    print_result("")
    print_result(table)


def show_export(report: ExportReport) -> None:
    """Write what was exported."""
    print_result(
        f"{short_path(report.output)}: {format_count(report.rows, 'row')} of layer {report.layer}, "
        f"{format_count(report.columns, 'value')} each, {format_bytes(report.bytes)} "
        f"({report.format})"
    )


def show_head_export(report: HeadExportReport) -> None:
    """Write what was exported, and how it compares with featx."""
    from featx.deploy.card import describe_comparison

    print_result(f"{short_path(report.output)}: {format_bytes(report.bytes)} ({report.form})")
    print_result(describe_comparison(report.comparison))


def show_database(report: DatabaseReport) -> None:
    """Write what is in a vector database now."""
    others = report.counted - report.rows
    print_result(
        f"{short_path(report.output)}: {format_count(report.rows, 'row')} of layer {report.layer} "
        f"in the table {report.table!r} ({report.database}), {report.written:,} of them written now"
        + (f"; it holds {format_count(others, 'other row')}" if others else "")
    )


def show_fit_report(report: FitReport) -> None:
    """Draw how well a head does on images it has not seen."""
    evaluation = report.evaluation
    if report.layers:
        print_result(_draw_layers(report.layers, report.task))
    if evaluation is not None:
        show_evaluation(evaluation, "held out", f", fitted on {report.num_train:,}")
        if report.splits:
            print_result(f"by the split in the store: {describe_counts(report.splits)}")
    else:
        print_result(
            f"fitted on {format_count(report.num_train, 'image')}; none were held out to measure on"
        )
    for line in describe_near_duplicates(report.near_duplicates):
        print_result(line)
    again = ", then fitted again on all labelled images" if report.refitted else ""
    what = report.columns[0] if len(report.columns) == 1 else "label"
    unlabelled = f"; {report.num_unlabelled:,} without {what}" if report.num_unlabelled else ""
    if report.num_not_finite:
        unlabelled += f"; {report.num_not_finite:,} with features that are {UNUSABLE}"
    unlabelled += f"; {report.num_unsplit:,} of no split" if report.num_unsplit else ""
    print_result(
        f"{short_path(report.output)}: {report.kind} head, {_describe_task(report)}, layer "
        f"{report.layer} ({format_count(report.width, 'value')}){unlabelled}"
        f"{_describe_settings(report.settings)}{again}"
    )


def _describe_task(report: FitReport) -> str:
    """Write what a head predicts."""
    if report.task == "regression":
        return f"predicts {report.columns[0]}"
    if report.task == "multi":
        return format_count(len(report.classes), "label")
    return format_count(len(report.classes), "class", "classes")


def _draw_layers(trials: Sequence[LayerTrial], task: Task) -> Table:
    """Return the table of layers that were compared, the best first."""
    loss = "squared error" if task == "regression" else "log loss"
    table = make_table(
        "layer", "pool", "values", "kind", loss, "accuracy", "95 %", "seconds",
        right=(2, 4, 5, 6, 7),
    )  # fmt: skip
    for trial in trials:
        interval = trial.interval
        table.add_row(
            trial.layer,
            trial.pool,
            f"{trial.width:,}",
            trial.kind,
            f"{trial.loss:.3f}",
            "–" if trial.accuracy is None else f"{trial.accuracy:.3f}",
            "–" if interval is None else f"{interval[0]:.3f} – {interval[1]:.3f}",
            f"{trial.seconds:.1f}",
        )
    return table


def _describe_settings(settings: Mapping[str, object]) -> str:
    """Write what a kind of head chose: ``, chosen: C = 1.0, folds = 3``."""
    return f", chosen: {list_settings(settings)}" if settings else ""


def show_predictions(predictions: Iterable[Prediction], columns: Container[str]) -> None:
    """Draw the most probable classes of each image; behind the first, none of 0.0000.

    Args:
        predictions: In the order in which they are drawn, some hundred in a table.
        columns: Which of ``unknown``, ``candidates`` and ``novelty`` are shown as well; with
            ``labels`` or ``number``, these in place of classes.
    """
    remaining = iter(predictions)
    width = terminal_width()
    while block := list(islice(remaining, TABLE_ROWS)):
        names = [short_path(prediction.path) for prediction in block]
        table = _draw_predictions(block, names, columns)
        folder = common_folder(names)
        if folder and width is not None and table.width() > width:
            print_result(f"images in {folder}:")
            table = _draw_predictions(block, [name[len(folder) :] for name in names], columns)
        print_result(table)


def _draw_predictions(
    predictions: Sequence[Prediction], names: Sequence[str], columns: Container[str]
) -> Table:
    """Return the table of predictions of images that are called by these names."""
    further = [name for name in ("candidates", "novelty") if name in columns]
    if "number" in columns:
        headers = ["image", "number", *further]
    else:
        headers = ["image", "labels" if "labels" in columns else "class", "probability", *further]
    numbers = ("number", "probability", "novelty")
    right = tuple(place for place, name in enumerate(headers) if name in numbers)
    table = make_table(*headers, right=right)
    for name, prediction in zip(names, predictions, strict=True):
        cells = (_CELLS[column](prediction) for column in further)
        table.add_row(name, *_make_cells(prediction), *cells)
    return table


def _make_cells(prediction: Prediction) -> tuple[str | list[str], ...]:
    """Return the cells that say what was predicted."""
    if prediction.number is not None:
        return (f"{prediction.number:.6g}",)
    if prediction.labels is not None:
        labels = list(prediction.labels)
        figures = [f"{value:.4f}" for value in prediction.labels.values()]
        return labels or ["–"], figures or [""]
    pairs = list(zip(prediction.classes, prediction.probabilities, strict=True))
    shown = [pair for pair in pairs[1:] if pair[1] >= LEAST_PROBABILITY]
    names, values = zip(pairs[0], *shown, strict=True)
    first = f"unknown ({names[0]}?)" if prediction.is_unknown else names[0]
    return [first, *names[1:]], [f"{value:.4f}" for value in values]


def _name_candidates(prediction: Prediction) -> str:
    names = prediction.candidates or ()
    rest = f" and {len(names) - SHOWN_CANDIDATES:,} more" if len(names) > SHOWN_CANDIDATES else ""
    return ", ".join(names[:SHOWN_CANDIDATES]) + rest


_CELLS: dict[str, Callable[[Prediction], str]] = {
    "candidates": _name_candidates,
    "novelty": lambda prediction: f"{prediction.novelty:.3f}",
}
