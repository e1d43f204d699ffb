"""A model of a disk: what may be on it after a power cut, given what was done and flushed.

It promises no more than POSIX does: the content of a file is safe once the file was flushed,
a name once its folder was; until then, each change of a name may be there or not, whatever
the order, and content may be missing, zeros, cut off or garbage.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.stress.hooks import Operation

CONTENTS = ("absent", "zeros", "cut", "garbage", "whole")
"""What becomes of content that was not flushed."""


@dataclass
class Node:
    """A file or folder, whatever its names are.

    Attributes:
        names: Of a folder: name → node, as the running system sees it.
        safe_names: Of a folder: the same, as it is on the disk for certain.
        pending: Of a folder: changes since then: name and node, or None where it was removed.
        safe: Of a file: the content that is on the disk for certain.
        content: Of a file: its content for the running system.
        is_folder: Which of both.
    """

    is_folder: bool
    names: dict[str, Node] = field(default_factory=dict)
    safe_names: dict[str, Node] = field(default_factory=dict)
    pending: list[tuple[tuple[str, Node | None], ...]] = field(default_factory=list)
    safe: bytes = b""
    content: bytes = b""


@dataclass(frozen=True)
class Event:
    """An operation that has happened, with the content of the file that it flushed."""

    operation: Operation
    content: bytes = b""


class Recorder:
    """A hook that records operations, with the content of files when they are flushed."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, operation: Operation, after: bool) -> None:
        """Record an operation."""
        if not after or operation.name == "write":
            return
        content = b""
        if operation.name in ("fsync", "pwrite") and not os.path.isdir(operation.paths[0]):
            content = Path(operation.paths[0]).read_bytes()
        self.events.append(Event(operation, content))


class Disk:
    """A folder as a disk holds it; `apply` events to it, and ask what may be there.

    Args:
        folder: Path of the folder in the events.
        template: A copy of it as it is at the beginning, all of it safe.
    """

    def __init__(self, folder: Path, template: Path) -> None:
        self._folder = folder
        self.root = _read(template)

    def apply(self, event: Event) -> None:
        """Do what a recorded operation did."""
        name, paths = event.operation.name, event.operation.paths
        if name == "fsync":
            node = self._find(paths[0])
            if node.is_folder:
                node.safe_names, node.pending = dict(node.names), []
            else:
                node.safe = node.content = event.content
            return
        parent, last = self._parent(paths[0])
        if name == "pwrite":
            self._find(paths[0]).content = event.content
        elif name == "create":
            if last not in parent.names:
                _change(parent, (last, Node(False)))
        elif name == "mkdir":
            _change(parent, (last, Node(True)))
        elif name in ("unlink", "rmdir"):
            _change(parent, (last, None))
        elif name in ("replace", "rename", "link"):
            node = self._find(paths[0])
            target, new = self._parent(paths[1])
            if name == "link":
                _change(target, (new, node))
            else:
                assert target is parent, "a file was moved to another folder"
                _change(parent, (last, None), (new, node))  # At once, or not at all.
        else:
            raise AssertionError(f"unknown operation {name}")

    def foresee(self, events: list[Event]) -> None:
        """Let files have the content early that they will be flushed with: it may be there."""
        names: dict[str, Node] = {}
        for event in events:
            path = event.operation.paths[0]
            if event.operation.name == "fsync" and event.content:
                names.setdefault(path, Node(False)).content = event.content
        for path, node in names.items():
            parent, last = self._parent(path, missing_ok=True)
            known = parent.names.get(last)
            if known is not None and known.content == known.safe == b"":
                known.content = node.content

    def write(self, target: Path, chance: random.Random, names: str, content: str) -> None:
        """Write into an empty folder what may be on the disk.

        Args:
            target: The folder.
            chance: For random choices.
            names: ``none``, ``all``, ``first`` (some, in order) or ``some`` of the changes of
                names that were not flushed are there; or ``reported``: none, but every folder,
                because a program counts on a file when its own folder was flushed.
            content: One of `CONTENTS`, or ``mixed``.
        """
        _write(self.root, target, chance, names, content)

    def _parent(self, path: str, *, missing_ok: bool = False) -> tuple[Node, str]:
        folder, last = os.path.split(path)
        if missing_ok:
            try:
                return self._find(folder), last
            except KeyError:
                return Node(True), last
        return self._find(folder), last

    def _find(self, path: str) -> Node:
        node = self.root
        for name in Path(path).relative_to(self._folder.absolute()).parts:
            node = node.names[name]
        return node


def _change(folder: Node, *changes: tuple[str, Node | None]) -> None:
    folder.pending.append(changes)
    _apply(folder.names, changes)


def _apply(names: dict[str, Node], changes: tuple[tuple[str, Node | None], ...]) -> None:
    for name, node in changes:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _read(path: Path) -> Node:
    if not path.is_dir():
        content = path.read_bytes()
        return Node(False, safe=content, content=content)
    names = {child.name: _read(child) for child in path.iterdir()}
    return Node(True, names, dict(names))


def _write(node: Node, target: Path, chance: random.Random, names: str, content: str) -> None:
    entries = dict(node.safe_names)
    kept = len(node.pending) if names == "all" else chance.randint(0, len(node.pending))
    for number, changes in enumerate(node.pending):
        there = {"all": True, "first": number < kept, "some": chance.random() < 0.5}
        if there.get(names, False):
            _apply(entries, changes)
    if names == "reported":
        entries |= {name: child for name, child in node.names.items() if child.is_folder}
    for name, child in sorted(entries.items()):
        # After a power cut, the process that made a temporary file is another one.
        path = target / name.replace(f".{os.getpid()}.", ".999999999.")
        if child.is_folder:
            path.mkdir()
            _write(child, path, chance, names, content)
        else:
            path.write_bytes(_content_after_cut(child, chance, content))


def _content_after_cut(node: Node, chance: random.Random, kind: str) -> bytes:
    if node.content == node.safe:
        return node.safe
    if kind == "mixed":
        kind = chance.choice(CONTENTS)
    size = len(node.content)
    if kind == "absent":
        return node.safe
    if kind == "zeros":
        return bytes(size)
    if kind == "cut":
        return node.content[: chance.randint(0, size)]
    if kind == "garbage":
        start = chance.randint(0, size)
        return node.content[:start] + chance.randbytes(size - start)
    return node.content


def copy_times(template: Path, target: Path) -> None:
    """Give the pictures of a folder the times that they had; copies of stores need none."""
    for path in sorted(template.rglob("*")):
        other = target / path.relative_to(template)
        if path.is_file() and other.is_file():
            shutil.copystat(path, other)


def prefixes(events: list[Event], step: int) -> Iterator[int]:
    """Yield how many events have happened when the power is cut: every number up to all."""
    yield from range(0, len(events), step)
    yield len(events)
