"""What a program may have set when it calls featx, and what featx then computes in it.

Run as a program: ``python -m tests.models.program_settings SETTING FOLDER RESULT``.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featx.engines.tensorflow import import_tensorflow
from featx.errors import FeatxError
from featx.inference import AcceleratedBackbone, EngineRequest
from featx.models import load_model
from featx.options import InputOptions
from tests.inference.agreement import pixels_for
from tests.models.model_files import SOURCES, UNIT

ENGINES = ("openvino", "tensorflow")

RAW = InputOptions(preprocess="raw")


def write_models(folder: Path) -> None:
    """Write models of every source that reads files, and two that settings would change."""
    for name in (".keras", ".h5", "legacy .h5", "savedmodel", "hub, TF2", "graphdef"):
        SOURCES[name](folder)
    write_sensitive(folder)
    write_without_types(folder)


def write_sensitive(folder: Path) -> None:
    """Write a network of layers that ask for settings of the process when they are called."""
    import_tensorflow()
    import keras

    images = keras.Input((8, 8, 3), name="images")
    x = keras.layers.Normalization(mean=0.5, variance=1e-4, name="norm")(images)  # Uses epsilon.
    x = keras.ops.mean(keras.ops.cast(x, "int32"), axis=(1, 2))  # Becomes floatx.
    keras.Model(images, x).save(folder / "sensitive.keras")


def write_without_types(folder: Path) -> None:
    """Write an .h5 file that names no type, as Keras 1 and early Keras 2 did."""
    with h5py.File(folder / "net.h5") as file, h5py.File(folder / "old.h5", "w") as old:
        for name in file:
            file.copy(name, old)
        old.attrs.update(file.attrs)
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            layer["config"].pop("dtype", None)
        old.attrs["model_config"] = json.dumps(config)


def references(folder: Path) -> dict[str, tuple[str, InputOptions | None]]:
    """Return each model with the input that it is loaded with; it is the last layer that counts."""
    return {
        "builtin": ("builtin:mini", None),
        "keras": ("keras:MobileNet,alpha=0.25", InputOptions(img_size=(32, 32))),
        "sensitive": (str(folder / "sensitive.keras"), RAW),
        ".keras": (str(folder / "net.keras"), UNIT),
        ".h5": (str(folder / "net.h5"), UNIT),
        "old .h5": (str(folder / "old.h5"), UNIT),
        "legacy .h5": (str(folder / "legacy.h5"), UNIT),
        "savedmodel": (str(folder / "exported"), UNIT),
        "hub": (f"hub:{folder / 'module'}", None),
        "graphdef": (str(folder / "graph.pb"), UNIT),
    }


def compute(reference: str, options: InputOptions | None, engine: str) -> dict[str, np.ndarray]:
    """Compute the last layer of a model."""
    weights = "random" if reference.startswith("keras:") else None
    backbone = load_model(reference, input=options, weights=weights)
    fast = AcceleratedBackbone(backbone, EngineRequest(engine, "float32"))  # type: ignore[arg-type]
    identity = json.dumps(backbone.spec.identity(), sort_keys=True)
    results = fast(pixels_for(backbone), [backbone.features()[-1].name])
    return {"identity": np.frombuffer(identity.encode(), np.uint8), **results}


def _set_devices(tf: Any) -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


class Program:
    """A program that has set something; `scopes` are what it is in when it calls featx."""

    def __init__(self, scopes: contextlib.ExitStack) -> None:
        self.tf = import_tensorflow()
        self.keras = sys.modules["keras"]
        self.enter = scopes.enter_context

    @property
    def tf_keras(self) -> Any:
        import tf_keras

        return tf_keras


SETTINGS: dict[str, Callable[[Program], Any]] = {
    "nothing": lambda it: None,
    "float16": lambda it: it.keras.config.set_floatx("float16"),
    "bfloat16": lambda it: it.keras.config.set_floatx("bfloat16"),
    "float64": lambda it: it.keras.config.set_floatx("float64"),
    "policy float16": lambda it: it.keras.config.set_dtype_policy("mixed_float16"),
    "policy bfloat16": lambda it: it.keras.config.set_dtype_policy("mixed_bfloat16"),
    "policy float64": lambda it: it.keras.config.set_dtype_policy("float64"),
    "channels first": lambda it: it.keras.config.set_image_data_format("channels_first"),
    "epsilon": lambda it: it.keras.config.set_epsilon(0.1),
    "seed": lambda it: it.keras.utils.set_random_seed(7),
    "no flash attention": lambda it: it.keras.config.disable_flash_attention(),
    "unsafe": lambda it: it.keras.config.enable_unsafe_deserialization(),
    "Keras 2 float16": lambda it: it.tf_keras.backend.set_floatx("float16"),
    "Keras 2 policy": lambda it: it.tf_keras.mixed_precision.set_global_policy("mixed_bfloat16"),
    "Keras 2 channels first": lambda it: it.tf_keras.backend.set_image_data_format(
        "channels_first"
    ),
    "Keras 2 epsilon": lambda it: it.tf_keras.backend.set_epsilon(0.1),
    "functions run eagerly": lambda it: it.tf.config.run_functions_eagerly(True),
    "not eager": lambda it: it.tf.compat.v1.disable_eager_execution(),
    "TensorFlow 1": lambda it: it.tf.compat.v1.disable_v2_behavior(),
    "shapes of TensorFlow 1": lambda it: it.tf.compat.v1.disable_v2_tensorshape(),
    "control flow of TensorFlow 1": lambda it: it.tf.compat.v1.disable_control_flow_v2(),
    "variables of TensorFlow 1": lambda it: it.tf.compat.v1.disable_resource_variables(),
    "NumPy's types": lambda it: it.tf.experimental.numpy.experimental_enable_numpy_behavior(),
    "compiled by XLA": lambda it: it.tf.config.optimizer.set_jit("autoclustering"),
    "numbers checked": lambda it: it.tf.debugging.enable_check_numerics(),
    "deterministic": lambda it: it.tf.config.experimental.enable_op_determinism(),
    "graphs not optimised": lambda it: it.tf.config.optimizer.set_experimental_options(
        {"disable_meta_optimizer": True}
    ),
    "in a graph": lambda it: it.enter(it.tf.Graph().as_default()),
    "in a name scope": lambda it: it.enter(it.tf.name_scope("mine")),
    "in a name scope of Keras": lambda it: it.enter(it.keras.name_scope("mine")),
    "in a stateless scope": lambda it: it.enter(it.keras.StatelessScope()),
    "in a gradient tape": lambda it: it.enter(it.tf.GradientTape()),
    "in a strategy": lambda it: it.enter(it.tf.distribute.MirroredStrategy(["/cpu:0"]).scope()),
    "in a strategy of two devices": lambda it: (
        _set_devices(it.tf),
        it.enter(it.tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]).scope()),
    ),
    "floating-point errors": lambda it: np.seterr(all="raise"),
}
"""What a program sets → how; everything that decides what Keras or TensorFlow builds."""


def main(setting: str, folder: str, result: str, *engines: str) -> None:
    """Compute every model under a setting, and write the features, or the errors of featx."""
    found: dict[str, np.ndarray] = {}
    with contextlib.ExitStack() as scopes:
        if setting:
            SETTINGS[setting](Program(scopes))
        for name, (reference, options) in references(Path(folder)).items():
            for engine in engines or ENGINES:
                try:
                    values = compute(reference, options, engine)
                except FeatxError as error:
                    values = {"refused": np.array(str(error))}
                found |= {f"{name}, {engine}: {key}": array for key, array in values.items()}
    np.savez(result, **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
