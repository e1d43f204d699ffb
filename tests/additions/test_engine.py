"""An engine that is added is one file and one registration, and a candidate like any other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.engines.engines import ENGINES, Engine, NetworkSettings
from featx.engines.stored_graph import GraphModel
from featx.engines.tensorflow import import_tensorflow
from featx.errors import InvalidValue
from featx.inference import EngineRequest, choosing, first_use, speed
from featx.models import load_model
from featx.registry import Registry
from featx.testing import write_images
from featx.testing.contracts.engines import EngineCase, EngineContract
from featx.user_cache import CACHE_VARIABLE
from tests.additions.numpy_engine import OPERATIONS, NumpyEngine, NumpyNetwork
from tests.cli.program import Program
from tests.inference.test_choice import Notes

pytestmark = pytest.mark.tensorflow

LAYERS = ("scale", "relu", "mean", "classes")


@pytest.fixture(autouse=True)
def _engine() -> Iterator[None]:
    ENGINES.add("numpy", "tests.additions.numpy_engine:ENGINE")
    yield
    ENGINES.remove("numpy")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(speed, "has_gpu", lambda: False)
    monkeypatch.setattr(first_use, "CONVERTING_SECONDS", -1.0)  # As if it were worth it for few.


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import_tensorflow()
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    images = keras.Input((12, 16, 3), name="images")
    x = layers.ReLU(name="relu")(layers.Rescaling(1 / 64, offset=-2.0, name="scale")(images))
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(5, activation="softmax", name="classes")(x)
    path = tmp_path_factory.mktemp("net") / "net.keras"
    keras.Model(images, x).save(path)
    return path


class TestNumpyEngine(EngineContract):
    @pytest.fixture
    def case(self, net: Path) -> EngineCase:
        return EngineCase("numpy", load_model(str(net)), LAYERS)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(10, tmp_path / "photos", size=(40, 30))


def extract(net: Path, photos: Path, engine: str) -> tuple[dict[str, Any], Notes, np.ndarray]:
    """Extract with an engine; return the record of the run, what was said, and the features."""
    notes = Notes()
    store = photos.with_name(f"{engine}.h5")
    featx.extract(
        photos, model=str(net), layers=["classes"], engine=engine, output=store, listener=notes
    )
    with featx.open_store(store) as opened:
        return dict(opened.header.runs[-1]), notes, opened.features("classes")[:]


def test_it_computes_a_store(net: Path, photos: Path, tmp_path: Path) -> None:
    run, _, features = extract(net, photos, "numpy")
    assert (run["engine"], run["precision"], run["numpy"]) == ("numpy", "float32", np.__version__)
    (kept,) = (tmp_path / "cache" / "networks").iterdir()
    assert (kept / "graph.bin").is_file()
    _, _, expected = extract(net, photos, "tensorflow")
    np.testing.assert_allclose(features, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("speeds", "line"),
    [
        ([1.0, 9.0, 2.0], "engine numpy in float32; 4.5 times as fast as tensorflow here"),
        ([4.0, 1.0, 2.0], "engine openvino in float32; 2.0 times as fast as tensorflow here"),
        ([1.0, 2.0, 8.0], "engine tensorflow in float32; 4.0 times as fast as numpy here"),
    ],
)
def test_the_fastest_of_all_is_taken_and_that_is_remembered(
    net: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, speeds: list[float], line: str
) -> None:
    monkeypatch.setattr(type(ENGINES["openvino"]), "has_precision", lambda self, precision: False)
    measured = [speeds]
    monkeypatch.setattr(speed, "compare_speeds", lambda *args, **options: measured.pop())
    run, notes, _ = extract(net, photos, "auto")
    assert notes.lines[-1] == line
    assert run["engine"] == line.split()[1]
    photos.with_name("auto.h5").unlink()
    assert extract(net, photos, "auto")[1].lines[-1] == line


def test_it_is_offered_on_the_command_line(
    net: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = Program(monkeypatch, capsys)
    monkeypatch.chdir(photos.parent)
    assert "<auto|tensorflow|openvino|numpy>" in program("extract", "--help").out
    done = program("extract", "photos", "-m", net, "--layer", "classes", "--engine", "numpy")
    assert done.status == 0, done.err
    shown = program("info").out
    assert re.search(r"^computed +10 images .*\n +numpy in float32", shown, re.MULTILINE)
    assert f", numpy {np.__version__}" in shown
    assert "numpy" in program("extract", "photos", "--engine", "nonsense").err


def test_a_precision_that_it_does_not_have_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"numpy computes in float32.*engine='openvino'"):
        EngineRequest("numpy", "bfloat16")


def test_what_it_cannot_take_is_left_to_others(
    net: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(OPERATIONS, "Softmax")
    run, notes, _ = extract(net, photos, "numpy")
    assert run["engine"] == "tensorflow"
    assert notes.lines[-1] == (
        "numpy cannot take file:net.keras (it has the operation Softmax): tensorflow runs it"
    )


def test_an_engine_that_computes_something_else_is_not_taken(
    net: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(NumpyNetwork):
        def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
            values = super().__call__(pixels)["classes"]
            return {"classes": values * np.array([0, 1, 1, 1, 1], np.float32)}

    def open(self: NumpyEngine, model: GraphModel, settings: NetworkSettings) -> Wrong:
        return Wrong(model)

    monkeypatch.setattr(NumpyEngine, "open", open)
    run, notes, _ = extract(net, photos, "numpy")
    assert run["engine"] == "tensorflow"
    assert "its results differ from tensorflow's" in notes.lines[-1]


def test_a_broken_engine_does_not_stop_what_works_without_it(
    net: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Point:
        name, dist = "broken", type("Distribution", (), {"name": "featx-broken"})

        def load(self) -> Any:
            raise ImportError("no such library")

    def entry_points(group: str) -> Sequence[Any]:
        return [Point()]

    monkeypatch.setattr("featx.registry.find_entry_points", entry_points)
    names = ("tensorflow", "openvino")
    own = {name: f"{type(ENGINES[name]).__module__}:ENGINE" for name in names}
    monkeypatch.setattr(choosing, "ENGINES", Registry[Engine]("engine", "featx.engines", own))
    run, notes, _ = extract(net, photos, "auto")
    assert run["engine"] in names
    assert "pip uninstall featx-broken" in notes.text
