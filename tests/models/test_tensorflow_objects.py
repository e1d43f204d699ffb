"""Modules and functions of TensorFlow, and loaded SavedModels, as models."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.errors import FingerprintMismatch, InvalidType, ModelError
from featx.host import own_process

pytestmark = pytest.mark.tensorflow

PROGRAM = """
import sys

import tensorflow as tf


class Net(tf.Module):
    def __init__(self, value=0.25):
        self.kernel = tf.Variable(tf.reshape(tf.range(108.0) % 7 - 2, (3, 3, 3, 4)) * value)

    @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3))])
    def __call__(self, images):
        map = tf.nn.relu(tf.nn.conv2d(images, self.kernel, 2, "SAME"), name="act")
        row = tf.reduce_mean(map, [1, 2], name="mean")
        return {"row": row * 2 + 1}

    @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3))])
    def loop(self, images):
        row = tf.reduce_mean(self(images)["row"], 1)
        for _ in tf.range(2):
            row = row * 2 + tf.reduce_mean(self.kernel)
        return self(images)["row"] + row[:, None]
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("program") / "net_of_test.py"  # TensorFlow reads the source.
    path.write_text(PROGRAM, encoding="utf-8")
    names = runpy.run_path(str(path))
    return names["Net"]()


@pytest.fixture(scope="module")
def folder(net: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tensorflow as tf

    path = tmp_path_factory.mktemp("saved") / "net"
    tf.saved_model.save(net, str(path), signatures=net.__call__.get_concrete_function())
    return path


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (4, 16, 16, 3), np.uint8)


def objects(net: Any, folder: Path) -> dict[str, Any]:
    import tensorflow as tf

    return {
        "module": net,
        "function": net.__call__,
        "concrete": net.__call__.get_concrete_function(),
        "loaded": tf.saved_model.load(str(folder)),
    }


def test_features_are_what_the_object_computes(
    net: Any, folder: Path, pictures: np.ndarray
) -> None:
    import tensorflow as tf

    pixels = pictures.astype(np.float32)
    act = tf.nn.relu(tf.nn.conv2d(pixels, net.kernel, 2, "SAME")).numpy()
    for name, model in objects(net, folder).items():
        found = featx.embed(pictures, model, layers=["act", "row"], pool="none", preprocess="raw")
        np.testing.assert_allclose(found["act"], act, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(found["row"], net(pixels)["row"], rtol=1e-5, err_msg=name)
        assert "act" in featx.layers(model).names


def test_the_same_computation_is_the_same_model(net: Any, folder: Path) -> None:
    prints = {
        name: featx.load_model(model, preprocess="raw").spec.fingerprint
        for name, model in objects(net, folder).items()
    }
    assert len(set(prints.values())) == 1, prints
    old = net.kernel.numpy()
    net.kernel.assign(old + 1)
    try:
        changed = featx.load_model(net, preprocess="raw").spec.fingerprint
    finally:
        net.kernel.assign(old)
    assert changed not in prints.values()
    assert featx.load_model(net, preprocess="raw").spec.fingerprint in prints.values()


def test_a_module_of_the_hub_is_called_as_one(folder: Path, pictures: np.ndarray) -> None:
    import tensorflow_hub

    loaded = tensorflow_hub.load(str(folder))
    in_memory = featx.load_model(loaded)
    in_folder = featx.load_model(f"hub:{folder}")
    assert in_memory.spec.input == in_folder.spec.input
    assert in_memory.spec.input.scaling == "unit"
    np.testing.assert_array_equal(
        featx.embed(pictures, loaded, layer="row"),
        featx.embed(pictures, f"hub:{folder}", layer="row"),
    )


def test_a_store_goes_on_with_the_object_alone(
    net: Any, pictures: np.ndarray, tmp_path: Path
) -> None:
    output = tmp_path / "f.h5"
    images = list(pictures)
    featx.extract(images, net, layer="row", output=output, preprocess="raw")
    assert featx.extract(images, net.__call__, layer="row", output=output).skipped == 4
    featx.build_index(output)
    found = featx.search(pictures[:1], features=output, model=net)
    assert found.results[0].matches[0].key == "00000"
    with pytest.raises(ModelError, match=r"in no file\. Pass the model itself: model="):
        featx.search(pictures[:1], features=output)
    with own_process(), pytest.raises(ModelError, match=r"Only Python can pass it"):
        featx.search(pictures[:1], features=output)
    import tensorflow as tf

    other = tf.function(lambda images: {"row": tf.reduce_mean(images, [1, 2])})
    other.get_concrete_function(tf.TensorSpec((None, 16, 16, 3)))
    with pytest.raises(FingerprintMismatch, match="The model given is not the one"):
        featx.search(pictures[:1], features=output, model=other)


def test_what_cannot_be_taken_is_said(pictures: np.ndarray) -> None:
    import tensorflow as tf

    @tf.function
    def never_called(images: Any) -> Any:
        return images

    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([1], [2]), 0)

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3))])
    def with_table(images: Any) -> Any:
        return tf.reduce_mean(images, [1, 2]) * tf.cast(table.lookup(tf.constant(1)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3)), tf.TensorSpec((None, 8, 8, 3))])
    def of_two(left: Any, right: Any) -> Any:
        return left - right

    for model, message in (
        (never_called, r"was never called\. Say what it takes: @tf\.function\(input_signature="),
        (of_two, r"takes something else\. Say what it takes"),
        (with_table, r"a resource that is no variable, such as a table.*Save it"),
    ):
        with pytest.raises(ModelError, match=message):
            featx.embed(pictures, model)
    with pytest.raises(InvalidType, match=r"a tf\.Module, a tf\.function, or .*of TensorFlow"):
        featx.embed(pictures, tf.constant(1))


@pytest.mark.slow
def test_the_identity_is_the_same_in_every_process(net: Any, tmp_path: Path) -> None:
    program = PROGRAM + (
        "import featx\n"
        "tf.function(lambda x: x * 2)(tf.ones(3))\n"
        "others = [Net(1.0) for _ in range(int(sys.argv[1]))]\n"
        "for each in others: each(tf.ones((1, 16, 16, 3)))\n"
        "net = Net()\n"
        "for model in (net, net.loop):\n"
        "    print(featx.load_model(model, preprocess='raw').spec.fingerprint)\n"
    )
    path = tmp_path / "program.py"
    path.write_text(program, encoding="utf-8")
    expected = [
        featx.load_model(model, preprocess="raw").spec.fingerprint for model in (net, net.loop)
    ]
    for count in "02":
        run = [sys.executable, str(path), count]
        result = subprocess.run(run, capture_output=True, text=True, check=True, timeout=300)
        assert result.stdout.split()[-2:] == expected
