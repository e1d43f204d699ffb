"""Fine-tuning for people: what the network was worth before, and is worth now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from featx.report.columns import Column, Table
from featx.report.drawing import print_result
from featx.report.text import short_path
from featx.units import format_count

if TYPE_CHECKING:
    from featx.heads.evaluation import Evaluation
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
    names = ("rate", "loss", "accuracy", "val loss", "val accuracy", "s", "input")
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


def list_cells(epoch: Epoch) -> tuple[str, ...]:
    """Return the figures of an epoch."""
    figures = (epoch.loss, epoch.accuracy, epoch.val_loss, epoch.val_accuracy)
    return (
        str(epoch.number),
        epoch.phase,
        f"{epoch.learning_rate:.2g}" if epoch.number else "–",
        *("–" if value is None else f"{value:.3f}" for value in figures),
        f"{epoch.seconds:.1f}",
        f"{epoch.input_share:.0%}" if epoch.number else "–",
    )


def _draw_comparison(report: FineTuneReport) -> Table:
    names = ("accuracy", "95 % interval", "mean F1", "log loss")
    count = format_count(report.comparison.count, "held-out image")
    table = Table([Column(count), *(Column(name, "number") for name in names)])
    table.add_row(f"frozen features, {report.frozen_kind} head", *_list_figures(report.before))
    table.add_row(f"fine-tuned, epoch {report.best}", *_list_figures(report.after))
    return table


def _list_figures(evaluation: Evaluation) -> tuple[str, ...]:
    low, high = evaluation.interval
    return (
        f"{evaluation.accuracy:.4f}",
        f"{low:.4f} to {high:.4f}",
        f"{evaluation.macro_f1:.4f}",
        f"{evaluation.log_loss:.4f}",
    )


def describe_comparison(report: FineTuneReport) -> Iterator[str]:
    """Yield what is to be said below the figures."""
    compared = report.comparison
    yield (
        f"gain {describe_gain(compared)}; {compared.num_gained:,} only right now, "
        f"{compared.num_lost:,} only right before (McNemar's exact test: p = "
        f"{compared.p_value:.2g})"
    )
    low, high = compared.interval
    if low <= 0 <= high:
        yield "the difference may be chance: the interval holds 0"
    yield (
        f"{short_path(report.model)} and {short_path(report.labels)}: "
        f"{format_count(len(report.classes), 'class', 'classes')}, "
        f"{format_count(len(report.trained), 'layer')} trained on "
        f"{format_count(report.num_train, 'image')}; {short_path(report.head)}: the same as a head"
    )


def describe_gain(compared: Comparison) -> str:
    """Write the gain with its interval.

    Example:
        >>> from featx.training.comparison import compare_paired
        >>> import numpy as np
        >>> describe_gain(compare_paired(np.arange(100) < 80, np.arange(100) < 90))
        '+0.1000 (95 % interval +0.0552 to +0.1744)'
    """
    low, high = compared.interval
    return f"{compared.gain:+.4f} (95 % interval {low:+.4f} to {high:+.4f})"
