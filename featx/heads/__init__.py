"""Heads: light classifiers on stored features. Fitting one never runs the network."""

from __future__ import annotations

from featx.heads.fitting import FitReport, fit_head
from featx.heads.head import HEAD_KINDS, Head, load_head
from featx.heads.prediction import predict
from featx.heads.prediction_report import Prediction, PredictReport

__all__ = [
    "HEAD_KINDS",
    "FitReport",
    "Head",
    "PredictReport",
    "Prediction",
    "fit_head",
    "load_head",
    "predict",
]
