"""The source ``savedmodel``: folders that TensorFlow exported, and zip archives of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featx.models.savedmodel_archive import is_packed_savedmodel
from featx.models.savedmodel_folder import is_savedmodel, is_tf1_module, savedmodel_files
from featx.models.sources import ModelSource

if TYPE_CHECKING:
    from featx.models.backbone import Backbone, ModelRequest


class SavedModelSource(ModelSource):
    """SavedModel folders, by their signatures."""

    spellings = ("savedmodel:DIR", "savedmodel:FILE.zip")
    bare = "a SavedModel folder (or a zip archive of one)"
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
        """Whether it is a SavedModel, and not a folder marked as a module of TensorFlow Hub."""
        if is_savedmodel(name):
            return not is_tf1_module(name)
        return is_packed_savedmodel(name)

    def files(self, name: str, weights: str | None) -> Sequence[Path]:
        """Return the graph and its variables, or the archive."""
        return savedmodel_files(Path(name))


def _load(request: ModelRequest) -> Backbone:
    from featx.models import hub, savedmodel
    from featx.models.input_contract import refuse_weights
    from featx.models.savedmodel_archive import unpacked
    from featx.models.signatures import list_signatures, load_folder

    refuse_weights(request, "SavedModel")
    folder = unpacked(Path(request.name))
    if request.is_bare and is_tf1_module(str(folder)):  # Of an archive.
        return hub.load(request)
    loaded = load_folder(folder, trust_model_code=bool(request.trust_model_code))
    if request.is_bare and not list_signatures(loaded) and callable(loaded):
        return hub.load(request)
    return savedmodel.load(request, folder, loaded)


SOURCE = SavedModelSource()
