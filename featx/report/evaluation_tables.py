"""Evaluations for people: classes in a table, and what is to be said of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING

from featx.heads.label_evaluation import LabelEvaluation
from featx.heads.number_evaluation import NumberEvaluation
from featx.heads.usable_rows import UNUSABLE
from featx.report.columns import Table
from featx.report.drawing import make_table, print_result
from featx.units import format_count, format_number

if TYPE_CHECKING:
    from featx.heads.evaluating import EvaluateReport
    from featx.heads.evaluation import ClassReport, Evaluation
    from featx.heads.grouping import NearDuplicates
    from featx.heads.judging import AnyEvaluation
    from featx.heads.label_evaluation import LabelReport

SHOWN_CLASSES = 100
"""Most classes of a table: of more, those with the lowest F1 are shown."""

WORST_CLASSES = 20
SHOWN_NAMES = 10
SHOWN_CONFUSIONS = 5

_WITHOUT = {
    "single": "without label",
    "multi": "without labels",
    "regression": "without a number",
}


def show_evaluation(evaluation: AnyEvaluation, measured: str, rest: str = "") -> None:
    """Draw an evaluation.

    Args:
        evaluation: The figures.
        measured: What the images are called that it was measured on, for example ``held out``.
        rest: What follows the first figure.
    """
    if isinstance(evaluation, LabelEvaluation):
        show_labels(evaluation, measured, rest)
    elif isinstance(evaluation, NumberEvaluation):
        for line in describe_numbers(evaluation, measured, rest):
            print_result(line)
    else:
        _show_classes(evaluation, measured, rest)


def _show_classes(evaluation: Evaluation, measured: str, rest: str) -> None:
    print_result(_draw_classes(evaluation.classes, measured))
    hidden = len(evaluation.classes) - WORST_CLASSES
    if len(evaluation.classes) > SHOWN_CLASSES:
        print_result(f"the {WORST_CLASSES} lowest F1; --json has the other {hidden:,} classes")
    _show_doubtful(evaluation, "for want of different images")
    for true, predicted, count in evaluation.confusions[:SHOWN_CONFUSIONS]:
        print_result(f"  {count} × {name_class(true)} taken for {name_class(predicted)}")
    for line in describe_evaluation(evaluation, measured.replace(" ", "-"), rest):
        print_result(line)


def _show_doubtful(evaluation: Evaluation | LabelEvaluation, why: str) -> None:
    """Name the classes that were not measured, and why, and those that are too small."""
    unmeasured = [one.name for one in evaluation.classes if not one.support]
    if unmeasured:
        print_result(f"not measured, {why}: {_list_names(unmeasured)}")
    if evaluation.few:
        print_result(
            f"fewer than 10 images, so that their figures say little: {_list_names(evaluation.few)}"
        )


def show_evaluate_report(report: EvaluateReport) -> None:
    """Draw how good a head is on images that it was not fitted on."""
    show_evaluation(report.evaluation, "labelled")
    left_out = list_left_out(report)
    if left_out:
        print_result(f"left out: {', '.join(left_out)}")
    if report.unknown_labels:
        print_result(f"  no class of the head: {_list_names(list(report.unknown_labels))}")


def list_left_out(report: EvaluateReport) -> list[str]:
    """Return how many images were not measured on, and why."""
    is_single = report.task == "single"
    return [
        f"{format_count(count, 'image')} {why}"
        for count, why in (
            (report.num_fitted_on, "that the head was fitted on"),
            (report.num_unlabelled, _WITHOUT[report.task]),
            (report.num_not_finite, f"with features that are {UNUSABLE}"),
            (
                sum(report.unknown_labels.values()) if is_single else 0,
                "with a label that is no class of the head",
            ),
            (len(report.failures), "that could not be used"),
        )
        if count
    ]


def describe_evaluation(evaluation: Evaluation, measured: str, rest: str = "") -> Iterator[str]:
    """Yield the lines that say how good all of the predictions are."""
    images = format_count(evaluation.num_examples, f"{measured} image")
    interval = _describe_interval(evaluation.interval, evaluation.folds)
    yield (
        f"accuracy {evaluation.accuracy:.4f} on {images} ({interval}; mean F1 "
        f"{evaluation.macro_f1:.4f}){rest}"
    )
    top5 = "" if evaluation.top5 is None else f"among the five best {evaluation.top5:.4f}, "
    yield (
        f"{top5}log loss {evaluation.log_loss:.4f}, "
        f"calibration error {evaluation.calibration_error:.4f}"
    )
    calibrated = evaluation.calibrated
    if calibrated is not None:
        use = "" if calibrated.used else ": not used"
        yield (
            f"with temperature {calibrated.temperature:.2f}, chosen on other images: log loss "
            f"{calibrated.log_loss:.4f}, calibration error {calibrated.calibration_error:.4f}{use}"
        )


def show_labels(evaluation: LabelEvaluation, measured: str, rest: str) -> None:
    """Draw the measures of several labels for each picture; see `show_evaluation`."""
    print_result(_draw_labels(evaluation.classes, measured))
    if len(evaluation.classes) > SHOWN_CLASSES:
        hidden = len(evaluation.classes) - WORST_CLASSES
        print_result(f"the {WORST_CLASSES} lowest AP; --json has the other {hidden:,} labels")
    _show_doubtful(evaluation, "as they apply to none of the images")
    images = format_count(evaluation.num_examples, f"{measured.replace(' ', '-')} image")
    interval = ""
    if evaluation.interval is not None:
        interval = f" ({_describe_interval(evaluation.interval, evaluation.folds)})"
    print_result(
        f"mAP {evaluation.mean_average_precision:.4f} on {images}{interval}{rest}"
    )  # fmt: skip
    print_result(
        f"micro F1 {evaluation.micro_f1:.4f}, macro F1 {evaluation.macro_f1:.4f}, all labels right "
        f"{evaluation.exact:.4f}, log loss {evaluation.log_loss:.4f}"
    )


def _draw_labels(labels: Sequence[LabelReport], measured: str) -> Table:
    headers = ("label", "AP", "precision", "recall", "F1", "threshold", measured)
    table = make_table(*headers, right=(1, 2, 3, 4, 5, 6))
    if len(labels) > SHOWN_CLASSES:
        known = [one for one in labels if one.average_precision is not None]
        labels = sorted(known, key=lambda one: one.average_precision or 0.0)[:WORST_CLASSES]
    for line in labels:
        figures = (line.average_precision, line.precision, line.recall, line.f1)
        shown = ("–" if value is None or not line.support else f"{value:.3f}" for value in figures)
        table.add_row(line.name, *shown, f"{line.threshold:.3f}", f"{line.support:,}")
    return table


def describe_numbers(evaluation: NumberEvaluation, measured: str, rest: str = "") -> Iterator[str]:
    """Yield the lines that say how far predicted numbers are from the true ones."""
    images = format_count(evaluation.num_examples, f"{measured.replace(' ', '-')} image")
    interval = _describe_interval(evaluation.interval, evaluation.folds, format_number)
    yield f"mean absolute error {format_number(evaluation.mae)} on {images} ({interval}){rest}"
    explained = "–" if evaluation.r_squared is None else f"{evaluation.r_squared:.4f}"
    if evaluation.r_squared_interval is not None:
        explained += f" ({_describe_interval(evaluation.r_squared_interval)})"
    yield (
        f"R² {explained}, root mean squared error {format_number(evaluation.rmse)}; saying the "
        f"mean of every image: mean absolute error {format_number(evaluation.baseline_mae)}"
    )


def _describe_interval(
    interval: tuple[float, float],
    folds: Sized = (),
    write: Callable[[float], str] = "{:.4f}".format,
) -> str:
    """Return an interval in words, and of how many folds the figure before it is the mean."""
    low, high = map(write, interval)
    how = f"mean of {len(folds)} folds, " if folds else ""
    return f"{how}95 % interval {low} to {high}"


def describe_near_duplicates(found: NearDuplicates | None) -> Iterator[str]:
    """Yield what is to be said of near-duplicates, if there are any."""
    if found is None or not found.num_images:
        return
    groups = format_count(found.num_groups, "group")
    images = format_count(
        found.num_images, "image is a near-duplicate", "images are near-duplicates"
    )
    line = f"{images} of others, in {groups}"
    if not found.num_held_out:
        yield f"{line}: no group was both fitted and measured on"
    elif found.accuracy is not None and found.accuracy_without is not None:
        yield (
            f"{line}: {found.num_held_out:,} of the held-out ones have one among those fitted on; "
            f"accuracy with them {found.accuracy:.4f}, without {found.accuracy_without:.4f}"
        )
    elif found.accuracy is None:
        yield f"{line}: {found.num_held_out:,} of the held-out ones have one among those fitted on"
    else:
        yield f"{line}: all held-out ones have one among those fitted on"


def _draw_classes(classes: Sequence[ClassReport], measured: str) -> Table:
    table = make_table("class", "precision", "recall", "F1", measured, right=(1, 2, 3, 4))
    if len(classes) > SHOWN_CLASSES:
        known = [one for one in classes if one.support]
        classes = sorted(known, key=lambda one: one.f1)[:WORST_CLASSES]
    for line in classes:
        figures = (line.precision, line.recall, line.f1)
        shown = (f"{value:.3f}" if line.support else "–" for value in figures)
        table.add_row(line.name, *shown, f"{line.support:,}")
    return table


def _list_names(names: Sequence[str]) -> str:
    rest = len(names) - SHOWN_NAMES
    shown = ", ".join(map(name_class, names[:SHOWN_NAMES]))
    return f"{shown} and {rest:,} more" if rest > 0 else shown


def name_class(name: str) -> str:
    """Return the name of a class for a sentence with numbers in it.

    Example:
        >>> name_class("3"), name_class("cat")
        ('class 3', 'cat')
    """
    return f"class {name}" if name.isdecimal() else name
