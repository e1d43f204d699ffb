"""The folder of a run: what is kept, what is refused, and what a full disk does."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.errors import StoreLocked, TrainingError
from featx.sealed_json import seal
from featx.training.options import TrainingOptions
from featx.training.run_folder import LOCK, Epoch, Progress, RunFolder
from featx.training.schedule import list_phases
from featx.training.training_run import choose_best
from tests.training.world import write_pictures

SETTINGS = {"seed": 0, "freeze": ("0:2",), "model": "net.keras"}


def make_epoch(number: int, val_loss: float | None = 1.0) -> Epoch:
    return Epoch(number, "network", 1e-4, 0.5, 0.9, val_loss, 0.8, 1.5, 0.1)


def go_on(folder: RunFolder) -> None:
    folder.open(SETTINGS, overwrite=False)
    folder.read_progress()


def make_progress(*losses: float) -> Progress:
    history = tuple(make_epoch(number, loss) for number, loss in enumerate(losses))
    state = {"network_0": np.full(3, len(losses), np.float32)}
    return Progress(history, choose_best(history), state)


def test_progress_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert not folder.open(SETTINGS, overwrite=False)
    assert folder.read_progress() is None
    for losses in ((2.0,), (2.0, 1.0), (2.0, 1.0, 1.5)):
        progress = make_progress(*losses)
        is_best = progress.best == len(losses) - 1
        folder.write_progress(progress, progress.state if is_best else None)
    found = folder.read_progress()
    assert found is not None
    assert (found.history, found.best) == (progress.history, 1)
    np.testing.assert_array_equal(found.state["network_0"], [3, 3, 3])
    np.testing.assert_array_equal(folder.read_best(found)["network_0"], [2, 2, 2])
    assert folder.open(SETTINGS, overwrite=False)


def test_other_settings_are_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(SETTINGS | {"seed": 7}, overwrite=False)
    assert not folder.open(SETTINGS, overwrite=False)  # No epoch is lost by that.
    folder.write_progress(make_progress(1.0), {})
    with pytest.raises(TrainingError, match=r"seed 0, not 1; freeze 0:2, not none"):
        folder.open(SETTINGS | {"seed": 1, "freeze": ()}, overwrite=False)
    assert not folder.open(SETTINGS | {"seed": 1}, overwrite=True)


def test_a_run_is_not_cleared_under_another_process(tmp_path: Path) -> None:
    photos = write_pictures(tmp_path / "photos", 2)
    folder = RunFolder(tmp_path / "run")
    with folder.held():
        folder.open(SETTINGS, overwrite=False)
        folder.write_progress(make_progress(1.0), {})
        with pytest.raises(StoreLocked, match="another process|writing"):
            featx.fine_tune(photos, model="net.keras", output=folder.path, overwrite=True)
        assert folder.read_progress() is not None
    assert not (folder.path / LOCK).exists()
    assert folder.open(SETTINGS, overwrite=False)


def test_other_pictures_are_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(SETTINGS, overwrite=False)
    folder.check_lesson("one")
    folder.check_lesson("one")
    with pytest.raises(TrainingError, match="have changed since the run"):
        folder.check_lesson("other")


@pytest.mark.parametrize("name", ["run.json", "progress.npz"])
def test_damage_is_said(tmp_path: Path, name: str) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(SETTINGS, overwrite=False)
    folder.write_progress(make_progress(1.0), {})
    damaged = folder.path / name
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    with pytest.raises(TrainingError, match=f"{name}.*damaged or missing.*overwrite=True"):
        go_on(folder)


CLAIMS = "{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000,), }"


@pytest.mark.parametrize(
    ("member", "compression"),
    [
        (
            b"\x93NUMPY\1\0" + len(CLAIMS).to_bytes(2, "little") + CLAIMS.encode(),
            zipfile.ZIP_STORED,
        ),
        (b"no array", zipfile.ZIP_STORED),
        (b"0" * 1000, zipfile.ZIP_DEFLATED),
    ],
    ids=["claims 36 TiB", "no array", "compressed"],
)
def test_a_state_of_somebody_else_is_read_with_care(
    tmp_path: Path, member: bytes, compression: int
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(SETTINGS, overwrite=False)
    folder.write_progress(make_progress(1.0), {})
    with zipfile.ZipFile(folder.path / "progress.npz", "a", compression) as archive:
        archive.writestr("network_1.npy", member)
    with pytest.raises(TrainingError, match=r"progress.npz.*damaged or missing.*overwrite=True"):
        go_on(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": None},
        {"settings": [1]},
        {"settings": {"epochs": "9"}},
        {"resumed": 5},
        {"resumed": ["2"]},
        {"resumed": [2, 1]},
    ],
    ids=str,
)
def test_settings_of_somebody_else_are_read_with_care(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(SETTINGS | {"epochs": 2}, overwrite=False)
    folder.write_progress(make_progress(1.0), {})
    written = folder.path / "run.json"
    written.write_text(json.dumps(seal(json.loads(written.read_text()) | changes)))
    with pytest.raises(TrainingError, match=r"run.json.*damaged or missing.*overwrite=True"):
        folder.open(SETTINGS | {"epochs": 3}, overwrite=False)
    written.write_text("[1]")
    with pytest.raises(TrainingError, match=r"run.json.*damaged or missing.*overwrite=True"):
        go_on(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 7},
        {"phase": 3},
        {"val_loss": "1.0"},
        {"loss": 10**400},
        {"seconds": None},
        {"temperature": 0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_epochs_of_somebody_else_are_read_with_care(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(SETTINGS, overwrite=False)
    epoch = dataclasses.asdict(make_epoch(0)) | changes
    text = json.dumps(seal({"history": [epoch], "best": 0})).encode()
    np.savez(folder.path / "progress.npz", record=np.frombuffer(text, np.uint8))
    with pytest.raises(TrainingError, match=r"progress.npz.*damaged or missing.*overwrite=True"):
        folder.read_progress()


def test_a_full_disk_leaves_the_epoch_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(SETTINGS, overwrite=False)
    folder.write_progress(make_progress(1.0), {})

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", fail)
        with pytest.raises(TrainingError, match="No space left on device. What was finished is"):
            folder.write_progress(make_progress(1.0, 0.5), {})
    found = folder.read_progress()
    assert found is not None
    assert len(found.history) == 1


def test_without_validation_the_last_epoch_is_the_best() -> None:
    assert choose_best(tuple(make_epoch(number, None) for number in range(3))) == 2
    assert choose_best(tuple(make_epoch(n, loss) for n, loss in enumerate((0.3, 0.1, 0.1)))) == 1


def test_an_epoch_with_fewer_right_answers_than_the_start_is_not_kept() -> None:
    shares = (0.9, 0.8, 0.95, 0.9)
    losses = (0.5, 0.1, 0.4, 0.3)
    epochs = [
        dataclasses.replace(make_epoch(number, loss), val_accuracy=share)
        for number, (loss, share) in enumerate(zip(losses, shares, strict=True))
    ]
    assert choose_best(tuple(epochs)) == 3
    assert choose_best(tuple(epochs[:2])) == 0
    errors = (3.0, 3.5, 2.0, 2.5)
    numbers = [
        dataclasses.replace(epoch, val_accuracy=None, val_error=error)
        for epoch, error in zip(epochs, errors, strict=True)
    ]
    assert choose_best(tuple(numbers)) == 3
    assert choose_best(tuple(numbers[:2])) == 0


def test_a_run_is_given_more_epochs_and_never_fewer(tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "run"), SETTINGS | {"epochs": 2}
    folder.open(settings, overwrite=False)
    folder.write_progress(make_progress(2.0, 1.0, 0.9), {})
    folder.check_lesson("pictures")
    folder.write_report({"best": 2})
    assert folder.open(settings | {"epochs": 5}, overwrite=False)
    assert folder.resumed == (2,)
    assert folder.read_report() is None
    assert folder.open(settings | {"epochs": 5}, overwrite=False)
    assert folder.resumed == (2,)
    folder.check_lesson("pictures")
    with pytest.raises(TrainingError, match="epochs 5, not 2"):
        folder.open(settings, overwrite=False)
    with pytest.raises(TrainingError, match="other settings: seed 0, not 1"):
        folder.open(settings | {"epochs": 9, "seed": 1}, overwrite=False)
    options = TrainingOptions(top_epochs=0, epochs=5)
    phases = list_phases(options, folder.resumed)
    assert [(phase.first, phase.last) for phase in phases] == [(1, 2), (3, 5)]
    assert next(phases[1].rates(3, 10)) == options.learning_rate
