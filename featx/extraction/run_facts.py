"""What is said of a run: what computed, and where the time went."""

from __future__ import annotations

from typing import Any

from featx.extraction.preparing import Prepared
from featx.features.computing import Stopwatch


def describe_run(prepared: Prepared) -> dict[str, Any]:
    """Return what a store records of what computes; later parts repeat it."""
    choosing = prepared.backbone.choosing
    spent = _split_choice(prepared)
    facts: dict[str, Any] = {"loading_seconds": round(spent["load"], 3)}
    if choosing.seconds:
        facts |= {
            "converting_seconds": round(spent["convert"], 3),
            "comparing_seconds": round(spent["compare"], 3),
        }
    if choosing.seconds and not prepared.is_chosen:  # Else it is not in the seconds of the run.
        facts |= {
            "choosing_seconds": round(choosing.seconds, 3),
            "choosing_images": choosing.num_images,
        }
    return prepared.backbone.run_facts | facts


def _split_choice(prepared: Prepared) -> dict[str, float]:
    """Return the seconds of loading the model, and of choosing what computes and its parts."""
    choosing = prepared.backbone.choosing
    within = 0.0 if prepared.is_chosen else choosing.seconds
    choose = prepared.choose_seconds + within - choosing.loading
    return {
        "load": prepared.load_seconds + choosing.loading,
        "choose": choose,
        "convert": choosing.converting,
        "compare": max(0.0, choose - choosing.converting - choosing.computing),
    }


def split_seconds(prepared: Prepared, watch: Stopwatch) -> dict[str, float]:
    """Return where the time went; choosing what computes is not computing.

    Except for the first images, whose results come out of it.
    """
    spent = _split_choice(prepared)
    seconds = {"load": spent["load"], **watch.seconds}
    choosing = prepared.backbone.choosing
    if choosing.seconds:
        seconds |= spent
        if not prepared.is_chosen:
            computing = max(0.0, seconds["compute"] - choosing.seconds) + choosing.computing
            seconds["compute"] = computing
    return seconds
