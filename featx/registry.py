"""`Registry`: the names of everything that can be added to featx, imported when first used.

One registry for each kind of thing: model sources, engines, heads, indexes, exports, poolings,
image sources, commands. It knows what featx ships from a table of names, what other packages add
from their entry points, and what was added in this process.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Generic, NoReturn, TypeVar

from featx.entry_points import find_entry_points
from featx.errors import AddOnError, NotInstalled, UnknownName, first_line, join_names

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where an object comes from.

    Attributes:
        load: Imports it, once.
        package: The distribution that brings it, by the name that pip knows; None for featx's own.
    """

    load: Callable[[], Any]
    package: str | None = None


class Registry(Generic[T]):
    """Objects of one kind by name, each imported when it is first asked for.

    Args:
        kind: What a message calls one of them, for example ``"export format"``.
        group: Entry point group under which other packages add some.
        own: Name → ``"module:attribute"`` of those that featx ships, in the order in which they
            are listed.
        protocol: What each of them must have: the `Protocol` class of the kind. The objects of
            installed packages are compared with it when they are loaded.

    Example:
        >>> formats: Registry[object] = Registry("format", "demo.formats", {"json": "json:dumps"})
        >>> formats["json"]([1])
        '[1]'
        >>> formats["jsn"]
        Traceback (most recent call last):
        ...
        featx.errors.UnknownName: There is no format named 'jsn'. Did you mean json? Choose json.
    """

    def __init__(
        self, kind: str, group: str, own: Mapping[str, str], protocol: type[Any] = object
    ) -> None:
        self.kind = kind
        self.group = group
        self._protocol = protocol
        self._own = {name: _Entry(_importer(path)) for name, path in own.items()}
        self._added: dict[str, _Entry] = {}
        self._installed: dict[str, _Entry] | None = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())

    def __contains__(self, name: object) -> bool:
        # Installed packages are only looked for when a name is not one of ours.
        return name in self._own or name in self._entries()

    def __getitem__(self, name: str) -> T:
        """Return an object by its name.

        Raises:
            UnknownName: If there is none; similar names are suggested.
            AddOnError: If the package that brings it cannot be imported, or brings something else.
        """
        self.check(name)
        return self._load(name, self._find(name))

    @property
    def names(self) -> tuple[str, ...]:
        """All names: featx's own in their order, then those of other packages from A to Z."""
        return tuple(self)

    def check(self, name: str) -> None:
        """Refuse a name that a person typed and that does not exist.

        Raises:
            UnknownName: Suggests similar ones, and lists all.
        """
        if name not in self:
            names = self.names
            raise UnknownName(self.kind, str(name), names, remedy=f"Choose {join_names(names)}.")

    def restore(self, name: str, file: str, package: str | None = None) -> T:
        """Return the object that a file of featx names.

        Args:
            name: The name in the file.
            file: The file, for the message.
            package: The package that brought it when the file was written, as recorded there.

        Raises:
            NotInstalled: If it does not exist here; the message says what to install.
        """
        if name not in self:
            raise NotInstalled(self.kind, name, file, package)
        return self[name]

    def package_of(self, name: str) -> str | None:
        """Return the package, as pip knows it, that brings an object; None for featx's own."""
        return self._find(name).package if name in self else None

    def add(self, name: str, item: T | str) -> None:
        """Add an object in this process, or replace one of that name.

        Args:
            name: Its name.
            item: The object, or ``"module:attribute"`` where it is found when it is first used.
        """
        self._added[name] = _Entry(_importer(item) if isinstance(item, str) else lambda: item)

    def remove(self, name: str) -> None:
        """Remove what `add` added; an object that it replaced is found again."""
        self._added.pop(name, None)

    def _find(self, name: str) -> _Entry:
        return self._added.get(name) or self._own.get(name) or self._entries()[name]

    def _entries(self) -> dict[str, _Entry]:
        if self._installed is None:
            self._installed = self._find_installed()
        # A name of featx's own cannot be taken by an installed package, only in this process.
        return {**self._own, **self._installed, **self._added}

    def _find_installed(self) -> dict[str, _Entry]:
        entries: dict[str, _Entry] = {}
        for point in sorted(find_entry_points(self.group), key=lambda point: point.name):
            if point.name in self._own:
                continue
            package = None if point.dist is None else point.dist.name
            load: Callable[[], Any] = cache(point.load)
            if point.name in entries:
                load = self._refusal(point.name, entries[point.name].package, package)
            entries[point.name] = _Entry(load, package)
        return entries

    def _refusal(self, name: str, first: str | None, second: str | None) -> Callable[[], NoReturn]:
        """Return what is called for a name that two packages claim: which one is meant?"""

        def refuse() -> NoReturn:
            raise AddOnError(
                f"The packages {first!r} and {second!r} both bring a {self.kind} {name!r}. "
                f"Remove one of them, for example with pip uninstall {second}."
            )

        return refuse

    def _load(self, name: str, entry: _Entry) -> T:
        try:
            item: T = entry.load()
        except AddOnError:
            raise
        except Exception as error:  # Importing another package can raise anything.
            if entry.package is None:
                raise
            raise AddOnError(
                f"The {self.kind} {name!r} of the package {entry.package!r} cannot be loaded: "
                f"{type(error).__name__}: {first_line(error)}. Update that package, or remove it "
                f"with pip uninstall {entry.package}."
            ) from error
        if entry.package is not None:
            self._check_members(name, item, entry.package)
        return item

    @cached_property
    def _members(self) -> tuple[str, ...]:
        """The names of the attributes and methods that the protocol asks for."""
        names = (
            name
            for base in reversed(self._protocol.__mro__)
            for name in (*inspect.get_annotations(base), *vars(base))
            if name == "__call__" or not name.startswith("_")
        )
        return tuple(dict.fromkeys(names))

    def _check_members(self, name: str, item: object, package: str) -> None:
        missing = [member for member in self._members if not _has(item, member)]
        if missing:
            raise AddOnError(
                f"The {self.kind} {name!r} of the package {package!r} lacks "
                f"{join_names(missing, conjunction='and')}: it must have what "
                f"{self._protocol.__module__}.{self._protocol.__name__} describes. Received: an "
                f"object of type {type(item).__name__!r}. Update that package, or remove it with "
                f"pip uninstall {package}."
            )


def _has(item: object, member: str) -> bool:
    """Whether an object has a member; properties are not computed, they may be slow."""
    return any(member in vars(base) for base in type(item).__mro__) or hasattr(item, member)


def _importer(path: str) -> Callable[[], Any]:
    """Return what imports ``module:attribute``, or ``module``."""

    @cache
    def load() -> Any:
        module, _, attribute = path.partition(":")
        imported = importlib.import_module(module)
        return getattr(imported, attribute) if attribute else imported

    return load
