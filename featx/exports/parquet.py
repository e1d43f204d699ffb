"""Apache Parquet, written by pyarrow: for pandas, Polars, DuckDB, Spark."""

from __future__ import annotations

import json
from pathlib import Path

from featx.atomic import replace_file
from featx.exports.source import ExportSource, Written
from featx.store.frames import make_arrow_array

SUFFIX = ".parquet"
KEEPS_MAPS = False


def list_files(output: Path) -> tuple[Path, ...]:
    """Return the one file."""
    return (output,)


def write(source: ExportSource, output: Path) -> Written:
    """Write the columns key, label, content_hash (hexadecimal) and features.

    A column ``split`` follows ``label`` where the store has splits, and then the further columns
    that a manifest or a data frame had: text, int64, double or bool. ``features`` is a list of D
    float32 in every row. The schema's metadata says what computed them: ``featx.fingerprint``,
    ``featx.feature`` and ``featx.model`` (JSON), ``featx.stored_as``.
    """
    import pyarrow  # Here: importing it takes as long as writing a small store.
    import pyarrow.parquet

    store, spec = source.store, source.spec
    known = {name: make_arrow_array(column) for name, column in source.columns.items()}
    values_type = pyarrow.list_(
        pyarrow.field("item", pyarrow.float32(), nullable=False), source.width
    )
    schema = pyarrow.schema(
        [
            *(pyarrow.field(name, known[name].type, nullable=name != "key") for name in known),
            pyarrow.field("content_hash", pyarrow.string(), nullable=False),
            pyarrow.field("features", values_type, nullable=False),
        ],
        metadata={
            "featx.fingerprint": spec.fingerprint(store.model),
            "featx.feature": json.dumps(spec.to_dict(), allow_nan=False),
            "featx.model": json.dumps(store.model.to_dict(), allow_nan=False),
            "featx.stored_as": store.header.dtype,
        },
    )
    with (
        replace_file(output) as temporary,
        # Only these repeat: dictionaries of keys, hashes or floats would save nothing.
        pyarrow.parquet.ParquetWriter(
            temporary, schema, use_dictionary=[name for name in known if name != "key"]
        ) as writer,
    ):
        for start, block in source.iter_blocks():
            hashes = store.content_hash[start : start + len(block)]
            columns = [
                *(column.slice(start, len(block)) for column in known.values()),
                pyarrow.array([row.tobytes().hex() for row in hashes]),
                pyarrow.FixedSizeListArray.from_arrays(
                    pyarrow.array(block.reshape(-1)), type=values_type
                ),
            ]
            writer.write_table(pyarrow.table(columns, schema=schema))
    return Written(len(store), (output,))
