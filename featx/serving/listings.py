"""Long lists that are made once: groups of duplicates, findings of an audit, as bytes of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.errors import UnknownName


@dataclass(frozen=True, slots=True)
class Listing:
    """Entries in order, each as JSON: a tenth of the memory of what they say.

    Attributes:
        about: What is known of all of them.
        entries: The entries.
        kinds: Kind → entries of it, in their order; empty if there are no kinds.
    """

    about: dict[str, Any]
    entries: list[bytes]
    kinds: dict[str, int]

    @classmethod
    def of(
        cls, about: dict[str, Any], entries: Iterable[dict[str, Any]], kinds: dict[str, int]
    ) -> Listing:
        """Make one of JSON-serialisable values."""
        return cls(about, [json.dumps(one).encode("ascii") for one in entries], kinds)

    def cut(self, offset: int, limit: int, kind: str | None = None) -> tuple[int, list[Any]]:
        """Return how many entries there are, of all kinds or of one, and some of them.

        Raises:
            UnknownName: If there is no such kind.
        """
        first, end = 0, len(self.entries)
        if kind is not None:
            if kind not in self.kinds:
                raise UnknownName("kind of finding", kind, tuple(self.kinds))
            names = list(self.kinds)
            first = sum(self.kinds[name] for name in names[: names.index(kind)])
            end = first + self.kinds[kind]
        some = self.entries[first:end][offset : offset + limit]
        return end - first, [json.loads(one) for one in some]

    def write(self, path: Path) -> None:
        """Write it to a file of lines."""
        with path.open("wb") as file:
            head = {"about": self.about, "kinds": self.kinds}
            file.write(json.dumps(head).encode("ascii") + b"\n")
            file.writelines(one + b"\n" for one in self.entries)

    @classmethod
    def read(cls, path: Path) -> Listing:
        """Read what `write` has written."""
        with path.open("rb") as file:
            head = json.loads(file.readline())
            return cls(head["about"], [line.rstrip(b"\n") for line in file], head["kinds"])
