"""The source ``memory``: models of Keras that are objects of the calling program."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from featx.models.sources import ModelSource

if TYPE_CHECKING:
    from featx.models.backbone import Backbone, ModelRequest


class KerasObjectSource(ModelSource):
    """Models of Keras 3 and of tf_keras in memory: functional, sequential, parts, subclassed.

    What it loads is recorded as the file that `model.save` writes would be.
    """

    takes_only_objects = True

    def load(self, request: ModelRequest) -> Backbone:
        """Take a model as it is now; nothing of it is changed. See `ModelSource`."""
        from featx.models import keras_file
        from featx.models.in_memory import refuse_absent
        from featx.models.keras_settings import build_apart

        if request.model is None:
            raise refuse_absent(request.name, ("file",))
        return build_apart(lambda: keras_file.load_object(request))

    def take(self, model: object) -> str | None:
        """Return the name of a model of either Keras."""
        for name in ("keras", "tf_keras"):
            keras = sys.modules.get(name)
            kind = getattr(keras, "Model", None)
            if isinstance(kind, type) and isinstance(model, kind):
                return str(getattr(model, "name", type(model).__name__))
        return None

    def identify(self, model: object) -> str:
        """Return the SHA-256 of architecture and weights."""
        from featx.models.keras_identity import identify_model

        return identify_model(model)


SOURCE = KerasObjectSource()
