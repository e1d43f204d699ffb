"""The source ``file``: networks that Keras saved."""

from __future__ import annotations

import contextlib
import os.path
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featx.models.savedmodel_archive import is_packed_savedmodel
from featx.models.sources import ModelSource

if TYPE_CHECKING:
    from featx.models.backbone import Backbone, ModelRequest


class KerasFileSource(ModelSource):
    """Files of whole networks, as `model.save` of Keras 2 and 3 writes them."""

    spellings = ("file:PATH",)
    bare = "a .keras, .h5 or .hdf5 file"
    packages = ("tensorflow", "keras", "tf_keras")

    def load(self, request: ModelRequest) -> Backbone:
        """Load a file, without running code from it unless trusted; see `ModelSource`."""
        from featx.models import keras_file
        from featx.models.keras_format import read_keras_file
        from featx.models.keras_settings import build_apart
        from featx.models.model_code import find_registered, registered_again

        # What is registered for the caller's thread only is not known in another one.
        registered = find_registered(read_keras_file(Path(request.name).absolute()).config)

        def build() -> Backbone:
            with registered_again(registered):
                return keras_file.load(request)

        return build_apart(build)

    def reads(self, name: str) -> bool:
        """Whether it is an existing file, by its suffix; of others, by its content."""
        if not os.path.isfile(name) or name.lower().endswith((".pb", ".onnx")):
            return False
        if name.lower().endswith((".keras", ".h5", ".hdf5")):
            return not is_packed_savedmodel(name)
        return _is_keras_file(name)

    def files(self, name: str, weights: str | None) -> Sequence[Path]:
        """Return the file."""
        return [Path(name)]


def _is_keras_file(name: str) -> bool:
    """Whether a file of any name holds a network as Keras saves it, in either form."""
    with contextlib.suppress(OSError, zipfile.BadZipFile):
        with open(name, "rb") as file:
            beginning = file.read(4)
        if beginning == b"PK\x03\x04":
            with zipfile.ZipFile(name) as archive:
                return {"config.json", "model.weights.h5"} <= set(archive.namelist())
        return beginning == b"\x89HDF"
    return False


SOURCE = KerasFileSource()
