"""Fast decoding is measured on the user's pictures before a store is begun with it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featx
from featx.events import Listener
from featx.extraction.decoding import choose_sample, describe_decoding
from featx.images.decode import decode_image
from featx.images.roots import Root
from featx.images.sources import ImageItem
from featx.inference import AcceleratedBackbone, accelerated
from featx.inference.trial import Choice
from featx.input_spec import InputSpec
from featx.models import SOURCES, ModelRequest, load_model, loading, restore_model
from featx.models.backbone import Layer
from featx.models.sources import ModelSource
from featx.store import open_store
from featx.testing import ToyBackbone, toy_model
from featx.testing.toy import load as load_toy

SIDE = 400


class EdgeBackbone(ToyBackbone):
    """``edges``: (8, 7, 3), differences of neighbouring pixels, which show how they were made."""

    def features(self) -> Any:
        size = self.spec.input
        shape = (size.height, size.width - 1, 3)
        return (Layer("edges", "layer", "Edges", 0, shape), *super().features())

    def __call__(self, images: np.ndarray, names: Any) -> dict[str, np.ndarray]:
        results = super().__call__(images, [name for name in names if name != "edges"])
        edges = np.diff(images.astype(np.float32), axis=2)
        return {name: edges if name == "edges" else results[name] for name in names}


class EdgeSource(ModelSource):
    spellings = ("edges:NAME",)

    def load(self, request: ModelRequest) -> EdgeBackbone:
        spec = load_toy(request).spec
        return EdgeBackbone(replace(spec, source="edges"))


class Notes(Listener):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def extract(photos: Path, store: Path) -> Iterator[Callable[..., Notes]]:
    """Extract `photos` into `store` with a network that sees edges; return what was said."""
    SOURCES.add("edges", EdgeSource())

    def run(images: Any = photos, **options: Any) -> Notes:
        notes = Notes()
        options = {"model": "edges:net", "layers": ["edges"], "output": store} | options
        featx.extract(images, listener=notes, **options)
        return notes

    yield run
    SOURCES.remove("edges")


def photograph(seed: int, contrast: float) -> bytes:
    """A JPEG of a smooth picture with noise: little contrast leaves little but the noise."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    pixels = 128 + contrast * (smooth - 128.0) + random.normal(0, 8, smooth.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def write(photos: Path, count: int, contrast: float) -> None:
    for number in range(count):
        (photos / f"{number}.jpg").write_bytes(photograph(number, contrast))


def decoding(store: Path) -> tuple[str, dict[str, Any]]:
    with open_store(store) as opened:
        run = dict(opened.header.runs[-1])
        return opened.header.model.input.decode, run.get("decoding", {})


def test_pictures_that_keep_their_features_are_decoded_fast(
    extract: Callable[..., Notes], photos: Path, store: Path
) -> None:
    write(photos, 5, 1)
    notes = extract()
    way, measured = decoding(store)
    assert way == "fast"
    assert measured["images"] == 4
    assert 0.999 <= measured["lowest_cosine"]["edges"] < 1
    assert any(line.startswith("fast decoding: lowest cosine") for line in notes.lines)


def test_pictures_that_do_not_are_decoded_exactly(
    extract: Callable[..., Notes], photos: Path, store: Path
) -> None:
    write(photos, 5, 0)
    notes = extract()
    way, measured = decoding(store)
    assert way == "exact"
    lowest = measured["lowest_cosine"]["edges"]
    said = f"would keep a cosine of only {lowest:.5f} (edges) to exact features, of 4 images"
    assert lowest < 0.999
    assert any(said in line for line in notes.lines)
    with open_store(store) as opened:
        values, contract = opened.features("edges")[0], opened.header.model.input
    pixels = decode_image(photograph(0, 0), replace(contract, decode="exact"))
    np.testing.assert_array_equal(values, np.diff(pixels.astype(np.float32), axis=1))
    # The store goes on so, without measuring again.
    write(photos, 6, 1)
    notes = extract()
    assert decoding(store)[0] == "exact"
    assert not any("decoding" in line for line in notes.lines)


def test_a_way_that_is_named_is_taken_as_it_is(
    extract: Callable[..., Notes], photos: Path, store: Path
) -> None:
    write(photos, 2, 0)
    notes = extract(decode="fast")
    assert decoding(store) == ("fast", {})
    assert not any("decoding" in line for line in notes.lines)


def test_small_pictures_are_not_compared(
    extract: Callable[..., Notes], photos: Path, store: Path
) -> None:
    write(photos, 2, 0)
    extract(img_size=(64, 64))  # Less than eight times the size.
    assert decoding(store) == ("fast", {})


def test_what_cannot_be_read_twice_is_decoded_exactly(
    extract: Callable[..., Notes], store: Path
) -> None:
    extract((f"{number}.jpg", photograph(number, 1)) for number in range(2))
    assert decoding(store)[0] == "exact"


def test_pictures_in_a_compressed_archive_are_compared(
    extract: Callable[..., Notes], photos: Path, store: Path
) -> None:
    write(photos, 12, 0)
    with tarfile.open(photos.parent / "a.tar.gz", "w:gz") as archive:
        archive.add(photos, "photos")
    extract(photos.parent / "a.tar.gz")
    assert decoding(store)[0] == "exact"


def test_a_store_of_the_first_margin_goes_on_with_it(
    extract: Callable[..., Notes], photos: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(photos, 1, 1)
    with monkeypatch.context() as patch:
        patch.setattr(loading, "DECODE_MARGIN", 2)
        extract()
    write(photos, 2, 1)
    for options in ({}, {"decode": "fast"}):
        extract(**options)
        with open_store(store) as opened:
            contract = opened.header.model.input
            values = opened.features("edges")[:]
        assert contract.decode_margin == 2
        assert contract.identity()["decode"] == "fast"
    for number, row in enumerate(values):
        pixels = decode_image(photograph(number, 1), contract).astype(np.float32)
        np.testing.assert_array_equal(row, np.diff(pixels, axis=1))


def test_shards_compare_the_same_pictures(
    extract: Callable[..., Notes], photos: Path, store: Path
) -> None:
    write(photos, 6, 1)
    measured = []
    for number in (1, 2):
        path = store.with_name(f"{number}.h5")
        extract(shard=(number, 2), output=path)
        measured.append(decoding(path)[1]["lowest_cosine"])
    assert measured[0] == measured[1]


def test_a_shard_without_images_comes_to_the_same_result(
    extract: Callable[..., Notes], photos: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare, sizes = AcceleratedBackbone.compare_decoding, []

    def watched(self: Any, names: Any, exact: Any, fast: Any, batch_size: int) -> Any:
        sizes.append(batch_size)
        return compare(self, names, exact, fast, batch_size)

    monkeypatch.setattr(AcceleratedBackbone, "compare_decoding", watched)
    write(photos, 1, 1)
    ways = []
    for number in (1, 2):
        path = store.with_name(f"{number}.h5")
        extract(shard=(number, 2), output=path)
        with open_store(path) as opened:
            ways.append(opened.header.model.input.decode)
    assert ways == ["fast", "fast"]
    assert sizes == [1, 1]  # Engines take no batch of zero.


def test_the_sample_holds_the_largest_files_and_a_spread() -> None:
    root = Root.parse("/photos")
    sizes = [100 + number for number in range(80)]
    sizes[7] = sizes[50] = 10_000
    items = [ImageItem(f"{n}.jpg", root, None, size, n) for n, size in enumerate(sizes)]
    others = [ImageItem(f"{n}.png", root, None, 10**9, n) for n in range(80)]
    sample = choose_sample([*items, *others])
    assert len(sample) == 10
    assert {items[7], items[50], items[79]} <= set(sample) <= set(items)
    assert min(int(item.key[:-4]) for item in sample) < 16
    assert len(choose_sample(items * 20)) <= 16
    assert choose_sample(others[:3]) == tuple(others[:3])


def test_precision_and_decoding_are_compared_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fast pixels in the chosen precision against exact ones in float32."""

    class Network:
        concurrency, batch_size = 1, 8

        def __init__(self, slope: float) -> None:
            self.slope = slope

        def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
            mean = pixels.mean(axis=(1, 2, 3))
            return {"mean": np.stack([np.full_like(mean, 100), mean * self.slope], axis=1)}

    exact, fast = np.full((9, 8, 8, 3), 100, np.uint8), np.full((9, 8, 8, 3), 110, np.uint8)
    chosen = Choice("fake", Network(1.1), {"precision": "bfloat16"}, reference=Network(1.0))
    monkeypatch.setattr(accelerated, "choose_network", lambda *arguments: chosen)
    backbone = AcceleratedBackbone(load_model(toy_model()))
    agreement = backbone.compare_decoding(["mean"], exact, fast, 8)
    expected = np.cos(np.arctan(1.21) - np.arctan(1.0))
    assert agreement.cosines["mean"] == pytest.approx(expected)
    assert agreement.num_images == 9
    text = describe_decoding(agreement, backbone.run_facts)
    assert text.startswith("pictures are decoded exactly: fast decoding and bfloat16 together")


def test_contracts_without_a_margin_have_the_first_and_their_fingerprint() -> None:
    contract = InputSpec(8, 8, scaling="raw")
    assert "decode_margin" not in contract.to_dict()
    assert InputSpec.from_dict(contract.to_dict()).decode_margin == 2
    assert contract.identity()["decode"] == "fast"
    wider = replace(contract, decode_margin=4)
    assert InputSpec.from_dict(wider.to_dict()) == wider
    assert wider.identity()["decode"] == "fast, at 4 times the size"
    for other in (contract, wider):
        assert "decode" not in replace(other, decode="exact").identity()


def test_a_model_of_the_first_margin_is_restored_with_it() -> None:
    spec = load_model(toy_model()).spec
    old = replace(spec, input=replace(spec.input, decode_margin=2))
    assert spec.input.decode_margin == 4
    assert restore_model(old).spec.fingerprint == old.fingerprint != spec.fingerprint
