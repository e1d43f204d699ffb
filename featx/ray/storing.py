"""Rows of `featx.ray.features` as a store: parts are written where rows are, and assembled here."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from featx.arguments import check_given_path, plain_arguments
from featx.checks.numbers import check_whole_numbers
from featx.checks.texts import check_text
from featx.errors import InvalidValue, StoreError, join_names
from featx.files import HASH_BYTES, describe_wrong_output
from featx.images.roots import MEMORY
from featx.images.sources import ImageFailure
from featx.images.sources.columns import NoColumn, column_of_values
from featx.images.sources.pixels import label_text
from featx.models.in_memory import check_model
from featx.objects.addresses import is_copy, location_of
from featx.objects.publishing import SINGLE_FILE_LIMIT, publishing, writing_path
from featx.options import InputOptions, Layers, RunOptions, fill_group
from featx.ray.connection import import_ray
from featx.ray.featurizing import (
    ERROR_COLUMN,
    HASH_COLUMN,
    PictureKeywords,
    decide,
    name_model,
)
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORAGE_TYPE, StorageType
from featx.store.assembly import assemble_store
from featx.store.lock import lock_for_writing
from featx.store.part_columns import open_columns
from featx.store.parts import (
    PartWriter,
    list_parts,
    next_part_number,
    parts_folder,
    remove_leftovers,
    start_merge,
)
from featx.store.planning import PlannedRows, plan_rows
from featx.store.rows import DEFAULT_SINGLE_FILE_LIMIT, Rows, StoreHeader
from featx.store.shared_objects import open_work
from featx.store.shared_work import Workplace
from featx.store.views import remove_spent_parts
from featx.trust import GivenTrust
from featx.version import __version__
from featx.wording import option


@plain_arguments(
    InputOptions,
    RunOptions,
    model=check_model,
    output=check_given_path,
    key=check_text,
    rows=check_whole_numbers(1),
)
def write_store(
    dataset: Any,
    output: str | Path,
    model: Any = None,
    *,
    layers: Layers = (),
    pool: str | None = DEFAULT_READ_POOLING,
    weights: str | Path | None = None,
    signature: str | None = None,
    trust_model_code: GivenTrust = False,
    dtype: StorageType = DEFAULT_STORAGE_TYPE,
    key: str = "path",
    rows: int = 4096,
    input: InputOptions | None = None,
    run: RunOptions | None = None,
    **options: Unpack[PictureKeywords],
) -> int:
    """Write rows of `features` into a new store; no row passes through this program.

    The model and all that says how it computes are those that `features` was given. ``label`` and
    ``split`` are taken from columns of these names, and what else is text or a number is kept as a
    further column. Rows with an ``error`` go into the ledger of failures.

    Args:
        dataset: A ``ray.data.Dataset``.
        output: The store, in a folder that all machines have under the same path, or in an object
            store.
        model: As for `features`.
        layers: As for `features`.
        pool: As for `features`.
        weights: As for `features`.
        signature: As for `features`.
        trust_model_code: As for `features`.
        dtype: How values are stored: ``float32`` or ``float16``.
        key: The column with the keys: text, different in each row.
        rows: Rows of a part, at least 1.
        input: As for `features`.
        run: As for `features`.
        options: As for `features`.

    Returns:
        The number of rows of the store.

    Raises:
        StoreError: If `output` exists or cannot be written, or two rows have one key.
        InvalidValue: If the dataset has no such column.
        LibraryMissing: If ``featx[ray]`` is not installed.
    """
    import_ray("featx.ray.write_store")
    target = writing_path(output).absolute()
    _check_new(target)
    network, specs = decide(
        name_model(model, weights, signature, trust_model_code),
        layers,
        pool,
        fill_group(InputOptions, input, options),
        fill_group(RunOptions, run, options),
    )
    precision = network.engine.wanted_precision
    header = StoreHeader(
        model=network.spec,
        features=specs,
        dtype=dtype,
        root=MEMORY,
        root_relative=MEMORY.text,
        single_file_limit=(SINGLE_FILE_LIMIT if is_copy(target) else DEFAULT_SINGLE_FILE_LIMIT),
        runs=(
            {
                "started": datetime.datetime.now(datetime.UTC).isoformat(),
                "featx": __version__,
                "engine": network.engine.engine,
                "precision": "float32" if precision == "auto" else precision,
            },
        ),
    )
    return _write(dataset, target, header, key, rows)


def _check_new(target: Path) -> None:
    if target.is_dir() or not target.parent.is_dir():
        raise StoreError(describe_wrong_output(target))
    if target.exists():
        raise StoreError(
            f"{location_of(target)!r} exists and is left alone. Choose another file with "
            f"{option('output')}."
        )


def _write(dataset: Any, target: Path, header: StoreHeader, key: str, rows: int) -> int:
    """Let workers write parts, and assemble them."""
    folder = parts_folder(target)
    with lock_for_writing(folder), publishing(target):
        _check_new(target)  # Again: loading the model took seconds.
        start_merge(target)
        try:
            with contextlib.closing(open_work(target, 0)) as work:
                writer = PartsOfRows(work.place, header, key)
                written = dataset.map_batches(writer, batch_format="numpy", batch_size=rows)
                for record in written.iter_rows():
                    work.take_in(record["task"])
            num_rows = _assemble(target, header)
        except BaseException:  # There is no store that they could be part of.
            remove_leftovers(folder, keep=())
            raise
        remove_spent_parts(target)
    return num_rows


def _assemble(target: Path, header: StoreHeader) -> int:
    """Make the store of its parts; return how many rows it has."""
    folder = parts_folder(target)
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(open_columns(part)) for part in list_parts(folder)]
        plan = plan_rows(sources)
        num_keys = sum(len(source) + len(source.failures) for source in sources)
        num_repeated = num_keys - len(plan) - len(plan.failures)
        if num_repeated:
            raise StoreError(
                f"{num_repeated:,} rows have a key that another row has, too. Name a column of "
                "different texts as 'key'."
            )
        assemble_store(
            target, PlannedRows(sources, plan, header), next_part=next_part_number(folder)
        )
    return len(plan)


@dataclass(frozen=True)
class PartsOfRows:
    """Writes batches of rows as parts, each once, and returns the name of what it wrote.

    Attributes:
        work: Where they are written.
        header: The header of the store.
        key: The column with the keys.
    """

    work: Workplace
    header: StoreHeader
    key: str

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Write a batch."""
        self._check(batch)
        keys = [str(key) for key in batch[self.key]]
        digest = hashlib.blake2b(self.header.fingerprint.encode(), digest_size=16)
        for row in zip(keys, batch[HASH_COLUMN], strict=True):
            digest.update(repr(row).encode(errors="surrogatepass"))
        name = digest.hexdigest()
        self.work.do_once(name, lambda folder: self._write(folder, keys, batch))
        return {"task": np.array([name])}

    def _check(self, batch: Mapping[str, np.ndarray]) -> None:
        needed = [
            self.key,
            HASH_COLUMN,
            ERROR_COLUMN,
            *(spec.name for spec in self.header.features),
        ]
        missing = [repr(name) for name in needed if name not in batch]
        if missing:
            raise InvalidValue(
                f"The rows have no column {join_names(missing, conjunction='and')}: they are to be "
                "those of featx.ray.features(), of the same layers."
            )

    def _write(
        self, folder: Path, keys: Sequence[str], batch: Mapping[str, np.ndarray]
    ) -> dict[str, int]:
        features = {
            spec.name: np.asarray(batch[spec.name]).reshape(len(keys), *spec.shape)
            for spec in self.header.features
        }
        reasons = [str(reason) for reason in batch[ERROR_COLUMN]]
        limit = float(np.finfo(self.header.dtype).max)
        for values in features.values():
            largest = np.abs(values.reshape(len(keys), -1)).max(axis=1, initial=0.0)
            for row in np.flatnonzero(~(largest <= limit)).tolist():
                reasons[row] = reasons[row] or f"{self.header.dtype} cannot hold its features"
        good = [row for row, reason in enumerate(reasons) if not reason]
        writer = PartWriter(folder, self.header, max_seconds=math.inf)
        for row, reason in enumerate(reasons):
            if reason:
                writer.fail(ImageFailure(keys[row], reason, -1, -1))
        if good:
            writer.add(self._make_rows(batch, keys, good, features))
        writer.commit()
        return {"rows": len(good)}

    def _make_rows(
        self,
        batch: Mapping[str, np.ndarray],
        keys: Sequence[str],
        good: list[int],
        features: Mapping[str, np.ndarray],
    ) -> Rows:
        hashes = b"".join(bytes.fromhex(batch[HASH_COLUMN][row]) for row in good)
        unknown = np.full(len(good), -1, np.int64)
        unnamed = [None] * len(good)
        texts = {
            name: list(map(label_text, batch[name][good].tolist() if name in batch else unnamed))
            for name in ("label", "split")
        }
        taken = {self.key, HASH_COLUMN, ERROR_COLUMN, "label", "split", *features}
        columns = {}
        for name in batch.keys() - taken:
            with contextlib.suppress(NoColumn):  # Lists and arrays are no columns.
                columns[name] = column_of_values([batch[name][row] for row in good])
        return Rows(
            keys=[keys[row] for row in good],
            content_hash=np.frombuffer(hashes, np.uint8).reshape(len(good), HASH_BYTES),
            labels=texts["label"],
            file_size=unknown,
            file_mtime_ns=unknown,
            features={
                name: values[good].astype(self.header.dtype) for name, values in features.items()
            },
            splits=texts["split"],
            columns=columns,
        )
