"""Records of runs as a store holds them, checked: whoever prepares a store can write any JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NUMBER = (int, float)
LARGEST = 2**63
"""Counts and seconds are below: whatever adds or divides them stays finite."""

TYPES: dict[str, tuple[type, ...]] = {
    "started": (str,),
    "computed": (int,),
    "seconds": NUMBER,
    "engine": (str,),
    "precision": (str,),
    "compared_engine": (str,),
    "compared_precision": (str,),
    "compared_images": (int,),
    "speed_ratio": NUMBER,
    "choosing_seconds": NUMBER,
    "loading_seconds": NUMBER,
    "converting_seconds": NUMBER,
    "comparing_seconds": NUMBER,
    "choosing_images": (int,),
    "workers": (int,),
    "lowest_cosine": (dict,),
    "decoders": (dict,),
    "decoding": (dict,),
    "quantization": (dict,),
    "shifted": (list,),
}
"""Type of each entry that featx reads. Others, such as versions of packages, are only shown."""

VALUES: dict[str, tuple[type, ...]] = {
    "lowest_cosine": NUMBER,
    "decoders": (str,),
    "shifted": (str,),
}
"""Type of what is in an entry that holds several values."""

NEEDED_BY = {"lowest_cosine": "compared_images", "speed_ratio": "engine"}
"""Entry → the one without which it says nothing."""


def check_run(run: Any) -> dict[str, Any]:
    """Return the record of a run; refuse one with entries that featx does not write.

    Raises:
        ValueError: If an entry is missing or out of range.
        TypeError: If an entry is of another type.

    Example:
        >>> check_run({"started": "2026-11-20T10:00:00+00:00", "computed": 3, "seconds": "long"})
        Traceback (most recent call last):
        ...
        TypeError: 'seconds' of a run is 'long'
    """
    if not isinstance(run, dict):
        raise TypeError(f"a run is {run!r:.60}")
    for name in ("started", "computed"):
        if name not in run:
            raise ValueError(f"a run has no {name!r}")
    _check_entries(run)
    if "decoding" in run:
        decoding = {"lowest_cosine": None, "images": None} | run["decoding"]
        _check_entries({"lowest_cosine": decoding["lowest_cosine"]})
        _check_entry("images", decoding["images"], (int,))
        if not decoding["lowest_cosine"]:
            raise ValueError("'decoding' of a run names no layer")
    _check_quantization(run.get("quantization", {}))
    for name, needed in NEEDED_BY.items():
        if name in run and needed not in run:
            raise ValueError(f"a run has {name!r} without {needed!r}")
    if run.get("speed_ratio", 1) <= 0:
        raise ValueError(f"'speed_ratio' of a run is {run['speed_ratio']!r}")
    return dict(run)


def _check_quantization(facts: Mapping[str, Any]) -> None:
    """Check what a run says of 8 bits: see `featx.inference.quantized.measure_quantized`."""
    if "network" in facts:
        _check_entry("network", facts["network"], (str,))
    if "median_cosine" in facts:
        _check_entry("calibrated", facts.get("calibrated"), (int,))
    for name in ("median_cosine", "same_nearest", "accuracy"):
        values = facts.get(name, {})
        _check_entry(name, values, (dict,))
        for value in values.values():
            if name == "accuracy" and (type(value) is not list or len(value) != 2):
                raise TypeError(f"{name!r} of a run is {value!r:.60}")
            for number in value if name == "accuracy" else [value]:
                _check_entry(name, number, NUMBER)


def _check_entries(run: Mapping[str, Any]) -> None:
    for name, value in run.items():
        if name not in TYPES:
            continue
        _check_entry(name, value, TYPES[name])
        values = value.values() if isinstance(value, dict) else value
        for inner in values if name in VALUES else ():
            _check_entry(name, inner, VALUES[name])


def _check_entry(name: str, value: Any, types: tuple[type, ...]) -> None:
    if type(value) not in types:  # A truth value is no number.
        raise TypeError(f"{name!r} of a run is {value!r:.60}")
    if isinstance(value, NUMBER) and not -LARGEST < value < LARGEST:
        raise ValueError(f"{name!r} of a run is out of range")
