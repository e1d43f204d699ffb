"""`Head`: a trained classifier with the identity of its feature, and its folder on disk."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.arguments import check_given_path, plain_arguments, plain_method
from featx.atomic import replace_file
from featx.checks.numbers import check_numbers
from featx.errors import AddOnError, DimensionMismatch, HeadError, NotInstalled
from featx.features.vectors import read_vectors
from featx.files import HASH_BYTES
from featx.heads.estimator import FittedEstimator
from featx.heads.evidence import Evidence, take_evidence
from featx.heads.kinds import HEADS, Task
from featx.heads.operations import Operation, Temper, compute
from featx.sealed_json import check_seal, check_texts, parse_json, seal
from featx.shown import Shown
from featx.specs import FeatureSpec, ModelSpec
from featx.store.reference import StoreReference
from featx.wording import command, option

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from featx.features.vectors import HasVectors

FORMAT = "featx-head"
FORMAT_VERSION = 1
TASK_VERSION = 2
"""Of heads of several labels and of numbers, which an older featx would take for classifiers."""

DESCRIPTION_FILE = "head.json"

FIGURES = ("accuracy", "mean_average_precision", "mae")
"""Keys of an evaluation, the first of which that there is says how good a head is."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Head(FittedEstimator, Shown):
    """A classifier, or regressor, on one feature. Heads are equal if they are the same object.

    It is also an estimator of scikit-learn that has been fitted, for its metrics and inspection.

    Attributes:
        kind: A name in `featx.heads.kinds.HEADS`.
        classes: C class names, in the order of the probabilities; none of a regression.
        feature: The feature it was fitted on, pooling included.
        model: The model that computes that feature.
        weights: The arrays that the kind predicts with.
        fitted_on: uint8 (N, 16), content hashes of the images it was fitted on: an accuracy on
            these would be too good.
        report: What was measured when it was fitted; see `FitReport`.
        temperature: By which logits are divided (see `featx.heads.temperature`), positive.
        store: The store that it was fitted on, as it was then.
        evidence: What it keeps of pictures to judge new ones by; None in heads of featx 0.1.
        folder: Its folder, or None if it was never written.
        task: What it predicts: ``single`` (one class), ``multi`` (several labels) or
            ``regression`` (a number).
        columns: The columns that said it when it was fitted; none of one class.
        thresholds: Of ``multi``: the probability of each class from which it applies.
    """

    kind: str
    classes: tuple[str, ...]
    feature: FeatureSpec
    model: ModelSpec
    weights: dict[str, np.ndarray]
    fitted_on: np.ndarray
    report: dict[str, Any] = field(default_factory=dict)
    temperature: float = 1.0
    store: StoreReference | None = None
    evidence: Evidence | None = None
    folder: Path | None = None
    task: Task = "single"
    columns: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()

    @property
    def is_stale(self) -> bool:
        """Whether the store that it was fitted on still exists and has changed since."""
        if self.store is None or self.folder is None:
            return False
        return self.store.has_changed(self.folder)

    @property
    def fingerprint(self) -> str:
        """SHA-256 that identifies model, input contract, layer and pooling."""
        return self.feature.fingerprint(self.model)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What is done with vectors, one after the other, to predict."""
        operations = HEADS[self.kind].operations(self.weights)
        return operations if self.temperature == 1 else (*operations, Temper(self.temperature))

    def predict_proba(self, values: HasVectors) -> np.ndarray:
        """Return class probabilities.

        Args:
            values: Feature vectors, an array or lists of shape (N, D); a store, its path, or a
                layer of it as a table, that was made in the same way; or images, as for
                `featx.extract`, whose features are computed now. Of several paths, each is one
                image.

        Returns:
            float32 (N, C), rows summing to 1; of several labels independent probabilities.

        Raises:
            DimensionMismatch: If D is not the width that the head was fitted on.
            HeadError: If they are not finite (the weights are too large, or the vectors are), or
                the head predicts a number.
            InvalidType: If these are no numbers.
            FingerprintMismatch: If a store holds another feature.
            ImageError: If an image cannot be read.
        """
        if self.task == "regression":
            raise HeadError("This head predicts a number, no probabilities: predict() returns it.")
        return self.temper(self.raw_proba(read_vectors(values, self.model, self.feature)))

    def predict_numbers(self, values: HasVectors) -> np.ndarray:
        """Return the numbers that a regression predicts, float32 (N,); see `predict_proba`."""
        return self.raw_proba(read_vectors(values, self.model, self.feature))[:, 0]

    def temper(self, probabilities: np.ndarray) -> np.ndarray:
        """Divide the logits behind raw probabilities, (N, C), by the temperature."""
        if self.temperature == 1:
            return probabilities
        return np.asarray(Temper(self.temperature)(probabilities), np.float32)

    def raw_proba(self, values: ArrayLike) -> np.ndarray:
        """Return probabilities before the temperature, or numbers (N, 1); see `predict_proba`."""
        values = check_numbers("values", values)
        width = int(np.prod(self.feature.shape))
        if values.ndim != 2 or values.shape[1] != width:
            raise DimensionMismatch(
                f"The head takes vectors of shape (N, {width}), {self.feature.name!r} pooled with "
                f"{self.feature.pool!r}. Received: shape={values.shape}."
            )
        with np.errstate(all="ignore"):  # What overflows is refused, not warned of.
            probabilities = compute(HEADS[self.kind].operations(self.weights), values)
        if not np.isfinite(probabilities).all():
            what = "number" if self.task == "regression" else "probability"
            name = "the head" if self.folder is None else f"the head {str(self.folder)!r}"
            raise HeadError(
                f"What {name} computes is no {what} (NaN or infinity): its weights, or the "
                "features, are out of range. Fit it again, on finite features."
            )
        return probabilities

    def _describe_task(self) -> dict[str, Any]:
        """Return what a description says of other tasks than one class for each picture."""
        if self.task == "single":
            return {}
        thresholds = list(self.thresholds)
        return {"task": self.task, "columns": list(self.columns), "thresholds": thresholds}

    @plain_method(folder=check_given_path)
    def save(self, folder: str | Path) -> None:
        """Write the head's folder; an existing head is replaced at once.

        The description names the file with the weights, whose name contains their hash. So the
        previous description and its weights stay valid until the new description is in place.

        Raises:
            HeadError: If `folder` exists and is not a head, or cannot be written.
        """
        folder = Path(folder)
        check_replaceable(folder)
        folder.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        kept = {} if self.evidence is None else self.evidence.to_arrays()
        np.savez(content, fitted_on=self.fitted_on, **kept, **self.weights)  # type: ignore[arg-type]
        sha256 = hashlib.sha256(content.getvalue()).hexdigest()
        description = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION if self.task == "single" else TASK_VERSION,
            "kind": self.kind,
            "package": HEADS.package_of(self.kind),
            "classes": list(self.classes),
            "fingerprint": self.fingerprint,
            "feature": self.feature.to_dict(),
            "model": self.model.to_dict(),
            "report": self.report,
            "temperature": self.temperature,
            **self._describe_task(),
            "store": None if self.store is None else self.store.to_dict(),
            "weights": f"weights-{sha256[:12]}.npz",
            "weights_sha256": sha256,
        }
        weights = folder / str(description["weights"])
        try:
            with replace_file(weights) as temporary:
                temporary.write_bytes(content.getvalue())
            with replace_file(folder / DESCRIPTION_FILE) as temporary:
                text = json.dumps(seal(description), indent=1, ensure_ascii=False)
                temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            with contextlib.suppress(OSError):
                folder.rmdir()  # If there is nothing in it.
            raise HeadError(f"{str(folder)!r} cannot be written: {error.strerror}.") from error
        for previous in folder.glob("weights-*.npz"):
            if previous != weights:
                previous.unlink(missing_ok=True)


@plain_arguments(folder=check_given_path)
def load_head(folder: str | Path) -> Head:
    """Read a head's folder.

    Args:
        folder: What `featx fit-head` wrote.

    Raises:
        HeadError: If it is missing, damaged, or written by a newer featx.
        NotInstalled: If it is of a kind that is not installed here.

    Example:
        >>> load_head("no-such-head")
        Traceback (most recent call last):
        ...
        featx.errors.HeadError: There is no head 'no-such-head'. `featx.fit_head` makes one.
    """
    folder = Path(folder)
    path = folder / DESCRIPTION_FILE
    if not path.is_file():
        if folder.exists():
            raise HeadError(
                f"{str(folder)!r} is not a head. A head is a folder that {command('fit-head')} "
                "makes."
            )
        raise HeadError(f"There is no head {str(folder)!r}. {command('fit-head')} makes one.")
    try:
        data = parse_json(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise HeadError(f"{str(path)!r} does not describe a featx head.")
        if data["format_version"] not in (FORMAT_VERSION, TASK_VERSION):
            raise HeadError(
                f"{str(folder)!r} has format version {data['format_version']}; this featx reads "
                f"versions {FORMAT_VERSION} and {TASK_VERSION}. Update featx: pip install -U featx."
            )
        check_seal(data)
        HEADS.restore(data["kind"], f"The head {str(folder)!r}", data.get("package"))
        weights = _read_weights(folder, data["weights"], data["weights_sha256"])
        feature = FeatureSpec.from_dict(data["feature"])
        head = Head(
            kind=data["kind"],
            classes=check_texts(data["classes"]),
            feature=feature,
            model=ModelSpec.from_dict(data["model"]),
            weights=weights,
            fitted_on=weights.pop("fitted_on"),
            report=_read_report(data["report"]),
            temperature=float(data.get("temperature", 1)),  # featx 0.1 had none.
            evidence=take_evidence(weights, math.prod(feature.shape)),
            store=None if data["store"] is None else StoreReference(**data["store"]),
            folder=folder,
            **_read_task(data),
        )
        intact = bool(head.fingerprint == data["fingerprint"]) and 0 < head.temperature < np.inf
        if intact:
            zeros = np.zeros((1, int(np.prod(head.feature.shape))), np.float32)
            width = 1 if head.task == "regression" else len(head.classes)
            intact = head.temper(head.raw_proba(zeros)).shape == (1, width)
    except (HeadError, NotInstalled, AddOnError):
        raise
    except Exception as error:  # json, zipfile and NumPy each raise their own for damaged files.
        raise HeadError(f"The head {str(folder)!r} is damaged ({error}). Fit it again.") from error
    if not intact:
        raise HeadError(f"The head {str(folder)!r} is damaged: its parts disagree. Fit it again.")
    return head


def _read_report(report: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured of a head, in which the figures that are shown are numbers.

    Raises:
        KeyError: If they are not; also TypeError, ValueError or AttributeError.
    """
    measured = report.get("evaluation") or {}
    known = [measured[name] for name in FIGURES if measured.get(name) is not None]
    low, high = measured.get("interval") or (0, 0)
    counted = [measured["num_examples"]] if known else []
    if not all(math.isfinite(value) for value in (*known, *counted, low, high)):
        raise ValueError("a figure is no number")
    return report


def _read_task(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a head that say its task; none of one class for each picture.

    Raises:
        ValueError: If they are no such fields.
    """
    if data["format_version"] == FORMAT_VERSION:
        return {}
    task, columns = data["task"], check_texts(data["columns"])
    thresholds = tuple(float(value) for value in data["thresholds"])
    if task not in ("multi", "regression") or not columns:
        raise ValueError(f"its task is {task!r}")
    if len(thresholds) != len(data["classes"]) or (task == "regression" and thresholds):
        raise ValueError("there is a threshold for each class of several labels")
    if not all(0 <= value <= 1 for value in thresholds):
        raise ValueError("a threshold is a probability")
    return {"task": task, "columns": columns, "thresholds": thresholds}


def check_replaceable(folder: Path) -> None:
    """Refuse a folder that is something else than a head, or that cannot be written."""
    occupied = folder.is_file() or (folder.is_dir() and any(folder.iterdir()))
    if occupied and not _describes_head(folder / DESCRIPTION_FILE):
        raise HeadError(
            f"{str(folder)!r} exists and is not a head; it is left alone. "
            f"Choose another folder with {option('output')}."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise HeadError(
            f"{str(folder)!r} cannot be written: {error.strerror}. Choose another folder with "
            f"{option('output')}."
        ) from error
    if not occupied:
        with contextlib.suppress(OSError):
            folder.rmdir()  # Until there is a head to write.


def _read_weights(folder: Path, name: str, sha256: str) -> dict[str, np.ndarray]:
    """Read the arrays of a head, none of which is larger than the file."""
    if Path(name).name != name:  # Reading a device or a pipe elsewhere may never end.
        raise ValueError(f"{name!r} is not the name of a file in this folder")
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{name} has changed")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        # featx writes them uncompressed: anything else may be a decompression bomb.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in arrays.zip.infolist()):
            raise ValueError(f"{name} is compressed")
        weights = {name: arrays[name] for name in arrays.files}
    for key, values in weights.items():
        if values.dtype.kind not in "biufSU":
            raise ValueError(f"{key!r} is of type {values.dtype}")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"{key!r} holds NaN or infinity")
    hashes = weights["fitted_on"]
    if hashes.dtype != np.uint8 or hashes.shape[1:] != (HASH_BYTES,):
        raise ValueError(f"'fitted_on' is {hashes.dtype} of shape {hashes.shape}")
    return weights


def _describes_head(path: Path) -> bool:
    try:
        return FORMAT in path.read_text(encoding="utf-8")  # A damaged one may be replaced, too.
    except (OSError, UnicodeDecodeError):
        return False
