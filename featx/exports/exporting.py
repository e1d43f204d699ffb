"""`export_store`: files for other programs from a feature store. Never imports TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

from featx.arguments import check_given_path, check_given_store, plain_arguments
from featx.checks.layers import check_layer, check_pool
from featx.errors import ExportError, FeatxError, InvalidValue, join_names
from featx.events import Listener, Verbose, choose_listener
from featx.exports.formats import EXPORTS, ExportFormat, formats_by_suffix
from featx.exports.source import ExportSource, Written
from featx.files import describe_wrong_output, is_same_file
from featx.keywords import LayerSynonyms
from featx.poolings import POOLINGS
from featx.shown import Shown
from featx.specs import DEFAULT_READ_POOLING
from featx.store import open_store
from featx.store.choice import note_choice, require_rows
from featx.units import format_shape
from featx.wording import option


@dataclass(frozen=True, slots=True, repr=False)
class ExportReport(Shown):
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


@plain_arguments(features=check_given_store, output=check_given_path)
def export_store(
    features: str | Path,
    output: str | Path,
    *,
    format: str | None = None,
    layer: str | int | None = None,
    pool: str | None = DEFAULT_READ_POOLING,
    overwrite: bool = False,
    allow_download: bool = False,
    csv_safe: bool = False,
    progress: bool | None = None,
    verbose: Verbose | None = None,
    listener: Listener | None = None,
    **synonyms: Unpack[LayerSynonyms],
) -> ExportReport:
    """Write one feature of a store as files that other programs read.

    Rows keep the order of the store. One block of them is in memory at a time; for
    ``tensorboard`` also the picture of all tiles (at most 200 MB).

    Args:
        features: The feature store.
        output: The file; for ``tensorboard`` a folder, which is created if it does not exist.
        format: ``npy`` (an array, with its keys in a CSV file beside it), ``parquet``, ``csv``,
            ``tensorboard`` (for the Embedding Projector), or one of an add-on. When None, it
            follows from the ending of `output`; a folder, or a name without an ending, is for
            TensorBoard.
        layer: The layer; the deepest in the store when None.
        pool: Pooling of layers that were stored as maps. ``none`` keeps them (``npy`` only).
        overwrite: Replace existing files of the export. Other files are never touched.
        allow_download: Fetch the pictures if the store says that they are at a URL
            (``tensorboard``). Unasked, nothing is fetched because of what a file says.
        csv_safe: In CSV files, write an apostrophe before keys, labels and splits that begin with
            ``=``, ``+``, ``-``, ``@``, a tab or a carriage return: spreadsheets take these for
            formulas.
        progress: Whether to show a progress bar; in notebooks and on terminals when None.
        verbose: The same for notes.
        listener: Receives notes and progress, in place of these two.
        synonyms: ``layers`` is ``layer``.

    Returns:
        The report.

    Raises:
        StoreNotFound: If there is no store.
        UnknownName: If there is no such layer, format or pooling.
        InvalidValue: If `output` cannot be of that format, or the format cannot hold maps.
        ExportError: If the output exists, the store is empty, or writing fails.

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
    listener = choose_listener(listener, progress=progress, verbose=verbose)
    features, output = Path(features), Path(output)
    layer, pool = check_layer("layer", layer), check_pool("pool", pool)
    POOLINGS.check(pool)
    name = _choose_format(output) if format is None else format
    writer = EXPORTS[name]
    if output.is_symlink():  # The file it points to is replaced, not the link.
        output = output.resolve()
    _check_output(output, name, writer)
    _check_files(writer.list_files(output), features, overwrite)
    with open_store(features) as store:
        source = ExportSource(store, layer, pool, listener, allow_download, csv_safe)
        _check_source(source, name, writer)
        written = _write(source, output, writer)
        size = sum(file.stat().st_size for file in written.files)
        return ExportReport(str(output), name, source.spec.name, written.rows, source.width, size)


def _write(source: ExportSource, output: Path, writer: ExportFormat) -> Written:
    try:
        return writer.write(source, output)
    except FeatxError:
        raise
    except OSError as error:
        # By its number: pyarrow's own text is long, and says nothing more.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ExportError(
            f"{str(output)!r} cannot be written: {reason}. Nothing was changed there. Make "
            f"room, or choose another path with {option('output')}."
        ) from error


def _check_source(source: ExportSource, name: str, writer: ExportFormat) -> None:
    """Refuse what cannot be exported, and note what the user may not expect.

    Raises:
        ExportError: If there are no rows.
        InvalidValue: If the format cannot hold maps.
    """
    store, spec = source.store, source.spec
    note_choice(store, source.layer, source.pool, source.listener)
    require_rows(store, ExportError)
    if len(spec.shape) > 1 and not writer.KEEPS_MAPS:
        raise InvalidValue(
            f"A row of {name!r} is one vector. Received: {option('pool', source.pool)} for "
            f"{spec.name!r}, whose rows have the shape {format_shape(spec.shape)}. Use "
            f"{option('pool', 'avg')}, or flatten to keep every value; or write a .npy file, which "
            "keeps the shape."
        )


def _choose_format(output: Path) -> str:
    """Return the format by the ending of `output`; a folder is for TensorBoard."""
    suffix = output.suffix.lower()
    suffixes = formats_by_suffix()
    if suffix in suffixes:
        return suffixes[suffix]
    if not suffix or output.is_dir():
        return suffixes[None]
    endings = [ending for ending in suffixes if ending]
    raise InvalidValue(
        f"An export ends in {join_names(endings)}; without an ending it is a folder for "
        f"TensorBoard. Received: {str(output)!r}. Choose such a name, or say which format it is "
        f"with {option('format', *EXPORTS)}."
    )


def _check_output(output: Path, name: str, writer: ExportFormat) -> None:
    """Refuse a path that cannot be of the format.

    Raises:
        InvalidValue: Says what to do.
    """
    suffix = output.suffix.lower()
    suffixes = formats_by_suffix()
    # A misleading name would deceive whoever opens the file.
    if suffix in suffixes and suffix != writer.SUFFIX:
        raise InvalidValue(
            f"{str(output)!r} ends like a file of the format {suffixes[suffix]!r}. Received: "
            f"{option('format', name)}. Choose another name, or leave {option('format')} out."
        )
    if writer.SUFFIX is None and output.exists() and not output.is_dir():
        raise InvalidValue(
            f"The format {name!r} is a folder. Received: {str(output)!r}, a file. Name another "
            f"path with {option('output')}."
        )
    is_wrong_folder = writer.SUFFIX is not None and output.is_dir()
    if is_wrong_folder or not output.absolute().parent.is_dir():
        raise InvalidValue(describe_wrong_output(output))


def _check_files(files: Sequence[Path], features: Path, overwrite: bool) -> None:
    """Refuse to replace the store or a folder, or anything else without `overwrite`.

    Raises:
        ExportError: Names what exists.
    """
    for file in files:
        if is_same_file(file, features):
            raise ExportError(
                f"{str(file)!r} is the feature store itself. Name another file with "
                f"{option('output')}."
            )
        if file.is_dir():
            raise ExportError(
                f"{str(file)!r} is a folder; a file of this name is to be written. Choose another "
                f"path with {option('output')}."
            )
    existing = [repr(str(file)) for file in files if os.path.lexists(file)]
    if existing and not overwrite:
        verb, them = ("exists", "it") if len(existing) == 1 else ("exist", "them")
        raise ExportError(
            f"{join_names(existing, conjunction='and')} {verb} already. Choose another path with "
            f"{option('output')}, or replace {them} with {option('overwrite', True)}."
        )
