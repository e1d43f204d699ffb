"""Copies of stores on the disk: what is there, as of one listing, and its bytes when they are read.

A file of which nothing was read yet is *absent*: it has the size of the object, but holds only a
mark (and takes no room where files may have holes). It is fetched when it is opened. So opening a
store takes one request, and what no command reads is never transferred.
"""

from __future__ import annotations

import contextlib
import glob
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from featx.errors import StoreDamaged, StoreError
from featx.objects.addresses import Address, Purpose, is_address, is_copy
from featx.objects.client import HEAD_BYTES, ObjectClient, ObjectFacts, open_client
from featx.objects.copied_files import (
    ABSENT,
    explained_copy,
    is_absent,
    is_leftover,
    make_absent,
    replaced_copy,
)
from featx.objects.copies_limit import limit_copies
from featx.wording import command

FETCH_ATTEMPTS = 4
"""How often an object is transferred whose bytes are not those that were sealed."""

_STORE = b"featx-store\n"
_PART_NAME = re.compile(r"[a-z]+-[0-9]{6,}\.h5|[a-z]+\.json")
_WORK = re.compile(r"\.parts/work-[^/]+/")
_SMALL_BYTES = 2048
"""Objects below this size, and markers, are transferred with the listing."""
_MARKER_BYTES = 4 << 20
"""No marker has this size; what has is another's, and not transferred."""


def copy_of(text: str, *, anew: bool = False) -> str:
    """Return a path to read a store from: the same, or that of the copy of what is at an address.

    Args:
        text: A path or an address.
        anew: Forget what was fetched earlier.

    Raises:
        InvalidValue: If it is an address that no store can have, or no package can open it.
        StoreError: If the object store cannot be reached, or refuses.
    """
    if not is_address(text):
        return text
    address = Address.parse(text)
    store = address.copy("read")
    with explained_copy(address):
        if anew:
            clear_copy(store)
        refresh_copy(address, "read")
    return str(store)


def refresh_copy(
    address: Address, purpose: Purpose, objects: Mapping[str, ObjectFacts] | None = None
) -> dict[str, ObjectFacts]:
    """Make a copy list what the object store has now; files that are still the same are kept.

    Args:
        address: The store.
        purpose: Which copy of it.
        objects: What `list_objects` returned; None to ask for it.

    Returns:
        The store and its parts, by their paths relative to the store's folder.

    Raises:
        StoreError: If the object store cannot be reached, or refuses.
    """
    found = _select_files(address, list_objects(address) if objects is None else objects)
    store = address.copy(purpose)
    known = read_versions(store)
    for name, facts in found.items():
        file = store.parent / name
        if known.get(name) == facts.version and _size(file) == facts.size:
            continue
        make_absent(file, facts.size)
        if facts.size < _SMALL_BYTES or (file.suffix == ".json" and facts.size < _MARKER_BYTES):
            with replaced_copy(file) as temporary:
                open_client(address).download(_address_of(file).path, temporary)
    for file in list_copy(store):
        if file.relative_to(store.parent).as_posix() not in found:
            file.unlink(missing_ok=True)
    with replaced_copy(_versions_path(store)) as temporary:
        versions = {name: facts.version for name, facts in found.items()}
        temporary.write_text(json.dumps(versions), encoding="utf-8")
    return found


def find_unfinished(file: Path) -> list[str]:
    """Return the addresses of what writers of a store have begun and not ended; none of a path.

    These are uploads in pieces, where the object store tells of them, and what workers noted.
    """
    address = Address.of_copy(file)
    if address is None:
        return []
    found = [path for path in list_objects(address) if is_work(address, path)]
    with contextlib.suppress(StoreError):
        found += [each.path for each in open_client(address).find_unfinished(address.path)]
    return [Address(address.scheme, path).url for path in found if is_of(address, path)]


def is_work(address: Address, path: str) -> bool:
    """Whether an object is one that workers of a cluster note their work in."""
    return _WORK.match(path.removeprefix(address.path)) is not None


def is_of(address: Address, path: str) -> bool:
    """Whether an object is the store at an address or in its folder of parts."""
    rest = path.removeprefix(address.path)
    return path.startswith(address.path) and (not rest or rest.startswith(".parts/"))


def list_copy(store: Path) -> list[Path]:
    """Return the files of a copy: the store, its parts, and what killed processes have left.

    Locks are not among them, nor what another process is fetching.
    """
    parts = store.with_name(f"{store.name}.parts")
    found = [store] if store.is_file() else []  # A folder holds stores of longer addresses.
    if parts.is_dir():
        found += [file for file in parts.iterdir() if not file.name.startswith("lock")]
    if store.parent.is_dir():
        found += store.parent.glob(f"{glob.escape(store.name)}.*.tmp")
    return [file for file in found if file.suffix != ".tmp" or is_leftover(file)]


def read_versions(store: Path) -> dict[str, str]:
    """Return the versions of the objects that a copy has or lists, by their relative paths."""
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(_versions_path(store).read_text(encoding="utf-8"))
        return known if isinstance(known, dict) else {}
    return {}


def clear_copy(store: Path) -> None:
    """Delete a copy, but not its lock."""
    for file in [*list_copy(store), _versions_path(store)]:
        file.unlink(missing_ok=True)


def read_head(file: Path) -> bytes | None:
    """Return the first bytes of a file that is absent; None if it is there, or is in no copy."""
    if not is_copy(file) or not is_absent(file):
        return None
    with file.open("rb") as opened:
        head = opened.read(len(ABSENT) + HEAD_BYTES)[len(ABSENT) :]
    if not head.strip(b"\0"):
        address = _address_of(file)
        head = open_client(address).read_head(address.path)
        make_absent(file, file.stat().st_size, head)
    return head


def fetch(file: Path, is_intact: Callable[[Path], bool]) -> None:
    """Transfer a file of a copy if it is absent; anything else is left alone.

    Args:
        file: The file.
        is_intact: Whether a file's bytes are those that were sealed.

    Raises:
        StoreDamaged: If there is no store.
        StoreError: If the object store cannot be reached, or the store was replaced meanwhile.
    """
    if not is_copy(file) or not is_absent(file):
        return
    address = _address_of(file)
    is_part = file.parent.name.endswith(".parts")
    client = open_client(address)
    if not is_part and not (read_head(file) or _STORE).startswith(_STORE):
        raise StoreDamaged(
            f"{address.url!r} is no feature store: it does not begin as one. Name a store that "
            f"{command('extract')} wrote."
        )
    listed = read_versions(file).get(file.name)
    with explained_copy(address), replaced_copy(file) as temporary:
        for _ in range(FETCH_ATTEMPTS):
            _download(client, address, temporary)
            # One that begins as what is absent would be fetched to be examined, and so on.
            if not is_absent(temporary) and is_intact(temporary):
                break
        # What is still not intact is kept: whoever reads it says what is wrong with it.
    if not is_part and client.read_version(address.path) != listed:
        clear_copy(file)  # Its parts were listed for another one.
        raise _replaced_meanwhile(address)
    limit_copies(file, file.stat().st_size)


def _download(client: ObjectClient, address: Address, target: Path) -> None:
    try:
        client.download(address.path, target)
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise _replaced_meanwhile(address) from error
        raise


def _replaced_meanwhile(address: Address) -> StoreError:
    return StoreError(
        f"{address.url!r} was replaced by a newer version while it was read. Open it again."
    )


def list_objects(address: Address) -> dict[str, ObjectFacts]:
    """Return what is at an address and in its folder of parts, by paths."""
    found = open_client(address).find(address.path)
    return {path: facts for path, facts in found.items() if is_of(address, path)}


def _select_files(address: Address, objects: Mapping[str, ObjectFacts]) -> dict[str, ObjectFacts]:
    """Return the store at an address and its parts, by their names relative to its folder."""
    folder = address.path.rpartition("/")[0]
    below = {path[len(folder) + 1 :]: facts for path, facts in objects.items()}
    # Beside these may be other objects; what is deeper in the folder of parts is not ours.
    return {
        each: facts
        for each, facts in below.items()
        if f"{folder}/{each}" == address.path or _PART_NAME.fullmatch(each.partition("/")[2])
    }


def _address_of(file: Path) -> Address:
    address = Address.of_copy(file)
    assert address is not None, f"{file} is in no copy"
    return address


def _versions_path(store: Path) -> Path:
    return store.with_name(f"{store.name}.versions.json")


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1
