"""What is known of an index besides its vectors: the ``.json`` file beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.errors import AddOnError, IndexFileError, NotInstalled
from featx.images.reading import HASH_BYTES
from featx.images.roots import Root
from featx.index.kinds import DEFAULT_INDEX_KIND, INDEXES
from featx.sealed_json import check_seal, check_texts, parse_json
from featx.shown import Shown
from featx.specs import FeatureSpec, ModelSpec
from featx.store.reference import StoreReference
from featx.wording import command

FORMAT = "featx-index"
FORMAT_VERSION = 2

TEXTS = ("contents", "store", "store_relative", "root", "root_relative")
"""Entries of the ``.json`` file that are one text each."""


@dataclass(frozen=True, slots=True, repr=False)
class IndexDescription(Shown):
    """Everything but the vectors: the content of the ``.json`` file.

    Attributes:
        keys: N keys, in the order of the rows.
        labels: N class names, None where there is none.
        content_hash: N content hashes of 16 bytes, joined: by these, vectors are used again.
        feature: The feature, pooling included.
        model: The model that computes it.
        store: The store that it was built from.
        root: What keys are relative to.
        root_relative: See `Root.relative_to`: relative to the index's folder.
        kind: The kind of index, a name in `featx.index.kinds.INDEXES`.
    """

    keys: tuple[str, ...]
    labels: tuple[str | None, ...]
    content_hash: bytes
    feature: FeatureSpec
    model: ModelSpec
    store: StoreReference
    root: Root
    root_relative: str
    kind: str = DEFAULT_INDEX_KIND

    @property
    def fingerprint(self) -> str:
        """SHA-256 that identifies model, input contract, layer and pooling."""
        return self.feature.fingerprint(self.model)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "kind": self.kind,
            "package": INDEXES.package_of(self.kind),
            "metric": "cosine",
            "fingerprint": self.fingerprint,
            "feature": self.feature.to_dict(),
            "model": self.model.to_dict(),
            "contents": self.store.contents,
            "store": self.store.path,
            "store_relative": self.store.relative,
            "root": self.root.text,
            "root_relative": self.root_relative,
            "keys": list(self.keys),
            "labels": list(self.labels),
            "content_hash": self.content_hash.hex(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> IndexDescription:
        """Rebuild a description from `to_dict`.

        Raises:
            ValueError: If the fields disagree. Damaged data can raise any other exception, too.
        """
        named = [label for label in data["labels"] if label is not None]
        check_texts([*named, *(data[name] for name in TEXTS)])
        description = cls(
            keys=check_texts(data["keys"]),
            labels=tuple(data["labels"]),
            content_hash=bytes.fromhex(data["content_hash"]),
            feature=FeatureSpec.from_dict(data["feature"]),
            model=ModelSpec.from_dict(data["model"]),
            store=StoreReference(data["store"], data["store_relative"], data["contents"]),
            root=Root.parse(data["root"]),
            root_relative=data["root_relative"],
            kind=data.get("kind", DEFAULT_INDEX_KIND),  # Absent until there were several.
        )
        count = len(description.keys)
        if (
            data["fingerprint"] != description.fingerprint
            or len(description.content_hash) != HASH_BYTES * count
            or len(description.labels) != count
        ):
            raise ValueError("its fields disagree")
        return description


def description_path(path: Path) -> Path:
    """Return the path of the description of an index: its own with ``.json`` added."""
    return path.with_name(f"{path.name}.json")


def read_description(path: Path) -> tuple[IndexDescription, str]:
    """Read the description of an index.

    Args:
        path: The ``.json`` file.

    Returns:
        The description, and the SHA-256 of the file with the vectors.

    Raises:
        IndexFileError: If it is damaged, or of another version.
        NotInstalled: If the index is of a kind that is not installed here.
    """
    try:
        data = parse_json(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise IndexFileError(f"{str(path)!r} does not describe a featx index.")
        if data["format_version"] != FORMAT_VERSION:
            older = data["format_version"] < FORMAT_VERSION
            remedy = (
                f"Build it again with {command('index')}."
                if older
                else "Update: pip install -U featx."
            )
            raise IndexFileError(
                f"{str(path)!r} has format version {data['format_version']}; this featx reads "
                f"version {FORMAT_VERSION}. {remedy}"
            )
        check_seal(data)
        description = IndexDescription.from_dict(data)
        index = f"The index {str(path.with_suffix(''))!r}"
        INDEXES.restore(description.kind, index, data.get("package"))
        return description, str(data["faiss_sha256"])
    except (IndexFileError, NotInstalled, AddOnError):
        raise
    except Exception as error:  # Deep nesting raises RecursionError, for example.
        raise IndexFileError(
            f"{str(path)!r} is damaged ({error}). Build the index again with {command('index')}."
        ) from error
