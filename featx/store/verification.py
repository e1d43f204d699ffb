"""`verify_store`: is every byte as it was written, and does everything agree? Repairs if asked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from featx.errors import ImageError, ImagesNotFound, StoreDamaged, StoreError, StoreNotFound
from featx.events import Listener
from featx.files import resolve_link
from featx.images.reading import hash_content
from featx.images.roots import Root, is_url
from featx.images.sources.locations import LocationReader
from featx.store.assembly import assemble_store
from featx.store.format import dataset_name, open_file
from featx.store.lock import lock_for_writing
from featx.store.parts import list_assembled, list_parts, next_part_number, parts_folder
from featx.store.planning import plan_rows
from featx.store.reader import FeatureStore, open_store
from featx.store.salvage import SalvagedStore, damaged_rows
from featx.store.seal import is_seal_broken, read_seal
from featx.store.values import PartFiles
from featx.store.views import find_lost, remove_spent_parts


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as it was written.

    Attributes:
        file: The file concerned.
        problem: What is wrong with it.
        keys: The images whose rows are concerned; none if no row is.
    """

    file: str
    problem: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was checked and found.

    Attributes:
        store: The store.
        rows: Its rows.
        files: Files that were read: the store and its parts.
        num_bytes: Their size.
        images: Images whose files were hashed (``images``).
        damages: What is wrong; empty if everything is as it was written.
        changed: Keys whose image is not the one that was extracted (``images``). Repairing
            drops their rows, too: `featx.extract` goes by size and time, and may not see it.
        missing: Keys whose image is gone (``images``): no damage, but good to know.
        unreadable: Keys whose image cannot be read (``images``) → why; whether it is the one that
            was extracted, or there at all, is not known.
        repairable: Whether ``repair`` can help; if not, all of it must be extracted again.
        repaired: Whether the damage was removed.
        dropped: Rows that this cost; the next `featx.extract` computes them again.
    """

    store: str
    rows: int
    files: int
    num_bytes: int
    images: int = 0
    damages: tuple[Damage, ...] = ()
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unreadable: dict[str, str] = field(default_factory=dict)
    repairable: bool = True
    repaired: bool = False
    dropped: int = 0

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damages

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return {"intact": self.is_intact} | asdict(self)


@dataclass(slots=True)
class _Findings:
    """What is known of a store's state.

    Attributes:
        store: The store, open as far as it can be; None if not at all.
        lost: bool (N,): rows that are damaged.
        damaged_parts: Part files that are damaged.
        damages: In words.
        files: Files that were read.
    """

    store: FeatureStore | None
    lost: np.ndarray
    damaged_parts: list[Path] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def add(self, file: Path, problem: str, rows: np.ndarray | None = None) -> None:
        keys: tuple[str, ...] = ()
        if rows is not None and self.store is not None and len(rows):
            self.lost[rows] = True
            names: Sequence[str] = [""] * len(self.lost)
            with contextlib.suppress(StoreDamaged):
                names = self.store.keys
            keys = tuple(names[row] or f"(row {row})" for row in rows.tolist())
        self.damages.append(Damage(str(file), problem, keys))


@dataclass(slots=True)
class _ImageFindings:
    """What is known of the images: how many were hashed; others as in `VerifyReport`."""

    count: int = 0
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


def verify_store(
    features: str | Path,
    *,
    images: str | Path | None = None,
    repair: bool = False,
    listener: Listener | None = None,
) -> VerifyReport:
    """Check every byte of a store and its parts, and that everything in it agrees.

    Args:
        features: The store.
        images: Also hash the images in this folder or archive and compare; the keys are
            relative to it.
        repair: Drop the damaged rows, so that the next `featx.extract` computes just these.

    Returns:
        What was found. Damage is not an exception.

    Raises:
        StoreNotFound: If there is no such store.
        StoreLocked: If it is to be repaired while another process writes to it.
        ImagesNotFound: If there is no such `images`.
        StoreError: If it cannot be repaired.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> _ = featx.extract(write_images(3), model=toy_model(), layers=["mean"], output="v.h5")
        >>> verify_store("v.h5").is_intact
        True
    """
    path, listener = resolve_link(Path(features)), listener or Listener()
    if path.is_dir() or not path.is_file():
        with contextlib.suppress(StoreDamaged):
            open_store(path).close()  # Says what is there instead.
    root = None if images is None else Root.parse(_absolute(images))
    if root is not None and root.is_on_disk and not root.exists():
        raise ImagesNotFound(f"There is no folder or archive {str(images)!r} with the images.")
    with contextlib.ExitStack() as stack:
        if repair:
            stack.enter_context(lock_for_writing(parts_folder(path)))
        found = _check_store(path, listener)
        if found.store is not None:
            stack.callback(found.store.close)
        images_found = _ImageFindings()
        if root is not None and found.store is not None:
            images_found = _check_images(found, root, listener)
        rows = len(found.lost)
        num_bytes = sum(file.stat().st_size for file in found.files)
        repairable = found.store is not None or bool(_open_parts(parts_folder(path)))
        to_repair = repair and bool(found.damages or images_found.changed)
        dropped = _repair(path, found) if to_repair else 0
        if repair:  # Also what a killed repair left that had replaced the store already.
            remove_spent_parts(path)
    return VerifyReport(
        store=str(path),
        rows=rows,
        files=len(found.files),
        num_bytes=num_bytes,
        images=images_found.count,
        damages=tuple(found.damages),
        changed=tuple(images_found.changed),
        missing=tuple(images_found.missing),
        unreadable=images_found.unreadable,
        repairable=repairable,
        repaired=to_repair,
        dropped=dropped,
    )


def _check_store(path: Path, listener: Listener) -> _Findings:
    seal = read_seal(path)
    if seal is not None and not is_seal_broken(path):
        store = open_store(path)
        found = _Findings(store, np.zeros(len(store), bool), files=[path])
        _check_agreement(found, path)
        if store.part_files is not None:
            _check_parts(found, store.part_files, listener)
        return found
    if seal is not None and seal.kind == "view":
        found = _Findings(None, np.zeros(0, bool), files=[path])
        found.add(path, "the view is not as it was written; the features are in its parts")
        for part in _list_lost(parts_folder(path)):
            if is_seal_broken(part):
                found.add(part, "damaged: its rows are lost")
        return found
    try:
        salvaged = SalvagedStore(path)
    except StoreNotFound:
        raise
    except StoreError:
        if seal is None:
            raise  # Something else, or written by an earlier featx.
        found = _Findings(None, np.zeros(0, bool), files=[path])
        found.add(path, "nothing of it can be read")
        return found
    found = _Findings(salvaged, salvaged.lost.copy(), files=[path])
    rows = np.flatnonzero(salvaged.lost)
    problem = "damaged" if len(rows) else "damaged where no row is concerned"
    found.add(path, problem, rows)
    return found


def _check_agreement(found: _Findings, path: Path) -> None:
    """Check what checksums cannot: that the columns say the same."""
    assert found.store is not None
    store = found.store
    try:
        store.load_columns()
        keys = store.keys  # Checks them against the digest of the contents.
    except StoreDamaged as error:
        found.add(path, str(error), np.arange(len(found.lost)))
        return
    if len(set(keys)) != len(keys):
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        twice = [row for row, key in enumerate(keys) if first[key] != row]
        found.add(path, "a key has several rows", np.array(twice))


def _check_parts(found: _Findings, parts: PartFiles, listener: Listener) -> None:
    """Check the part files of a view, whose own columns are intact."""
    assert found.store is not None
    row_map, store = parts.row_map, found.store
    listener.start(len(row_map.parts), "parts")
    for number, reference in enumerate(row_map.parts):
        listener.advance(1)
        path, rows = parts.path(number), np.flatnonzero(row_map.part == number)
        if not path.is_file():
            found.damaged_parts.append(path)
            found.add(path, "missing", rows)
            continue
        found.files.append(path)
        seal = read_seal(path)
        if seal is not None and seal.sha256 != reference.sha256:
            found.damaged_parts.append(path)
            found.add(path, "another file than the one recorded", rows)
            continue
        if not is_seal_broken(path):
            part = open_store(path)
            wrong = (part.content_hash[row_map.row[rows]] != store.content_hash[rows]).any(axis=1)
            wrong |= part.fingerprint != store.fingerprint
            part.close()
            if wrong.any():
                found.damaged_parts.append(path)
                found.add(path, "rows of other images", rows[wrong])
            continue
        found.damaged_parts.append(path)
        try:
            with open_file(path, salvage=True) as file:
                bad = np.zeros(reference.num_rows, bool)
                for layer in range(len(store.layers)):
                    bad[damaged_rows(file[f"features/{dataset_name(layer)}"])] = True
        except (StoreError, OSError, KeyError, ValueError, RuntimeError, IndexError):
            bad = np.ones(reference.num_rows, bool)
        rows = rows[bad[row_map.row[rows]]]
        found.add(path, "damaged" if len(rows) else "damaged where no row is concerned", rows)
    listener.finish()


def _absolute(location: str | Path) -> str:
    return str(location) if is_url(str(location)) else os.path.abspath(location)


def _check_images(found: _Findings, root: Root, listener: Listener) -> _ImageFindings:
    """Hash the images and compare; the rows of those that changed count as lost."""
    assert found.store is not None
    store = found.store
    result = _ImageFindings()
    reader = LocationReader()
    listener.start(len(store), "images")
    for row, key in enumerate(store.keys):
        listener.advance(1)
        if found.lost[row]:
            continue
        try:
            content = hash_content(reader.read(root.location(key)))
        except FileNotFoundError:
            result.missing.append(key)
            continue
        except (OSError, ImageError) as error:
            strerror = error.strerror if isinstance(error, OSError) else None
            result.unreadable[key] = strerror or str(error)
            listener.failure(key, result.unreadable[key])
            continue
        result.count += 1
        if content != store.content_hash[row].tobytes():
            result.changed.append(key)
            found.lost[row] = True
    listener.finish()
    return result


def _repair(path: Path, found: _Findings) -> int:
    """Write the store again without its damaged rows; return how many these were."""
    folder = parts_folder(path)
    if found.store is None:
        sources = _open_parts(folder)
        if not sources:
            raise StoreError(
                f"{str(path)!r} cannot be repaired: {found.damages[0].problem}. Extract again "
                "with --overwrite."
            )
        if len({source.fingerprint for source in sources}) > 1:
            raise StoreError(
                f"{str(path)!r} cannot be repaired: {found.damages[0].problem}, and those beside "
                "it were made in different ways (an --overwrite was interrupted). Extract again "
                "with --overwrite."
            )
        plan = plan_rows(sources)
        header = sources[-1].header
        next_part = next_part_number(folder)
        assemble_store(path, header, sources, plan, next_part=next_part)
        dropped = 0
    else:
        store = found.store
        files = store.part_files
        if files is not None and not any(
            files.path(number).exists() for number in range(len(files.row_map.parts))
        ):
            raise StoreError(
                f"All parts of {str(path)!r} are missing: repairing it would drop every row. Bring "
                f"the folder {files.path(0).parent.name!r} back, or extract again with --overwrite."
            )
        damaged_parts = [part.absolute() for part in found.damaged_parts]
        if isinstance(store, SalvagedStore):
            damaged_parts.append(path.absolute())  # A view must not go on with the damaged file.
        else:  # Parts known to be damaged are read as well.
            store.close()
            store = found.store = SalvagedStore(path)
        plan = plan_rows([store], dropped_rows=np.flatnonzero(found.lost))
        next_part = store.next_part
        assemble_store(
            path,
            store.header,
            [store],
            plan,
            next_part=next_part,
            missing=store.missing_keys,
            damaged=damaged_parts,
        )
        dropped = int(found.lost.sum())
        store.close()
    return dropped


def _open_parts(folder: Path) -> list[FeatureStore]:
    """Open the intact parts of a lost store, oldest first."""
    return [open_store(path) for path in _list_lost(folder) if not is_seal_broken(path)]


def _list_lost(folder: Path) -> list[Path]:
    """Return the files in a parts folder, oldest first as far as they can be read."""
    try:
        return find_lost(folder)
    except StoreError:
        return [*list_assembled(folder), *list_parts(folder)]
