"""Views of heads, of how good they are, and of what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from featx.heads.evaluation import Evaluation
from featx.heads.label_evaluation import LabelEvaluation
from featx.heads.number_evaluation import NumberEvaluation
from featx.report.text import list_settings, short_path
from featx.report.tuning_tables import describe_gain
from featx.report.views.stores import list_failures
from featx.report.views.view import (
    MOST_PICTURES,
    MOST_ROWS,
    Picture,
    Rows,
    View,
    describe_feature,
    list_facts,
    list_names,
)
from featx.training.comparison import ERROR
from featx.units import format_bytes, format_count, format_number

if TYPE_CHECKING:
    from featx.deploy.exporting import HeadExportReport
    from featx.heads.evaluating import EvaluateReport
    from featx.heads.fitting import FitReport
    from featx.heads.head import Head
    from featx.heads.judging import AnyEvaluation
    from featx.heads.kinds import Task
    from featx.heads.prediction_report import Prediction, PredictReport
    from featx.training.fine_tuning import FineTuneReport


def view_head(head: Head) -> View:
    """Return what a head tells apart, and on which feature."""
    measured = head.report.get("evaluation") or {}
    figure, value = next(
        ((name, measured[key]) for key, name in _FIGURES.items() if measured.get(key) is not None),
        ("accuracy", None),
    )
    return View(
        "Head",
        "" if head.folder is None else short_path(head.folder),
        list_facts(
            ("kind", head.kind),
            _name_task(head.task, head.columns, head.classes),
            ("layer", describe_feature(head.feature)),
            ("model", head.model.reference),
            (figure, "" if value is None else f"{value:.4f}"),
            ("fitted on", format_count(len(head.fitted_on), "image")),
            ("stale", "its store has changed" if head.is_stale else ""),
        ),
    )


def view_fit(report: FitReport) -> View:
    """Return how good a head is, in all and by class."""
    measured = report.evaluation
    return View(
        "FitReport",
        short_path(report.output),
        list_facts(
            *(_list_figures(measured) if measured else [("accuracy", "not measured")]),
            ("held out", "" if measured is None else f"{measured.num_examples:,}"),
            ("fitted on", f"{report.num_train:,}"),
            ("kind", report.kind),
            _name_task(report.task, report.columns, report.classes),
            ("layer", f"{report.layer} ({report.width:,})"),
            ("chosen", list_settings(report.settings)),
        ),
        None if measured is None else _list_rows(measured),
        more=_describe_confusions(measured),
    )


def view_evaluating(report: EvaluateReport) -> View:
    """Return how good a head is on other images, and what was left out."""
    measured = report.evaluation
    left_out = report.num_unlabelled + report.num_not_finite + sum(report.unknown_labels.values())
    return View(
        "EvaluateReport",
        short_path(report.head),
        list_facts(
            *_list_figures(measured),
            ("images", f"{measured.num_examples:,}"),
            ("fitted on", f"{report.num_fitted_on:,}" if report.num_fitted_on else ""),
            ("left out", f"{left_out:,}" if left_out else ""),
            ("failed", f"{len(report.failures):,}" if report.failures else ""),
            ("kind", report.kind),
            ("layer", report.layer),
        ),
        _list_rows(measured),
        more=_describe_confusions(measured),
    )


def view_fine_tuning(report: FineTuneReport) -> View:
    """Return how much better a fine-tuned network is."""
    compared = report.comparison
    write = format_number if compared.figure == ERROR else "{:.4f}".format
    return View(
        "FineTuneReport",
        short_path(report.output),
        list_facts(
            ("before", f"{write(compared.before)} ({report.frozen_kind} on frozen features)"),
            ("after", f"{write(compared.after)} (epoch {report.best})"),
            ("gain", describe_gain(compared)),
            ("held out", f"{compared.count:,}"),
            ("learned from", f"{report.num_train:,}"),
            ("model", short_path(report.model)),
        ),
        _list_rows(report.after),
        more=_describe_confusions(report.after),
    )


def view_evaluation(evaluation: AnyEvaluation) -> View:
    """Return measures, in all and by class."""
    return View(
        type(evaluation).__name__,
        facts=(
            *_list_figures(evaluation),
            ("images", f"{evaluation.num_examples:,}"),
        ),
        rows=_list_rows(evaluation),
        more=_describe_confusions(evaluation),
    )


_FIGURES = {
    "accuracy": "accuracy",
    "mean_average_precision": "mAP",
    "mae": "mean absolute error",
}
"""Keys of an evaluation, the first of which that there is says how good a head is."""


def _name_task(task: Task, columns: Sequence[str], classes: Sequence[str]) -> tuple[str, str]:
    """Return the fact that says what is predicted."""
    if task == "regression":
        return "predicts", columns[0]
    name = "labels" if task == "multi" else "classes"
    return name, f"{len(classes):,} ({list_names(classes)})"


def _list_figures(evaluation: AnyEvaluation) -> list[tuple[str, str]]:
    if isinstance(evaluation, LabelEvaluation):
        return [
            ("mAP", f"{evaluation.mean_average_precision:.4f}"),
            ("micro F1", f"{evaluation.micro_f1:.4f}"),
            ("macro F1", f"{evaluation.macro_f1:.4f}"),
        ]
    if isinstance(evaluation, NumberEvaluation):
        explained = evaluation.r_squared
        return [
            ("mean absolute error", format_number(evaluation.mae)),
            ("R²", "–" if explained is None else f"{explained:.4f}"),
        ]
    return [("accuracy", f"{evaluation.accuracy:.4f}"), ("mean F1", f"{evaluation.macro_f1:.4f}")]


def view_predictions(report: PredictReport) -> View:
    """Return the first images with their classes; those that failed where none could be used."""
    shown = report.predictions[:MOST_ROWS]
    named = {name for one in report.predictions for name in one.classes}
    cells = [(short_path(one.path), one.label or "–", *_describe_first(one)) for one in shown]
    headers = ("image", "label", "class", "probability")
    if shown and shown[0].number is not None:
        headers = ("image", "label", "number", "")
    elif shown and shown[0].labels is not None:
        headers = ("image", "label", "labels", "probability")
    table = Rows(headers, cells, len(report.predictions), (3,))
    return View(
        "PredictReport",
        "",
        list_facts(
            ("images", f"{len(report.predictions):,}"),
            ("accuracy", "" if report.accuracy is None else f"{report.accuracy:.4f}"),
            ("labelled", f"{report.num_labelled:,}" if report.num_labelled else ""),
            ("failed", f"{len(report.failures):,}" if report.failures else ""),
        ),
        table if report.predictions else list_failures(report.failures),
        (("", tuple(_picture(one, named) for one in report.predictions[:MOST_PICTURES])),),
    )


def view_prediction(prediction: Prediction) -> View:
    """Return the classes of one image."""
    pairs = list(zip(prediction.classes, prediction.probabilities, strict=True))
    return View(
        "Prediction",
        short_path(prediction.path),
        list_facts(
            *((name, f"{value:.4f}") for name, value in pairs[:MOST_ROWS]),
            ("labels", "" if prediction.labels is None else _describe_first(prediction)[0]),
            ("number", "" if prediction.number is None else _describe_first(prediction)[0]),
            ("label", prediction.label or ""),
        ),
        pictures=(("", (_picture(prediction, set(prediction.classes)),)),),
    )


def _picture(one: Prediction, named: Set[str]) -> Picture:
    """Return an image with its class, which is right or wrong if the label is a class at all."""
    return Picture(
        one.path,
        short_path(one.path),
        *_describe_first(one, digits=3),
        one.label == one.classes[0] if one.label in named and one.labels is None else None,
    )


def _describe_first(one: Prediction, digits: int = 4) -> tuple[str, str]:
    """Return what is predicted in the first place, and its probability."""
    if one.number is not None:
        return f"{one.number:.6g}", ""
    if one.labels is not None:
        values = [f"{value:.{digits}f}" for value in one.labels.values()]
        return ", ".join(one.labels) or "–", ", ".join(values)
    return one.classes[0], f"{one.probabilities[0]:.{digits}f}"


def _list_rows(evaluation: AnyEvaluation) -> Rows | None:
    """Return the measures of each class, of which a number has none."""
    if isinstance(evaluation, NumberEvaluation):
        return None
    if isinstance(evaluation, Evaluation):
        return _list_classes(evaluation)
    cells = [
        (
            line.name,
            "–" if line.average_precision is None else f"{line.average_precision:.3f}",
            f"{line.f1:.3f}" if line.support else "–",
            f"{line.threshold:.3f}",
            f"{line.support:,}",
        )
        for line in evaluation.classes[:MOST_ROWS]
    ]
    headers = ("label", "AP", "F1", "threshold", "held out")
    return Rows(headers, cells, len(evaluation.classes), (1, 2, 3, 4))


def _list_classes(evaluation: Evaluation) -> Rows:
    cells = [
        (
            line.name,
            *(
                f"{value:.3f}" if line.support else "–"
                for value in (line.precision, line.recall, line.f1)
            ),
            f"{line.support:,}",
        )
        for line in evaluation.classes[:MOST_ROWS]
    ]
    headers = ("class", "precision", "recall", "F1", "held out")
    return Rows(headers, cells, len(evaluation.classes), (1, 2, 3, 4))


def _describe_confusions(evaluation: AnyEvaluation | None) -> str:
    confusions = evaluation.confusions[:3] if isinstance(evaluation, Evaluation) else ()
    return "; ".join(f"{count} × {true} taken for {other}" for true, other, count in confusions)


def view_head_export(report: HeadExportReport) -> View:
    """Return what was exported, and how far it is from featx."""
    comparison = report.comparison
    return View(
        "HeadExportReport",
        short_path(report.output),
        list_facts(
            ("form", report.form),
            ("quantised", "" if report.quantize == "none" else report.quantize),
            ("size", format_bytes(report.bytes)),
            ("pictures", f"{comparison.pictures:,} ({comparison.source})"),
            ("difference", f"{comparison.difference:.2g}"),
            ("changed answers", f"{comparison.changed:,}"),
        ),
    )


VIEWS: Mapping[str, Callable[[Any], View]] = {
    "EvaluateReport": view_evaluating,
    "Evaluation": view_evaluation,
    "LabelEvaluation": view_evaluation,
    "NumberEvaluation": view_evaluation,
    "FineTuneReport": view_fine_tuning,
    "FitReport": view_fit,
    "Head": view_head,
    "HeadExportReport": view_head_export,
    "PredictReport": view_predictions,
    "Prediction": view_prediction,
}
