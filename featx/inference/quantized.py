"""8 bits: a network is calibrated on pictures of the run, kept, and measured on others of them."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.engines.engines import ComputeType, Network, Quantizing
from featx.engines.graph import NotConvertible
from featx.inference.agreement import row_cosines
from featx.inference.forms import Form
from featx.inference.memory import EngineMemory
from featx.inference.request import INT8
from featx.inference.trial import FIRST_BATCH, Choice, Trial
from featx.poolings import pool_features
from featx.specs import digest
from featx.version import version_of
from featx.wording import option

if TYPE_CHECKING:  # Help texts and `info` need no decoders.
    from featx.images.reading import DecodedImage

SAMPLES = 192
"""Pictures that are taken from all over those to be computed: every second one calibrates, the
others are compared."""

FEWEST = 32

GOOD_COSINE = 0.99
"""Below, the median cosine of a layer is a warning."""


def start_quantized(
    form: Form,
    known: str,
    exact: Choice,
    start: Callable[[Form, ComputeType], Choice],
) -> Choice:
    """Return the network in 8 bits: that of existing features, or one that is calibrated now.

    Args:
        form: The engine's model of the layers.
        known: What the network of existing features is called; empty if there are none.
        exact: The network in float32.
        start: Opens a form in a precision, and tries it.

    Raises:
        InvalidValue: If a library is missing.
        NotConvertible: If it cannot be made, or that of existing features is not there.
    """
    trial = form.memory.trial
    if known:
        with trial.spent.timing("convert"):
            quantized = find_quantized(form.memory, known)
        fast = start(quantized, INT8)
        facts = _measure_again(exact, fast)
    else:
        samples = trial.samples()
        with trial.spent.timing("convert"):
            known, quantized = quantize_network(form, samples)
        fast = start(quantized, INT8)
        facts = measure_quantized(trial, exact.network, fast.network, samples)
        warn_of_quantization(trial, facts)
    quantization = {**facts.get("quantization", {}), "network": known}
    facts |= {"compared_precision": INT8, "quantization": quantization}
    return replace(fast, facts=fast.facts | facts)


def quantize_network(form: Form, samples: Sequence[DecodedImage]) -> tuple[str, Form]:
    """Return the 8-bit network of some pictures, made now or when they were first seen.

    Args:
        form: The engine's model of the layers.
        samples: Pictures of the run.

    Returns:
        What it is called in the cache and in stores, and the network.

    Raises:
        InvalidValue: If a library is missing.
        NotConvertible: If there are too few pictures, or nothing to quantise.
    """
    if len(samples) < FEWEST:
        raise NotConvertible(
            f"it is calibrated on at least {FEWEST} pictures of a run of `extract` that are files, "
            f"not in archives or arrays, and here {'is' if len(samples) == 1 else 'are'} "
            f"{len(samples)}"
        )
    images = [sample.pixels for sample in samples[::2]]
    name, memory = _name(images), form.memory
    network = memory.find(_form(name))
    if network is None:
        assert isinstance(memory.engine, Quantizing)
        network = memory.engine.quantize(form.get(), images)
        if not memory.keep(network, _form(name)) or memory.find(_form(name)) is None:
            memory.trial.listener.note(
                "the 8-bit network cannot be kept, so no later run can add images to this store"
            )
    return name, Form(memory, _form(name), lambda: network, is_known=True)


def find_quantized(memory: EngineMemory, name: str) -> Form:
    """Return the 8-bit network of existing features.

    Raises:
        NotConvertible: If it is not in the cache.
    """
    network = memory.find(_form(name))
    if network is None:
        raise NotConvertible(
            "the 8-bit network of the existing features is not in the cache any more, or was made "
            "on another machine or by other versions"
        )
    return Form(memory, _form(name), lambda: network, is_known=True)


def _form(name: str) -> str:
    return f"int8-{name}"


def _name(images: Sequence[np.ndarray]) -> str:
    """Identify a calibration: its pictures, and what calibrates."""
    try:
        version = version_of("nncf")
    except importlib.metadata.PackageNotFoundError:
        version = ""
    pictures = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    return digest({"nncf": version, "pictures": pictures})


def measure_quantized(
    trial: Trial, exact: Network, quantized: Network, samples: Sequence[DecodedImage]
) -> dict[str, Any]:
    """Compare an 8-bit network with float32, on the pictures on which it was not calibrated.

    Args:
        trial: Names the layers.
        exact: The network in float32.
        quantized: The one in 8 bits.
        samples: The pictures, as they were given to `quantize_network`.

    Returns:
        What is recorded: how many calibrated it; of each layer, maps averaged as `search` does,
        the lowest and the median cosine, the share of pictures whose nearest neighbour among those
        compared is the same, and, where the pictures have classes, how many of them are classified
        rightly by the nearest mean of the classes of the calibrating pictures, in float32 and in
        8 bits.
    """
    labels = [sample.item.label for sample in samples]
    compared = _compare(exact, quantized, [sample.pixels for sample in samples])
    lowest, median, same, accuracy = {}, {}, {}, {}
    for name in trial.names:
        rows = compared[name]
        cosines = row_cosines(*(some[1::2] for some in rows))
        lowest[name] = round(float(cosines.min()), 6)
        median[name] = round(float(np.median(cosines)), 6)
        nearest = [_nearest(some[1::2]) for some in rows]
        same[name] = round(float((nearest[0] == nearest[1]).mean()), 4)
        shares = [classify_held_out(some, labels) for some in rows]
        accuracy[name] = [round(share, 4) for share in shares if share is not None]
    facts = {
        "calibrated": len(samples[::2]),
        "median_cosine": median,
        "same_nearest": same,
        **({"accuracy": accuracy} if all(accuracy.values()) else {}),
    }
    return {"lowest_cosine": lowest, "compared_images": len(samples[1::2]), "quantization": facts}


def _measure_again(exact: Choice, quantized: Choice) -> dict[str, Any]:
    """Compare the 8-bit network of existing features on the first of the new pictures."""
    assert exact.results is not None
    assert quantized.results is not None
    lowest, count = {}, 0
    for name, values in exact.results.items():
        cosines = row_cosines(_unit_rows(values), _unit_rows(quantized.results[name]))
        lowest[name], count = round(float(cosines.min()), 6), len(cosines)
    return {"lowest_cosine": lowest, "compared_images": count}


def _compare(
    exact: Network, quantized: Network, pixels: Sequence[np.ndarray]
) -> dict[str, list[np.ndarray]]:
    """Compute pictures in both, and return of each layer the vectors of each.

    Maps are kept no longer than a batch: those of early layers are large.
    """

    def compare(start: int) -> dict[str, list[np.ndarray]]:
        batch = np.stack(pixels[start : start + FIRST_BATCH])
        before, after = exact(batch), quantized(batch)
        return {name: [_unit_rows(before[name]), _unit_rows(after[name])] for name in before}

    first = compare(0)  # The first call of a network may compile it.
    with ThreadPoolExecutor(min(exact.concurrency, quantized.concurrency)) as threads:
        others = list(threads.map(compare, range(FIRST_BATCH, len(pixels), FIRST_BATCH)))
    return {
        name: [
            np.concatenate(parts)
            for parts in zip(*(one[name] for one in (first, *others)), strict=True)
        ]
        for name in first
    }


def _unit_rows(values: np.ndarray) -> np.ndarray:
    """Return vectors of length 1, of maps their means: float64 (N, D)."""
    rows = pool_features(values, "avg") if values.ndim == 4 else values
    rows = rows.reshape(len(rows), -1).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)


def _nearest(rows: np.ndarray) -> np.ndarray:
    """Return the nearest other row of each."""
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -np.inf)
    nearest: np.ndarray = cosines.argmax(axis=1)
    return nearest


def classify_held_out(rows: np.ndarray, labels: Sequence[str | None]) -> float | None:
    """Return how many rows at odd places are nearest to the mean of their class at even ones.

    Only rows of classes that have both count; None if these are not two classes.

    Example:
        >>> rows = np.array([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [1, 0], [0.2, 0.8]])
        >>> classify_held_out(rows, ["a", "a", "b", "b", "a", "a"])
        0.6666666666666666
    """
    names = np.array([label or "" for label in labels])
    classes = sorted({*names[::2]} & {*names[1::2]} - {""})
    if len(classes) < 2:
        return None
    means = np.stack([rows[::2][names[::2] == name].mean(axis=0) for name in classes])
    counted = np.isin(names[1::2], classes)
    found = np.array(classes)[(rows[1::2][counted] @ _unit_rows(means).T).argmax(axis=1)]
    return float((found == names[1::2][counted]).mean())


def warn_of_quantization(trial: Trial, facts: Mapping[str, Any]) -> None:
    """Warn where 8 bits change features too much to search in them."""
    layer, cosine = min(facts["quantization"]["median_cosine"].items(), key=lambda pair: pair[1])
    if cosine < GOOD_COSINE:
        trial.listener.note(
            f"warning: 8 bits keep a median cosine of only {cosine:.4f} ({layer}) to float32, less "
            f"than {GOOD_COSINE}: searches will find other images; "
            f"{option('precision', 'auto')} keeps them"
        )
