"""What made a feature: model, layer and pooling, as frozen data.

Everything here is plain data with `to_dict`/`from_dict`, imports nothing heavy,
and is what a store, a head and an index carry. The *fingerprint* of a feature is
the SHA-256 of its identity: two features with equal fingerprints were computed
by the same weights from pixels prepared in the same way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from featx.input_spec import InputSpec
from featx.stored_fields import check_types, known_fields, read_counts
from featx.units import format_count

StorageType = Literal["float32", "float16"]
Quantize = Literal["none", "float16", "int8"]
Precision = Literal["auto", "float32", "mixed", "bfloat16", "int8"]
ReadPrecision = Literal["auto", "float32", "mixed", "bfloat16"]
"""For a few images: 8 bits need pictures to be calibrated on."""

DEFAULT_POOLING = "none"
DEFAULT_STORAGE_TYPE: StorageType = "float32"
DEFAULT_READ_POOLING = "avg"
DEFAULT_BATCH_SIZE = 32
DEFAULT_PRECISION: Precision = "auto"
DEFAULT_READ_PRECISION: Precision = "float32"
"""For a few images: what is said of one must not depend on which others came with it."""
NAMED_SOURCES = ("builtin", "keras")
"""Sources whose models are identified by name and weights. All others, add-ons' too, are
identified by content alone; these two are older than that rule, and fingerprints never change."""

DEFAULT_MODEL = "builtin:mini"
DEFAULT_STORE = "features.h5"
DEFAULT_HEAD = "head"
DEFAULT_TEST_SIZE = 0.2
DEFAULT_TOP = 3
DEFAULT_K = 10
DEFAULT_THUMBNAILS = 2_000
"""Pictures in the page of a map, of about 2 kB each."""


def describe_precision(precision: str) -> str:
    """Return what a sentence calls a precision.

    Example:
        >>> describe_precision("bfloat16"), describe_precision("mixed")
        ('bfloat16', 'mixed precision')
    """
    return "mixed precision" if precision == "mixed" else precision


def describe_speed(run: Mapping[str, Any]) -> str:
    """Return how fast the engine of a run is beside another one.

    Args:
        run: What is recorded of it. ``speed_ratio`` is that of the other engine to TensorFlow,
            whichever was taken; runs of featx 0.1 do not name the ``compared_engine``.

    Example:
        >>> describe_speed({"engine": "tensorflow", "speed_ratio": 0.5})
        '2.0 times as fast as openvino'
    """
    is_tensorflow = run["engine"] == "tensorflow"
    other = run.get("compared_engine", "openvino" if is_tensorflow else "tensorflow")
    times = 1 / run["speed_ratio"] if is_tensorflow else run["speed_ratio"]
    return f"{times:.1f} times as fast as {other}"


def describe_quantization(run: Mapping[str, Any]) -> str:
    """Say what 8 bits change, of the layer with the lowest median cosine; empty if not measured.

    Example:
        >>> facts = {"median_cosine": {"a": 0.9957}, "same_nearest": {"a": 0.86}, "calibrated": 128}
        >>> describe_quantization({"quantization": facts})
        'median 0.99570, the nearest neighbour unchanged for 86%; calibrated on 128 others'
    """
    facts = run.get("quantization", {})
    if not facts.get("median_cosine"):
        return ""
    layer, cosine = min(facts["median_cosine"].items(), key=lambda pair: pair[1])
    parts = [f"median {cosine:.5f}"]
    if layer in facts.get("same_nearest", {}):
        share = facts["same_nearest"][layer]
        parts.append(f"the nearest neighbour unchanged for {share:.0%}")
    if layer in facts.get("accuracy", {}):
        exact, quantized = facts["accuracy"][layer]
        parts.append(f"right by the nearest mean of a class {exact:.1%} → {quantized:.1%}")
    return f"{', '.join(parts)}; calibrated on {format_count(facts['calibrated'], 'other')}"


def digest(value: object) -> str:
    """Return the SHA-256 of a JSON-serialisable value, in hexadecimal.

    The value is written as canonical JSON: sorted keys, no spaces, UTF-8.

    Example:
        >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
        True
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


_CHOSEN = ("signature", "input", "part")
"""Arguments that choose what of a file is taken."""


def split_constants(
    arguments: Mapping[str, Any],
) -> tuple[tuple[tuple[str, Any], ...], tuple[tuple[str, Any], ...]]:
    """Return what was said after the name of a file: what is chosen of it, and constants.

    Example:
        >>> split_constants({"min_size": 40, "input": "image"})
        ((('input', 'image'),), (('min_size', 40),))
    """
    pairs = sorted(arguments.items())
    return (
        tuple((key, value) for key, value in pairs if key in _CHOSEN),
        tuple((key, value) for key, value in pairs if key not in _CHOSEN),
    )


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model, resolved: where it came from, its weights' hash, its input contract.

    Attributes:
        source: The model source that loads it, a name in `featx.models.SOURCES`.
        name: The name below the source: ``MobileNetV2``, or a file's or folder's name.
        arguments: Constructor arguments, sorted by name.
        location: Where the weights came from: ``builtin``, ``imagenet``, ``random`` or an
            absolute path.
            Not part of the identity: the same weights elsewhere are the same model.
        weights_sha256: SHA-256 of the weights (builtin, keras) or of the files (all others): of
            whatever decides the numbers.
        input: The input contract.
        package: The package that brings the source, as pip knows it; None for featx's own. Not
            part of the identity: it only tells what to install.
        file_sha256: SHA-256 of the Keras file that it was loaded from; None for all other models.
            Not part of the identity, except for stores that were made when it was.
        computed_sha256: SHA-256 of what a Keras file with code of its own computes, by which the
            same model in memory is known; None for all other models. Not part of the identity.
        constants: What inputs besides the image are given, sorted by their names.
    """

    source: str
    name: str
    arguments: tuple[tuple[str, Any], ...]
    location: str
    weights_sha256: str
    input: InputSpec
    package: str | None = field(default=None, compare=False)
    file_sha256: str | None = field(default=None, compare=False)
    computed_sha256: str | None = field(default=None, compare=False)
    constants: tuple[tuple[str, Any], ...] = ()

    @property
    def reference(self) -> str:
        """The model as ``-m`` takes it, for example ``keras:MobileNet,alpha=0.25``."""
        return format_reference(self.source, self.name, (*self.arguments, *self.constants))

    @property
    def given(self) -> dict[str, Any]:
        """What follows its name: constructor arguments and constants."""
        return dict((*self.arguments, *self.constants))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return {
            "source": self.source,
            "name": self.name,
            "arguments": dict(self.arguments),
            "location": self.location,
            "weights_sha256": self.weights_sha256,
            "input": self.input.to_dict(),
            **({"constants": dict(self.constants)} if self.constants else {}),
        } | {
            name: value
            for name in ("package", "file_sha256", "computed_sha256")
            if (value := getattr(self, name)) is not None
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelSpec:
        """Rebuild a spec from `to_dict`.

        Raises:
            TypeError: If a field is of another type.
        """
        check_types(data, str, "source", "name", "location", "weights_sha256", "package")
        check_types(data, str, "file_sha256", "computed_sha256")
        return cls(
            source=data["source"],
            name=data["name"],
            arguments=tuple(sorted(data["arguments"].items())),
            location=data["location"],
            weights_sha256=data["weights_sha256"],
            input=InputSpec.from_dict(data["input"]),
            package=data.get("package"),
            file_sha256=data.get("file_sha256"),
            computed_sha256=data.get("computed_sha256"),
            constants=tuple(sorted(data.get("constants", {}).items())),
        )

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the numbers, flat, for comparison and hashing.

        Files and folders are identified by their content, so that they may be renamed and
        moved, and by a signature, input or part that was chosen (outputs of several signatures
        may have one name), and constants; a Keras application also by its name and arguments.
        """
        named = self.source in NAMED_SOURCES
        chosen = {key: value for key, value in self.arguments if key in _CHOSEN}
        return (
            ({} if named else chosen)
            | {
                "model": self.reference if named else self.source,
                "weights_sha256": self.weights_sha256,
            }
            | {f"constant.{name}": value for name, value in self.constants}
            | {f"input.{name}": value for name, value in self.input.identity().items()}
        )

    def network_identity(self) -> dict[str, Any]:
        """Return what decides the network, however pictures are decoded."""
        return with_input(self, decode="exact", icc="ignore").identity()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the identity, in hexadecimal."""
        return digest(self.identity())


def as_recorded(model: ModelSpec, recorded: ModelSpec) -> ModelSpec:
    """Return a model as a store records it, if both are of the same Keras file or compute the same.

    Files were identified by their bytes before they were by architecture and weights. And what a
    later Keras makes of the same bytes is the same model. Files with code of their own are
    identified by their bytes still; the same model in memory is known by what it computes.
    """
    known = {recorded.file_sha256, recorded.weights_sha256, recorded.computed_sha256} - {None}
    is_same = not known.isdisjoint({model.file_sha256, model.weights_sha256, model.computed_sha256})
    if model.source == recorded.source == "file" and is_same:
        return replace(model, weights_sha256=recorded.weights_sha256)
    return model


def with_input(model: ModelSpec, **changes: Any) -> ModelSpec:
    """Return a model with changes to fields of its input contract."""
    return replace(model, input=replace(model.input, **changes))


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One feature: a layer of a model, pooled in one way, with the shape of a row.

    Attributes:
        name: The layer, as ``--layer`` takes it.
        kind: What the layer is: ``layer``, ``endpoint``, ``output`` or ``tensor``.
        pool: The pooling that was applied, a name in `featx.poolings.POOLINGS`.
        shape: The shape of one row after pooling.
        package: The package that brings the pooling, as pip knows it; None for featx's own. Not
            part of the identity: it only tells what to install.
    """

    name: str
    kind: str
    pool: str
    shape: tuple[int, ...]
    package: str | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        data = asdict(self) | {"shape": list(self.shape)}
        return {name: value for name, value in data.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FeatureSpec:
        """Rebuild a spec from `to_dict`.

        Raises:
            TypeError: If a field is of another type.
        """
        known = known_fields(cls, data)
        check_types(known, str, "name", "kind", "pool", "package")
        return cls(**(known | {"shape": read_counts("shape", known["shape"])}))

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the numbers."""
        return {"layer": self.name, "pool": self.pool, "shape": list(self.shape)}

    def fingerprint(self, model: ModelSpec) -> str:
        """Return the SHA-256 that identifies this feature of `model`, in hexadecimal."""
        return digest(model.identity() | self.identity())


def identity_differences(
    expected: Mapping[str, Any], received: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    """Compare two identities field by field.

    Returns:
        ``(field, expected, received)`` for each field that differs, in order.

    Example:
        >>> identity_differences({"pool": "avg", "layer": "a"}, {"pool": "max", "layer": "a"})
        [('pool', 'avg', 'max')]
    """
    names = [*expected, *(name for name in received if name not in expected)]
    return [
        (name, expected.get(name), received.get(name))
        for name in names
        if expected.get(name) != received.get(name)
    ]


def format_reference(source: str, name: str, arguments: tuple[tuple[str, Any], ...]) -> str:
    """Write a model reference as ``-m`` reads it.

    Example:
        >>> format_reference("keras", "MobileNet", (("alpha", 0.25),))
        'keras:MobileNet,alpha=0.25'
    """
    return ",".join([f"{source}:{name}", *(f"{key}={value}" for key, value in arguments)])
