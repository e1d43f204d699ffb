"""Parquet files for bulk import, in a folder: what LanceDB, Qdrant and Milvus take from files."""

from __future__ import annotations

import glob
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featx.atomic import replace_file
from featx.errors import ExportError
from featx.exports.tables import Batch
from featx.images.roots import is_url
from featx.store.frames import make_arrow_array

LIBRARY = "pyarrow"

FILE_BYTES = 128 * 2**20
"""Vectors and thumbnails of a file, and in memory until it is written."""


class ParquetFiles:
    """The files ``NAME-00000.parquet`` and so on of a folder, each of them whole.

    Args:
        folder: The folder.
        name: How the names of the files begin.
        sample: A row, with a value in each field that has any.

    Raises:
        ExportError: If files that are there have another feature, or other columns.
    """

    def __init__(self, folder: Path, name: str, sample: Batch) -> None:
        self._folder, self._name = folder, name
        self._schema = make_table(sample).schema
        self._fingerprint = sample.fields["fingerprint"][0]
        self._waiting: list[Batch] = []
        self._waiting_bytes = 0
        self._files = sorted(folder.glob(f"{glob.escape(name)}-{'[0-9]' * 5}.parquet"))
        self._check_files()
        self._ids, self._hashes = self._read_known()

    def find(self, ids: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        """Return id → (content_hash, fingerprint)."""
        if not len(self._ids):
            return {}
        wanted = _pack_ids(ids)
        places = np.minimum(np.searchsorted(self._ids, wanted), len(self._ids) - 1)
        is_known = self._ids[places] == wanted
        return {
            ids[place]: (self._hashes[places[place]].tobytes().hex(), self._fingerprint)
            for place in np.flatnonzero(is_known).tolist()
        }

    def write(self, batch: Batch) -> None:
        """Take rows, which are written when a file is full.

        Raises:
            ExportError: If one of them is in a file already, with another content.
        """
        if self.find(batch.ids):
            raise ExportError(
                f"Images have changed since {self._folder.as_posix()!r} was written, and files "
                "are not changed. Write into another folder."
            )
        self._waiting.append(batch)
        self._waiting_bytes += batch.vectors.nbytes + sum(
            len(one or b"") for one in batch.thumbnails
        )
        if self._waiting_bytes >= FILE_BYTES:
            self._write_file()

    def count(self) -> int:
        """Write what is waiting, and return the number of rows in all files."""
        import pyarrow.parquet

        if self._waiting:
            self._write_file()
        return sum(pyarrow.parquet.read_metadata(file).num_rows for file in self._files)

    def close(self) -> None:
        """Forget what is not written: the same command begins there."""
        self._waiting = []

    def _write_file(self) -> None:
        import pyarrow
        import pyarrow.parquet

        tables = [make_table(batch).cast(self._schema) for batch in self._waiting]
        number = int(self._files[-1].stem[-5:]) + 1 if self._files else 0
        path = self._folder / f"{self._name}-{number:05}.parquet"
        with replace_file(path) as temporary:
            pyarrow.parquet.write_table(pyarrow.concat_tables(tables), temporary)
        self._files.append(path)
        self._waiting, self._waiting_bytes = [], 0

    def _check_files(self) -> None:
        """Refuse to write beside files that could not be imported together with new ones."""
        import pyarrow.parquet

        for file in self._files:
            table = pyarrow.parquet.read_table(file, columns=["fingerprint"], partitioning=None)
            if table["fingerprint"].unique().to_pylist() != [self._fingerprint]:
                raise ExportError(
                    f"{file.as_posix()!r} holds features of another model or layer. Write into "
                    "another folder."
                )
            if not pyarrow.parquet.read_schema(file).equals(self._schema):
                raise ExportError(
                    f"{file.as_posix()!r} has other columns than the store now. Write into another "
                    "folder."
                )

    def _read_known(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of what is there, sorted, and their content hashes."""
        import pyarrow.parquet

        ids, hashes = [np.zeros(0, "S16")], [np.zeros(0, "V16")]
        for file in self._files:
            names = ["id", "content_hash"]
            table = pyarrow.parquet.read_table(file, columns=names, partitioning=None)
            ids.append(_pack_ids(table["id"].to_pylist()))
            joined = bytes.fromhex("".join(table["content_hash"].to_pylist()))
            hashes.append(np.frombuffer(joined, "V16"))
        joined_ids = np.concatenate(ids)
        order = np.argsort(joined_ids)
        return joined_ids[order], np.concatenate(hashes)[order]


def open_table(destination: str, name: str, sample: Batch) -> ParquetFiles:
    """Open or make a folder; see `featx.exports.tables.Database`."""
    if is_url(destination):
        raise ExportError(f"Parquet files are written to a folder. Received: {destination!r}.")
    if Path(name).name != name:
        raise ExportError(f"Names of files begin with the table's. Received: {name!r}.")
    folder = Path(destination)
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{destination!r} is a file; a folder of this name is to be written.")
    folder.mkdir(parents=True, exist_ok=True)
    return ParquetFiles(folder, name, sample)


def make_table(batch: Batch) -> Any:
    """Return rows as a table of Arrow; vectors are lists of a fixed size."""
    import pyarrow

    vectors = pyarrow.FixedSizeListArray.from_arrays(
        pyarrow.array(np.asarray(batch.vectors, np.float32).reshape(-1)), batch.vectors.shape[1]
    )
    fields = {name: make_arrow_array(values) for name, values in batch.fields.items()}
    thumbnails = pyarrow.array(batch.thumbnails, pyarrow.binary())
    ids = pyarrow.array(batch.ids)
    return pyarrow.table({"id": ids, "vector": vectors, **fields, "thumbnail": thumbnails})


def _pack_ids(ids: Sequence[str]) -> np.ndarray:
    """Return UUIDs as texts of 16 bytes, which NumPy sorts and finds."""
    return np.frombuffer(b"".join(uuid.UUID(one).bytes for one in ids), "S16")
