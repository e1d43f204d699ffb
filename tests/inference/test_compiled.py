"""Networks that are kept as they were compiled: the same rows, and never anything else."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.engines import openvino, openvino_network
from featx.engines.engines import ComputeType, NetworkSettings
from featx.engines.graph import ONNX, GraphOutput, NetworkGraph, NotConvertible
from featx.engines.openvino import COMPILED_NAME, GRAPH_NAME, OpenVino
from featx.engines.openvino_network import OpenVinoNetwork
from featx.inference import AcceleratedBackbone, EngineRequest, candidates
from featx.inference.converted import find_network, keep_network
from featx.models.description import ModelDescription
from featx.models.graph_backbone import GraphBackbone
from featx.specs import ModelSpec
from featx.user_cache import CACHE_VARIABLE
from tests.inference.agreement import pixels_for
from tests.inference.built import LAST, make_backbone
from tests.inference.damage import flip, truncate
from tests.inference.test_graph import CONTRACT, LAYERS, expected_values, onnx_model
from tests.inference.test_quantized import needs_nncf

ENGINE = OpenVino()
NAMES = ("last", "mean", "first")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each network was opened; what was compiled is given to OpenVINO before "read"."""
    ways: list[str] = []
    real = OpenVinoNetwork.__init__

    def spy(self: OpenVinoNetwork, model: Any, *rest: Any) -> None:
        ways.append("read" if isinstance(model, bytes) else "compiled")
        real(self, model, *rest)

    monkeypatch.setattr(OpenVinoNetwork, "__init__", spy)
    return ways


def make_network() -> GraphBackbone:
    """A network whose graph is converted, and compared with NumPy."""
    outputs = {
        "first": GraphOutput("first:0", "channels_first"),
        "last": GraphOutput("last", "channels_last"),
        "mean": GraphOutput("mean", None),
    }

    def freeze(names: Sequence[str]) -> NetworkGraph:
        chosen = {name: outputs[name] for name in names}
        return NetworkGraph(ONNX, onnx_model("N"), "images", "channels_first", chosen)

    def compute(scaled: np.ndarray) -> dict[str, np.ndarray]:
        values = expected_values(np.rint(scaled.transpose(0, 2, 3, 1) * 255))
        return values | {"first": values["first"].transpose(0, 3, 1, 2)}

    def compile_layers(names: Sequence[str]) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        return lambda scaled: {name: compute(scaled)[name] for name in names}

    spec = ModelSpec("builtin", "small", (), "builtin", "0" * 64, CONTRACT)
    description = ModelDescription(spec, LAYERS, channels_first=True)
    return GraphBackbone(description, compile_layers, freeze)


def run(names: tuple[str, ...] = NAMES, count: int = 5) -> dict[str, np.ndarray]:
    """Compute pictures in a backbone that has computed nothing yet."""
    backbone = make_network()
    fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
    pixels = pixels_for(backbone, count)
    received = fast(pixels, names)
    assert fast.run_facts["engine"] == "openvino"
    assert list(received) == list(names)
    for name, values in received.items():
        np.testing.assert_allclose(values, expected_values(pixels)[name], atol=1e-5)
    return received


def check_equal(received: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(received) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(received[name], values)


def find_kept(cache: Path) -> Path:
    (path,) = (cache / "networks").glob(f"*/{COMPILED_NAME}")
    return path


def test_what_an_earlier_run_has_compiled_gives_the_same_rows(opened: list[str]) -> None:
    converted, compiled, read = run(), run(), run()
    assert opened == ["compiled", "compiled", "read"]
    check_equal(compiled, converted)
    check_equal(read, converted)


def test_the_network_itself_is_not_read_then(
    opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(), run()
    for method in ("read", "convert"):
        monkeypatch.setattr(OpenVino, method, lambda *arguments: pytest.fail("not needed"))
    run()
    assert opened[-1] == "read"


# ---- damage ----


@pytest.mark.parametrize(
    "damage", [flip, truncate, Path.unlink, lambda path: path.write_bytes(b"")]
)
def test_openvino_is_given_nothing_that_was_altered(
    cache: Path, opened: list[str], damage: Callable[[Path], None]
) -> None:
    expected = run()
    run()
    damage(find_kept(cache))
    opened.clear()
    check_equal(run(), expected)
    check_equal(run(), expected)
    assert opened == ["compiled", "read"]


def export_other(names: tuple[str, ...], block: int = 4) -> bytes:
    """Compile another network: of other layers or images at a time."""
    graph = make_network().freeze(names)
    assert graph is not None
    model = ENGINE.convert(graph, CONTRACT)
    return OpenVinoNetwork(model, NetworkSettings(names, "float32", 1, block), block).export()


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        lambda: b"not OpenVINO's" * 99,
        lambda: export_other(NAMES)[:-1000],
        lambda: export_other(("mean",)),
        lambda: export_other(("mean", "first", "last")),
    ],
)
def test_what_is_whole_but_of_another_network_is_compiled_anew(
    cache: Path, opened: list[str], make: Callable[[], bytes]
) -> None:
    """Such as what another system has written, should all that names it be the same."""
    content = make()
    expected = run()
    run()
    key = find_kept(cache).parent.name
    for file in find_kept(cache).parent.iterdir():
        file.unlink()

    def write(folder: Path) -> None:
        (folder / COMPILED_NAME).write_bytes(content)

    keep_network(key, write, {})
    assert find_network(key)
    opened.clear()
    check_equal(run(), expected)
    check_equal(run(), expected)
    assert opened == ["read", "compiled", "read"]


def test_a_network_that_was_lost_is_converted_when_it_is_needed(
    cache: Path, opened: list[str]
) -> None:
    expected = run()
    run()
    (graph,) = (cache / "networks").glob(f"*/{GRAPH_NAME}")
    flip(graph)
    check_equal(run(), expected)
    assert opened[-1] == "read"
    find_kept(cache).unlink()
    check_equal(run(), expected)
    assert find_network(graph.parent.name) == graph.parent
    opened.clear()
    run(), run()
    assert opened == ["compiled", "read"]


# ---- what it belongs to ----


def test_other_cores_versions_and_processors_compile_their_own(
    cache: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(), run()
    for owner, name, value in (
        (candidates, "available_cores", lambda: 3),
        (openvino, "describe_instructions", lambda: "sse2"),
        (openvino, "describe_machine", lambda: "another"),
    ):
        opened.clear()
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            run(), run()
        assert opened == ["compiled", "read"], name
    monkeypatch.setattr(OpenVino, "versions", lambda self: {"openvino": "2031.1"})
    opened.clear()
    run(), run(), run()  # It is converted again.
    assert opened == ["compiled", "compiled", "read"]


def test_other_layers_and_blocks_compile_their_own(opened: list[str]) -> None:
    run(), run()
    for names, count in ((NAMES[::-1], 5), (NAMES[:1], 5)):
        opened.clear()
        run(names, count), run(names, count), run(names, count)
        assert opened == ["compiled", "compiled", "read"]
    opened.clear()
    run(count=1), run(count=1), run(count=6)  # Of six pictures, three go together; so of five.
    assert opened == ["compiled", "read", "read"]


def test_large_networks_of_few_operations_are_compiled_each_time(
    cache: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_network, "BYTES_PER_OPERATION", 1)
    run(), run(), run()
    assert opened == ["compiled"] * 3
    assert not list((cache / "networks").glob(f"*/{COMPILED_NAME}"))


def test_a_cache_that_cannot_be_written(opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setattr(Path, "mkdir", _refuse)
    monkeypatch.setattr(os, "utime", _refuse)
    run(), run()
    assert opened == ["compiled"] * 3


def _refuse(*arguments: object, **options: object) -> None:
    raise PermissionError("read-only")


# ---- precisions ----


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "mixed"])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_every_precision_is_kept_bit_for_bit(
    tmp_path: Path, precision: ComputeType, num_threads: int
) -> None:
    if not ENGINE.has_precision(precision):
        pytest.skip("this processor computes no bfloat16")
    backbone = make_backbone()
    graph = backbone.freeze([LAST])
    assert graph is not None
    model = ENGINE.prepare(ENGINE.convert(graph, backbone.spec.input), precision)
    check_kept(model, precision, num_threads, tmp_path)


def check_kept(model: Any, precision: ComputeType, num_threads: int, folder: Path) -> None:
    settings = NetworkSettings((LAST,), precision, num_threads, 8)
    network = ENGINE.open(model, settings)
    ENGINE.save_compiled(network, folder)
    again = ENGINE.read_compiled(folder, settings)
    assert (again.batch_size, again.concurrency) == (network.batch_size, network.concurrency)
    pixels = pixels_for(make_backbone(), 7)
    check_equal(again(pixels), network(pixels))


@needs_nncf
def test_8_bits_are_kept_bit_for_bit(tmp_path: Path) -> None:
    backbone = make_backbone()
    graph = backbone.freeze([LAST])
    assert graph is not None
    model = ENGINE.convert(graph, backbone.spec.input)
    check_kept(ENGINE.quantize(model, list(pixels_for(backbone, 32))), "int8", 2, tmp_path)


def test_an_empty_folder_holds_no_compiled_network(tmp_path: Path) -> None:
    with pytest.raises(NotConvertible):
        ENGINE.read_compiled(tmp_path, NetworkSettings((LAST,), "float32", 1, 8))
