"""`export_store`: from a feature store to files for other programs. Never imports TensorFlow."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from featx.errors import ExportError, FeatxError, InvalidValue, join_names
from featx.events import Listener
from featx.exports.source import ExportSource, Written
from featx.files import describe_wrong_output, is_same_file
from featx.poolings import POOLINGS
from featx.specs import DEFAULT_READ_POOLING, check_choice
from featx.store import open_store
from featx.units import format_shape

EXPORT_FORMATS: dict[str, str] = {
    "npy": "featx.exports.npy",
    "parquet": "featx.exports.parquet",
    "csv": "featx.exports.csv_table",
    "tensorboard": "featx.exports.tensorboard",
}
"""Name of a format → the module that writes it, an `ExportFormat`."""


class ExportFormat(Protocol):
    """What the module of a format has.

    Attributes:
        SUFFIX: How its files end, in lower case; None for a format that is a folder.
        KEEPS_MAPS: Whether its rows can be maps, (h, w, c), or only vectors.
    """

    SUFFIX: str | None
    KEEPS_MAPS: bool

    def list_files(self, output: Path) -> tuple[Path, ...]:
        """Return every file that may be written; no other is touched."""
        ...

    def write(self, source: ExportSource, output: Path) -> Written:
        """Write the files, each of them whole or not at all."""
        ...


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported.

    Attributes:
        output: The file or folder.
        format: The format's name.
        layer: The layer.
        rows: Rows written.
        columns: D, values of the feature in each row.
        bytes: Size of all files that were written.
    """

    output: str
    format: str
    layer: str
    rows: int
    columns: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


def export_store(
    features: str | Path,
    output: str | Path,
    *,
    format: str | None = None,
    layer: str | None = None,
    pool: str = DEFAULT_READ_POOLING,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> ExportReport:
    """Write one feature of a store as files that other programs read.

    Rows keep the order of the store. One block of them is held in memory at a time, for
    ``tensorboard`` also the picture of all tiles (200 MB at the most).

    Args:
        features: The feature store.
        output: The file; for ``tensorboard`` a folder, which is made if it is not there.
        format: ``npy`` (an array, with its keys in a CSV file beside it), ``parquet``, ``csv``,
            ``tensorboard`` (for the Embedding Projector). When None, as `output` ends; a folder
            or a name without an ending is for TensorBoard.
        layer: The layer; the deepest in the store when None.
        pool: Pooling of layers that were stored as maps. ``none`` keeps them (``npy`` only).
        overwrite: Replace files that are there. Only those of the export itself are.
        listener: Receives notes and progress.

    Returns:
        The report.

    Raises:
        StoreNotFound: If there is no store.
        UnknownName: If there is no such layer, format or pooling.
        InvalidValue: If `output` cannot be of that format, or the format cannot hold maps.
        ExportError: If something is there already, the store is empty, or writing fails.

    Example:
        >>> import featx
        >>> import numpy as np
        >>> from featx.testing import toy_model, write_images
        >>> _ = featx.extract(write_images(3), model=toy_model(), layers=["mean"], output="e.h5")
        >>> export_store("e.h5", "e.npy").rows
        3
        >>> np.load("e.npy").shape
        (3, 3)
    """
    listener = listener or Listener()
    features, output = Path(features), Path(output)
    POOLINGS.check(pool)
    name = _choose_format(output) if format is None else format
    check_choice("export format", name, tuple(EXPORT_FORMATS))
    module = _load(name)
    if output.is_symlink():  # The file it points to is replaced, not the link.
        output = output.resolve()
    _check_output(output, name, module)
    _check_files(module.list_files(output), features, overwrite)
    with open_store(features) as store:
        source = ExportSource(store, layer, pool, listener)
        stored, spec = store.spec(layer), source.spec
        if layer is None and len(store.layers) > 1:
            listener.note(f"layer {spec.name!r}, the deepest in {str(features)!r}")
        if stored.pool not in ("none", pool) and pool != DEFAULT_READ_POOLING:
            listener.note(f"{spec.name!r} was stored with {stored.pool!r} pooling: it stays so")
        if not len(store):
            raise ExportError(
                f"{str(features)!r} holds no features: none of its images could be used. "
                "`featx info` lists the reasons."
            )
        if len(spec.shape) > 1 and not module.KEEPS_MAPS:
            raise InvalidValue(
                f"A row of {name!r} is one vector. Received: --pool none for {spec.name!r}, whose "
                f"rows have the shape {format_shape(spec.shape)}. Use --pool avg, or flatten to "
                "keep every value; or write a .npy file, which keeps the shape."
            )
        try:
            written = module.write(source, output)
            size = sum(file.stat().st_size for file in written.files)
        except FeatxError:
            raise
        except OSError as error:
            # By its number: pyarrow's own text is long, and says nothing more.
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise ExportError(
                f"{str(output)!r} cannot be written: {reason}. Nothing was changed there. Make "
                "room, or choose another place with -o."
            ) from error
        return ExportReport(str(output), name, spec.name, written.rows, source.width, size)


def _load(name: str) -> ExportFormat:
    return cast(ExportFormat, importlib.import_module(EXPORT_FORMATS[name]))


def _choose_format(output: Path) -> str:
    """Return the format that `output` ends in; what is a folder is for TensorBoard."""
    suffix = output.suffix.lower()
    suffixes = {_load(name).SUFFIX: name for name in EXPORT_FORMATS}
    if suffix in suffixes:
        return suffixes[suffix]
    if not suffix or output.is_dir():
        return suffixes[None]
    endings = [ending for ending in suffixes if ending]
    raise InvalidValue(
        f"An export ends in {join_names(endings)}; without an ending it is a folder for "
        f"TensorBoard. Received: {str(output)!r}. Choose such a name, or say which format it is "
        f"with --format {'|'.join(EXPORT_FORMATS)}."
    )


def _check_output(output: Path, name: str, module: ExportFormat) -> None:
    """Refuse a path that cannot be of the format.

    Raises:
        InvalidValue: Says what to do.
    """
    suffix = output.suffix.lower()
    others = {_load(other).SUFFIX: other for other in EXPORT_FORMATS if other != name}
    if suffix in others:  # A file that says what it is not misleads whoever opens it.
        raise InvalidValue(
            f"{str(output)!r} ends like a file of the format {others[suffix]!r}. Received: "
            f"--format {name}. Choose another name, or leave --format out."
        )
    if module.SUFFIX is None and output.exists() and not output.is_dir():
        raise InvalidValue(
            f"The format {name!r} is a folder. Received: {str(output)!r}, a file. Name another "
            "place with -o."
        )
    is_wrong_folder = module.SUFFIX is not None and output.is_dir()
    if is_wrong_folder or not output.absolute().parent.is_dir():
        raise InvalidValue(describe_wrong_output(output))


def _check_files(files: Sequence[Path], features: Path, overwrite: bool) -> None:
    """Refuse to replace the store, a folder, or anything at all without being told to.

    Raises:
        ExportError: Names what is there.
    """
    for file in files:
        if is_same_file(file, features):
            raise ExportError(
                f"{str(file)!r} is the feature store itself. Name another file with -o."
            )
        if file.is_dir():
            raise ExportError(
                f"{str(file)!r} is a folder; a file of this name is to be written. Choose another "
                "place with -o."
            )
    existing = [repr(str(file)) for file in files if os.path.lexists(file)]
    if existing and not overwrite:
        verb, them = ("exists", "it") if len(existing) == 1 else ("exist", "them")
        raise ExportError(
            f"{join_names(existing, conjunction='and')} {verb} already. Choose another place with "
            f"-o, or replace {them} with --force."
        )
