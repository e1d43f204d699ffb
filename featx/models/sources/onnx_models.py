"""The source ``onnx``: models in the Open Neural Network Exchange format."""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featx.errors import ModelError
from featx.models.sources import ModelSource

if TYPE_CHECKING:
    from featx.models.backbone import Backbone, ModelRequest


class OnnxSource(ModelSource):
    """ONNX files, with weights inside or in files beside them."""

    spellings = ("onnx:FILE.onnx",)
    bare = "an .onnx file"
    packages = ("openvino",)

    def load(self, request: ModelRequest) -> Backbone:
        """Load a file; see `ModelSource`."""
        from featx.models import onnx_model

        return onnx_model.load(request)

    def reads(self, name: str) -> bool:
        """Whether it is an existing ``.onnx`` file."""
        return name.lower().endswith(".onnx") and os.path.isfile(name)

    def files(self, name: str, weights: str | None) -> Sequence[Path] | None:
        """Return the file, and those beside it that hold its weights."""
        from featx.models.onnx_format import read_onnx_file

        path = Path(name)
        try:
            return [path, *read_onnx_file(path).external]
        except ModelError:  # Loading it says why.
            return None


SOURCE = OnnxSource()
