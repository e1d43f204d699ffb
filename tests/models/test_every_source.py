"""What holds for every source of models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import UnknownName
from featx.models.backbone import Backbone
from featx.models.reference import parse_reference
from featx.models.selection import select_layers
from featx.models.sources import SOURCES as KNOWN_SOURCES
from featx.testing import toy_model, write_images
from featx.testing.contracts.models import ModelCase, ModelSourceContract
from tests.models.model_files import SOURCES

pytestmark = pytest.mark.tensorflow


def test_every_source_has_a_case(tmp_path: Path) -> None:
    read = set()
    for number, make in enumerate(SOURCES.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        read.add(parse_reference(make(folder).reference)[0])
    named = {name for name in KNOWN_SOURCES if KNOWN_SOURCES[name].spellings}
    assert read == named - {"toy", "wide"}  # The others take objects: see test_in_memory.py.


@pytest.fixture(scope="module", params=list(SOURCES))
def model_case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ModelCase:
    return SOURCES[request.param](tmp_path_factory.mktemp("model"))


class TestEverySource(ModelSourceContract):
    @pytest.fixture
    def case(self, model_case: ModelCase) -> ModelCase:
        return model_case

    def test_a_wrong_layer_gets_a_suggestion(self, backbone: Backbone, names: list[str]) -> None:
        with pytest.raises(UnknownName) as caught:
            select_layers([names[-1][:-1] + "#"], backbone.features())
        assert names[-1] in caught.value.suggestions

    def test_extract_and_search_use_it(self, case: ModelCase, tmp_path: Path) -> None:
        if case.path is None:
            pytest.skip("the chain is tested with it elsewhere")
        photos = write_images(3, tmp_path / "photos")
        report = featx.extract(
            photos,
            model=case.reference,
            weights=case.weights,
            layers=[case.layers[1]],
            pool="avg",
            img_size=case.input.img_size,
            preprocess=case.input.preprocess,
            output=tmp_path / "f.h5",
        )
        assert (report.done, report.failed) == (3, 0)
        results = featx.search(photos / "image_1.png", features=tmp_path / "f.h5", k=1).results
        assert results[0].matches[0].score == pytest.approx(1, abs=1e-5)


class TestTheToy(ModelSourceContract):
    @pytest.fixture
    def case(self, toy: str) -> ModelCase:
        return ModelCase(toy, layers=("map", "mean", "head/double"))


def test_the_contract_finds_a_source_that_mixes_up_rows() -> None:
    backbone = featx.load_model(toy_model())
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)

    class Mixing:
        spec = backbone.spec

        def __call__(self, images: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
            results = backbone(images, names)
            return {name: values - values.mean(axis=0) for name, values in results.items()}

    contract = ModelSourceContract()
    with pytest.raises(AssertionError, match="mean"):
        contract.test_batches_of_any_size_give_the_same(Mixing(), images, ["mean"], 3)  # type: ignore[arg-type]
