"""What is known of an index besides its vectors: names, identity, recall."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from featx.errors import IndexFileError
from featx.files import HASH_BYTES
from featx.images.roots import Root
from featx.index.container import Arrays, Section
from featx.index.kinds import AUTO, INDEXES, Parameters, Space
from featx.index.names import Labels, Texts, label_sections, text_sections
from featx.index.options import IndexOptions
from featx.sealed_json import check_texts
from featx.shown import Shown
from featx.specs import FeatureSpec, ModelSpec
from featx.store.reference import StoreReference
from featx.wording import command

FORMAT = "featx-index"
FORMAT_VERSION = 3

TRAINING_FORMAT = "featx-index-training"
"""Of a file without images, see `featx.index.shared_training`."""

UPDATE = "Update: pip install -U featx."

TEXTS = ("contents", "store", "store_relative", "root", "root_relative")
"""Entries of the description that are one text each."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured when an index was built.

    Attributes:
        recall: The share of the 10 nearest vectors that is found: 1 for an exact index.
        queries: Vectors of the store with which it was measured, none of which it was trained on.
        changed: Rows that were added or changed since it was measured.
        seconds: What building took.
    """

    recall: float = 1.0
    queries: int = 0
    changed: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        counts = (self.queries, self.changed)
        if not 0 <= self.recall <= 1:
            raise ValueError("a recall is a number from 0 to 1")
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("a count is a whole number")
        if not self.seconds >= 0:
            raise ValueError("a duration is a number")


@dataclass(frozen=True, slots=True, repr=False)
class IndexDescription(Shown):
    """Everything but the vectors.

    Attributes:
        keys: N keys, in the order of the rows; read from the file when they are asked for.
        labels: N class names, None where there is none; read likewise.
        content_hash: uint8 (N, 16): content hashes, by which vectors are used again.
        feature: The feature, pooling included.
        model: The model that computes it.
        store: The store that it was built from.
        root: What keys are relative to.
        root_relative: See `Root.relative_to`: relative to the index's folder.
        kind: The kind of index, a name in `featx.index.kinds.INDEXES`.
        options: How it was asked for. What they say of vectors is part of its identity.
        requested_kind: The kind that was asked for: a name, or ``auto``.
        parameters: What the index was built with and is searched with.
        measured: What was measured when it was built.
    """

    keys: Sequence[str]
    labels: Sequence[str | None]
    content_hash: np.ndarray
    feature: FeatureSpec
    model: ModelSpec
    store: StoreReference
    root: Root
    root_relative: str
    kind: str
    options: IndexOptions = field(default_factory=IndexOptions)
    requested_kind: str = AUTO
    parameters: Parameters = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)

    @property
    def fingerprint(self) -> str:
        """SHA-256 that identifies model, input contract, layer and pooling."""
        return self.feature.fingerprint(self.model)

    @property
    def space(self) -> Space:
        """The vectors as the kind of index gets them."""
        return space_of(len(self.keys), self.feature, self.options)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the columns as JSON-serialisable values."""
        measured = self.measured
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "kind": self.kind,
            "package": INDEXES.package_of(self.kind),
            "requested_kind": self.requested_kind,
            "metric": self.options.metric,
            "options": asdict(self.options),
            "parameters": dict(self.parameters),
            "recall": measured.recall,
            "queries": measured.queries,
            "changed": measured.changed,
            "seconds": measured.seconds,
            "fingerprint": self.fingerprint,
            "feature": self.feature.to_dict(),
            "model": self.model.to_dict(),
            "contents": self.store.contents,
            "store": self.store.path,
            "store_relative": self.store.relative,
            "root": self.root.text,
            "root_relative": self.root_relative,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], arrays: Arrays) -> IndexDescription:
        """Rebuild a description from `to_dict` and the columns.

        Raises:
            ValueError: If the fields disagree. Damaged data can raise any other exception, too.
        """
        hashes = arrays["content_hash"]
        if hashes.dtype != "|u1" or hashes.shape[1:] != (HASH_BYTES,):
            raise ValueError("content hashes have another size")
        description = cls(
            keys=Texts(arrays, "keys"),
            labels=Labels(arrays),
            content_hash=hashes.unchecked,
            kind=data["kind"],
            options=IndexOptions(**data["options"]),
            requested_kind=str(data["requested_kind"]),
            parameters=_read_parameters(data["parameters"]),
            measured=Measured(
                recall=float(data["recall"]),
                queries=data["queries"],
                changed=data["changed"],
                seconds=float(data["seconds"]),
            ),
            **read_identity(data),
        )
        description.check(data["fingerprint"])
        return description

    def check(self, fingerprint: str) -> None:
        """Refuse a description whose fields disagree.

        Raises:
            ValueError: If they do.
        """
        lengths = {len(column) for column in (self.keys, self.labels, self.content_hash)}
        if fingerprint != self.fingerprint or len(lengths) > 1 or not self.keys:
            raise ValueError("its fields disagree")


def space_of(count: int, feature: FeatureSpec, options: IndexOptions) -> Space:
    """Return so many vectors of a feature, projected, as a kind of index gets them."""
    width = options.pca or math.prod(feature.shape)
    return Space(count, width, "l2" if options.metric == "l2" else "ip", options.factory)


def column_sections(description: IndexDescription) -> list[Section]:
    """Return keys, labels and content hashes as arrays of the file."""
    return [
        *text_sections("keys", description.keys),
        *label_sections(description.labels),
        Section.of("content_hash", np.ascontiguousarray(description.content_hash)),
    ]


def read_identity(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a description that say what is in the index, and from where."""
    check_texts([data[name] for name in TEXTS])
    return {
        "feature": FeatureSpec.from_dict(data["feature"]),
        "model": ModelSpec.from_dict(data["model"]),
        "store": StoreReference(data["store"], data["store_relative"], data["contents"]),
        "root": Root.parse(data["root"]),
        "root_relative": data["root_relative"],
    }


def check_version(path: str, data: Mapping[str, Any], version: int) -> None:
    """Refuse a description of another version.

    Raises:
        IndexFileError: If it is, or does not describe an index.
    """
    if data["format"] not in (FORMAT, TRAINING_FORMAT):
        raise IndexFileError(f"{path!r} does not describe a featx index.")
    if data["format_version"] != version:
        older = data["format_version"] < version
        remedy = f"Build it again with {command('index')}." if older else UPDATE
        raise IndexFileError(
            f"{path!r} has format version {data['format_version']}; this featx reads "
            f"version {version}. {remedy}"
        )


def _read_parameters(data: Any) -> Parameters:
    if not isinstance(data, dict):
        raise ValueError("its parameters are none")
    if not all(type(value) in (int, float, str) for value in data.values()):
        raise ValueError("a parameter has no value")
    return data
