"""Views of heads, of how good they are, and of what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import TYPE_CHECKING, Any

from featx.report.text import short_path
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

if TYPE_CHECKING:
    from featx.heads.evaluation import Evaluation
    from featx.heads.fitting import FitReport
    from featx.heads.head import Head
    from featx.heads.prediction_report import Prediction, PredictReport


def view_head(head: Head) -> View:
    """Return what a head tells apart, and on which feature."""
    accuracy = (head.report.get("evaluation") or {}).get("accuracy")
    return View(
        "Head",
        "" if head.folder is None else short_path(head.folder),
        list_facts(
            ("kind", head.kind),
            ("classes", f"{len(head.classes):,} ({list_names(head.classes)})"),
            ("layer", describe_feature(head.feature)),
            ("model", head.model.reference),
            ("accuracy", "" if accuracy is None else f"{accuracy:.4f}"),
            ("fitted on", f"{len(head.fitted_on):,} images"),
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
            ("accuracy", "not measured" if measured is None else f"{measured.accuracy:.4f}"),
            ("held out", "" if measured is None else f"{measured.num_examples:,}"),
            ("fitted on", f"{report.num_train:,}"),
            ("kind", report.kind),
            ("classes", f"{len(report.classes):,}"),
            ("layer", f"{report.layer} ({report.width:,})"),
            ("chosen", _list_settings(report.settings)),
        ),
        None if measured is None else _list_classes(measured),
        more=_describe_confusions(measured),
    )


def view_evaluation(evaluation: Evaluation) -> View:
    """Return measures, in all and by class."""
    return View(
        "Evaluation",
        facts=(
            ("accuracy", f"{evaluation.accuracy:.4f}"),
            ("mean F1", f"{evaluation.macro_f1:.4f}"),
            ("images", f"{evaluation.num_examples:,}"),
        ),
        rows=_list_classes(evaluation),
        more=_describe_confusions(evaluation),
    )


def view_predictions(report: PredictReport) -> View:
    """Return the first images with their classes; those that failed where none could be used."""
    shown = report.predictions[:MOST_ROWS]
    named = {name for one in report.predictions for name in one.classes}
    cells = [
        (short_path(one.path), one.label or "–", one.classes[0], f"{one.probabilities[0]:.4f}")
        for one in shown
    ]
    table = Rows(("image", "label", "class", "probability"), cells, len(report.predictions), (3,))
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
            ("label", prediction.label or ""),
        ),
        pictures=(("", (_picture(prediction, set(prediction.classes)),)),),
    )


def _picture(one: Prediction, named: Set[str]) -> Picture:
    """Return an image with its class, which is right or wrong if the label is a class at all."""
    return Picture(
        one.path,
        short_path(one.path),
        one.classes[0],
        f"{one.probabilities[0]:.3f}",
        one.label == one.classes[0] if one.label in named else None,
    )


def _list_settings(settings: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in settings.items()
    )


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


def _describe_confusions(evaluation: Evaluation | None) -> str:
    confusions = () if evaluation is None else evaluation.confusions[:3]
    return "; ".join(f"{count} × {true} taken for {other}" for true, other, count in confusions)


VIEWS: Mapping[str, Callable[[Any], View]] = {
    "Evaluation": view_evaluation,
    "FitReport": view_fit,
    "Head": view_head,
    "PredictReport": view_predictions,
    "Prediction": view_prediction,
}
