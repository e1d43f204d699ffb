"""Fine-tuning for people: what the network was worth before, and is worth now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from featx.heads.label_evaluation import LabelEvaluation
from featx.heads.number_evaluation import NumberEvaluation
from featx.report.columns import Column, Table
from featx.report.drawing import print_result
from featx.report.text import short_path
from featx.training.comparison import ACCURACY, ERROR
from featx.units import format_count, format_number

if TYPE_CHECKING:
    from featx.heads.judging import AnyEvaluation
    from featx.training.comparison import Comparison
    from featx.training.fine_tuning import FineTuneReport
    from featx.training.run_folder import Epoch


def show_fine_tune_report(report: FineTuneReport) -> None:
    """Draw the epochs, and what came of them."""
    print_result(draw_epochs(report))
    print_result("")
    print_result(_draw_comparison(report))
    for line in describe_comparison(report):
        print_result(line)


def draw_epochs(report: FineTuneReport) -> Table:
    """Return a row for each epoch; the one that was kept has a mark."""
    figure = name_figure(report)
    names = ("rate", "loss", figure, "val loss", f"val {figure}", "s", "input")
    table = Table(
        [
            Column("epoch", "number"),
            Column("trained"),
            *(Column(name, "number") for name in names),
            Column(""),
        ]
    )
    for epoch in report.history:
        table.add_row(*list_cells(epoch), "kept" if epoch.number == report.best else "")
    return table


def name_figure(report: FineTuneReport) -> str:
    """Return what is measured of each epoch beside its loss."""
    return "error" if report.task == "regression" else "accuracy"


def list_cells(epoch: Epoch) -> tuple[str, ...]:
    """Return the figures of an epoch."""
    return (
        str(epoch.number),
        epoch.phase,
        f"{epoch.learning_rate:.2g}" if epoch.number else "–",
        _show(epoch.loss),
        _show(epoch.accuracy, epoch.error),
        _show(epoch.val_loss),
        _show(epoch.val_accuracy, epoch.val_error),
        f"{epoch.seconds:.1f}",
        f"{epoch.input_share:.0%}" if epoch.number else "–",
    )


def _show(share: float | None, error: float | None = None) -> str:
    if share is None:
        return "–" if error is None else format_number(error)
    return f"{share:.3f}"


def _draw_comparison(report: FineTuneReport) -> Table:
    count = format_count(report.comparison.count, "held-out image")
    names = list_figures(report.after)
    table = Table([Column(count), *(Column(name, "number") for name in names)])
    for name, evaluation in name_both(report):
        table.add_row(name, *list_figures(evaluation).values())
    return table


def name_both(report: FineTuneReport) -> Iterator[tuple[str, AnyEvaluation]]:
    """Yield what is compared, and its figures."""
    yield f"frozen features, {report.frozen_kind} head", report.before
    yield f"fine-tuned, epoch {report.best}" if report.best else "the start, kept", report.after


def list_figures(evaluation: AnyEvaluation) -> dict[str, str]:
    """Return the figures of held-out images by their names, the one that is compared first."""
    if isinstance(evaluation, LabelEvaluation):
        return {
            "mAP": f"{evaluation.mean_average_precision:.4f}",
            "95 % interval": _join(evaluation.interval, "{:.4f}".format),
            "micro F1": f"{evaluation.micro_f1:.4f}",
            "log loss": f"{evaluation.log_loss:.4f}",
        }
    if isinstance(evaluation, NumberEvaluation):
        explained = evaluation.r_squared
        return {
            "mean error": format_number(evaluation.mae),
            "95 % interval": _join(evaluation.interval, format_number),
            "root mean sq.": format_number(evaluation.rmse),
            "R²": "–" if explained is None else f"{explained:.4f}",
        }
    return {
        "accuracy": f"{evaluation.accuracy:.4f}",
        "95 % interval": _join(evaluation.interval, "{:.4f}".format),
        "mean F1": f"{evaluation.macro_f1:.4f}",
        "log loss": f"{evaluation.log_loss:.4f}",
    }


def _join(interval: tuple[float, float] | None, write: Callable[[float], str]) -> str:
    return "–" if interval is None else f"{write(interval[0])} to {write(interval[1])}"


def describe_comparison(report: FineTuneReport) -> Iterator[str]:
    """Yield what is to be said below the figures."""
    compared = report.comparison
    better, test = ("better", "exact sign test")
    if report.task == "single":
        better, test = ("only right", "McNemar's exact test")
    yield (
        f"gain {describe_gain(compared)}; {compared.num_gained:,} {better} now, "
        f"{compared.num_lost:,} {better} before ({test}: p = {compared.p_value:.2g})"
    )
    low, high = compared.interval
    if low <= 0 <= high:
        yield "the difference may be chance: the interval holds 0"
    labels = "" if report.labels is None else f" and {short_path(report.labels)}"
    yield (
        f"{short_path(report.model)}{labels}: {name_learned(report)}, "
        f"{format_count(len(report.trained), 'layer')} trained on "
        f"{format_count(report.num_train, 'image')}; {short_path(report.head)}: the same as a head"
    )


def name_learned(report: FineTuneReport) -> str:
    """Say what is predicted.

    Example:
        >>> from types import SimpleNamespace
        >>> name_learned(SimpleNamespace(task="regression", columns=("age",), classes=()))
        'age'
    """
    if report.task == "regression":
        return ", ".join(report.columns)
    names = ("label", "labels") if report.task == "multi" else ("class", "classes")
    return format_count(len(report.classes), *names)


def describe_gain(compared: Comparison) -> str:
    """Write the gain with its interval.

    Example:
        >>> from featx.training.comparison import compare_paired
        >>> import numpy as np
        >>> describe_gain(compare_paired(np.arange(100) < 80, np.arange(100) < 90))
        '+0.1000 (95 % interval +0.0552 to +0.1744)'
    """

    def write(value: float) -> str:
        return format_number(value, "+") if compared.figure == ERROR else f"{value:+.4f}"

    low, high = map(write, compared.interval)
    name = "" if compared.figure == ACCURACY else f" in {compared.figure}"
    return f"{write(compared.gain)}{name} (95 % interval {low} to {high})"
