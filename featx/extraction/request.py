"""What an extraction was asked to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from featx.checks.texts import check_choice
from featx.errors import InvalidValue, StoreError
from featx.files import describe_wrong_output
from featx.images.sources import Images, Labels
from featx.inference import EngineRequest
from featx.models.file_stamps import stamp_model
from featx.models.in_memory import Reference, add_signature
from featx.models.reference import without_trust
from featx.options import InputOptions, RunOptions, Selection, UpdateOptions
from featx.poolings import POOLINGS
from featx.ray.connection import check_address, import_ray
from featx.specs import (
    DEFAULT_MODEL,
    DEFAULT_POOLING,
    DEFAULT_PRECISION,
    DEFAULT_STORAGE_TYPE,
    Precision,
    StorageType,
)
from featx.store.opening import is_store
from featx.trust import GivenTrust
from featx.wording import option


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of `featx.extract`, resolved: see there.

    Attributes:
        output: The store; the file itself, not a link to it.
        model: The model's reference, with its signature.
    """

    images: Images
    output: Path
    model: Reference
    labels: Labels | None = None
    weights: str | None = None
    layers: tuple[str, ...] = ()
    pool: str = DEFAULT_POOLING
    dtype: StorageType = DEFAULT_STORAGE_TYPE
    trust_model_code: GivenTrust = False
    input: InputOptions = field(default_factory=InputOptions)
    selection: Selection = field(default_factory=Selection)
    run: RunOptions = field(default_factory=RunOptions)
    update: UpdateOptions = field(default_factory=UpdateOptions)

    @property
    def precision(self) -> Precision:
        """The precision that was asked for, or ``auto``."""
        return self.run.precision or DEFAULT_PRECISION

    def check(self) -> None:
        """Refuse what can be known to be wrong before anything is read.

        Raises:
            UnknownName: If a pooling, type, engine or precision does not exist.
            InvalidValue: If two options contradict each other.
            StoreError: If `output` cannot be a store, or is something else that would be lost.
        """
        POOLINGS.check(self.pool)
        check_choice("storage type", self.dtype, get_args(StorageType))
        EngineRequest(self.run.engine, self.precision)  # Checks both.
        self._check_cluster()
        if self.precision == "int8" and (self.update.shard or self.update.cluster):
            name = "shard" if self.update.shard else "cluster"
            raise InvalidValue(
                f"Each part of {option(name)} would calibrate an 8-bit network of its own, and "
                f"their features differ. Use {option('precision', 'auto')}."
            )
        output = self.output
        if output.is_dir() or not output.absolute().parent.is_dir():
            raise StoreError(describe_wrong_output(output))
        if self.update.overwrite and output.exists() and not is_store(output):
            raise StoreError(
                f"{str(output)!r} exists and is not a feature store; it is left alone. "
                f"Choose another file with {option('output')}, or delete it yourself."
            )

    def _check_cluster(self) -> None:
        update = self.update
        if update.cluster is not None:
            check_address(update.cluster)
            if not update.dry_run:
                import_ray()
            return
        for name in ("concurrency", "num_cpus", "num_gpus", "cpu_workers"):
            if getattr(update, name) is not None:
                raise InvalidValue(
                    f"{option(name)} is about workers on a cluster: say which with "
                    f"{option('cluster', 'local')}."
                )

    def record(self) -> dict[str, Any]:
        """Return what identifies the request, as JSON, with the time stamps of files it names.

        A store records it, so that the same command is recognised later.
        """
        changes = asdict(self.input)
        if self.input.size is not None:
            changes["img_size"] = list(self.input.size)
        if self.input.icc is None:  # As stores from before this option recorded it.
            del changes["icc"]
        return {
            "model": without_trust(self.model) if isinstance(self.model, str) else self.model.key,
            "weights": self.weights,
            "layers": list(self.layers),
            "pool": self.pool,
            "dtype": self.dtype,
            "input": changes,
            "files": stamp_model(self.model, self.weights),
        }


def resolve_model(
    model: Reference | None,
    weights: str | Path | None,
    signature: str | None,
    trust_model_code: GivenTrust,
) -> Reference:
    """Return the model's reference, or that of the built-in model when none is named.

    Raises:
        InvalidValue: If no model is named, and an option belongs to one.
    """
    if model is not None:
        return add_signature(model, signature)
    if weights is not None:
        raise InvalidValue(
            f"{option('weights', weights)} belongs to a Keras application: name it with "
            f"{option('model')}, for example {option('model', 'keras:MobileNetV2')}."
        )
    if signature is not None or trust_model_code:
        given = option("trust_model_code") if signature is None else option("signature")
        raise InvalidValue(
            f"{given} goes with a model of your own: name it with {option('model')}."
        )
    return DEFAULT_MODEL
