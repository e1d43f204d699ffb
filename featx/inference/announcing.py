"""Notes to the user about engines and precisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featx.inference.trial import Choice, Trial
from featx.specs import describe_precision, describe_quantization, describe_speed
from featx.units import format_count
from featx.user_cache import CACHE_VARIABLE


def describe_choice(facts: Mapping[str, Any]) -> str:
    """Describe what was chosen, and the measurements; empty if nothing was measured.

    Example:
        >>> facts = {"engine": "openvino", "precision": "float32"}
        >>> describe_choice(facts | {"speed_ratio": 3.0, "compared_engine": "tensorflow"})
        'engine openvino in float32; 3.0 times as fast as tensorflow here'
    """
    parts = [f"engine {facts['engine']} in {describe_precision(facts['precision'])}"]
    if "speed_ratio" in facts:
        parts.append(f"{describe_speed(facts)} here")
    if "lowest_cosine" in facts:
        compared = describe_precision(facts["compared_precision"])
        layer, cosine = min(facts["lowest_cosine"].items(), key=lambda pair: pair[1])
        parts.append(
            f"lowest cosine of {compared} to float32 in "
            f"{format_count(facts['compared_images'], 'image')}: {cosine:.5f} ({layer})"
        )
        parts += filter(None, [describe_quantization(facts)])
    return "; ".join(parts) if len(parts) > 1 else ""


def announce_choice(trial: Trial, facts: Mapping[str, Any]) -> None:
    """Say what was chosen, if anything was measured."""
    text = describe_choice(facts)
    if text:
        trial.listener.note(text)


def note_refusals(trial: Trial, refusals: Mapping[str, str], chosen: str) -> None:
    """Say which engines cannot take a model, why, and what runs it."""
    for engine, reason in refusals.items():
        trial.listener.note(f"{engine} cannot take {trial.reference} ({reason}): {chosen} runs it")


def note_other_precision(trial: Trial, stored: str, chosen: Choice) -> None:
    """Say that new features are in float32, not in the precision of the existing ones."""
    reason = chosen.missing_precision
    if reason and not reason.startswith("for which "):
        reason = f"in which {chosen.engine} cannot compute now ({reason})"
    new = f"{reason}: new ones are in float32" if reason else "new ones in float32"
    trial.listener.note(f"the existing features are in {describe_precision(stored)}, {new}")


def note_other_pictures(trial: Trial, facts: Mapping[str, Any]) -> None:
    """Say that a precision that suited other pictures does not suit these."""
    precision = describe_precision(facts["compared_precision"])
    layer, cosine = min(facts["lowest_cosine"].items(), key=lambda pair: pair[1])
    trial.listener.note(
        f"{precision} suited other pictures, and keeps a cosine of only {cosine:.5f} ({layer}) to "
        "float32 in these: they are computed in float32"
    )


def note_not_compared(trial: Trial, engine: str, loaded: str, reason: str) -> None:
    """Say that what an engine computes was not compared with the engine that loaded the model."""
    trial.listener.note(
        f"what {engine} computes of {trial.reference} could not be compared with {loaded} here: "
        f"{reason}"
    )


def note_no_cache(trial: Trial) -> None:
    """Say that a converted network could not be kept."""
    trial.listener.note(
        "featx's cache cannot be written, so this model is loaded and converted every time; "
        f"{CACHE_VARIABLE} names another folder"
    )
