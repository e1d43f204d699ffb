"""Work for a store in an object store: workers put parts where they stay.

What is done in a shared folder by renaming (see `featx.store.shared_work`) is done by conditions of
writes. An object says that the work goes on; whoever deletes it, as the next writer does, has ended
it. A part gets a number that follows from its task's name, and is written only where there is none.
Beside it is a view of it without its features, which is all that the writer fetches. A task is done
when its record is there, which is written once: parts that no record names are deleted.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from featx.atomic import find_publisher
from featx.errors import StoreDamaged, StoreError
from featx.objects.addresses import Address, is_copy
from featx.objects.client import ObjectClient, ObjectFacts, open_client
from featx.objects.publishing import BEGUN_NAME, StorePublisher, upload_new
from featx.scratch import scratch_folder
from featx.sealed_json import parse_json
from featx.store.part_columns import columns_path, write_columns
from featx.store.parts import (
    COLUMNS_KIND,
    WORK_PREFIX,
    explained,
    list_parts,
    next_part_number,
    part_number,
    parts_folder,
)
from featx.store.reader import open_store
from featx.store.seal import SEAL_BYTES
from featx.store.shared_work import SharedWork, Work

SPREAD = 1_000_000
"""Numbers among which a task's name chooses one: much more than there are tasks."""

CHECK_SECONDS = 5.0
"""How often the writer asks whether another one has ended its work."""

_PART_NAME = re.compile(r"part-[0-9]{6,}\.h5")


def open_work(output: Path, first_number: int) -> Work:
    """Let workers write parts for a store, whose lock the caller holds.

    Args:
        output: The store; where it is the copy of one in an object store, that is published.
        first_number: The least number of a part; higher if there are parts already.
    """
    if is_copy(output, "write"):
        return ObjectWork(output, first_number)
    return SharedWork(parts_folder(output), first_number)


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part that a worker has put into an object store.

    Attributes:
        name: Of its object in the folder of parts.
        size: In bytes.
        version: Of its object.
        head: The first bytes, in hexadecimal: its seal.
        columns: Size and version of the object with its columns; None where it has no rows.
    """

    name: str
    size: int
    version: str
    head: str
    columns: tuple[int, str] | None

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> SentPart:
        """Return a part from what a record says of it, which anybody may have written.

        Raises:
            ValueError: If it is none; also KeyError, TypeError.
        """
        name, head, columns = str(fields["name"]), str(fields["head"]), fields["columns"]
        if _PART_NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no part")
        bytes.fromhex(head)
        if columns is not None:
            columns = int(columns[0]), str(columns[1])
        return cls(name, int(fields["size"]), str(fields["version"]), head, columns)


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """Where workers put what they do; see `Workplace`.

    Attributes:
        address: The store.
        name: Of the folder with the notes of this work.
        first_number: The least number of a part.
    """

    address: Address
    name: str
    first_number: int

    def check(self) -> None:
        """See `Workplace`."""
        if self.client.read_version(self.note(BEGUN_NAME)) is None:
            raise StoreError(
                f"Nobody waits for work on {self.address.url!r} any more: another process writes "
                "to it. What was committed is kept; when it has ended, the same goes on."
            )

    def do_once(self, task: str, make: Callable[[Path], Mapping[str, Any]]) -> Mapping[str, Any]:
        """See `Workplace`."""
        done = self.read_record(task)
        if done is not None:
            return done.result
        self.check()
        with scratch_folder() as folder:
            result = make(folder)
            self.check()
            sent = [self._send(task, part) for part in list_parts(folder)]
            record = _Record(uuid.uuid4().hex, dict(result), sent)
            if self._give(task, record, folder / "record.json"):
                return result
        first = self.read_record(task)
        if first is None:
            self.check()
            raise StoreError(f"{self.note(f'{task}.json')!r} has gone. Run the same again.")
        named = {part.name for part in first.parts}
        for part in sent:
            if part.name not in named:  # Equal bytes that both have sent are one object.
                self._withdraw(part)
        return first.result

    def read_record(self, task: str) -> _Record | None:
        """Return the record of a task; None if it is not done."""
        where = self.note(f"{task}.json")
        with scratch_folder() as folder:
            try:
                self.client.download(where, folder / "record.json")
            except StoreError as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    return None
                raise
            return _Record.parse((folder / "record.json").read_text("utf-8"), where)

    def note(self, name: str) -> str:
        """Return the path of an object that notes something of this work."""
        return f"{self.folder}{self.name}/{name}"

    @property
    def folder(self) -> str:
        """The path of the folder of parts, with the slash behind it."""
        return f"{self.address.path}.parts/"

    @property
    def client(self) -> ObjectClient:
        """What makes requests, with the credentials of this machine."""
        return open_client(self.address)

    def _send(self, task: str, part: Path) -> SentPart:
        """Put a part and its columns under the first free number from that of its task on."""
        number = self.first_number + int(task, 16) % SPREAD + part_number(part)
        while True:
            name = f"part-{number:06d}.h5"
            version = upload_new(self.client, part, self.folder + name)
            if version is not None:
                break
            number += 1
        columns = self._send_columns(part, name)
        with part.open("rb") as file:
            head = file.read(SEAL_BYTES).hex()
        return SentPart(name, part.stat().st_size, version, head, columns)

    def _send_columns(self, part: Path, name: str) -> tuple[int, str] | None:
        with open_store(part) as opened:
            if not len(opened):  # It has no features, either.
                return None
        target = part.with_name("columns")
        store = self.address.path.rpartition("/")[2]
        with explained(target):
            write_columns(part, target, f"{store}.parts/{name}")
        where = self.folder + columns_path(Path(name)).name
        version = upload_new(self.client, target, where)
        return None if version is None else (target.stat().st_size, version)

    def _give(self, task: str, record: _Record, file: Path) -> bool:
        """Write the record of a task, unless it has one."""
        with explained(file):
            file.write_text(json.dumps(asdict(record)), encoding="utf-8")
        return upload_new(self.client, file, self.note(f"{task}.json")) is not None

    def _withdraw(self, part: SentPart) -> None:
        """Delete a part that no record names: another worker has done the same."""
        if part.columns is not None:
            columns = columns_path(Path(part.name)).name
            self.client.delete(self.folder + columns, part.columns[1])
        self.client.delete(self.folder + part.name, part.version)


@dataclass(frozen=True, slots=True)
class _Record:
    """What says that a task is done.

    Attributes:
        attempt: Whose record it is: only the same attempt writes the same bytes.
        result: What the task returned.
        parts: What it has written.
    """

    attempt: str
    result: Mapping[str, Any]
    parts: list[SentPart]

    @classmethod
    def parse(cls, text: str, where: str) -> _Record:
        try:
            fields = parse_json(text)
            parts = [SentPart.parse(each) for each in fields["parts"]]
            return cls(str(fields["attempt"]), dict(fields["result"]), parts)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise StoreDamaged(
                f"{where!r} is damaged ({error}). Delete it; the same command goes on."
            ) from error


class ObjectWork:
    """The writer's side: lists the parts that workers have put into an object store.

    Args:
        output: The copy of the store, while it is published.
        first_number: The least number of a part; higher if there are parts already.

    Attributes:
        place: Where workers put them.
    """

    def __init__(self, output: Path, first_number: int) -> None:
        publisher = find_publisher(output)
        assert isinstance(publisher, StorePublisher), f"{output} is not published"
        self._publisher = publisher
        self.place = ObjectPlace(
            publisher.address,
            f"{WORK_PREFIX}{uuid.uuid4().hex[:16]}",
            next_part_number(publisher.parts, first_number),
        )
        self._taken: set[str] = set()
        with scratch_folder() as folder:
            (folder / BEGUN_NAME).write_text(json.dumps({"work": self.place.name}))
            where = self.place.note(BEGUN_NAME)
            begun = upload_new(self.place.client, folder / BEGUN_NAME, where)
        if begun is None:
            raise publisher.refuse(where)
        self._begun = begun
        self._checked = time.monotonic()

    def take_in(self, task: str) -> None:
        """See `Work`."""
        if time.monotonic() - self._checked > CHECK_SECONDS and not self._goes_on():
            raise self._publisher.refuse(self.place.note(BEGUN_NAME))
        record = self.place.read_record(task)
        if record is None:
            raise self._publisher.refuse(self.place.note(f"{task}.json"))
        self._take(task, record)

    def close(self) -> None:
        """See `Work`."""
        client, place = self.place.client, self.place
        there = client.find(place.folder)
        if not self._goes_on():
            return  # Another writer has ended it.
        notes = sorted(path for path in there if path.startswith(place.note("")))
        for path in notes:
            task = path.removeprefix(place.note("")).removesuffix(".json")
            record = None if path == place.note(BEGUN_NAME) else place.read_record(task)
            if record is not None and task not in self._taken:
                self._take(task, record)
        client.delete(place.note(BEGUN_NAME), self._begun)
        for path, facts in there.items():
            if path in notes or self._is_left(path):
                client.delete(path, facts.version)

    def _goes_on(self) -> bool:
        self._checked = time.monotonic()
        return self.place.client.read_version(self.place.note(BEGUN_NAME)) == self._begun

    def _take(self, task: str, record: _Record) -> None:
        self._taken.add(task)
        for sent in record.parts:
            part = self._publisher.parts / sent.name
            self._publisher.adopt(
                part, ObjectFacts(sent.version, sent.size), bytes.fromhex(sent.head)
            )
            if sent.columns is not None:
                size, version = sent.columns
                self._publisher.adopt(columns_path(part), ObjectFacts(version, size), b"")

    def _is_left(self, path: str) -> bool:
        """Whether an object is of a worker that died before its task was done."""
        part = Path(path.rpartition("/")[2])
        if path != self.place.folder + part.name or self._publisher.knows(path):
            return False
        kind, _, number = part.stem.partition("-")
        is_ours = kind in ("part", COLUMNS_KIND) and number.isdecimal()
        return is_ours and int(number) >= self.place.first_number
