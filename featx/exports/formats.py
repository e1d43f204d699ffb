"""What an export format is, and the formats there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from featx.errors import AddOnError
from featx.registry import Registry

if TYPE_CHECKING:
    from featx.exports.source import ExportSource, Written


class ExportFormat(Protocol):
    """A module, or an object, that writes one feature of a store in a format.

    featx chooses the format by the name of the output, refuses to replace what is there, and
    says what could not be written. The contract tests in `featx.testing.contracts.exports` say
    what must hold.

    Attributes:
        SUFFIX: The ending of its files, in lower case; None for a format that is a folder.
        KEEPS_MAPS: Whether its rows can be maps, (h, w, c), or only vectors.
    """

    SUFFIX: str | None
    KEEPS_MAPS: bool

    def list_files(self, output: Path) -> tuple[Path, ...]:
        """Return every file that may be written; no other is touched.

        Args:
            output: The file, or the folder, that the user named.
        """
        ...

    def write(self, source: ExportSource, output: Path) -> Written:
        """Write the files, each of them whole or not at all (`featx.atomic.replace_file`).

        Args:
            source: The rows, block by block; one block at a time is in memory.
            output: The file, or the folder, that the user named.

        Raises:
            OSError: If the disk is full, or cannot be written.
        """
        ...


EXPORTS: Registry[ExportFormat] = Registry(
    "export format",
    "featx.exports",
    {
        "npy": "featx.exports.npy",
        "parquet": "featx.exports.parquet",
        "csv": "featx.exports.csv_table",
        "tensorboard": "featx.exports.tensorboard",
    },
    ExportFormat,
)


def formats_by_suffix() -> dict[str | None, str]:
    """Return the ending of each format's files → its name; the first format of several wins.

    Example:
        >>> formats_by_suffix()[".npy"], formats_by_suffix()[None]
        ('npy', 'tensorboard')
    """
    suffixes: dict[str | None, str] = {}
    for name in EXPORTS:
        try:
            suffixes.setdefault(EXPORTS[name].SUFFIX, name)
        except AddOnError:
            continue  # Naming it shows what is wrong.
    return suffixes
