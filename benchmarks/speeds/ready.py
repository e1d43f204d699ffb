"""featx's network with engine and precision chosen beforehand, as part of loading.

Choosing is done once for each run, on its first batch. Measured on some hundred pictures it would
count for more than it does on the many thousands that people have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from benchmarks.speeds.child import BATCH_SIZE
from benchmarks.speeds.networks import Network
from featx.features.computing import plan_features
from featx.images.reading import DecodedImage, read_images, read_spread
from featx.images.sources import ImageItem, find_images
from featx.inference import AcceleratedBackbone, EngineRequest
from featx.input_spec import InputSpec
from featx.models import Backbone


def make_ready(
    backbone: Backbone,
    network: Network,
    folder: str,
    request: EngineRequest | None = None,
    **options: Any,
) -> tuple[AcceleratedBackbone, Callable[[], object]]:
    """Return a backbone that has chosen and warmed up, and a function that computes one batch."""
    contract = backbone.spec.input
    items = find_images(folder).items
    options.setdefault("further", partial(read_spread, items, contract))
    accelerated = AcceleratedBackbone(backbone, request, **options)
    layers = () if network.layer is None else (network.layer,)
    names = [spec.name for spec in plan_features(accelerated, layers, pooling(network))]
    pixels = decode_first(items, contract)

    def compute() -> object:
        return accelerated(pixels, names)

    compute()
    with ThreadPoolExecutor(accelerated.concurrency) as pool:
        for run in [pool.submit(compute) for _ in range(accelerated.concurrency)]:
            run.result()
    return accelerated, compute


def pooling(network: Network) -> str:
    """Return how featx is to pool the maps of a network."""
    return "none" if network.layer else "avg"


def decode_first(items: Sequence[ImageItem], contract: InputSpec) -> np.ndarray:
    """Decode the first pictures of many: a full batch, if need be of repeated ones."""
    results = read_images(items[:BATCH_SIZE], contract)
    found = [result.pixels for result in results if isinstance(result, DecodedImage)]
    return np.stack([found[number % len(found)] for number in range(BATCH_SIZE)])
