"""Models that were loaded before: described from the cache, loaded only to compute."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.engines.graph import NetworkGraph
from featx.errors import ModelError
from featx.forks import ProcessLock
from featx.models.backbone import Backbone, Beginning, Layer, ModelRequest
from featx.models.file_stamps import stamp_files
from featx.models.sources import SOURCES
from featx.shown import Shown
from featx.specs import ModelSpec, digest
from featx.user_cache import forget_facts, read_facts, remember_facts
from featx.version import __version__, version_of
from featx.wording import option

if TYPE_CHECKING:
    from featx.models.keras_layers import KerasLayers

FORMAT = 4
"""Cache format version; what others described may have been built under a program's settings."""

_KIND = "models"


def request_key(source: str, request: ModelRequest) -> str | None:
    """Identify what a source would load: the request, its files, the versions that read them.

    Returns:
        None for what is not remembered: models whose source names no files, models in memory, and
        models whose code was trusted.
    """
    if not request.trust_model_code.is_remembered or request.model is not None:
        return None
    files = SOURCES[source].files(request.name, request.weights)
    if files is None:
        return None
    asked = asdict(request)
    del asked["allow_download"], asked["trust_model_code"]  # The same model, however it came.
    asked["trust_model_code"] = False
    return digest(
        {
            "format": FORMAT,
            "source": source,
            "request": asked,
            "files": _identify_files(files),
            "versions": [__version__, *_versions(source)],
            "layer": [each.name for each in fields(Layer)],  # What is remembered of one.
            "options": option("model"),  # Notes and warnings name options.
        }
    )


def versions() -> list[str]:
    """Return the versions that decide what TensorFlow makes of a model."""
    return [__version__, *_find_versions(("tensorflow", "keras", "tf_keras"))]


def _versions(source: str) -> list[str]:
    """Return the versions of what reads models of a source, and of the package that brings it."""
    package = SOURCES.package_of(source)
    return _find_versions((*SOURCES[source].packages, *([] if package is None else [package])))


def _find_versions(packages: tuple[str, ...]) -> list[str]:
    return [version_of(package) for package in packages]


def _identify_files(files: Iterable[Path]) -> list[list[Any]]:
    """Return ``[path, size, mtime, ctime]`` of each file that exists.

    Packagers set all times alike, but nobody can set the last one. A path may not be valid text.
    """
    return [
        [os.fsencode(file).hex(), size, mtime, os.stat(file).st_ctime_ns]
        for file, size, mtime in stamp_files(files)
    ]


def recall(key: str | None, load: Callable[[], Backbone]) -> Backbone | None:
    """Return a model that was loaded before, from what is remembered of it; None if nothing is.

    Args:
        key: From `request_key`.
        load: Loads it.
    """
    facts = None if key is None else read_facts(_KIND, key)
    if key is None or facts is None:
        return None
    try:
        return RememberedBackbone(key, facts, load)
    except (KeyError, TypeError, ValueError):  # Written by another version of featx.
        return None


def remember(key: str | None, backbone: Backbone) -> None:
    """Remember what describes a model."""
    if key is None:
        return
    facts = {
        "spec": backbone.spec.to_dict(),
        "num_layers": backbone.num_layers,
        "default_layer": backbone.default_layer,
        "notes": list(backbone.notes),
        "run_facts": dict(backbone.run_facts),
        "packages": list(backbone.packages),
        "beginning": asdict(backbone.beginning),
        "layers": [layer.to_dict() for layer in backbone.features()],
    }
    remember_facts(_KIND, key, facts)


class RememberedBackbone(Shown):
    """A backbone that is described from memory; computing with TensorFlow loads it.

    Args:
        key: From `request_key`.
        facts: What `remember` kept.
        load: Loads the model.
    """

    def __init__(self, key: str, facts: Mapping[str, Any], load: Callable[[], Backbone]) -> None:
        self._key = key
        self.spec = self._remembered = ModelSpec.from_dict(facts["spec"])
        self.num_layers: int | None = facts["num_layers"]
        self.default_layer: str | None = facts["default_layer"]
        self.notes: Sequence[str] = facts["notes"]
        self.packages: Sequence[str] = facts["packages"]
        self.beginning = Beginning(**facts["beginning"])
        self._run_facts: Mapping[str, Any] = facts["run_facts"]
        self.runs_own_code = False
        self._layers = tuple(Layer.from_dict(layer) for layer in facts["layers"])
        self._load = load
        self._loaded: Backbone | None = None
        self._lock = ProcessLock()

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._loaded is not None

    def load(self) -> None:
        """Load the model, if it is not in memory."""
        self._backbone()

    @property
    def concurrency(self) -> int:
        """Batches that may be computed at the same time."""
        return self._backbone().concurrency

    @property
    def batch_size(self) -> int:
        """Images that are best given at a time."""
        return self._backbone().batch_size

    @property
    def run_facts(self) -> Mapping[str, Any]:
        """The facts to record of a run on the model's own engine."""
        return self._run_facts if self._loaded is None else self._loaded.run_facts

    def features(self) -> Sequence[Layer]:
        """Describe every layer, in the order of computation."""
        return self._layers

    def keras_layers(self) -> KerasLayers | None:
        """Return the layers of Keras that it consists of; None for any other model."""
        from featx.models.keras_part import keras_layers_of  # What follows a call, for few runs.

        return keras_layers_of(self._backbone())

    def freeze(self, names: Sequence[str]) -> NetworkGraph | None:
        """Return the graph of some layers; see `Backbone`."""
        return self._backbone().freeze(names)

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute layers; see `Backbone`."""
        return self._backbone()(images, names)

    def _backbone(self) -> Backbone:
        with self._lock:
            if self._loaded is None:
                loaded = self._load()
                if loaded.spec.identity() != self._remembered.identity():
                    forget_facts(_KIND, self._key)
                    raise ModelError(
                        f"The model {self.spec.reference!r} was changed while it was in use. "
                        "Run the command again."
                    )
                self._loaded = loaded
            return self._loaded
