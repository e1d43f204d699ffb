"""Requests to an object store: what is there, whole objects, and conditional writes."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from featx.errors import FeatxError, InvalidValue, StoreError
from featx.objects.addresses import Address
from featx.objects.schemes import SCHEMES
from featx.user_cache import CACHE_VARIABLE

HEAD_BYTES = 512
"""Bytes at the beginning of an object that are read to learn what it is."""


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What a listing says of an object.

    Attributes:
        version: The ETag or generation: another one means another content.
        size: In bytes.
    """

    version: str
    size: int


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload in pieces that was never completed, and so is no object.

    Attributes:
        path: Of the object that it would have become.
        upload: Its name in the object store.
        began: When it began, in seconds since 1970.
    """

    path: str
    upload: str
    began: float


class ObjectChanged(Exception):
    """A conditional write was refused: the object is another one than expected, or exists."""


class ObjectClient(ABC):
    """The requests that featx makes of one kind of object store. All retry, for a bounded time.

    Every method raises `StoreError` in one line if the store cannot be reached, or refuses.
    """

    @abstractmethod
    def find(self, path: str) -> dict[str, ObjectFacts]:
        """Return the objects whose path begins with `path`, by their paths."""

    @abstractmethod
    def read_version(self, path: str) -> str | None:
        """Return the version of an object; None if there is none."""

    @abstractmethod
    def read_head(self, path: str, num_bytes: int = HEAD_BYTES) -> bytes:
        """Return the first bytes of an object, all of one that has fewer."""

    @abstractmethod
    def download(self, path: str, target: Path) -> None:
        """Write an object into a file, without holding it in memory."""

    @abstractmethod
    def upload(self, source: Path, path: str, version: str | None) -> str:
        """Make a file an object, all at once, if the object has a version (None: does not exist).

        Returns:
            The new version.

        Raises:
            ObjectChanged: If it has another one, and nothing was written.
        """

    @abstractmethod
    def delete(self, path: str, version: str) -> None:
        """Delete an object if it has a version; one that is gone or another is left alone."""

    @abstractmethod
    def find_unfinished(self, path: str) -> list[Unfinished]:
        """Return the uploads that never ended of objects whose path begins with `path`.

        There are none where the object store does not tell.
        """

    @abstractmethod
    def remove_unfinished(self, unfinished: Unfinished) -> None:
        """Delete what was uploaded of one."""


def open_client(address: Address) -> ObjectClient:
    """Return what makes requests of an address's kind.

    Raises:
        InvalidValue: If the package for it is not installed.
    """
    scheme = SCHEMES[address.scheme]
    names = sorted(name for name in os.environ if name.startswith(scheme.settings))
    settings = tuple((name, os.environ[name]) for name in names)
    # After a fork, the threads of the parent's client are gone.
    return _open(address.scheme, os.getpid(), settings)


@functools.lru_cache(maxsize=4)
def _open(scheme: str, pid: int, settings: tuple[tuple[str, str], ...]) -> ObjectClient:
    module, _, name = SCHEMES[scheme].client.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise InvalidValue(
            f"Stores at {scheme}:// need another package: pip install 'featx[{scheme}]'."
        ) from error
    client: ObjectClient = made()
    return client


def split_path(path: str) -> tuple[str, str]:
    """Return the bucket and the key of a path, ``bucket/key``."""
    bucket, _, key = path.partition("/")
    return bucket, key


@contextlib.contextmanager
def explained(
    url: str, doing: str, translate: Callable[[Exception], Exception] = lambda error: error
) -> Iterator[None]:
    """Raise a failed request as an error that says what came and what to do.

    Args:
        url: The object's address.
        doing: ``read``, ``written`` or ``deleted``.
        translate: Returns what happened, as Python names it where it can.

    Raises:
        StoreError: Of whatever the library raised.
        ObjectChanged: As it was raised.
    """
    try:
        yield
    except ObjectChanged:
        raise
    except Exception as error:  # Libraries' errors have no base that says more.
        cause = translate(error)
        raise _explain(url, cause, doing) from cause


def _explain(url: str, error: BaseException, doing: str) -> FeatxError:
    text = _describe(error)
    name = type(error).__name__
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        remedy = f"Make room, or name another folder for copies in {CACHE_VARIABLE}"
    elif isinstance(error, PermissionError):
        remedy = "Check the credentials, and that they may do this in the bucket"
    elif "Credentials" in name or "Credentials" in text:
        remedy = "Give credentials in the environment, as the tools of that store take them"
    elif isinstance(error, FileNotFoundError) or "NoSuchBucket" in text:
        remedy = "Check the address: buckets are not made by featx"
    else:
        remedy = "Check the network and the endpoint, and run the same again"
    return StoreError(f"{url!r} could not be {doing}: {text}. {remedy}.")


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    # Addresses in messages may hold passwords and signatures.
    text = re.sub(r"(?<=://)[^/@\s]*@", "", text)
    return re.sub(r"\?[^\s\"']*", "", text).rstrip(".")
