"""Models known from earlier: described from the cache, and loaded only when that is needed."""

from __future__ import annotations

import importlib.metadata
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import featx
from featx.engines.graph import NetworkGraph
from featx.errors import ModelError
from featx.models.backbone import Backbone, Layer, ModelRequest
from featx.models.hub_cache import is_complete, is_url, module_folder
from featx.models.reference import savedmodel_files
from featx.specs import ModelSpec, digest
from featx.user_cache import forget_facts, read_facts, remember_facts

REMEMBERED = ("keras", "file", "savedmodel", "hub", "graphdef")
"""Sources that take seconds to load, and whose files tell by their time whether they changed."""

_KIND = "models"


def request_key(source: str, request: ModelRequest) -> str | None:
    """Identify what an adapter would load: the request, its files, the versions that read them.

    Returns:
        None for what is not remembered: other sources, modules that are not downloaded, and
        models whose code was trusted.
    """
    if source not in REMEMBERED or request.trust_model_code:
        return None
    place = request.name
    if source == "hub" and is_url(place):
        folder = module_folder(place)
        if not is_complete(folder):
            return None  # It has yet to be downloaded.
        place = str(folder)
    return digest(
        {
            "source": source,
            "request": asdict(request),
            "files": [*_identify_files(place), *_identify_files(request.weights)],
            "versions": versions(),
        }
    )


@cache
def versions() -> list[str]:
    """Return the versions that decide what becomes of a model: featx's, TensorFlow's, Keras's."""
    found = [importlib.metadata.version(name) for name in ("tensorflow", "keras", "tf_keras")]
    return [featx.__version__, *found]


def _identify_files(path: str | None) -> list[list[Any]]:
    """Return ``[path, size, mtime, ctime]`` of each file of a model.

    Packagers set all times to one; the last one nobody can set. The path may be no text.
    """
    return [
        [os.fsencode(file).hex(), size, mtime, os.stat(file).st_ctime_ns]
        for file, size, mtime in stamp_files(path)
    ]


def stamp_files(path: str | None) -> list[list[Any]]:
    """Return ``[path, size, mtime]`` of each file of a model; none if it is not a path."""
    if path is None:
        return []
    place = Path(path)
    stamps = []
    for file in [place, *savedmodel_files(place)]:
        if file.is_file():
            status = file.stat()
            stamps.append([str(file.absolute()), status.st_size, status.st_mtime_ns])
    return stamps


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
    except (KeyError, TypeError, ValueError):  # What another state of featx remembered.
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
        "packages": list(backbone.packages),
        "layers": [layer.to_dict() for layer in backbone.features()],
    }
    remember_facts(_KIND, key, facts)


class RememberedBackbone:
    """A backbone that is described from memory; computing with TensorFlow loads it.

    Args:
        key: From `request_key`.
        facts: What `remember` kept.
        load: Loads the model.
    """

    def __init__(self, key: str, facts: Mapping[str, Any], load: Callable[[], Backbone]) -> None:
        self._key = key
        self.spec = ModelSpec.from_dict(facts["spec"])
        self.num_layers: int | None = facts["num_layers"]
        self.default_layer: str | None = facts["default_layer"]
        self.notes: Sequence[str] = facts["notes"]
        self.packages: Sequence[str] = facts["packages"]
        self.runs_own_code = False
        self._layers = tuple(Layer.from_dict(layer) for layer in facts["layers"])
        self._load = load
        self._loaded: Backbone | None = None
        self._lock = threading.Lock()

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._loaded is not None

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
        """What is recorded of a run on the model's own engine."""
        loaded = self._loaded
        return {"engine": "tensorflow", "precision": "float32"} if not loaded else loaded.run_facts

    def features(self) -> Sequence[Layer]:
        """Describe every layer, in the order of computation."""
        return self._layers

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
                if loaded.spec.identity() != self.spec.identity():
                    forget_facts(_KIND, self._key)
                    raise ModelError(
                        f"The model {self.spec.reference!r} was changed while it was in use. "
                        "Run the command again."
                    )
                self._loaded = loaded
            return self._loaded
