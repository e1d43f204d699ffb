"""Files of Keras 1 and 2 that Keras 3 cannot read, loaded by tf_keras, which is Keras 2."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from featx.engines.tensorflow import import_tensorflow
from featx.errors import ModelError, first_line
from featx.models.keras_settings import default_settings


def is_legacy(path: Path, config: dict[str, Any]) -> bool:
    """Whether a file was saved before Keras 3, as far as it says."""
    version = str(config.get("keras_version") or "")
    return bool(config) and path.suffix.lower() != ".keras" and not version.startswith("3")


def load_legacy(
    path: Path, classes: dict[str, Any], reason: Exception, options: dict[str, Any]
) -> tuple[Any, Any]:
    """Load an old ``.h5`` file.

    Args:
        path: The file.
        classes: Classes of the user's own, by name.
        reason: Why Keras 3 could not load it.
        options: For `load_model`.

    Returns:
        The model, and the base class of its layers.

    Raises:
        ModelError: If tf_keras is not installed, or cannot load it either.
    """
    import_tensorflow()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import tf_keras
        except ImportError as error:
            raise ModelError(
                f"{str(path)!r} was saved by an old Keras, and Keras 3 cannot load it "
                f"({first_line(reason)}). Install tf_keras, which can: pip install tf_keras."
            ) from error
        try:
            with default_settings():  # Now also those of tf_keras.
                model = tf_keras.models.load_model(path, custom_objects=classes, **options)
        except Exception as error:  # As Keras 3, of any kind.
            raise ModelError(
                f"Neither Keras 3 nor tf_keras can load {str(path)!r}: {first_line(reason)}; "
                f"{first_line(error)}"
            ) from error
    return model, tf_keras.layers.Layer
