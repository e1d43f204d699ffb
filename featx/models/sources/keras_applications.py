"""The source ``keras``: the networks of `keras.applications`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from featx.errors import InvalidValue, UnknownName
from featx.models.contracts import APPLICATIONS, keras_models_folder
from featx.models.sources import ModelSource
from featx.specs import ModelSpec

if TYPE_CHECKING:
    from featx.models.backbone import Backbone, Described, ModelRequest
    from featx.models.catalogue_entry import CatalogueEntry


class KerasSource(ModelSource):
    """The networks of `keras.applications`, by their names there."""

    spellings = ("keras:NAME[,argument=value]",)
    bare = "a Keras application (for example keras:MobileNetV2)"
    packages = ("tensorflow", "keras")
    weights_to_describe = "random"  # Nothing to download.

    def load(self, request: ModelRequest) -> Backbone:
        """Build the network and load its weights; see `ModelSource`."""
        from featx.models import keras_applications
        from featx.models.keras_settings import build_apart

        return build_apart(lambda: keras_applications.load(request))

    def describe(self, request: ModelRequest) -> Described | None:
        """Return the shipped list of layers, if the network is as it is built by default."""
        from featx.models.application_layers import find_listed

        return find_listed(request)

    def reads(self, name: str) -> bool:
        """Whether it is the name of an application."""
        return name in APPLICATIONS

    def take(self, model: object) -> str | None:
        """Return the name for a function of `keras.applications`, such as ``MobileNetV2``."""
        name, module = getattr(model, "__name__", ""), getattr(model, "__module__", "") or ""
        is_own = module.startswith(("keras.", "tf_keras.")) and ".applications" in module
        return f"keras:{name}" if is_own and name in APPLICATIONS else None

    def check(self, name: str) -> None:
        """Refuse what is not the name of an application.

        Raises:
            UnknownName: Suggests similar ones.
        """
        if name not in APPLICATIONS:
            raise UnknownName("Keras application", name, APPLICATIONS)

    def files(self, name: str, weights: str | None) -> Sequence[Path]:
        """Return the weights file, if one was named."""
        return [] if weights is None else [Path(weights)]

    def with_classifier(self, request: ModelRequest) -> ModelRequest:
        """Return the request for the whole network, at any input size.

        Raises:
            InvalidValue: If its classifier was to be left out.
        """
        if not request.arguments.get("include_top", True):
            raise InvalidValue(
                f"',include_top=False' leaves out the classifier of {request.name}, which is to "
                "classify. Leave it out of the model's name."
            )
        return replace(request, arguments={"include_top": True} | request.arguments)

    def restore(self, spec: ModelSpec, location: str) -> ModelRequest:
        """Return a request by name, arguments and weights; see `ModelSource`."""
        from featx.models.backbone import ModelRequest

        return ModelRequest(spec.name, dict(spec.arguments), weights=location)

    def list_models(self) -> Iterable[CatalogueEntry]:
        """List the applications, and whether their weights have been downloaded."""
        from featx.models.catalogue_entry import CatalogueEntry

        folder = keras_models_folder()
        for name, application in APPLICATIONS.items():
            location = folder / application.weights_file
            yield CatalogueEntry(
                reference=f"keras:{name}",
                size=application.size,
                parameters=application.parameters,
                width=application.width,
                megabytes=application.megabytes,
                on_disk=location.is_file(),
                location=str(location),
            )


SOURCE = KerasSource()
