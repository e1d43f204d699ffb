"""The built-in network for OpenVINO is the Keras one, and needs no TensorFlow."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from featx.engines.engines import ENGINES, NetworkSettings
from featx.inference import AcceleratedBackbone, EngineRequest
from featx.models import builtin, load_model
from featx.models.builtin import load_layers
from featx.testing import write_images
from tests.inference.agreement import pixels_for

TOLERANCE = 1e-5  # relative to the largest activation


@pytest.mark.tensorflow
def test_every_layer_is_that_of_keras() -> None:
    backbone = load_model("builtin:mini")
    names = [layer.name for layer in backbone.features()]
    pixels = pixels_for(backbone, 3)
    fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
    received = fast(pixels, names)
    assert fast.run_facts["engine"] == "openvino"
    assert list(received) == names
    for name, expected in backbone(pixels, names).items():
        largest = np.abs(expected).max()
        assert largest > 0
        np.testing.assert_allclose(received[name], expected, atol=TOLERANCE * largest, err_msg=name)


def test_a_layer_alone_is_what_it_is_beside_others() -> None:
    backbone = load_model("builtin:mini")
    pixels = pixels_for(backbone)
    names = [layer.name for layer in backbone.features()]
    fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
    together = fast(pixels, names)
    for name in names[::4]:
        alone = fast(pixels, [name])[name]
        np.testing.assert_allclose(alone, together[name], rtol=1e-6, atol=1e-6)
    backwards = fast(pixels, names[::-1])
    assert list(backwards) == names[::-1]
    for name in names:
        np.testing.assert_allclose(backwards[name], together[name], rtol=1e-6, atol=1e-6)


@pytest.mark.tensorflow
def test_the_description_is_what_keras_layers_say() -> None:
    backbone = load_model("builtin:mini")
    arrays = builtin.read_weights(builtin.WEIGHTS_FOLDER / "mini.npz", builtin.read_card().sha256)
    layers = load_layers(arrays, backbone.spec.input).layers
    described = json.loads((builtin.WEIGHTS_FOLDER / "mini_layers.json").read_text("utf-8"))
    assert described == json.loads(json.dumps([layer.to_dict() for layer in layers]))
    assert list(backbone.features()) == list(layers)


def test_nothing_beyond_a_layer_is_computed() -> None:
    backbone = load_model("builtin:mini")

    def count(name: str) -> int:
        network = backbone.freeze([name])
        assert network is not None
        return len(ENGINES["openvino"].convert(network, backbone.spec.input).get_ops())

    assert count("block1_conv1") < count("block2_pool") < count("embedding")


def test_no_command_imports_tensorflow_with_it(tmp_path: Path) -> None:
    write_images(3, tmp_path / "photos", classes=("a", "b"), size=(40, 30))
    code = """
import os, sys
from featx.cli.app import main
for arguments in (
    ["extract", "photos"],
    ["index"],
    ["search", "photos/a/image_0.png"],
    ["search", "photos/a/image_0.png", "photos/b/image_1.png", "photos/a/image_0.png"],
    ["info"],
):
    sys.argv = ["featx", *arguments]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, (arguments, stop.code)
for name in ("tensorflow", "keras"):
    assert name not in sys.modules, name
"""
    environment = os.environ | {"FEATX_CACHE_DIR": str(tmp_path / "cache")}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "computed" in result.stdout


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads cannot be bound here")
def test_its_threads_are_bound_to_no_core() -> None:
    """Else networks of several processes, of a core each, would all compute on the first one."""
    backbone, engine = load_model("builtin:mini"), ENGINES["openvino"]
    graph = backbone.freeze(["embedding"])
    assert graph is not None
    model = engine.convert(graph, backbone.spec.input)
    network = engine.open(model, NetworkSettings(("embedding",), "float32", 1, batch_size=4))
    pixels = pixels_for(backbone, 64)
    network(pixels[:8])
    allowed = os.sched_getaffinity(0)
    thread = threading.Thread(target=network, args=(pixels,))
    thread.start()
    while thread.is_alive():
        for number in map(int, os.listdir("/proc/self/task")):
            with contextlib.suppress(ProcessLookupError):
                assert os.sched_getaffinity(number) == allowed
    thread.join()
