"""What several indexes are filled by, in a file of its own: centres, codes, components.

The file is built as that of an index is, without images. Vectors that were trained on are known by
their hashes, so that recall is measured with others.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from featx.arguments import check_given_path, plain_arguments
from featx.errors import (
    AddOnError,
    FeatxError,
    FingerprintMismatch,
    IndexFileError,
    InvalidValue,
    NotInstalled,
)
from featx.index.container import Arrays, Section, damaged, open_container
from featx.index.description import TRAINING_FORMAT, check_version, space_of
from featx.index.files import is_index_file
from featx.index.kinds import AUTO, INDEXES, SharedKind, Space, Vectors
from featx.index.options import IndexOptions
from featx.index.projection import Projection, read_projection
from featx.shown import Shown
from featx.specs import DEFAULT_READ_POOLING, FeatureSpec, ModelSpec, identity_differences
from featx.store import FeatureStore
from featx.wording import either, option

FORMAT_VERSION = 1

HASHES = "trained_hashes"
"""Array of an index that was filled by such a file, too: uint64, in ascending order."""

SHARED_OPTIONS = ("metric", "pca", "whiten", "factory")
"""Fields of `IndexOptions` that are those of the training."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class IndexTraining(Shown):
    """What indexes on several machines are filled by, to be merged later.

    Attributes:
        path: The file.
        kind: The kind of index, a name in `featx.index.kinds.INDEXES`.
        options: How vectors are compared.
        feature: The feature, pooling included.
        model: The model that computes it.
        train_for: Images that the merged index was expected to have.
        lists: Lists into which vectors are divided.
        trained_on: Vectors that it was trained on.
        arrays: Its arrays, by name.
    """

    path: Path
    kind: str
    options: IndexOptions
    feature: FeatureSpec
    model: ModelSpec
    train_for: int
    lists: int
    trained_on: int
    arrays: Arrays

    @property
    def fingerprint(self) -> str:
        """SHA-256 that identifies model, input contract, layer and pooling."""
        return self.feature.fingerprint(self.model)

    @property
    def space(self) -> Space:
        """The vectors of the merged index as the kind gets them."""
        return space_of(self.train_for, self.feature, self.options)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the arrays as JSON-serialisable values."""
        return {
            "format": TRAINING_FORMAT,
            "format_version": FORMAT_VERSION,
            "kind": self.kind,
            "package": INDEXES.package_of(self.kind),
            "options": asdict(self.options),
            "fingerprint": self.fingerprint,
            "feature": self.feature.to_dict(),
            "model": self.model.to_dict(),
            "train_for": self.train_for,
            "lists": self.lists,
            "trained_on": self.trained_on,
        }

    def fill_options(self, kind: str, options: IndexOptions) -> IndexOptions:
        """Return the options of an index that is filled by it.

        Args:
            kind: The kind that was asked for, or ``auto``.
            options: What was asked for. What vectors are compared by is as here; it may be stated
                once more, and not otherwise.

        Raises:
            InvalidValue: If it is stated otherwise.
        """
        defaults = IndexOptions()
        given = [("kind", kind, AUTO, self.kind)] + [
            (name, *(getattr(each, name) for each in (options, defaults, self.options)))
            for name in SHARED_OPTIONS
        ]
        for name, received, default, own in given:
            if received not in (default, own):
                raise InvalidValue(
                    f"{str(self.path)!r} was trained with {option(name, own)}. Received: "
                    f"{option(name, received)}. Leave it out, or train anew."
                )
        return replace(options, **{name: getattr(self.options, name) for name in SHARED_OPTIONS})

    def choose_layer(self, layer: str | None, pool: str) -> tuple[str, str]:
        """Return layer and pooling to read: what was asked for, or its own where nothing was."""
        own = DEFAULT_READ_POOLING if self.feature.pool == "none" else self.feature.pool
        chosen = own if pool == DEFAULT_READ_POOLING else pool
        return self.feature.name if layer is None else layer, chosen

    def check_store(self, store: FeatureStore, feature: FeatureSpec) -> None:
        """Refuse a store whose feature is another one.

        Raises:
            FingerprintMismatch: Says what differs.
        """
        expected = self.model.identity() | self.feature.identity()
        differences = identity_differences(expected, store.model.identity() | feature.identity())
        if differences:
            raise FingerprintMismatch(
                f"{str(self.path)!r} was trained on another feature than {str(store.path)!r} has.",
                differences,
                remedy=f"Train on this one: {how_to_train()}.",
            )

    @property
    def hashes(self) -> np.ndarray:
        """Hashes of the vectors that it was trained on, uint64 (T,)."""
        return self.arrays[HASHES].all()

    def verify(self) -> None:
        """Compare every byte with its checksum.

        Raises:
            IndexFileError: If one is not what was written.
        """
        for array in self.arrays.values():
            array.check(0, array.place.num_bytes)


def shared_kind(kind: str, space: Space) -> SharedKind:
    """Return a kind of index that several machines can fill.

    Raises:
        InvalidValue: If it is none.
    """
    found = INDEXES[kind]
    if not isinstance(found, SharedKind):
        shared = [name for name in INDEXES if isinstance(INDEXES[name], SharedKind)]
        raise InvalidValue(
            f"Several machines fill indexes that have lists: {option('kind', *shared)}. "
            f"Received: {option('kind', kind)}, which is built of the merged store."
        )
    found.check_shared(space)
    return found


def read_training_projection(training: IndexTraining) -> Projection:
    """Return what is done to features before they are compared."""
    width = math.prod(training.feature.shape)
    try:
        return read_projection(training.arrays, training.options, width)
    except IndexFileError:
        raise
    except (ValueError, KeyError) as error:
        raise damaged(training.path, error) from error


def fill_by(training: IndexTraining, vectors: Vectors, space: Space) -> list[Section]:
    """Return the arrays of an index of some vectors, which are read once.

    Raises:
        IndexFileError: If the training is damaged.
    """
    kind = shared_kind(training.kind, space)
    try:
        arrays = kind.fill(training.arrays, vectors, space)
    except FeatxError:
        raise
    except (ValueError, KeyError) as error:
        raise damaged(training.path, error) from error
    return [*arrays, hash_section(training.hashes)]


def how_to_train() -> str:
    """Name what makes a training."""
    return either(shell="`featx index --train-for N`", python="`featx.train_index`")


def hash_section(hashes: np.ndarray) -> Section:
    """Return the array of the hashes of vectors that were trained on."""
    return Section.of(HASHES, np.sort(hashes).astype("<u8"))


def read_hashes(arrays: Arrays) -> np.ndarray:
    """Return the hashes of vectors that an index was trained on, uint64 (T,); none if not known.

    Raises:
        ValueError: If they are no hashes.
    """
    if HASHES not in arrays:
        return np.empty(0, np.uint64)
    hashes = arrays[HASHES]
    if hashes.dtype != "<u8" or len(hashes.shape) != 1:
        raise ValueError("its hashes of vectors are none")
    return hashes.all()


def is_training(path: Path) -> bool:
    """Whether a file is that of a training, perhaps a damaged one."""
    if not is_index_file(path):
        return False
    try:
        return bool(open_container(path).data.get("format") == TRAINING_FORMAT)
    except IndexFileError:
        return False


@plain_arguments(path=check_given_path)
def open_training(path: str | Path) -> IndexTraining:
    """Open what indexes on several machines are filled by.

    Args:
        path: The file that `featx.train_index` wrote.

    Raises:
        IndexFileError: If it is missing or damaged, or something else.
        NotInstalled: If it is of a kind that is not installed here.

    Example:
        >>> open_training("no-such.faiss")
        Traceback (most recent call last):
        ...
        featx.errors.IndexFileError: There is no training 'no-such.faiss'. ...
    """
    path = Path(path)
    if not path.is_file():
        raise IndexFileError(f"There is no training {str(path)!r}. {how_to_train()} makes one.")
    container = open_container(path)
    data = container.data
    if data.get("format") != TRAINING_FORMAT:
        raise IndexFileError(
            f"{str(path)!r} is an index, not a training. {how_to_train()} makes one."
        )
    try:
        check_version(str(path), data, FORMAT_VERSION)
        INDEXES.restore(data["kind"], f"The training {str(path)!r}", data["package"])
        return _read(path, data, container.arrays)
    except (IndexFileError, NotInstalled, AddOnError):
        raise
    except Exception as error:
        raise damaged(path, error) from error


def _read(path: Path, data: dict[str, Any], arrays: Arrays) -> IndexTraining:
    numbers = {name: data[name] for name in ("train_for", "lists", "trained_on")}
    if not all(type(number) is int and number > 0 for number in numbers.values()):
        raise ValueError("a count is a whole number")
    training = IndexTraining(
        path=path,
        kind=data["kind"],
        options=IndexOptions(**data["options"]),
        feature=FeatureSpec.from_dict(data["feature"]),
        model=ModelSpec.from_dict(data["model"]),
        arrays=arrays,
        **numbers,
    )
    hashes = arrays[HASHES]
    if training.fingerprint != data["fingerprint"] or (hashes.dtype, hashes.shape) != (
        "<u8",
        (training.trained_on,),
    ):
        raise ValueError("its fields disagree")
    return training
