"""Several devices: TensorFlow's own, taken in turn by calls that run at the same time."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import featx.engines.tensorflow_graph as engine
from featx.engines.tensorflow import import_tensorflow
from featx.host import own_process
with own_process():  # Half of the time for the import.
    tensorflow = import_tensorflow()
cpu, = tensorflow.config.list_physical_devices("CPU")
two = [tensorflow.config.LogicalDeviceConfiguration()] * 2
tensorflow.config.set_logical_device_configuration(cpu, two)
engine.list_gpus = lambda: ["/CPU:0", "/CPU:1"]

weights = tensorflow.Variable(np.arange(6, dtype=np.float32).reshape(3, 2))
used = set()

@tensorflow.function(autograph=False)
def network(images):
    return tensorflow.reduce_mean(images, [1, 2]) @ weights

engine.FREEZE_LIMIT_BYTES = 0
signature = tensorflow.TensorSpec([None, 4, 4, 3], tensorflow.float32)
layers = engine.compile_function(network.get_concrete_function(signature), ("mean",))
images = np.random.default_rng(0).random((5, 4, 4, 3), np.float32)
real = tensorflow.device
def device(name):
    used.add(name)
    return real(name)
tensorflow.device = device
barrier = threading.Barrier(4)
def call(_):
    barrier.wait()
    return layers(images)["mean"]
with ThreadPoolExecutor(4) as pool:
    for values in pool.map(call, range(4)):
        np.testing.assert_allclose(
            values, images.mean(axis=(1, 2)) @ weights.numpy(), rtol=1e-5
        )
print(sorted(used))
"""


@pytest.mark.tensorflow
def test_calls_take_devices_in_turn() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "['/CPU:0', '/CPU:1']"
