"""Groups of copies: what `find_duplicates` returns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from featx.images.roots import Root, is_url
from featx.shown import Shown


@dataclass(frozen=True, slots=True)
class DuplicatePicture:
    """A picture of a group.

    Attributes:
        key: Its key.
        path: Where it is: a path or a URL.
        root: What the key is relative to.
        content_hash: BLAKE2b-128 of its bytes.
        similarity: To the best of the group, in (0, 1].
        file_size: In bytes.
        width: In pixels; None if it was not read.
        height: The same.
        label: Its label; None if it has none.
        split: Its split; None if it has none.
        is_other: Whether it is in the other store.
        can_go: Whether the group can do without it.
        is_mirrored: Whether it is the mirror image of the best, where mirrored copies were looked
            for.
    """

    key: str
    path: str
    root: Root
    content_hash: bytes
    similarity: float
    file_size: int
    width: int | None = None
    height: int | None = None
    label: str | None = None
    split: str | None = None
    is_other: bool = False
    can_go: bool = False
    is_mirrored: bool = False

    @property
    def is_file(self) -> bool:
        """Whether it is a file of its own, or at a URL: not inside an archive, nor in memory."""
        return is_url(self.path) or (self.root.is_on_disk and not os.path.isfile(self.root.text))


@dataclass(frozen=True, slots=True, repr=False)
class DuplicateGroup(Shown):
    """Pictures that are copies of one, the best first.

    Attributes:
        pictures: At least two. Each is similar to the best.
    """

    pictures: tuple[DuplicatePicture, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Their keys; of two stores, those in the first."""
        return tuple(one.key for one in self.pictures if not one.is_other)

    @property
    def other_keys(self) -> tuple[str, ...]:
        """Their keys in the other store."""
        return tuple(one.key for one in self.pictures if one.is_other)

    @property
    def best(self) -> str:
        """The key of the best copy."""
        return self.pictures[0].key

    @property
    def similarity(self) -> float:
        """The least similarity to the best copy, in (0, 1]."""
        return min(one.similarity for one in self.pictures)

    @property
    def is_exact(self) -> bool:
        """Whether all are identical files."""
        return len({one.content_hash for one in self.pictures}) == 1

    def to_dict(self) -> dict[str, Any]:
        """Return the group as JSON-serialisable values."""
        values = {
            "keys": list(self.keys),
            "best": self.best,
            "similarity": round(self.similarity, 6),
            "exact": self.is_exact,
        }
        mirrored = [one.key for one in self.pictures if one.is_mirrored]
        values |= {"mirrored": mirrored} if mirrored else {}
        has_other = any(one.is_other for one in self.pictures)
        return values | ({"other_keys": list(self.other_keys)} if has_other else {})


@dataclass(frozen=True, slots=True, repr=False)
class DuplicatesReport(Shown):
    """Groups of copies.

    Attributes:
        groups: The largest first.
        num_images: Images that were compared.
        layer: The layer.
        threshold: Least similarity of near-duplicates: cosine of features less their mean.
        origin: Where that comes from.
        recall: Share of the near-duplicates that is found, as measured; None if all are.
        is_between: Whether only groups in both of two stores, or in several splits, are listed.
    """

    groups: tuple[DuplicateGroup, ...]
    num_images: int
    layer: str
    threshold: float
    origin: str
    recall: float | None = None
    is_between: bool = False

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[DuplicateGroup]:
        return iter(self.groups)

    @property
    def can_go(self) -> tuple[str, ...]:
        """Paths of the pictures that their groups can do without."""
        return tuple(one.path for group in self.groups for one in group.pictures if one.can_go)
