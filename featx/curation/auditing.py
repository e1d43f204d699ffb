"""`audit`: what a person should look at in a store."""

from __future__ import annotations

import contextlib
import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Unpack

from featx.arguments import (
    check_given_flag,
    check_given_path,
    check_given_store,
    check_names,
    plain_arguments,
)
from featx.atomic import replace_file
from featx.curation.audit_labels import read_audit_labels, read_old_labels
from featx.curation.audit_rows import AuditRows
from featx.curation.collection import Collection, read_collection
from featx.curation.findings import FINDINGS, Finding
from featx.errors import InvalidValue
from featx.events import Listener, Verbose, choose_listener
from featx.files import describe_wrong_output
from featx.heads.options import FOLDERS, FeatureChoice, TaskOptions
from featx.images.roots import Root
from featx.keywords import LayerSynonyms
from featx.shown import Shown
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE
from featx.store import open_store
from featx.store.choice import require_rows


@dataclass(frozen=True, slots=True, repr=False)
class AuditReport(Shown):
    """What was found in a store.

    Attributes:
        findings: By kind, in the order of `kinds`; the highest scores first.
        kinds: The kinds that were looked for.
        skipped: Kind → why it was not looked for.
        num_images: Images that were looked at.
        layer: The layer.
        root: What keys are relative to.
        labels: Key → label, of all labelled images.
        content_hash: Key → BLAKE2b-128 of a picture's bytes, of the pictures that are found.
    """

    findings: tuple[Finding, ...]
    kinds: tuple[str, ...]
    skipped: Mapping[str, str]
    num_images: int
    layer: str
    root: Root
    labels: Mapping[str, str]
    content_hash: Mapping[str, bytes]

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    @property
    def counts(self) -> Mapping[str, int]:
        """Kind → number of findings, of the kinds that were looked for."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in self.kinds}

    def of_kind(self, kind: str) -> tuple[Finding, ...]:
        """Return the findings of a kind, the highest scores first."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def write_labels(self, path: str | Path) -> None:
        """Write all labels as a table, in which suggested ones are in the place of given ones.

        The columns are ``path``, ``label``, ``given`` and ``score``; the labels that were changed
        come first. After a person has looked, `fit_head` takes it as `labels`.

        Args:
            path: The CSV file; one that exists is replaced.

        Raises:
            InvalidValue: If it cannot be written, or there are no labels.
        """
        path = Path(path)
        check_table_path(path)
        if not self.labels:
            raise InvalidValue("There are no labels to write a table of.")
        suggested = {one.key: one for one in self.of_kind("label")}
        order = [*suggested, *(key for key in self.labels if key not in suggested)]
        try:
            with (
                replace_file(path) as temporary,
                temporary.open("w", encoding="utf-8", newline="") as file,
            ):
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["path", "label", "given", "score"])
                for key in order:
                    if key is None:
                        continue
                    one, given = suggested.get(key), self.labels[key]
                    label, score = (given, "") if one is None else (one.suggested, one.score)
                    writer.writerow([key, label, given, score])
        except OSError as error:
            raise InvalidValue(f"{str(path)!r} cannot be written: {error.strerror}.") from error


def check_table_path(path: Path) -> None:
    """Refuse a path that cannot be that of a table of labels.

    Raises:
        InvalidValue: Says what to do.
    """
    if path.suffix.lower() != ".csv":
        raise InvalidValue(f"A table of labels is a CSV file: NAME.csv. Received: {str(path)!r}.")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InvalidValue(describe_wrong_output(path))


@plain_arguments(
    features=check_given_store,
    kinds=check_names,
    labels=check_given_path,
    pictures=check_given_flag,
)
def audit(
    features: str | Path = DEFAULT_STORE,
    *,
    kinds: Sequence[str] | None = None,
    against: str | Path | None = None,
    pictures: bool = False,
    labels: str | Path = FOLDERS,
    label_columns: Sequence[str] = (),
    layer: str | int | None = None,
    pool: str = DEFAULT_READ_POOLING,
    seed: int = 0,
    progress: bool | None = None,
    verbose: Verbose | None = None,
    listener: Listener | None = None,
    **synonyms: Unpack[LayerSynonyms],
) -> AuditReport:
    """Look for what is doubtful in a store: labels, outliers, copies, classes, splits, drift.

    Everything but `pictures` is read from the features; no network runs. A kind of finding that
    needs what the store does not have, such as labels, is left out, and the report says why.

    Args:
        features: The store.
        kinds: Kinds of findings to look for, by name; all when None.
        against: An older store of the same model: what has changed since.
        pictures: Whether to read the pictures, for those that are dark, blurred, tiny or odd in
            shape.
        labels: ``folders`` for the labels in the store, or a table; see `fit_head`.
        label_columns: Where pictures have several labels: columns of the table or the store with 0
            and 1, or one of texts such as ``cat|dog``; see `fit_head`.
        layer: The layer; the deepest one when None.
        pool: Applied to layers that were stored as maps.
        seed: For folds and samples.
        progress: Whether to show progress; in notebooks and on terminals when None.
        verbose: The same for notes.
        listener: Receives progress and notes, in place of these two.
        synonyms: ``layers`` is ``layer``.

    Raises:
        StoreNotFound: If there is no such store.
        UnknownName: If there is no such kind, layer or column.
        FingerprintMismatch: If the features of two stores cannot be compared.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> photos = write_images(8, classes=("dark", "light"))
        >>> _ = featx.extract(photos, model=toy_model(), layers=["mean"], output="audited.h5")
        >>> report = audit("audited.h5")
        >>> [finding.given for finding in report.of_kind("small_class")]
        ['dark', 'light']
    """
    names = FINDINGS.names if kinds is None else tuple(dict.fromkeys(kinds))
    for name in names:
        FINDINGS.check(name)
    listener = choose_listener(listener, progress=progress, verbose=verbose)
    feature, task = FeatureChoice(layer, pool), TaskOptions(labels, label_columns)
    with contextlib.ExitStack() as stack:
        paths = [Path(one) for one in (features, against) if one is not None]
        stores = [stack.enter_context(open_store(path)) for path in paths]
        require_rows(stores[0])
        both = read_collection(stores, feature, listener)
        new, old = _divide(both, has_old=against is not None)
        new, several = read_audit_labels(new, stores[0], task, listener)
        if old is not None:
            old = read_old_labels(old, stores[1], task)
    return _look(AuditRows(new, old, several, pictures, seed, listener), names)


def _divide(both: Collection, *, has_old: bool) -> tuple[Collection, Collection | None]:
    if not has_old:
        return both, None
    new, old = ((both.source == number).nonzero()[0] for number in (0, 1))
    return both.take(new), both.take(old)


def _look(rows: AuditRows, names: Sequence[str]) -> AuditReport:
    """Look for every kind of finding that the rows are suited for."""
    findings: list[Finding] = []
    kinds, skipped = [], {}
    for name in names:
        kind = FINDINGS[name]
        reason = "there are no usable images" if not len(rows) else kind.unsuited(rows)
        if reason is not None:
            skipped[name] = reason
            continue
        kinds.append(name)
        found = sorted(kind.find(rows), key=lambda one: (-one.score, one.key or ""))
        findings += found
    collection = rows.collection
    keys = {finding.key for finding in findings} | {finding.other for finding in findings}
    labels = zip(collection.keys, collection.labels, strict=True)
    hashes = zip(collection.keys, collection.content_hash, strict=True)
    return AuditReport(
        tuple(findings),
        tuple(kinds),
        MappingProxyType(skipped),
        len(rows),
        collection.layer,
        collection.roots[0],
        MappingProxyType({key: label for key, label in labels if label is not None}),
        MappingProxyType({key: one.tobytes() for key, one in hashes if key in keys}),
    )
