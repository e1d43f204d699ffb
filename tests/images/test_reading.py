from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.files import hash_content
from featx.images import reading
from featx.images.reading import (
    SPREAD,
    SPREAD_SHARE,
    DecodedImage,
    KnownImage,
    ReadResult,
    default_workers,
    read_images,
    read_spread,
)
from featx.images.sources import ImageFailure, ImageItem, find_images
from featx.input_spec import InputSpec
from featx.testing import write_images

CONTRACT = InputSpec(height=4, width=4)


@pytest.fixture
def items(tmp_path: Path) -> list[ImageItem]:
    """Twelve images; the red of the i-th is 10 + i."""
    return list(find_images([write_images(12, tmp_path)]).items)


def red(result: ReadResult) -> int:
    assert isinstance(result, DecodedImage)
    return int(result.pixels[0, 0, 0])


def featx_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("featx")]


class Decoder:
    """Stands in for `decode_image`: counts, and can be made slow or wait."""

    def __init__(self, delay: Callable[[int], float] = lambda count: 0.0) -> None:
        self.started = 0
        self.delay = delay
        self._lock = threading.Lock()

    def __call__(self, data: bytes, contract: InputSpec, **_: object) -> np.ndarray:
        with self._lock:
            self.started += 1
            count = self.started
        time.sleep(self.delay(count))
        return np.zeros((contract.height, contract.width, 3), np.uint8)


def begun(decoder: Decoder, expected: int) -> int:
    """How many images were begun: waits for those expected, then for any too many."""
    deadline = time.monotonic() + 10
    while decoder.started < expected and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(0.03)
    return decoder.started


@pytest.mark.parametrize(("workers", "lookahead"), [(1, 1), (1, 64), (4, 1), (4, 3), (8, 64)])
def test_results_come_in_order_with_their_own_pixels(
    items: list[ImageItem], workers: int, lookahead: int
) -> None:
    results = list(read_images(items, CONTRACT, workers=workers, lookahead=lookahead))
    assert [result.item.key for result in results if isinstance(result, DecodedImage)] == [
        f"image_{index}.png" for index in range(12)
    ]
    assert [red(result) for result in results] == list(range(10, 22))
    for item, result in zip(items, results, strict=True):
        assert isinstance(result, DecodedImage)
        assert result.content_hash == hash_content(item.path.read_bytes())
        assert len(result.content_hash) == 16


def test_order_is_kept_when_the_first_are_the_slowest(
    items: list[ImageItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "decode_image", Decoder(lambda count: 0.1 if count < 3 else 0))
    results = list(read_images(items, CONTRACT, workers=4))
    assert [r.item.key for r in results if isinstance(r, DecodedImage)] == [i.key for i in items]


@pytest.mark.parametrize("lookahead", [1, 2, 5])
def test_no_more_than_lookahead_images_are_decoded_ahead(
    items: list[ImageItem], monkeypatch: pytest.MonkeyPatch, lookahead: int
) -> None:
    decoder = Decoder()
    monkeypatch.setattr(reading, "decode_image", decoder)
    results = read_images(items, CONTRACT, workers=8, lookahead=lookahead)
    assert decoder.started == 0  # Nothing is read before the first result is asked for.
    for taken in range(1, 4):
        next(results)
        # The one just taken counts: at most `lookahead` are held at a time.
        expected = taken + lookahead - 1
        assert begun(decoder, expected) == expected
    results.close()  # type: ignore[attr-defined]


def test_pictures_are_decoded_at_the_same_time(
    items: list[ImageItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(3, timeout=10)

    def decode(data: bytes, contract: InputSpec, **_: object) -> np.ndarray:
        together.wait()  # Passes only when three threads are here at once.
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(reading, "decode_image", decode)
    assert len(list(read_images(items, CONTRACT, workers=3))) == 12


def test_a_damaged_image_in_the_middle_leaves_its_neighbours_alone(
    items: list[ImageItem],
) -> None:
    items[5].path.write_bytes(b"not a picture")
    results = list(read_images(items, CONTRACT, workers=3))
    assert results[5] == ImageFailure(
        "image_5.png",
        "not an image in a format that featx reads",
        items[5].size,
        items[5].mtime_ns,
    )
    others = [result for index, result in enumerate(results) if index != 5]
    assert [red(result) for result in others] == [*range(10, 15), *range(16, 22)]


def test_a_file_that_vanished_after_listing_is_a_failure(items: list[ImageItem]) -> None:
    items[3].path.unlink()
    items[4].path.unlink()
    items[4].path.mkdir()
    results = list(read_images(items, CONTRACT, workers=2))
    failures = [result for result in results if isinstance(result, ImageFailure)]
    assert [(failure.key, failure.reason) for failure in failures] == [
        ("image_3.png", "No such file or directory"),
        ("image_4.png", "Is a directory"),
    ]
    assert [red(results[2]), red(results[5])] == [12, 15]


def test_known_images_are_not_decoded(
    items: list[ImageItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Decoder()
    monkeypatch.setattr(reading, "decode_image", decoder)
    known = {hash_content(items[row].path.read_bytes()) for row in (1, 4)}
    results = list(read_images(items, CONTRACT, workers=2, known=known))
    assert [index for index, r in enumerate(results) if isinstance(r, KnownImage)] == [1, 4]
    assert results[1] == KnownImage(items[1], hash_content(items[1].path.read_bytes()))
    assert decoder.started == 10


def test_a_mistake_in_the_program_is_not_taken_for_a_bad_image(items: list[ImageItem]) -> None:
    class Broken:
        def __contains__(self, content_hash: object) -> bool:
            raise KeyError("a mistake")

    with pytest.raises(KeyError, match="a mistake"):
        list(read_images(items, CONTRACT, workers=2, known=Broken()))
    assert featx_threads() == []


def test_closing_early_stops_reading_and_leaves_no_threads(
    items: list[ImageItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Decoder(lambda count: 0.1)
    monkeypatch.setattr(reading, "decode_image", decoder)
    results = read_images(items, CONTRACT, workers=2, lookahead=12)
    assert isinstance(results, Iterator)
    next(results)
    assert len(featx_threads()) == 2
    results.close()  # type: ignore[attr-defined]
    assert featx_threads() == []
    assert decoder.started < 12


def test_an_error_of_the_consumer_leaves_no_threads(items: list[ImageItem]) -> None:
    def consume() -> None:
        for _ in read_images(items, CONTRACT, workers=2):
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        consume()
    assert featx_threads() == []


def test_nothing_to_read_gives_nothing() -> None:
    assert list(read_images([], CONTRACT)) == []
    assert featx_threads() == []


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11)), st.integers(1, 5))
def test_any_mixture_keeps_one_result_for_each_item_in_order(
    bad: set[int], known: set[int], lookahead: int
) -> None:
    items = MIXED_ITEMS
    contents = [hash_content(item.path.read_bytes()) for item in items]
    results = list(
        read_images(
            [
                replace(i, key=f"{i.key}/x" if n in bad else i.key, size=n)
                for n, i in enumerate(items)
            ],
            CONTRACT,
            workers=3,
            lookahead=lookahead,
            known={contents[number] for number in known},
        )
    )
    assert len(results) == len(items)
    for number, result in enumerate(results):
        if number in bad:
            reason = "Not a directory"
            key = f"{items[number].key}/x"
            assert result == ImageFailure(key, reason, -1, -1)  # retried every time
        elif number in known:
            assert isinstance(result, KnownImage)
            assert result.item.size == number
        else:
            assert isinstance(result, DecodedImage)
            assert (result.content_hash, red(result)) == (contents[number], 10 + number)


MIXED_ITEMS: list[ImageItem] = []


@pytest.fixture(autouse=True, scope="module")
def _mixed_items(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = write_images(12, tmp_path_factory.mktemp("mixed"))
    MIXED_ITEMS.extend(find_images([folder]).items)


def test_the_number_of_workers_follows_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in [(1, 1), (3, 3), (16, 16), (64, 16)]:
        monkeypatch.setattr("featx.images.reading.available_cores", lambda cores=cores: cores)
        assert default_workers() == expected


def test_a_spread_is_from_all_over_and_a_small_share(
    items: list[ImageItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reds(share: int, most: int = SPREAD) -> list[int]:
        monkeypatch.setattr(reading, "SPREAD_SHARE", share)
        return [int(pixels[0, 0, 0]) - 10 for pixels in read_spread(items, CONTRACT, most=most)]

    assert reds(SPREAD_SHARE) == []  # One in 16 of 12 is none.
    assert reds(4) == [2, 6, 10]
    assert reds(1) == list(range(12))
    assert reds(1, most=2) == [3, 9]


def test_a_spread_leaves_out_what_fails_or_cannot_be_read_in_any_order(
    items: list[ImageItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reader:
        def read(self, item: ImageItem) -> bytes:
            raise AssertionError(item.key)

    monkeypatch.setattr(reading, "SPREAD_SHARE", 1)
    items[0].path.write_bytes(b"damaged")
    items[5:] = [replace(item, reader=Reader()) for item in items[5:]]
    assert [int(pixels[0, 0, 0]) for pixels in read_spread(items, CONTRACT)] == [11, 12, 13, 14]
