"""The queue between reading and writing: order, failures, identical images, threads, memory."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import pytest

from featx.errors import ModelError
from featx.features import batch_queue
from featx.features.batch_queue import BATCHES_AHEAD, ComputedBatch
from featx.features.computing import compute_features
from featx.images.reading import DecodedImage, KnownImage, ReadResult
from featx.images.sources import ImageFailure, ImageItem
from featx.models.backbone import ModelRequest
from featx.specs import FeatureSpec
from featx.testing.toy import ToyBackbone, load

SPECS = (FeatureSpec("value", "layer", "none", (1,)),)
CONCURRENCY = pytest.mark.parametrize("concurrency", [1, 2, 4])


class SlowBackbone(ToyBackbone):
    """Gives the first pixel of each image, after a while that is different for each batch."""

    def __init__(self, concurrency: int, fails_at: int | None = None) -> None:
        super().__init__(load(ModelRequest("colors")).spec)
        self.concurrency = concurrency
        self.fails_at = fails_at
        self.running = self.most_running = 0
        self._random = random.Random(concurrency)
        self._lock = threading.Lock()

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        with self._lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            seconds = self._random.uniform(0, 0.006)
        try:
            time.sleep(seconds)
            values = images[:, 0, 0, :1].astype(np.float32)
            if self.fails_at in values:
                raise ModelError("the network gave up")
            values[values == 13] = np.nan
            return {"value": values}
        finally:
            with self._lock:
                self.running -= 1


def image(value: int, content: int | None = None) -> DecodedImage:
    pixels = np.full((2, 2, 3), value, np.uint8)
    content_hash = (value if content is None else content).to_bytes(16, "big")
    item = ImageItem(f"{value}.png", "photos", None, 1, 1)
    return DecodedImage(item, content_hash, pixels)


def failure(key: str) -> ImageFailure:
    return ImageFailure(key, "damaged", 1, 1)


def run(
    results: Sequence[ReadResult] | Iterator[ReadResult],
    backbone: SlowBackbone,
    known: set[bytes] | None = None,
    batch_size: int = 3,
) -> Iterator[Any]:
    """As an extraction does: what was computed becomes known."""
    for result in compute_features(results, backbone, SPECS, batch_size=batch_size, known=known):
        if known is not None and isinstance(result, ComputedBatch):
            known.update(map(bytes, result.content_hash))
        yield result


def names(result: Any) -> list[str]:
    if isinstance(result, ComputedBatch):
        for item, row in zip(result.items, result.features["value"], strict=True):
            assert item.key == f"{int(row[0])}.png", "rows and keys belong together"
        return [item.key for item in result.items]
    if isinstance(result, KnownImage):
        return [f"known {result.item.key}"]
    return [f"failed {result.key}"]


@CONCURRENCY
@pytest.mark.parametrize("count", [0, 1, 3, 4, 50])
def test_rows_come_in_order(concurrency: int, count: int) -> None:
    backbone = SlowBackbone(concurrency)
    found = [names(result) for result in run([image(n + 20) for n in range(count)], backbone)]
    assert [name for batch in found for name in batch] == [f"{n + 20}.png" for n in range(count)]
    assert backbone.most_running <= concurrency
    if count == 50:
        assert backbone.most_running == min(concurrency, 4)


@CONCURRENCY
def test_failures_come_where_they_were(concurrency: int) -> None:
    results: list[ReadResult] = []
    for number in range(20, 60):
        results.append(image(number))
        if number % 7 == 0:
            results.append(failure(f"{number}+"))
    order = [name for result in run(results, SlowBackbone(concurrency)) for name in names(result)]
    positions = {name: position for position, name in enumerate(order)}
    assert len(positions) == len(results)
    for number in range(28, 60, 7):
        # A batch that is still being filled comes later: what was before that comes before.
        assert positions[f"{number - 3}.png"] < positions[f"failed {number}+"]
        assert positions[f"failed {number}+"] < positions.get(
            f"{number + 3 * (concurrency + 5)}.png", 99
        )
    computed = [name for name in order if name[0].isdigit()]
    assert computed == [f"{number}.png" for number in range(20, 60)]


class DoubtedBackbone(SlowBackbone):
    """Gives wrong values until it is settled, if it is not right."""

    def __init__(self, concurrency: int, *, is_right: bool) -> None:
        super().__init__(concurrency)
        self.is_right = is_right
        self.is_settled = False
        self.computed = 0

    def compute_unsettled(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        is_wrong = not (self.is_settled or self.is_right)
        results = self(images, names)
        self.computed += len(images)
        return {"value": results["value"] + 100 * is_wrong}

    def settle(self) -> bool:
        was_settled, self.is_settled = self.is_settled, True
        return was_settled or self.is_right


@CONCURRENCY
@pytest.mark.parametrize("is_right", [True, False])
def test_nothing_leaves_before_its_precision_is_checked(
    concurrency: int, is_right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = DoubtedBackbone(concurrency, is_right=is_right)
    monkeypatch.setattr(batch_queue, "UNSETTLED_BYTES", 30 * 16)  # 12 of pixels, 4 of a value.
    images = [image(n + 20) for n in range(60)]
    images[7] = image(25)  # Twins are computed once, also when it is done again.
    images[50] = image(13)
    found, before = [], []
    results = compute_features(
        iter(images), backbone, SPECS, batch_size=3, known=set(), settling=cast(Any, backbone)
    )
    for result in results:
        before.append(backbone.is_settled)
        found += names(result)
    assert all(before)
    expected = [f"{n + 20}.png" for n in range(60) if n not in (7, 50)]
    assert [name for name in found if name[0].isdigit()] == expected
    assert sorted(set(found) - set(expected)) == ["failed 13.png", "known 25.png"]
    most = 30 + 3 * (concurrency + BATCHES_AHEAD)
    assert backbone.computed <= 59 + (0 if is_right else most)


@CONCURRENCY
def test_an_image_that_gives_no_number_is_a_failure(concurrency: int) -> None:
    results = [image(n) for n in (20, 13, 22, 23, 24)]
    order = [name for result in run(results, SlowBackbone(concurrency)) for name in names(result)]
    assert order == ["failed 13.png", "20.png", "22.png", "23.png", "24.png"]


@CONCURRENCY
def test_identical_images_are_computed_once(concurrency: int) -> None:
    # Each content comes three times: beside itself, in the next batch, and much later.
    values = [20, 20, 21, 22, 21, 23, 24, 25, 22, 26, 27, 20, 28, 29, 24]
    results = []
    for number, value in enumerate(values):
        one = image(value)
        item = ImageItem(f"{number}-{value}", "photos", None, 1, 1)
        results.append(DecodedImage(item, one.content_hash, one.pixels))
    computed, copies = [], []
    for result in run(results, SlowBackbone(concurrency), known=set()):
        if isinstance(result, ComputedBatch):
            computed += [int(value) for value in result.features["value"][:, 0]]
            assert [int(item.key.split("-")[1]) for item in result.items] == [
                int(value) for value in result.features["value"][:, 0]
            ]
        else:
            assert isinstance(result, KnownImage)
            value = int(result.item.key.split("-")[1])
            assert value in computed, "it comes behind the one that it equals"
            copies.append(value)
    assert computed == list(dict.fromkeys(values))
    assert sorted(computed + copies) == sorted(values)


@CONCURRENCY
def test_identical_images_fail_together(concurrency: int) -> None:
    results = [image(n) for n in (20, 13, 13, 21, 13, 22, 23)]
    order = [
        name
        for result in run(results, SlowBackbone(concurrency), known=set())
        for name in names(result)
    ]
    assert order.count("failed 13.png") == 3
    assert [name for name in order if name[0].isdigit()] == [f"{n}.png" for n in range(20, 24)]


@CONCURRENCY
def test_without_what_is_known_each_is_computed(concurrency: int) -> None:
    results = [image(n) for n in (20, 20, 21, 20, 20, 21, 22)]
    order = [name for result in run(results, SlowBackbone(concurrency)) for name in names(result)]
    assert order == [f"{n}.png" for n in (20, 20, 21, 20, 20, 21, 22)]


@CONCURRENCY
@pytest.mark.parametrize("fails_at", [20, 31, 49])
def test_an_error_comes_behind_what_was_before_it(concurrency: int, fails_at: int) -> None:
    backbone = SlowBackbone(concurrency, fails_at=fails_at)
    got: list[str] = []

    def take() -> None:
        for result in run([image(n) for n in range(20, 50)], backbone):
            got.extend(names(result))

    with pytest.raises(ModelError, match="gave up"):
        take()
    first_of_batch = 20 + (fails_at - 20) // 3 * 3
    assert got == [f"{n}.png" for n in range(20, first_of_batch)]
    assert network_threads() == []


def network_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "featx-network" in thread.name]


@CONCURRENCY
@pytest.mark.parametrize("taken", [0, 1, 4])
def test_no_thread_is_left_when_it_is_closed_early(concurrency: int, taken: int) -> None:
    source = compute_features(
        (image(n % 200 + 20) for n in range(10_000)), SlowBackbone(concurrency), SPECS, batch_size=2
    )
    for _ in range(taken):
        next(source)
    source.close()  # type: ignore[attr-defined]
    assert network_threads() == []


@CONCURRENCY
def test_an_error_of_the_source_comes_through(concurrency: int) -> None:
    def images() -> Iterator[ReadResult]:
        yield from (image(n) for n in range(20, 40))
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        list(run(images(), SlowBackbone(concurrency)))
    assert network_threads() == []


@CONCURRENCY
def test_few_batches_are_alive(concurrency: int) -> None:
    """However slow who takes them is: those that are computed and wait, one filled, one taken."""
    batch_size, read, taken = 2, 0, 0

    def images() -> Iterator[ReadResult]:
        nonlocal read
        for number in range(120):
            read += 1
            most = (concurrency + BATCHES_AHEAD + 1) * batch_size
            assert read - taken <= most, "read further ahead"
            yield image(number + 20)

    for result in run(images(), SlowBackbone(concurrency), batch_size=batch_size):
        time.sleep(0.003)
        taken += len(result.items)
    assert taken == 120


def test_finished_batches_do_not_wait_for_the_next_one() -> None:
    read = 0

    def source() -> Iterator[ReadResult]:
        nonlocal read
        for number in range(6):
            yield image(number)
        for number in range(100_000):
            read = number
            if number == 1000:
                time.sleep(0.05)  # The second batch of three is computed by now.
            yield failure(f"{number}.png")

    results = compute_features(source(), SlowBackbone(2), SPECS, batch_size=3)
    first = next(result for result in results if isinstance(result, ImageFailure))
    assert first.key == "0.png"
    assert read < 5000
    results.close()
