"""`export_to_database`: features with keys, labels, columns and thumbnails in a vector database."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from featx.arguments import check_given_path, check_given_store, plain_arguments
from featx.checks.flags import check_flag
from featx.checks.layers import check_layer
from featx.checks.texts import check_text
from featx.errors import ExportError, FeatxError, ImageError, LibraryMissing, first_line
from featx.events import Listener, choose_listener
from featx.exports.source import ExportSource
from featx.exports.tables import DATABASES, DEFAULT_TABLE, Batch, Database, Table
from featx.images.decode import decode_image
from featx.images.sources.locations import LocationReader
from featx.input_spec import InputSpec
from featx.poolings import check_vector_pool
from featx.shown import Shown
from featx.specs import DEFAULT_READ_POOLING
from featx.store import open_store
from featx.units import format_count

BATCH = 256
"""Rows that are written at a time: with thumbnails a few megabytes, below what servers accept."""

THUMBNAIL = InputSpec(128, 128, resize="pad")

RESERVED = ("id", "vector", "thumbnail", "content_hash", "fingerprint")
"""Names of fields that are featx's own."""

_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
"""Of URLs in RFC 9562; the identifier of a row follows from its key."""


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseReport(Shown):
    """What was written into a database.

    Attributes:
        output: The path or address.
        database: Its name.
        table: The table.
        layer: The layer.
        rows: Rows of the store, all of which are in the table.
        written: How many of them were written now; the others were there.
        counted: Rows that the table holds: more than `rows` if others were there before.
    """

    output: str
    database: str
    table: str
    layer: str
    rows: int
    written: int
    counted: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


@plain_arguments(
    features=check_given_store, output=check_given_path, to=check_text, table=check_text
)
def export_to_database(
    features: str | Path,
    output: str,
    *,
    to: str,
    table: str = DEFAULT_TABLE,
    layer: str | int | None = None,
    pool: str = DEFAULT_READ_POOLING,
    thumbnails: bool = True,
    allow_download: bool = False,
    listener: Listener | None = None,
) -> DatabaseReport:
    """Write one feature of a store into a vector database.

    Rows that are there with the same content are not written again, so an interrupted export goes
    on where it was. Afterwards the rows are counted.

    Args:
        features: The store.
        output: A path, for the form of the database that is in its library, or the address of a
            server.
        to: ``lancedb``, ``qdrant``, ``milvus``, or one of an add-on; ``parquet`` for files in a
            folder, laid out for their bulk import.
        table: The table or collection.
        layer: The layer; the deepest in the store when None.
        pool: Pooling of layers that were stored as maps.
        thumbnails: Also write a JPEG of 128 x 128 pixels of each picture that can be read.
        allow_download: Fetch the pictures if the store says that they are at a URL.
        listener: Receives notes and progress.

    Returns:
        The report.

    Raises:
        StoreNotFound: If there is no store.
        UnknownName: If there is no such database, layer or pooling.
        LibraryMissing: If the database's library is not installed.
        ExportError: If the store is empty, the table holds another feature, or writing fails.

    Example:
        >>> export_to_database("no-such.h5", "vectors", to="qdrant")
        Traceback (most recent call last):
        ...
        featx.errors.StoreNotFound: There is no feature store 'no-such.h5'. ...
    """
    check_flag("thumbnails", thumbnails)
    listener = choose_listener(listener)
    database = DATABASES[to]
    check_vector_pool("pooling for a database", pool)
    with open_store(Path(features)) as store:
        source = ExportSource(store, check_layer("layer", layer), pool, listener, allow_download)
        if not len(store):
            raise ExportError(f"{str(features)!r} holds no features.")
        try:
            written, counted = _write(source, database, (output, table), thumbnails)
        except FeatxError:
            raise
        except ImportError as error:
            raise LibraryMissing(database.LIBRARY, f"An export to {to}") from error
        except Exception as error:  # Libraries of databases raise anything.
            text = first_line(getattr(error, "message", error))[:200].rstrip(".")
            raise ExportError(
                f"{output!r} cannot be written by {to}: {text}. What was written stays; the same "
                "command goes on."
            ) from error
        if counted < len(store):
            raise ExportError(f"{output!r} holds {counted:,} rows of {len(store):,}. Run it again.")
        name = source.spec.name
        return DatabaseReport(output, to, table, name, len(store), written, counted)


def _write(
    source: ExportSource, database: Database, place: tuple[str, str], thumbnails: bool
) -> tuple[int, int]:
    """Write what is not there; return how many rows were written and how many are there."""
    destination, name = place
    reader = LocationReader(allow_download=source.allow_download)
    table: Table | None = None
    written = pictures = 0
    try:
        for batch in _iter_batches(source):
            if table is None:
                table = database.open_table(destination, name, _make_sample(source, batch))
            new = _find_new(table, batch, name)
            if len(new):
                part = _take(batch, new)
                if thumbnails:
                    made = tuple(_make_thumbnail(reader, source, k) for k in part.fields["key"])
                    part = Batch(part.ids, part.vectors, part.fields, made)
                    pictures += sum(one is None for one in made)
                table.write(part)
                written += len(new)
        if pictures:
            missing = format_count(pictures, "picture")
            source.listener.note(f"{missing} could not be read: no thumbnail")
        assert table is not None
        return written, table.count()
    finally:
        if table is not None:
            table.close()


def _iter_batches(source: ExportSource) -> Iterator[Batch]:
    store = source.store
    fingerprint = source.spec.fingerprint(store.model)
    columns = {
        f"{name}_" if name in RESERVED else name: values for name, values in source.columns.items()
    }
    for first, block in source.iter_blocks():
        vectors = block.reshape(len(block), -1)
        for start in range(0, len(vectors), BATCH):
            chosen = vectors[start : start + BATCH]
            rows = slice(first + start, first + start + len(chosen))
            fields = {name: list(values[rows]) for name, values in columns.items()}
            fields["content_hash"] = [one.tobytes().hex() for one in store.content_hash[rows]]
            fields["fingerprint"] = [fingerprint] * len(chosen)
            ids = tuple(str(uuid.uuid5(_NAMESPACE, key)) for key in store.keys[rows])
            yield Batch(ids, chosen, fields, (None,) * len(chosen))


def _make_sample(source: ExportSource, batch: Batch) -> Batch:
    """Return one row with a value in each field that has any: a column may begin with none."""
    known = {
        f"{name}_" if name in RESERVED else name: next(
            (value for value in values if value is not None), None
        )
        for name, values in source.columns.items()
    }
    fields = {name: [known.get(name, values[0])] for name, values in batch.fields.items()}
    return Batch(batch.ids[:1], batch.vectors[:1], fields, (None,))


def _find_new(table: Table, batch: Batch, name: str) -> list[int]:
    """Return the places of rows that are not there as they are now."""
    known = table.find(batch.ids)
    fingerprint = batch.fields["fingerprint"][0]
    if any(other != fingerprint for _, other in known.values()):
        raise ExportError(
            f"The table {name!r} holds features of another model or layer. Name another table."
        )
    hashes = batch.fields["content_hash"]
    return [
        place
        for place, (row, content) in enumerate(zip(batch.ids, hashes, strict=True))
        if row not in known or known[row][0] != content
    ]


def _take(batch: Batch, places: Sequence[int]) -> Batch:
    fields = {name: [values[place] for place in places] for name, values in batch.fields.items()}
    ids = tuple(batch.ids[place] for place in places)
    return Batch(ids, batch.vectors[list(places)], fields, (None,) * len(ids))


def _make_thumbnail(reader: LocationReader, source: ExportSource, key: str) -> bytes | None:
    try:
        pixels = decode_image(reader.read_key(source.store.root, key), THUMBNAIL)
    except (ImageError, OSError):
        return None
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=80)
    return file.getvalue()
