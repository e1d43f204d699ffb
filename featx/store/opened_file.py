"""A store's file while it is read: whether it is complete, and still the one that was opened."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np

from featx.errors import StoreDamaged, StoreError, StoreNotFound
from featx.files import resolve_link
from featx.store.format import (
    FORMAT,
    READ_ERRORS,
    read_header,
    read_texts,
    text_attribute,
)
from featx.store.opening import open_file
from featx.store.parts import list_parts, parts_folder
from featx.store.rows import StoreHeader
from featx.store.seal import Seal, read_seal
from featx.wording import command, option


class OpenedFile:
    """One version of a store's file, closed and opened again as needed.

    Attributes:
        path: The file.
        header: Model, features and root.
    """

    _salvage = False
    """Whether to read a damaged store as far as possible; see `featx.store.salvage`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Parts are beside the file itself, not beside a link to it; and the working folder may
        # change before it is opened again.
        self._location = resolve_link(path).absolute()
        if not path.exists() and list_parts(parts_folder(self._location)):
            raise StoreNotFound(
                f"{str(path)!r} is not finished: an extraction is running or was interrupted. What "
                f"it computed is kept in {str(parts_folder(path))!r}; the same command goes on."
            )
        self._open: h5py.File | None = None
        self._seal: Seal | None = None
        try:
            self.header: StoreHeader = read_header(self._file, path, salvage=self._salvage)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. It is opened again when something more is read from it."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def _file(self) -> h5py.File:
        if self._open is None and self._salvage:
            self._open = open_file(self._location, salvage=True)
        if self._open is None:
            # First by the name that was given, so that errors show it.
            location = self.path if self._seal is None else self._location
            while True:
                before = read_seal(location) if location.is_file() else None
                opened = open_file(location)
                seal = read_seal(location)
                if seal is not None and seal == before:
                    break  # Otherwise a writer replaced the file in between.
                foreign = seal is None and not _is_store(opened)
                opened.close()
                if foreign:
                    raise StoreDamaged(
                        f"{str(self.path)!r} is an HDF5 file of another program, not a feature "
                        f"store: {command('extract')} writes those."
                    )
                if seal is None:
                    raise StoreDamaged(
                        f"{str(self.path)!r} is damaged, or was written by an earlier featx: it "
                        f"has no seal. Extract again with {option('overwrite', True)}."
                    )
            if self._seal not in (None, seal):
                opened.close()
                raise self._replaced()
            self._open, self._seal = opened, seal
        return self._open

    def _check_current(self) -> None:
        """Raise an error if the file was replaced: a newer version may have removed parts."""
        if self._seal is not None and self._seal != read_seal(self._location):
            raise self._replaced()

    def _replaced(self) -> StoreError:
        return StoreError(
            f"{str(self.path)!r} was replaced by a newer version while it was read. Open it again."
        )

    def _column(self, name: str) -> np.ndarray:
        try:
            return np.asarray(self._file[name][:])
        except READ_ERRORS as error:
            raise self._damaged(name, error) from error

    def _named(self, name: str, names: Sequence[str]) -> tuple[str | None, ...]:
        """Return a column of numbers as the names that they stand for."""
        return tuple(map([*names, None].__getitem__, self._numbered(name, names).tolist()))

    def _numbered(self, name: str, names: Sequence[str]) -> np.ndarray:
        """Return a column of numbers that stand for names, int64, -1 where there is none."""
        numbers = self._column(name)
        if numbers.max(initial=-1) >= len(names):
            what = "split" if name.endswith("splits") else "class"
            raise self._damaged(name, f"a number has no {what}")
        return np.maximum(numbers.astype(np.int64), -1)  # Below 0 there is none.

    def _texts(self, name: str, rows: slice = slice(None)) -> tuple[str, ...]:
        try:
            return tuple(read_texts(self._file[name], rows))
        except READ_ERRORS as error:
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, reason: object) -> StoreDamaged:
        return StoreDamaged(
            f"{str(self.path)!r} is damaged: rows of {name!r} cannot be read ({reason}). "
            f"{command('verify')} says which."
        )


def _is_store(file: h5py.File) -> bool:
    with contextlib.suppress(*READ_ERRORS):
        return text_attribute(file, "format", "") == FORMAT
    return True  # A damaged one: reading it reports what is wrong.
