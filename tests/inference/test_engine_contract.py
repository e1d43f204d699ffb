"""Every engine of the registry keeps the contract, for graphs in either layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from featx.engines.engines import ENGINES
from featx.engines.tensorflow import import_tensorflow
from featx.models import load_model
from featx.testing.contracts.engines import EngineCase, EngineContract

pytestmark = pytest.mark.tensorflow


def build(keras: Any, data_format: str) -> Any:
    """Build a network in a layout, of operations that TensorFlow has on every processor."""
    layers, layout = keras.layers, {"data_format": data_format}
    is_first = data_format == "channels_first"
    images = keras.Input((3, 12, 16) if is_first else (12, 16, 3), name="images")
    x = layers.ZeroPadding2D((1, 2), name="pad", **layout)(images)
    x = layers.LeakyReLU(name="relu")(layers.Rescaling(2.0, offset=-0.5, name="scale")(x))
    x = layers.GlobalAveragePooling2D(name="mean", **layout)(x)
    return keras.Model(images, layers.Dense(5, activation="softmax", name="classes")(x))


@pytest.fixture(scope="module", params=["channels_first", "channels_last"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import_tensorflow()
    import keras

    keras.utils.set_random_seed(3)
    path = tmp_path_factory.mktemp("net") / f"{request.param}.keras"
    build(keras, request.param).save(path)
    return path


@pytest.mark.parametrize("name", [*ENGINES])
class TestEngines(EngineContract):
    @pytest.fixture
    def case(self, path: Path, name: str) -> EngineCase:
        return EngineCase(
            name, load_model(str(path), preprocess="torch"), ("pad", "relu", "mean", "classes")
        )
