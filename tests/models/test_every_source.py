"""What holds for every source of models."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import UnknownName
from featx.models import load_model, restore_model
from featx.models.backbone import Backbone
from featx.models.selection import select_layers
from featx.models.sources import SOURCES as KNOWN_SOURCES
from featx.testing import write_images
from tests.models.model_files import SOURCES, Source

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", params=list(SOURCES))
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    return SOURCES[request.param](tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def backbone(source: Source) -> Backbone:
    return load_model(source.reference, weights=source.weights, input=source.overrides)


@pytest.fixture(scope="module")
def images(backbone: Backbone) -> np.ndarray:
    contract = backbone.spec.input
    shape = (4, contract.height, contract.width, contract.channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def chosen(source: Source, backbone: Backbone) -> list[str]:
    return [layer.name for layer in select_layers(source.layers, backbone.features())]


def test_every_source_is_here(source: Source, backbone: Backbone) -> None:
    assert backbone.spec.source in KNOWN_SOURCES
    assert len(SOURCES) == 9


def test_every_layer_has_the_shape_that_it_states(backbone: Backbone, images: np.ndarray) -> None:
    layers = [layer for layer in backbone.features() if layer.num_bytes is not None]
    assert len({layer.name for layer in layers}) == len(layers)
    result = backbone(images[:2], [layer.name for layer in layers])
    for layer in layers:
        assert result[layer.name].shape == (2, *layer.shape), layer.name
        assert result[layer.name].dtype == np.float32


def test_layers_together_are_what_they_are_alone(
    source: Source, backbone: Backbone, images: np.ndarray
) -> None:
    names = chosen(source, backbone)
    together = backbone(images, names)
    assert list(together) == names
    for name in names:
        alone = backbone(images, [name])[name]
        assert np.abs(alone).max() > 0
        np.testing.assert_allclose(together[name], alone, atol=1e-5 * np.abs(alone).max())


def test_one_image_at_a_time_gives_the_same(
    source: Source, backbone: Backbone, images: np.ndarray
) -> None:
    names = chosen(source, backbone)
    batch = backbone(images, names)
    for row in range(len(images)):
        single = backbone(images[row : row + 1], names)
        for name in names:
            scale = np.abs(batch[name]).max()
            np.testing.assert_allclose(single[name][0], batch[name][row], atol=1e-5 * scale)


def test_the_same_files_elsewhere_are_the_same_model(
    source: Source, backbone: Backbone, tmp_path: Path
) -> None:
    if source.path is None:
        again = load_model(source.reference, weights=source.weights, input=source.overrides)
        assert again.spec.fingerprint == backbone.spec.fingerprint
        return
    moved = tmp_path / f"moved{source.path.suffix}"
    (shutil.copytree if source.path.is_dir() else shutil.copy)(source.path, moved)
    reference = source.reference.replace(str(source.path), str(moved))
    other = load_model(reference, input=source.overrides).spec
    assert other.fingerprint == backbone.spec.fingerprint
    restored = restore_model(backbone.spec, weights=str(moved)).spec
    assert restored.fingerprint == backbone.spec.fingerprint


def test_a_model_is_restored_from_what_a_store_records(
    source: Source, backbone: Backbone, images: np.ndarray
) -> None:
    spec = type(backbone.spec).from_dict(backbone.spec.to_dict())
    restored = restore_model(spec)
    assert restored.spec == backbone.spec
    assert restored.features() == backbone.features()
    name = chosen(source, backbone)[0]
    before, after = backbone(images, [name])[name], restored(images, [name])[name]
    np.testing.assert_allclose(after, before, atol=1e-5 * np.abs(before).max())


def test_another_input_contract_is_another_model(backbone: Backbone) -> None:
    changed = replace(backbone.spec.input, resize="crop")
    assert replace(backbone.spec, input=changed).fingerprint != backbone.spec.fingerprint


def test_a_wrong_layer_gets_a_suggestion(source: Source, backbone: Backbone) -> None:
    name = chosen(source, backbone)[-1]
    with pytest.raises(UnknownName) as caught:
        select_layers([name[:-1] + "#"], backbone.features())
    assert name in caught.value.suggestions


def test_without_a_layer_something_sensible_is_taken(backbone: Backbone) -> None:
    layers = [backbone.default_layer] if backbone.default_layer else []
    (layer,) = select_layers(layers, backbone.features())
    assert not layer.is_detail
    assert layer.num_bytes


def test_extract_and_search_use_it(source: Source, tmp_path: Path) -> None:
    if source.path is None:
        pytest.skip("the chain is tested with it elsewhere")
    photos = write_images(3, tmp_path / "photos")
    report = featx.extract(
        photos,
        model=source.reference,
        weights=source.weights,
        layers=[source.layers[1]],
        pool="avg",
        img_size=source.overrides.img_size,
        preprocess=source.overrides.preprocess,
        output=tmp_path / "f.h5",
    )
    assert (report.done, report.failed) == (3, 0)
    results = featx.search(photos / "image_1.png", features=tmp_path / "f.h5", k=1).results
    assert results[0].matches[0].score == pytest.approx(1, abs=1e-5)
