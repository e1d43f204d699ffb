"""The folder of a run: its settings, sealed, and how far it has come."""

from __future__ import annotations

import contextlib
import io
import json
import math
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from featx.atomic import make_folder, replace_file
from featx.errors import TrainingError
from featx.sealed_json import check_seal, parse_json, seal
from featx.specs import identity_differences
from featx.store.lock import lock_for_writing
from featx.wording import option

FORMAT = "featx-run"
FORMAT_VERSION = 1

SETTINGS, PROGRESS, REPORT = "run.json", "progress.npz", "report.json"
FEATURES, MODEL, LABELS, HEAD, LOGS = "features.h5", "model.keras", "labels.txt", "head", "logs"
LOCK = ".lock"
EPOCHS = "epochs"
"""The setting that may grow."""

_DAMAGES = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    EOFError,
    MemoryError,
    zipfile.BadZipFile,
)
"""What reading a file of somebody else may raise; an array may claim any size."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one pass over the pictures came to.

    Attributes:
        number: From 1; 0 is the network before training.
        phase: ``start``, ``top`` or ``network``: what was trained.
        learning_rate: At its end.
        loss: Mean over the pictures that were learned from, with augmentation; None at the start.
            Cross-entropy in nats, with label smoothing; of a number the squared error, over the
            numbers' variance.
        accuracy: The same of right classes, or labels; None of a number.
        val_loss: Mean over the pictures that choose the epoch, None without; of classes at the best
            temperature.
        val_accuracy: Share of the right classes, or labels, of these.
        seconds: How long it took.
        input_share: Share of the time that was spent waiting for pictures, in [0, 1].
        error: Of a number: its mean absolute error while learning.
        val_error: The same on the pictures that choose the epoch.
        temperature: Of classes: that of `val_loss`.
    """

    number: int
    phase: str
    learning_rate: float
    loss: float | None
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    seconds: float
    input_share: float
    error: float | None = None
    val_error: float | None = None
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        history: The epochs that are finished, the first of them number 0.
        best: Number of the best one.
        state: Variables of the network and the optimiser after the last one.
    """

    history: tuple[Epoch, ...]
    best: int
    state: Mapping[str, np.ndarray] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run is.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def features(self) -> Path:
        """The store of frozen features."""
        return self.path / FEATURES

    @property
    def model(self) -> Path:
        """The fine-tuned network."""
        return self.path / MODEL

    @property
    def labels(self) -> Path:
        """Its classes, one in each line."""
        return self.path / LABELS

    @property
    def head(self) -> Path:
        """The top of the network as a head of featx."""
        return self.path / HEAD

    @property
    def logs(self) -> Path:
        """The folder for TensorBoard."""
        return self.path / LOGS

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the run against a second process, which would write, or clear, the same files.

        Raises:
            StoreLocked: If another process holds it.
            TrainingError: If the folder is something else, or cannot be written.
        """
        self._is_run()
        try:
            make_folder(self.path)
        except OSError as error:
            raise self.explain(error) from error
        with lock_for_writing(self.path / LOCK):
            yield

    def open(self, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
        """Begin a run, or go on with it if it has the same settings, or more epochs than before.

        Returns:
            Whether there is a run to go on with.

        Raises:
            TrainingError: If the folder is something else, another run, or cannot be written.
        """
        is_run = self._is_run()
        if is_run and not overwrite:
            try:
                self._go_on(settings)
                return True
            except TrainingError:
                if (self.path / PROGRESS).is_file():
                    raise  # Otherwise a command that failed early would be in the way.
        try:
            if is_run:
                self._clear()
            make_folder(self.path)
            self._write_json(SETTINGS, self._describe(settings))
        except OSError as error:
            raise self.explain(error) from error
        return False

    def _go_on(self, settings: Mapping[str, Any]) -> None:
        """Check the settings of a run that is here, and note where it was given more epochs."""
        data = self._read_settings()
        known, wanted = data["settings"].get(EPOCHS), settings.get(EPOCHS)
        progress = self.read_progress()
        if progress is None or known is None or wanted is None or wanted <= known:
            self._compare(data, settings)
            return
        self._compare(data, {**settings, EPOCHS: known})
        resumed = [*data.get("resumed", []), progress.history[-1].number]
        (self.path / REPORT).unlink(missing_ok=True)  # It is not finished any more.
        self._write_json(SETTINGS, {**data, "settings": dict(settings), "resumed": resumed})

    @property
    def resumed(self) -> tuple[int, ...]:
        """Epochs behind which the run was given more of them."""
        return tuple(self._read_settings().get("resumed", ()))

    def check_lesson(self, digest: str) -> None:
        """Note what the run learns from, or refuse other pictures than those it began with."""
        data = self._read_settings()
        if data.get("lesson") is None:
            self._write_json(SETTINGS, {**data, "lesson": digest})
        elif data["lesson"] != digest:
            raise TrainingError(
                f"The images, labels or splits have changed since the run in {str(self.path)!r} "
                f"began. {_choose_another()}"
            )

    def write_progress(self, progress: Progress, best: Mapping[str, np.ndarray] | None) -> None:
        """Keep the state after an epoch, all at once.

        Args:
            progress: How far it has come.
            best: Variables of the network, if the last epoch is the best one.
        """
        record = {"history": [asdict(one) for one in progress.history], "best": progress.best}
        if best is not None:
            self._write_arrays(_best_name(progress.best), best)
        text = np.frombuffer(json.dumps(seal(record)).encode(), np.uint8)
        self._write_arrays(PROGRESS, {"record": text, **progress.state})
        for other in self.path.glob("best-*.npz"):
            if other.name != _best_name(progress.best):
                other.unlink(missing_ok=True)

    def read_progress(self) -> Progress | None:
        """Return how far the run has come; None if no epoch is finished.

        Raises:
            TrainingError: If it is damaged.
        """
        if not (self.path / PROGRESS).is_file():
            return None
        arrays = self._read_arrays(PROGRESS)
        try:
            record = parse_json(arrays.pop("record").tobytes().decode())
            check_seal(record)
            history = tuple(_read_epoch(one, n) for n, one in enumerate(record["history"]))
            best = int(record["best"])
            if not 0 <= best < len(history):
                raise ValueError(f"epoch {best} of {len(history)}")
            return Progress(history, best, arrays)
        except _DAMAGES as error:
            raise self._damaged(PROGRESS) from error

    def read_best(self, progress: Progress) -> dict[str, np.ndarray]:
        """Return the variables of the network after its best epoch."""
        return self._read_arrays(_best_name(progress.best))

    def write_report(self, report: Mapping[str, Any]) -> None:
        """Write what came of the run: it is finished then."""
        self._write_json(REPORT, dict(report))

    def read_report(self) -> dict[str, Any] | None:
        """Return what came of the run; None if it is not finished."""
        return self._read_json(REPORT) if (self.path / REPORT).is_file() else None

    def explain(self, error: OSError) -> TrainingError:
        """Return the error for a folder that cannot be written."""
        return TrainingError(
            f"{str(self.path)!r} cannot be written: {error.strerror or error}. What was finished "
            "is kept: make room, and run the same again to go on."
        )

    def _is_run(self) -> bool:
        """Whether a run is here; refuse anything else."""
        if (self.path / SETTINGS).is_file():
            return True
        others = []
        if self.path.is_dir():  # A first write that was killed leaves a temporary file.
            others = [
                one for one in self.path.iterdir() if one.suffix != ".tmp" and one.name != LOCK
            ]
        if self.path.is_file() or others:
            raise TrainingError(
                f"{str(self.path)!r} exists and is not a run of fine-tuning; it is left alone. "
                f"Choose another folder with {option('output')}."
            )
        return False

    def _describe(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "settings": dict(settings),
            "lesson": None,
        }

    def _read_settings(self) -> dict[str, Any]:
        """Read what a run is, which somebody else may have written."""
        data = self._read_json(SETTINGS)
        if data.get("format_version") != FORMAT_VERSION:
            raise TrainingError(
                f"The run in {str(self.path)!r} has format version {data.get('format_version')}; "
                f"this featx reads version {FORMAT_VERSION}. Choose another folder with "
                f"{option('output')}."
            )
        settings, resumed = data.get("settings"), data.get("resumed", [])
        if not isinstance(settings, dict) or not isinstance(resumed, list):
            raise self._damaged(SETTINGS)
        numbers = [*resumed, settings.get(EPOCHS, 0)]
        if not all(isinstance(one, int) for one in numbers) or resumed != sorted(resumed):
            raise self._damaged(SETTINGS)
        return data

    def _compare(self, found: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        wanted = json.loads(json.dumps(settings))
        differences = identity_differences(found["settings"], wanted)
        if differences:
            changed = "; ".join(
                f"{name} {_show(expected)}, not {_show(received)}"
                for name, expected, received in differences
            )
            raise TrainingError(
                f"{str(self.path)!r} holds a run with other settings: {changed}. "
                f"{_choose_another()}"
            )

    def _clear(self) -> None:
        """Remove what a run has written, and nothing else."""
        for name in (HEAD, LOGS, f"{FEATURES}.parts"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in (PROGRESS, REPORT, MODEL, LABELS, FEATURES, SETTINGS):
            (self.path / name).unlink(missing_ok=True)
        for best in self.path.glob("best-*.npz"):
            best.unlink()

    def _write_json(self, name: str, data: dict[str, Any]) -> None:
        try:
            with replace_file(self.path / name) as temporary:
                text = json.dumps(seal(data), indent=1, ensure_ascii=False)
                temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            raise self.explain(error) from error

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            data = parse_json((self.path / name).read_text(encoding="utf-8"))
            check_seal(data)
        except (OSError, *_DAMAGES) as error:
            raise self._damaged(name) from error
        return {key: value for key, value in data.items() if key != "sha256"}

    def _write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        try:
            with replace_file(self.path / name) as temporary, temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        except OSError as error:
            raise self.explain(error) from error

    def _read_arrays(self, name: str) -> dict[str, np.ndarray]:
        try:
            content = io.BytesIO((self.path / name).read_bytes())
            with np.load(content, allow_pickle=False) as arrays:
                # featx writes them uncompressed: anything else may be a decompression bomb.
                if any(entry.compress_type for entry in arrays.zip.infolist()):
                    raise ValueError(f"{name} is compressed")
                found = {key: arrays[key] for key in arrays.files}
            if not all(isinstance(values, np.ndarray) for values in found.values()):
                raise ValueError(f"{name} holds something else than arrays")
            return found
        except (OSError, *_DAMAGES) as error:
            raise self._damaged(name) from error

    def _damaged(self, name: str) -> TrainingError:
        return TrainingError(
            f"{str(self.path / name)!r} is damaged or missing. Begin the run again: "
            f"{option('overwrite', True)}."
        )


def _read_epoch(facts: Mapping[str, Any], number: int) -> Epoch:
    """Return what an epoch came to, which somebody else may have written.

    Raises:
        ValueError: If that is none; also TypeError or OverflowError.
    """
    epoch = Epoch(**facts)
    always = ("learning_rate", "seconds", "input_share")
    for name, value in facts.items():
        is_number = name != "phase" and (value is not None or name in always)
        if is_number and not math.isfinite(value):
            raise ValueError(f"{name} {value}")
    if epoch.number != number or not epoch.temperature > 0:
        raise ValueError(f"epoch {epoch.number}")
    if epoch.phase not in ("start", "top", "network"):
        raise ValueError(f"phase {epoch.phase!r}")
    return epoch


def _best_name(number: int) -> str:
    return f"best-{number:04d}.npz"


def _choose_another() -> str:
    return (
        f"Choose another folder with {option('output')}, or begin again with "
        f"{option('overwrite', True)}."
    )


def _show(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
