"""The source ``savedmodel``: folders that TensorFlow exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from featx.models.backbone import Backbone, ModelRequest
from featx.models.savedmodel_folder import is_savedmodel, is_tf1_module, savedmodel_files
from featx.models.sources import ModelSource


class SavedModelSource(ModelSource):
    """SavedModel folders, by their signatures."""

    spellings = ("savedmodel:DIR",)
    bare = "a SavedModel folder"
    packages = ("tensorflow",)
    scaling_hint = "A module of TensorFlow Hub is named hub:DIR: these say it."

    def load(self, request: ModelRequest) -> Backbone:
        """Load a folder; see `ModelSource`.

        Only the loaded folder tells a module of TensorFlow Hub for TF2 from other SavedModels. A
        folder that was named without its source, has no signatures and can be called is one.
        """
        from featx.models.keras_settings import build_apart

        return build_apart(lambda: _load(request))

    def reads(self, name: str) -> bool:
        """Whether it is a SavedModel folder, and not marked as a module of TensorFlow Hub."""
        return is_savedmodel(name) and not is_tf1_module(name)

    def files(self, name: str, weights: str | None) -> Sequence[Path]:
        """Return the graph and its variables."""
        return savedmodel_files(Path(name))


def _load(request: ModelRequest) -> Backbone:
    from featx.models import hub, savedmodel
    from featx.models.signatures import list_signatures, load_folder, take_signature

    take_signature(request, "A SavedModel")
    loaded = load_folder(Path(request.name), trust_model_code=request.trust_model_code)
    if request.is_bare and not list_signatures(loaded) and callable(loaded):
        return hub.load(request)
    return savedmodel.load(request, loaded)


SOURCE = SavedModelSource()
