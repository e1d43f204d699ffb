"""`open_index`: an index of either form of file."""

from __future__ import annotations

import math
import os
from pathlib import Path

from featx.arguments import check_given_path, plain_arguments
from featx.errors import AddOnError, IndexFileError, NotInstalled
from featx.index.container import Arrays, damaged, open_container
from featx.index.description import (
    FORMAT_VERSION,
    TRAINING_FORMAT,
    IndexDescription,
    check_version,
)
from featx.index.files import description_path, is_container
from featx.index.kinds import INDEXES
from featx.index.projection import read_projection
from featx.index.vector_index import VectorIndex
from featx.index.version2 import open_version2
from featx.wording import command


@plain_arguments(path=check_given_path)
def open_index(path: str | Path) -> VectorIndex:
    """Open an index for searching.

    Nothing but the end of the file is read; the rest is mapped, and compared with its checksums
    where it is read.

    Args:
        path: The ``.faiss`` file that `featx index` wrote.

    Raises:
        IndexFileError: If it is missing or damaged.
        NotInstalled: If it is of a kind that is not installed here.

    Example:
        >>> open_index("no-such.faiss")
        Traceback (most recent call last):
        ...
        featx.errors.IndexFileError: There is no index 'no-such.faiss'. ...
    """
    path = Path(path)
    if not path.is_file():
        raise _missing(path)
    if is_container(path):
        while True:
            before = path.stat()
            opened = _open_container(path)
            if os.path.samestat(before, path.stat()):
                return opened
            # It was replaced meanwhile: FAISS, which maps lists by name, may have the new one.
    if description_path(path).is_file():
        search, description = open_version2(path)
        return VectorIndex(search, description, path)
    raise IndexFileError(
        f"{str(path)!r} is damaged: it does not end as an index does, and no "
        f"{description_path(path).name!r} is beside it, as an older one would have. Build the "
        f"index again with {command('index')}."
    )


def open_description(path: Path) -> tuple[IndexDescription, Arrays]:
    """Return what an index is and its arrays, without what searches in them.

    Raises:
        IndexFileError: If it is missing or damaged, or of version 2.
        NotInstalled: If it is of a kind that is not installed here.
    """
    if not path.is_file():
        raise _missing(path)
    container = open_container(path)
    data, arrays = container.data, container.arrays
    if data.get("format") == TRAINING_FORMAT:
        raise IndexFileError(
            f"{str(path)!r} holds no images, but what indexes are filled by. Give it to "
            f"{command('index', trained_by=path.name)}."
        )
    try:
        check_version(str(path), data, FORMAT_VERSION)
        INDEXES.restore(data["kind"], f"The index {str(path)!r}", data["package"])
        return IndexDescription.from_dict(data, arrays), arrays
    except (IndexFileError, NotInstalled, AddOnError):
        raise
    except Exception as error:
        raise damaged(path, error) from error


def _missing(path: Path) -> IndexFileError:
    return IndexFileError(f"There is no index {str(path)!r}. {command('index')} makes one.")


def _open_container(path: Path) -> VectorIndex:
    description, arrays = open_description(path)
    try:
        search = INDEXES[description.kind].open(arrays, description.space)
        search = search.with_parameters(description.parameters)
        if not isinstance(description.parameters.get("candidates", 0), int):
            raise ValueError("its number of candidates is none")
        read_projection(arrays, description.options, math.prod(description.feature.shape))
        return VectorIndex(search, description, path, arrays)
    except IndexFileError:
        raise
    except Exception as error:
        raise damaged(path, error) from error
