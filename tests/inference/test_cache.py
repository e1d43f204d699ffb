"""What the user's cache holds: made again where it is damaged, never trusted, never needed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from featx.engines.openvino import OpenVino
from featx.engines.tensorflow import import_tensorflow
from featx.inference import AcceleratedBackbone, EngineRequest, converted, memory
from featx.inference.converted import find_network, keep_network
from featx.models import ModelRequest, keras_file, load_model, remembered
from featx.models.remembered import RememberedBackbone
from featx.options import InputOptions
from featx.user_cache import CACHE_VARIABLE, read_facts, remember_facts
from tests.inference.agreement import pixels_for
from tests.inference.damage import flip, truncate
from tests.models.model_files import SOURCES

UNIT = InputOptions(preprocess="unit")
TAPS = ("relu", "classes")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> str:
    return SOURCES[".keras"](tmp_path_factory.mktemp("model")).reference


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The input nodes of all networks that are converted."""
    made: list[str] = []
    real = OpenVino.convert

    def spy(engine: OpenVino, graph: Any, contract: Any) -> Any:
        made.append(graph.input)
        return real(engine, graph, contract)

    monkeypatch.setattr(OpenVino, "convert", spy)
    return made


def compute(path: str) -> dict[str, np.ndarray]:
    backbone = load_model(path, input=UNIT)
    fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
    values = fast(pixels_for(backbone), TAPS)
    assert fast.run_facts["engine"] == "openvino"
    return values


def check_same(received: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name in TAPS:
        np.testing.assert_allclose(received[name], expected[name], rtol=1e-6, atol=1e-6)


def network_of(cache: Path) -> Path:
    (folder,) = (cache / "networks").iterdir()
    return folder


@pytest.mark.tensorflow
def test_the_second_time_neither_tensorflow_nor_keras_is_imported(
    cache: Path, net: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "expected.npz", **compute(net))
    code = f"""
import sys
import numpy as np
from tests.inference.test_cache import check_same, compute
check_same(compute({net!r}), np.load({str(tmp_path / "expected.npz")!r}))
for name in ("tensorflow", "keras"):
    assert name not in sys.modules, name
"""
    subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], env=os.environ, check=True
    )


@pytest.fixture(scope="module")
def filled(
    net: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, np.ndarray]]:
    """A cache in which the network is converted, and what it computes."""
    folder = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(folder))
        return folder, compute(net)


@pytest.mark.tensorflow
def test_a_network_is_converted_once(cache: Path, net: str, conversions: list[str]) -> None:
    check_same(compute(net), compute(net))
    assert len(conversions) == 1


def garbage(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("network.bin", flip),
        ("network.bin", truncate),
        ("network.bin", Path.unlink),
        ("network.bin", garbage(b"")),
        ("network.xml", flip),
        ("network.xml", truncate),
        ("network.json", flip),
        ("network.json", Path.unlink),
        *(
            ("network.json", garbage(content))
            for content in (b"\0\xff", b"null", b'{"files": {}}', b"[" * 99999)
        ),
    ],
)
def test_a_damaged_network_is_converted_anew(
    cache: Path,
    filled: tuple[Path, dict[str, np.ndarray]],
    net: str,
    conversions: list[str],
    name: str,
    damage: Callable[[Path], None],
) -> None:
    kept, expected = filled
    shutil.copytree(kept, cache)
    folder = network_of(cache)
    damage(folder / name)
    check_same(compute(net), expected)
    assert len(conversions) == 1
    assert find_network(folder.name) == network_of(cache) == folder
    check_same(compute(net), expected)
    assert len(conversions) == 1


@pytest.mark.tensorflow
@pytest.mark.parametrize("content", [b"\0\xff", b"[]", b"[" * 99999])
def test_a_damaged_description_is_made_anew(cache: Path, net: str, content: bytes) -> None:
    compute(net)
    assert isinstance(load_model(net, input=UNIT), RememberedBackbone)
    for path in (cache / "models").iterdir():
        path.write_bytes(content)
    first = load_model(net, input=UNIT)
    assert not isinstance(first, RememberedBackbone)
    second = load_model(net, input=UNIT)
    assert isinstance(second, RememberedBackbone)
    assert (second.spec, list(second.features())) == (first.spec, list(first.features()))


@pytest.mark.tensorflow
def test_a_description_of_another_state_of_featx_is_made_anew(cache: Path, net: str) -> None:
    load_model(net, input=UNIT)
    for path in (cache / "models").iterdir():
        remember_facts("models", path.stem, {"spec": {"colour": "blue"}})
    assert not isinstance(load_model(net, input=UNIT), RememberedBackbone)
    assert isinstance(load_model(net, input=UNIT), RememberedBackbone)


@pytest.mark.tensorflow
def test_descriptions_and_networks_of_another_format_are_not_believed(
    cache: Path, net: str, monkeypatch: pytest.MonkeyPatch, conversions: list[str]
) -> None:
    compute(net)
    assert isinstance(load_model(net, input=UNIT), RememberedBackbone)
    monkeypatch.setattr(remembered, "FORMAT", remembered.FORMAT - 1)
    monkeypatch.setattr(memory, "FORMAT", memory.FORMAT - 1)
    assert not isinstance(load_model(net, input=UNIT), RememberedBackbone)
    compute(net)
    assert len(conversions) == 2


@pytest.mark.parametrize("content", [b"\0\xff", b"", b"null", b"[]", b"{}", b"[" * 99999])
def test_damaged_facts_are_none(cache: Path, content: bytes) -> None:
    remember_facts("speeds", "key", {"openvino": 2.0, "tensorflow": 1.0})
    facts = read_facts("speeds", "key")
    assert facts is not None
    assert (facts["openvino"], facts["tensorflow"]) == (2.0, 1.0)
    (cache / "speeds" / "key.json").write_bytes(content)
    assert read_facts("speeds", "key") is None


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", ["a file", "below a file", "no folders allowed"])
def test_without_a_cache_everything_works(
    tmp_path: Path, net: str, monkeypatch: pytest.MonkeyPatch, conversions: list[str], kind: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "cache",
        "no folders allowed": Path("/proc/featx"),  # Not even for root.
    }[kind]
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    check_same(compute(net), compute(net))
    assert len(conversions) == 2


@pytest.mark.tensorflow
def test_a_full_disk_leaves_no_half_network(
    cache: Path, net: str, monkeypatch: pytest.MonkeyPatch, conversions: list[str]
) -> None:
    def save(engine: OpenVino, model: Any, folder: Path) -> None:
        (folder / "network.xml").write_text("half")
        raise RuntimeError("cannot write network.bin")

    with monkeypatch.context() as patch:
        patch.setattr(OpenVino, "save", save)
        expected = compute(net)
    assert list((cache / "networks").iterdir()) == []
    check_same(compute(net), expected)
    assert len(conversions) == 2


@pytest.mark.tensorflow
def test_what_a_killed_process_left_is_removed(cache: Path, net: str) -> None:
    leftovers = []
    for age in (25 * 3600, 3600):
        leftovers.append(cache / "networks" / f"{'0' * 64}.{age}.tmp")
        leftovers[-1].mkdir(parents=True)
        (leftovers[-1] / "network.xml").write_text("half")
        os.utime(leftovers[-1], (time.time() - age,) * 2)
    compute(net)
    assert not leftovers[0].exists()
    assert leftovers[1].exists()  # Another process, or machine, may still write.


@pytest.mark.tensorflow
@pytest.mark.parametrize("keep_time", [False, True])
def test_other_weights_of_the_same_size_are_noticed(
    cache: Path, tmp_path: Path, keep_time: bool
) -> None:
    path = Path(SOURCES[".h5"](tmp_path).reference)

    def mean() -> float:
        backbone = load_model(str(path), input=UNIT)
        fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
        return float(fast(pixels_for(backbone), ["relu"])["relu"].mean())

    first, before = load_model(str(path), input=UNIT).spec, mean()
    status = path.stat()
    with h5py.File(path, "r+") as file:
        kernel = file["model_weights/conv/conv/kernel"]
        kernel[...] = 2 * kernel[...]
    assert path.stat().st_size == status.st_size
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    second, after = load_model(str(path), input=UNIT).spec, mean()
    assert second.weights_sha256 != first.weights_sha256
    assert after != before
    assert len(list((cache / "networks").iterdir())) == 2


@pytest.mark.tensorflow
def test_nothing_is_kept_of_models_whose_code_was_trusted(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    module = tmp_path / "scaling_layers.py"
    text = (
        "import keras\n"
        "@keras.saving.register_keras_serializable('scaling_layers')\n"
        "class Times(keras.layers.Layer):\n"
        "    def call(self, images):\n"
        "        return images * FACTOR\n"
        "FACTOR = 2.0\n"
    )
    module.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    import scaling_layers  # type: ignore[import-not-found]

    images = keras.Input((8, 8, 3))
    path = str(tmp_path / "net.keras")
    keras.Model(images, scaling_layers.Times(name="times")(images)).save(path)

    def compute_times() -> float:
        backbone = load_model(path, input=UNIT, trust_model_code=True)
        assert not isinstance(backbone, RememberedBackbone)
        fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
        values = fast(np.full((1, 8, 8, 3), 255, np.uint8), ["times"])["times"]
        assert fast.run_facts["engine"] == "openvino"
        return float(values.mean())

    assert compute_times() == pytest.approx(2)
    scaling_layers.FACTOR = 3.0  # The file of the model is what it was.
    assert compute_times() == pytest.approx(3)
    assert not (cache / "networks").exists()
    assert not (cache / "models").exists()


def test_threads_that_keep_the_same_network(cache: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "network.xml").write_text("whole")
        (folder / "network.bin").write_bytes(bytes(1000))

    with ThreadPoolExecutor(4) as pool:
        kept = list(pool.map(lambda _: keep_network("key", write, {}), range(40)))
    assert any(kept)
    assert [path.name for path in (cache / "networks").iterdir()] == ["key"]
    assert find_network("key") is not None


def _convert_in_a_process(arguments: tuple[str, str, float]) -> dict[str, np.ndarray]:
    cache, net, start = arguments
    os.environ[CACHE_VARIABLE] = cache
    import_tensorflow()
    while time.time() < start:
        time.sleep(0.001)
    return compute(net)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_processes_that_convert_the_same_model(
    cache: Path, net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compute(net)
    other = cache.with_name("other")
    arguments = (str(other), net, time.time() + 20)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for received in pool.map(_convert_in_a_process, [arguments] * 2):
            check_same(received, expected)
    monkeypatch.setenv(CACHE_VARIABLE, str(other))
    folder = network_of(other)
    assert find_network(folder.name) == folder


@pytest.mark.tensorflow
def test_other_layers_and_versions_have_networks_of_their_own(
    cache: Path, net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = load_model(net, input=UNIT)
    pixels = pixels_for(backbone)

    def convert(names: tuple[str, ...]) -> None:
        AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))(pixels, names)

    convert(("relu",))
    convert(("relu", "classes"))
    convert(("classes", "relu"))
    assert len(list((cache / "networks").iterdir())) == 3
    monkeypatch.setattr(OpenVino, "versions", lambda self: {"openvino": "2031.1"})
    convert(("relu",))
    assert len(list((cache / "networks").iterdir())) == 4
    monkeypatch.setattr(memory, "FORMAT", -1)
    convert(("relu",))
    assert len(list((cache / "networks").iterdir())) == 5


def test_the_networks_used_longest_ago_are_deleted(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(folder: Path) -> None:
        (folder / "network.bin").write_bytes(bytes(1000))

    def keep(key: str) -> None:
        keep_network(key, write, {})

    monkeypatch.setattr(converted, "MAX_BYTES", 3000)
    for age, key in [(30, "a"), (20, "b")]:
        keep(key)
        os.utime(cache / "networks" / key, (time.time() - age,) * 2)
    assert find_network("a") is not None  # Now "b" was used longest ago.
    keep("c")
    names = {folder.name for folder in (cache / "networks").iterdir()}
    assert names == {"a", "c"}
    monkeypatch.setattr(converted, "MAX_BYTES", 10)
    keep("d")
    assert {folder.name for folder in (cache / "networks").iterdir()} == {"d"}


@pytest.mark.tensorflow
def test_a_read_only_cache_is_used(cache: Path, net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compute(net)
    monkeypatch.setattr(os, "utime", _refuse)
    monkeypatch.setattr(OpenVino, "convert", _refuse)
    compute(net)


def _refuse(*arguments: object, **options: object) -> None:
    raise PermissionError("read-only")


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "~no-such-user/cache")
    assert read_facts("models", "0") is None
    remember_facts("models", "0", {})
    assert find_network("0") is None
    assert keep_network("0", lambda folder: None, {}) is None


@pytest.mark.tensorflow
def test_a_file_that_is_replaced_while_it_is_loaded_is_not_remembered(
    cache: Path, net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(net)
    real = keras_file.load

    def load(request: ModelRequest) -> Any:
        backbone = real(request)
        os.utime(path, (1, 1))
        return backbone

    monkeypatch.setattr(keras_file, "load", load)
    load_model(net, input=UNIT)
    assert not list(cache.glob("models/*"))
    monkeypatch.setattr(keras_file, "load", real)
    load_model(net, input=UNIT)
    assert list(cache.glob("models/*"))


@pytest.mark.tensorflow
def test_nothing_is_kept_of_what_a_program_registered(cache: Path, tmp_path: Path) -> None:
    import_tensorflow()
    import keras

    class Times(keras.layers.Layer):  # type: ignore[misc]
        factor = 2

        def call(self, x: Any) -> Any:
            return x * self.factor

    path = str(tmp_path / "net.keras")
    with keras.saving.custom_object_scope({"tests>Times": Times}):
        keras.saving.register_keras_serializable("tests")(Times)
        x = keras.Input((8, 8, 3), name="x")
        keras.Model(x, keras.layers.GlobalAveragePooling2D(name="mean")(Times()(x))).save(path)

        def first() -> float:
            backbone = load_model(path, input=InputOptions(preprocess="raw"))
            fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
            return float(fast(np.full((1, 8, 8, 3), 10, np.uint8), ["mean"])["mean"][0, 0])

        assert first() == pytest.approx(20)
        Times.factor = 3  # As if the program had been edited.
        assert first() == pytest.approx(30)
    assert not list(cache.glob("*/*"))


@pytest.mark.tensorflow
def test_a_network_that_computes_something_else_is_not_taken(cache: Path, tmp_path: Path) -> None:
    """OpenVINO reads local response normalisation of an odd radius with another window."""
    tensorflow = import_tensorflow()
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 16)).astype(np.float32)

    def network(images: Any) -> Any:
        x = tensorflow.nn.relu(tensorflow.nn.conv2d(images, kernel, 1, "SAME"), name="relu")
        return tensorflow.nn.local_response_normalization(x, depth_radius=5, alpha=1.0, name="lrn")

    graph = tensorflow.Graph()
    with graph.as_default():
        images = tensorflow.compat.v1.placeholder(tensorflow.float32, (None, 8, 8, 3), "images")
        network(images)
    (tmp_path / "lrn.pb").write_bytes(graph.as_graph_def().SerializeToString())
    backbone = load_model(str(tmp_path / "lrn.pb"), input=UNIT)
    fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
    pixels = pixels_for(backbone)
    np.testing.assert_array_equal(fast(pixels, ["lrn"])["lrn"], backbone(pixels, ["lrn"])["lrn"])
    assert fast.run_facts["engine"] == "tensorflow"
    assert not (cache / "networks").exists()
