"""The files of an exported head: what they are called, and how they get their names."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from featx.atomic import is_process_alive, sync_path
from featx.deploy.forms import FORMS
from featx.errors import ExportError
from featx.files import describe_wrong_output, is_wrong_output
from featx.heads.head import Head
from featx.wording import option

LABELS_FILE, CARD_FILE = "labels.txt", "README.md"
_MARK = "saved_model.pb"
"""By this file, the folder of a SavedModel is known."""

PREVIOUS = "previous"
"""The folder that is being replaced, in that of `folder_beside`."""


@dataclass(frozen=True, slots=True)
class ExportFiles:
    """What an export consists of.

    Attributes:
        output: The file or folder.
        is_folder: Whether it is a folder.
        labels: None for a regression.
        card: The model card.
        classes: What is in the labels.
    """

    output: Path
    is_folder: bool
    labels: Path | None
    card: Path
    classes: str

    @classmethod
    def of(cls, output: Path, form: str, head: Head) -> ExportFiles:
        """Return the files of a form at a path."""
        is_folder = not FORMS[form].ending
        place = output if is_folder else output.parent
        card = place / CARD_FILE if is_folder else output.with_name(f"{output.name}.md")
        classes = "".join(f"{' '.join(name.split())}\n" for name in head.classes)
        labels = place / LABELS_FILE if head.classes else None
        return cls(output, is_folder, labels, card, classes)

    @property
    def title(self) -> str:
        """Its name; of a version for TensorFlow Serving, which is a number, with that above it."""
        name = self.output.name
        if self.is_folder and name.isdigit():
            return f"{self.output.absolute().parent.name}/{name}"
        return name

    def check(self, overwrite: bool) -> None:
        """Refuse what cannot be written, or exists.

        Raises:
            ExportError: Says what to do.
        """
        try:
            self._check(overwrite)
        except ExportError:
            raise
        except OSError as error:  # Such as a name that is too long.
            raise ExportError(
                f"{str(self.output)!r} cannot be written: {error.strerror or error}. Choose "
                f"another path with {option('output')}."
            ) from error

    def _check(self, overwrite: bool) -> None:
        output = self.output
        if self.is_folder:
            if os.path.lexists(output) and not output.is_dir():
                raise ExportError(
                    f"{str(output)!r} exists, and is no folder. Choose another path with "
                    f"{option('output')}."
                )
            is_empty = output.is_dir() and not any(output.iterdir())
            is_export = (output / _MARK).is_file()
            if os.path.lexists(output) and not is_empty and not (is_export and overwrite):
                hint = f", or replace it with {option('overwrite', True)}" if is_export else ""
                raise ExportError(
                    f"{str(output)!r} exists and is not empty. Choose another folder with "
                    f"{option('output')}{hint}."
                )
            return
        if is_wrong_output(output):
            raise ExportError(describe_wrong_output(output))
        for path in (self.card, self.labels):
            if path is not None and path.is_dir():
                raise ExportError(
                    f"{str(path)!r} is a folder, and a file of this name is written beside "
                    f"{output.name!r}. Choose another path with {option('output')}."
                )
        existing = [path for path in (output, self.card) if os.path.lexists(path)]
        if self.labels is not None and self.labels.exists() and not self._has_same_labels():
            existing.append(self.labels)
        if existing and not overwrite:
            raise ExportError(
                f"{str(existing[0])!r} exists already. Choose another path with "
                f"{option('output')}, or replace it with {option('overwrite', True)}."
            )

    def _has_same_labels(self) -> bool:
        assert self.labels is not None
        try:
            return self.labels.read_text(encoding="utf-8") == self.classes
        except (OSError, UnicodeDecodeError):
            return False

    def place(self, written: Path, card: str) -> None:
        """Give what was written its names.

        Of a file, several names change one after the other. Labels and card of the previous model
        go first, and the new ones come last: a process that is killed meanwhile leaves a model
        without them, and never one beside the labels of another. In a folder they are from the
        beginning.

        Args:
            written: The file or folder, in that of `folder_beside`.
            card: The text of the model card.
        """
        if self.is_folder:
            (written / CARD_FILE).write_text(card, encoding="utf-8")
            if self.labels is not None:
                (written / LABELS_FILE).write_text(self.classes, encoding="utf-8")
            if self.output.is_dir():
                self.output.rename(written.with_name(PREVIOUS))
            written.rename(self.output)
            sync_path(self.output.parent)
            return
        beside = [(self.card, card)]
        if self.labels is not None and not self._has_same_labels():
            beside.append((self.labels, self.classes))
        for path, text in beside:
            new = _place_in(written.parent, path)
            new.write_text(text, encoding="utf-8")
            sync_path(new)
        sync_path(written)
        for path, _ in beside:
            path.unlink(missing_ok=True)
        os.replace(written, self.output)
        for path, _ in beside:
            os.replace(_place_in(written.parent, path), path)
        sync_path(self.output.parent)


def _place_in(folder: Path, path: Path) -> Path:
    return folder / f"new {path.name}"


@contextlib.contextmanager
def folder_beside(output: Path) -> Iterator[Path]:
    """Give a new folder on the disk of `output`, which is removed afterwards.

    Raises:
        ExportError: If nothing can be written there.
    """
    parent, name = output.absolute().parent, f".{output.name}"
    for leftover in parent.glob(f"{glob.escape(name)}.[0-9]*.tmp"):
        # Of a process that was killed.
        pid = leftover.name.removeprefix(f"{name}.").partition(".")[0]
        if pid.isdigit() and not is_process_alive(int(pid)):
            _remove(leftover, output)
    try:
        # Of a SavedModel: TensorFlow Serving wants a folder for each version in one of its own.
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(".tmp", f"{name}.{os.getpid()}.", parent))
    except OSError as error:
        raise ExportError(describe_wrong_output(output)) from error
    try:
        yield folder
    except OSError as error:
        raise ExportError(
            f"{str(output)!r} cannot be written: {error.strerror or error}. Make room, or choose "
            f"another path with {option('output')}."
        ) from error
    finally:
        _remove(folder, output)


def _remove(folder: Path, output: Path) -> None:
    """Remove a folder of an export; an older one that gave way in vain gets its name back."""
    previous = folder / PREVIOUS
    if previous.is_dir() and not os.path.lexists(output):
        with contextlib.suppress(OSError):
            previous.rename(output)
    shutil.rmtree(folder, ignore_errors=True)
