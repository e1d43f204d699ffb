"""The way of decoding: fast where the user's own pictures show that it keeps the features.

Decided before a store is begun, since it is part of what identifies a feature.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featx.errors import ImageError
from featx.events import Listener
from featx.extraction.plan import Plan
from featx.features.computing import plan_features
from featx.images.decode import is_reduced
from featx.images.reading import DecodedImage, read_images
from featx.images.sources import ImageItem
from featx.images.sources.endings import JPEG_SUFFIXES
from featx.images.sources.items import ReadsInOrder
from featx.images.sources.keys import ending_of
from featx.inference import AcceleratedBackbone
from featx.inference.agreement import LOWEST_COSINE, Agreement
from featx.inference.trial import FIRST_BATCH
from featx.input_spec import InputSpec
from featx.specs import describe_precision, with_input
from featx.units import format_count

MOST_COMPARED, LEAST_COMPARED, COMPARED_SHARE = 16, 4, 8
"""One picture in 8 is compared, at least 4 and at most 16: each is decoded three times instead of
once, and computed twice more."""

MAX_HELD_BYTES = 64 << 20
"""Larger files are not compared: the sample is held in memory."""


def choose_sample(items: Sequence[ImageItem]) -> tuple[ImageItem, ...]:
    """Return pictures on which ways of decoding are compared: the largest files, and a spread.

    Of archives that can be read in one order only, the first ones.

    Args:
        items: All pictures, of all shards: these must come to the same result.
    """
    jpegs = [item for item in items if ending_of(item.key) in JPEG_SUFFIXES] or list(items)
    count = min(MOST_COMPARED, max(LEAST_COMPARED, math.ceil(len(jpegs) / COMPARED_SHARE)))
    if len(jpegs) <= count or any(isinstance(item.reader, ReadsInOrder) for item in jpegs):
        return tuple(jpegs[:count])
    numbers = range(len(jpegs))
    largest = set(heapq.nlargest(count // 2, numbers, lambda number: jpegs[number].size))
    others = [number for number in numbers if number not in largest]
    num_spread = count - len(largest)
    spread = {others[(2 * n + 1) * len(others) // (2 * num_spread)] for n in range(num_spread)}
    return tuple(jpegs[number] for number in sorted(largest | spread))


def choose_decoding(plan: Plan, backbone: AcceleratedBackbone, listener: Listener) -> None:
    """Set a backbone's way of decoding: the existing one, the one asked for, or the measured one.

    Args:
        plan: The plan.
        backbone: The model, which decodes fast so far unless asked otherwise.
        listener: Told what was measured.
    """
    request, existing = plan.request, plan.existing.contract
    contract = backbone.spec.input
    if existing is not None:
        if request.input.decode is None:
            backbone.spec = with_input(backbone.spec, decode=existing.decode)
        backbone.spec = with_input(backbone.spec, decode_margin=existing.decode_margin)
        return
    if request.input.decode is not None or contract.decode == "exact" or request.update.dry_run:
        return
    if plan.found.stream is not None:  # It cannot be read twice.
        backbone.spec = with_input(backbone.spec, decode="exact")
        return
    pairs = _decode_both(plan, contract)
    if pairs is None:
        return  # No picture is large enough.
    names = [spec.name for spec in plan_features(backbone, request.layers, request.pool)]
    # A shard may be left without images.
    batch_size = max(1, min(request.run.batch_size or FIRST_BATCH, len(plan.changes.todo)))
    agreement = backbone.compare_decoding(names, *pairs, batch_size)
    way = "fast" if agreement.is_enough else "exact"
    backbone.spec = with_input(backbone.spec, decode=way)
    facts = {
        "images": agreement.num_images,
        "lowest_cosine": {name: round(cosine, 6) for name, cosine in agreement.cosines.items()},
    }
    backbone.run_facts = {**backbone.run_facts, "decoding": facts}
    listener.note(describe_decoding(agreement, backbone.run_facts))


def describe_decoding(agreement: Agreement, facts: dict[str, Any]) -> str:
    """Say how pictures are decoded, and why.

    Example:
        >>> describe_decoding(Agreement({"mean": 0.9978}, 4), {"precision": "float32"})
        'pictures are decoded exactly: fast decoding would keep a cosine of only 0.99780 (mean)...'
    """
    layer, cosine = min(agreement.cosines.items(), key=lambda pair: pair[1])
    precision = facts.get("precision", "float32")
    what = "fast decoding"
    if precision != "float32":
        what += f" and {describe_precision(precision)} together"
    images = format_count(agreement.num_images, "image")
    if agreement.is_enough:
        return f"{what}: lowest cosine to exact features in {images}: {cosine:.5f} ({layer})"
    return (
        f"pictures are decoded exactly: {what} would keep a cosine of only {cosine:.5f} ({layer}) "
        f"to exact features, of {images}; {LOWEST_COSINE} is asked for"
    )


@dataclass(frozen=True, slots=True)
class _HeldFile:
    """A file in memory."""

    data: bytes

    def read(self, item: ImageItem) -> bytes:
        """Return it."""
        return self.data


def _decode_both(plan: Plan, contract: InputSpec) -> tuple[np.ndarray, np.ndarray] | None:
    """Return exact and fast pixels of the pictures of the sample that are decoded at a fraction.

    None if there are none.
    """
    held = []
    for item in choose_sample(plan.every_item):
        try:
            data = item.read_bytes()
        except (OSError, ImageError):
            continue  # Reported when it is read for good.
        if len(data) <= MAX_HELD_BYTES and is_reduced(data, contract):
            held.append(replace(item, reader=_HeldFile(data)))
    run = plan.request.run
    pixels = [
        [
            result.pixels if isinstance(result, DecodedImage) else None
            for result in read_images(held, way, workers=run.workers, max_pixels=run.max_pixels)
        ]
        for way in (replace(contract, decode="exact"), contract)
    ]
    pairs = [(a, b) for a, b in zip(*pixels, strict=True) if a is not None and b is not None]
    if not pairs:
        return None
    exact, fast = zip(*pairs, strict=True)
    return np.stack(exact), np.stack(fast)
