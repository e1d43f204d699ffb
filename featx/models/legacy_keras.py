"""Files of Keras 1 and 2, loaded by tf_keras, which is Keras 2."""

from __future__ import annotations

import contextlib
import functools
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from featx.engines.tensorflow import import_tensorflow
from featx.errors import ModelError
from featx.models.keras_format import KerasFile, named_by_form
from featx.models.keras_reasons import keras_reason
from featx.models.keras_settings import default_settings
from featx.models.keras_weights import write_renamed
from featx.models.model_code import KERAS_PACKAGES
from featx.scratch import scratch_folder

_CLASSES = re.compile(
    r"(tf_)?keras(\.(layers|models|initializers|regularizers|constraints|mixed_precision|losses"
    r"|metrics|optimizers)(\.[a-z.]+)?)?"
)
_FUNCTIONS = re.compile(
    r"(tf_)?keras\.(activations|initializers|regularizers|constraints|losses|metrics)|builtins"
)
"""Public modules of Keras 2: what they export computes, and opens nothing."""

_INTERNAL = {
    "engine.functional": ("Functional",),
    "engine.sequential": ("Sequential",),
    "engine.training": ("Model",),
    "layers.core.tf_op_layer": (
        "ClassMethod InstanceMethod InstanceProperty SlicingOpLambda TFOpLambda"
    ).split(),
}
"""Classes that files name by the modules in which they are written; these moved in Keras 2.13."""

_INTERNAL_MODULE = re.compile(r"(?:tf_)?keras\.(?:src\.)?(.*)")

_COMPUTED_OTHERWISE = ("RandomCrop", "hard_sigmoid")
"""What Keras 3 loads from an old ``.h5`` file and computes in another way than Keras 2 did."""


def find_unlisted(config: Any) -> list[str]:
    """List what an old file names of Keras's modules that is not a public part of networks.

    tf_keras imports any module of its own by name, and takes from it whatever has the name of the
    class or function. Modules of other packages are found by `featx.models.model_code.find_code`.

    Example:
        >>> find_unlisted({"class_name": "Dense", "module": "keras.layers", "config": {}})
        []
        >>> find_unlisted({"class_name": "os.system", "module": "keras.src.utils.io_utils"})
        ["'os.system' of the module 'keras.src.utils.io_utils'"]
    """
    if isinstance(config, list):
        return [found for item in config for found in find_unlisted(item)]
    if not isinstance(config, dict):
        return []
    found = [each for value in config.values() for each in find_unlisted(value)]
    name, module = config.get("class_name"), config.get("module")
    if isinstance(name, str) and isinstance(module, str) and module.split(".")[0] in KERAS_PACKAGES:
        inner = config.get("config")
        if name == "function":
            name = str(inner.get("name") if isinstance(inner, dict) else inner)
            modules, names = _FUNCTIONS, "[a-z][A-Za-z0-9_]*"
        else:
            modules, names = _CLASSES, "[A-Z][A-Za-z0-9]*"
        is_public = modules.fullmatch(module) is not None and re.fullmatch(names, name) is not None
        internal = _INTERNAL_MODULE.fullmatch(module)
        is_known = internal is not None and name in _INTERNAL.get(internal[1], ())
        if not (is_public or is_known) or config.get("registered_name") not in (
            None,
            name,
            "function",
        ):
            found.append(f"{name!r} of the module {module!r}")
    return found


def is_computed_otherwise(config: Any) -> bool:
    """Whether a network has a part that Keras 3 would compute in another way than Keras 2.

    `RandomCrop` resized pictures in inference, and now crops them; `hard_sigmoid` was
    ``clip(0.2 x + 0.5)``, and is ``relu6(x + 3) / 6``.

    Example:
        >>> is_computed_otherwise([{"class_name": "Dense", "config": {"activation": "relu"}}])
        False
    """
    if isinstance(config, dict):
        config = list(config.values())
    if isinstance(config, list):
        return any(is_computed_otherwise(value) for value in config)
    return config in _COMPUTED_OTHERWISE


def load_legacy(file: KerasFile, classes: Mapping[str, Any], *, safe_mode: bool) -> tuple[Any, Any]:
    """Load an old file.

    Args:
        file: The file.
        classes: Classes of the user's own, by name.
        safe_mode: Whether to refuse code in it.

    Returns:
        The model, and the base class of its layers.

    Raises:
        ModelError: If tf_keras is not installed, or cannot load it.
    """
    import_tensorflow()
    with warnings.catch_warnings(), _readable(file) as path:
        warnings.simplefilter("ignore")
        try:
            import tf_keras
        except ImportError as error:
            raise ModelError(
                f"{str(file.path)!r} was saved by Keras 2, and Keras 3 cannot load it. Install "
                "tf_keras, which can: pip install tf_keras."
            ) from error
        known = _internal_classes() | dict(classes)
        try:
            with default_settings():  # Now also those of tf_keras.
                model = tf_keras.models.load_model(
                    path, custom_objects=known, compile=False, safe_mode=safe_mode
                )
        except Exception as error:  # Keras raises many kinds.
            raise ModelError(
                f"tf_keras cannot load {str(file.path)!r}: {keras_reason(error)}"
            ) from error
        _run_as_in_inference(model, tf_keras)
    return model, tf_keras.layers.Layer


def _internal_classes() -> dict[str, Any]:
    """Return the classes of `_INTERNAL` by name, wherever the version that saved had them."""
    from tf_keras.src.engine.functional import Functional
    from tf_keras.src.layers.core import tf_op_layer

    names = _INTERNAL["layers.core.tf_op_layer"]
    return {"Functional": Functional} | {name: getattr(tf_op_layer, name) for name in names}


def _run_as_in_inference(model: Any, tf_keras: Any) -> None:
    """Let layers that crop at random resize at once, as they do in inference.

    They decide it within the graph, which then could not be frozen for its random numbers.
    """

    def resize(layer: Any, images: Any, training: Any = None) -> Any:
        size = (layer.height, layer.width)
        return tf_keras.preprocessing.image.smart_resize(images, size)

    for layer in model.submodules:
        if isinstance(layer, tf_keras.layers.RandomCrop):
            layer.call = functools.partial(resize, layer)


@contextlib.contextmanager
def _readable(file: KerasFile) -> Iterator[Path]:
    """Yield the path of a file as tf_keras reads it: a copy of a zip archive, with new names."""
    if file.form == "hdf5":
        with named_by_form(file) as path:
            yield path
        return
    plain = replace(file, config=_with_plain_numbers(file.config))
    with scratch_folder() as folder:
        yield write_renamed(plain, folder)[0]


def _with_plain_numbers(config: Any) -> Any:
    """Return a configuration with numbers as such, which Keras 2.12 wrote in a way of its own.

    It could not read them itself, in layers such as `ReLU`.
    """
    if isinstance(config, list):
        return [_with_plain_numbers(each) for each in config]
    if not isinstance(config, dict):
        return config
    inner = config.get("config")
    if config.get("class_name") == "__numpy__" and isinstance(inner, dict):
        value = inner.get("value")
        return value if isinstance(value, (int, float)) else config
    return {key: _with_plain_numbers(value) for key, value in config.items()}
