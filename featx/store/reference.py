"""References to stores: the path and the state of a store when something was made from it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featx.errors import StoreError
from featx.files import relative_path
from featx.objects.addresses import Address, is_address, is_copy, location_of
from featx.sealed_json import check_texts
from featx.store.reader import FeatureStore, open_store


@dataclass(frozen=True, slots=True)
class StoreReference:
    """A store as it was when something was made from it.

    Attributes:
        path: Its absolute path, or its address in an object store.
        relative: Its path relative to the folder of what was made; valid after both are moved.
        contents: Its `FeatureStore.contents`.
    """

    path: str
    relative: str
    contents: str

    def __post_init__(self) -> None:
        check_texts([self.path, self.relative, self.contents])

    @classmethod
    def to(cls, store: FeatureStore, folder: Path) -> StoreReference:
        """Return a reference to an open store, for something in `folder`."""
        path = store.path.absolute()
        if is_copy(path):
            return cls(location_of(path), location_of(path), store.contents)
        return cls(str(path), relative_path(path, folder.absolute()), store.contents)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)

    def find(self, folder: Path) -> Path | None:
        """Return the path of the store now; None if it is gone."""
        if is_address(self.path):  # Nothing is fetched because of what a file says.
            copy = Address.parse(self.path).copy("read")
            return copy if copy.is_file() else None
        moved = Path(os.path.normpath(folder.absolute() / self.relative))
        # os.path: `Path.is_file` fails where a name is too long for the disk.
        return next((path for path in (moved, Path(self.path)) if os.path.isfile(path)), None)

    def has_changed(self, folder: Path) -> bool:
        """Whether the store still exists but holds other images than before."""
        path = self.find(folder)
        if path is None:
            return False
        try:
            with open_store(path) as store:
                return store.contents != self.contents
        except StoreError:
            return True
