"""A model with code of another program, of which this process knows nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOREIGN_CODE = """
import keras

@keras.saving.register_keras_serializable(package="blocks")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


def write_foreign_model(path: Path) -> Path:
    """Save a network as the script ``FOREIGN_CODE`` would; its layer is named ``twice``."""
    import keras

    script: dict[str, Any] = {"__name__": "__main__"}
    exec(FOREIGN_CODE, script)
    try:
        images = keras.Input((4, 4, 3))
        keras.Model(images, script["Twice"](name="twice")(images)).save(path)
    finally:
        del keras.saving.get_custom_objects()["blocks>Twice"]
    return path
