"""Where models come from: `ModelSource`, what each source can do, and `SOURCES`, all of them.

Adding a source is one file with a subclass of `ModelSource` and one line in `SOURCES`, or an entry
point of the group ``featx.models`` in another package. Objects in this package are cheap to import:
what loads a model is imported when a model is loaded.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from featx.errors import AddOnError, join_names
from featx.registry import Registry
from featx.specs import ModelSpec

if TYPE_CHECKING:
    from featx.models.backbone import Backbone, Described, ModelRequest
    from featx.models.catalogue_entry import CatalogueEntry


class ModelSource(Protocol):
    """A source of models, such as the applications of Keras or SavedModel folders.

    Subclass it and write `load`; all else has a default that suits models of which nothing is
    known. `featx.testing.contracts.models` tests what every source must keep.

    The `ModelSpec` of a backbone that `load` returns identifies the model in every file made with
    it. Its ``weights_sha256`` must cover whatever decides the numbers: weights, architecture, and
    any argument that changes them (names and arguments are not part of the identity). Its ``input``
    holds every change that the request's ``overrides`` ask for; featx refuses the model otherwise.
    For a request without `allow_download`, nothing may be fetched; raise
    `featx.errors.DownloadNotAllowed` if the model is not here.
    The backbone's ``run_facts`` name what computes it, ``engine`` and ``precision``; they are empty
    only for a model that is nothing but a graph for other engines.

    Attributes:
        spellings: How its models are written, for help texts: ``("hub:URL", "hub:DIR")``.
        takes_only_objects: Whether its models are objects of the calling program (see `take`), so
            that there is no way to write them.
        bare: What it reads without the source in front, for messages, such as ``a .pb file``;
            empty where there is nothing.
        packages: Distributions whose versions decide what becomes of a model besides featx itself:
            what is remembered of a model is forgotten when one of them changes.
        scaling_hint: A sentence for who asks for a model of this source that does not say how it
            wants its pixels.
        weights_to_describe: What ``featx layers`` takes for ``--weights`` when none are given.

    Example:
        >>> SOURCES["graphdef"].reads("missing.pb"), SOURCES["keras"].reads("VGG19")
        (False, True)
    """

    spellings: Sequence[str] = ()
    takes_only_objects: bool = False
    bare: str = ""
    packages: Sequence[str] = ()
    scaling_hint: str = ""
    weights_to_describe: str | None = None

    @abstractmethod
    def load(self, request: ModelRequest) -> Backbone:
        """Load a model, ready to describe its layers; nothing is compiled before it is called.

        Raises:
            FeatxError: If there is no such model, or it is not one image in, arrays out; says
                what is wrong and what to do.
        """
        ...

    def describe(self, request: ModelRequest) -> Described | None:
        """Return what is known of a model without loading it; None if that is not enough.

        It must be what `load` would show: ``featx layers`` lists it.
        """
        return None

    def reads(self, name: str) -> bool:
        """Whether a name, path or URL without a source in front is a model of this source.

        It is called with anything that a person may type, and must be fast.
        """
        return False

    def take(self, model: object) -> str | None:
        """Return what an object of the calling program is called, if it is a model of this source.

        `load` then gets it as `ModelRequest.model`; or it is called ``SOURCE:NAME``, and loaded by
        that name. It must be fast, and import nothing: who has a model has imported its library.
        """
        return None

    def identify(self, model: object) -> str:
        """Return what identifies an object that `take` took; another one when it was trained on."""
        return ""

    def check(self, name: str) -> None:
        """Refuse a name that cannot be one of this source's, before anything is loaded.

        Raises:
            FeatxError: If so.
        """
        return

    def files(self, name: str, weights: str | None) -> Sequence[Path] | None:
        """Return the files that decide what a model is, for remembering what describes it.

        Their times and sizes tell whether it has changed. Files that do not exist are left out.

        Returns:
            None if nothing is to be remembered: the model is loaded every time.
        """
        return None

    def with_classifier(self, request: ModelRequest) -> ModelRequest:
        """Return the request for the same model with its classifier.

        Raises:
            FeatxError: If it has none.
        """
        return request

    def restore(self, spec: ModelSpec, location: str) -> ModelRequest:
        """Return the request for a model that was recorded, without changes to its input.

        The default takes `location`, at first `ModelSpec.location`, as the model's name: `load`
        must find the same model by it.

        Args:
            spec: The model as recorded.
            location: Where its weights, its file or its folder are now.
        """
        from featx.models.backbone import ModelRequest  # Imported when a model is loaded.

        return ModelRequest(location, spec.given)

    def list_models(self) -> Iterable[CatalogueEntry]:
        """List the models that have a name, for ``featx models``, without loading anything."""
        return ()


SOURCES: Registry[ModelSource] = Registry(
    "model source",
    "featx.models",
    {
        "builtin": "featx.models.sources.builtin:SOURCE",
        "keras": "featx.models.sources.keras_applications:SOURCE",
        "file": "featx.models.sources.keras_files:SOURCE",
        "savedmodel": "featx.models.sources.savedmodels:SOURCE",
        "hub": "featx.models.sources.hub_modules:SOURCE",
        "graphdef": "featx.models.sources.frozen_graphs:SOURCE",
        "onnx": "featx.models.sources.onnx_models:SOURCE",
        "memory": "featx.models.sources.keras_objects:SOURCE",
        "tensorflow": "featx.models.sources.tensorflow_objects:SOURCE",
    },
    ModelSource,
)


def usable_sources() -> Iterator[tuple[str, ModelSource]]:
    """Iterate over all sources but those of add-ons that cannot be imported.

    A broken add-on says so when it is named; it does not keep other models from being found.
    """
    for name in SOURCES:
        try:
            source = SOURCES[name]
        except AddOnError:
            continue
        yield name, source


def list_spellings() -> list[str]:
    """Return how models of all sources are written, as ``-m`` takes them."""
    return [spelling for _, source in usable_sources() for spelling in source.spellings]


def describe_bare_names() -> str:
    """Say what can be named without a source in front: ``a .pb file, ... or a .keras file``."""
    return join_names([source.bare for _, source in usable_sources() if source.bare])
