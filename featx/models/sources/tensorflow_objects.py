"""The source ``tensorflow``: modules and functions of TensorFlow in the calling program."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from featx.models.sources import ModelSource

if TYPE_CHECKING:
    from featx.models.backbone import Backbone, ModelRequest

_MARKS = ("get_concrete_function", "structured_input_signature", "signatures")
"""Attributes of functions, traced functions, and SavedModels that were loaded."""


class TensorFlowObjectSource(ModelSource):
    """Instances of ``tf.Module``, functions, and what ``tf.saved_model.load`` returns."""

    takes_only_objects = True

    def load(self, request: ModelRequest) -> Backbone:
        """Take a module or a function as it is now; nothing of it is changed."""
        from featx.models import tensorflow_objects
        from featx.models.in_memory import refuse_absent
        from featx.models.keras_settings import build_apart

        if request.model is None:
            raise refuse_absent(request.name, ())
        return build_apart(lambda: tensorflow_objects.load(request))

    def take(self, model: object) -> str | None:
        """Return the name of a module or a function, or what stands for it."""
        libraries = {each.__module__.split(".")[0] for each in type(model).__mro__}
        tensorflow = sys.modules.get("tensorflow")
        if tensorflow is None or "tensorflow" not in libraries or libraries & {"keras", "tf_keras"}:
            return None
        if not isinstance(model, tensorflow.Module) and not any(
            hasattr(model, mark) for mark in _MARKS
        ):
            return None
        if hasattr(model, "structured_input_signature"):  # Its name is another one in each run.
            return "function"
        name = getattr(model, "name", None) or getattr(model, "__name__", None)
        return str(name or "model")

    def identify(self, model: object) -> str:
        """Return the SHA-256 of its functions and the values of their variables."""
        from featx.models.tensorflow_objects import identify_object

        return identify_object(model)


SOURCE = TensorFlowObjectSource()
