"""Repairing a store: writing it again without its damaged rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from featx.errors import StoreError
from featx.store.assembly import assemble_store
from featx.store.checking import Findings, list_lost
from featx.store.opening import is_damaged
from featx.store.parts import next_part_number, parts_folder
from featx.store.planning import PlannedRows, plan_rows
from featx.store.reader import FeatureStore, open_store
from featx.store.salvage import SalvagedStore
from featx.wording import option


def repair_store(path: Path, found: Findings) -> int:
    """Write a store again without its damaged rows; return how many rows that costs.

    Raises:
        StoreError: If nothing would be left.
    """
    if found.store is None:
        _rebuild_view(path, found)
        return 0
    return _drop_damaged(path, found, found.store)


def _rebuild_view(path: Path, found: Findings) -> None:
    """Make a view again from its intact parts."""
    sources = open_lost_parts(parts_folder(path))
    if not sources:
        raise StoreError(
            f"{str(path)!r} cannot be repaired: {found.damages[0].problem}. Extract again "
            f"with {option('overwrite', True)}."
        )
    if len({source.fingerprint for source in sources}) > 1:
        raise StoreError(
            f"{str(path)!r} cannot be repaired: {found.damages[0].problem}, and those beside it "
            f"were made in different ways ({option('overwrite', True)} was interrupted). Extract "
            f"again with {option('overwrite', True)}."
        )
    rows = PlannedRows(sources, plan_rows(sources), sources[-1].header)
    assemble_store(path, rows, next_part=next_part_number(parts_folder(path)))


def _drop_damaged(path: Path, found: Findings, store: FeatureStore) -> int:
    files = store.part_files
    if files is not None and not any(
        files.path(number).exists() for number in range(len(files.row_map.parts))
    ):
        raise StoreError(
            f"All parts of {str(path)!r} are missing: repairing it would drop every row. Bring the "
            f"folder {files.path(0).parent.name!r} back, or extract again with "
            f"{option('overwrite', True)}."
        )
    damaged_parts = [part.absolute() for part in found.damaged_parts]
    if isinstance(store, SalvagedStore):
        damaged_parts.append(path.absolute())  # A view must not go on with the damaged file.
    else:  # Parts known to be damaged are read as well.
        store.close()
        store = found.store = SalvagedStore(path)
    plan = plan_rows([store], dropped_rows=np.flatnonzero(found.lost))
    assemble_store(
        path,
        PlannedRows([store], plan, store.header),
        next_part=store.next_part,
        missing=store.missing_keys,
        damaged=damaged_parts,
    )
    store.close()
    return int(found.lost.sum())


def open_lost_parts(folder: Path) -> list[FeatureStore]:
    """Open the intact parts of a lost store, oldest first."""
    return [open_store(path) for path in list_lost(folder) if not is_damaged(path)]
