"""How the server listens, and what it takes: the options of `featx.serve` that are its own."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from featx.checks.numbers import check_whole_number
from featx.checks.texts import check_path, check_text, check_texts
from featx.errors import InvalidType, InvalidValue
from featx.keywords import CodeKeywords, LayerSynonyms, RunKeywords
from featx.wording import option

_NAME = re.compile(r"[\w-]+(\.[\w-]+)*")

LEAST_TOKEN = 16
"""Characters of a token: shorter ones can be guessed."""

DEFAULT_PORT = 8686
DEFAULT_UPLOAD = 32 * 2**20


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server listens, and what it takes.

    Attributes:
        host: The address to listen at. Others than those of this machine need a token.
        port: The port; 0 for any that is free.
        token_file: A file that holds the token which clients must show.
        allow_host: Further names under which the server is reached, as behind a proxy.
        max_upload: Most bytes of one request.
        queue: Requests that are worked on or wait at a time; more are told to come again.
        timeout: Seconds in which a request is answered, or given up.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    token_file: str | Path | None = None
    allow_host: str | Sequence[str] = ()
    max_upload: int = DEFAULT_UPLOAD
    queue: int = 64
    timeout: float = 30.0

    def __post_init__(self) -> None:
        if check_text("host", self.host) is None:
            raise InvalidType("'host' takes an address. Received: None.")
        object.__setattr__(self, "allow_host", check_texts("allow_host", self.allow_host))
        object.__setattr__(self, "token_file", check_path("token_file", self.token_file))
        for known in self.allow_host:
            if not _is_name(known):  # It would never be that of a request.
                raise InvalidValue(
                    f"{option('allow_host')} takes a name alone, such as photos.example.org. "
                    f"Received: {known!r}."
                )
        for name, least in (("port", 0), ("max_upload", 1), ("queue", 1)):
            object.__setattr__(
                self, name, check_whole_number(name, getattr(self, name), least=least)
            )
        if self.port > 65535:
            raise InvalidValue(f"A port is a number up to 65535. Received: {self.port}.")
        if isinstance(self.timeout, bool) or not isinstance(self.timeout, (int, float)):
            raise InvalidType(f"{option('timeout')} takes seconds. Received: {self.timeout!r}.")
        if not 0 < self.timeout < float("inf"):
            raise InvalidValue(f"{option('timeout')} is above 0. Received: {self.timeout!r}.")

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def read_token(self) -> str | None:
        """Return the token; None where none is needed.

        Raises:
            InvalidValue: If there is none where one is needed, or it is too short.
        """
        if self.token_file is None:
            if self.is_local:
                return None
            raise InvalidValue(
                f"{self.host} can be reached from other machines: name a file with a token of "
                f"{LEAST_TOKEN} characters or more with {option('token_file')}, such as "
                f"{secrets.token_urlsafe(24)}"
            )
        path = Path(self.token_file)
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise InvalidValue(f"The token file {str(path)!r} cannot be read: {reason}.") from error
        if len(token) < LEAST_TOKEN or not token.isascii() or len(token.split()) != 1:
            raise InvalidValue(
                f"A token is one word of {LEAST_TOKEN} ASCII characters or more. Received in "
                f"{str(path)!r}: {len(token)} characters. A good one: {secrets.token_urlsafe(24)}"
            )
        return token

    def describe_readers(self) -> str | None:
        """Return that other users of this machine can read the token; None if they cannot."""
        if self.token_file is None or os.name != "posix":
            return None
        path = Path(self.token_file)
        if not path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            return None
        return f"other users of this machine can read the token in {str(path)!r}: chmod 600"


def _is_name(text: str) -> bool:
    """Whether a text is a name or an address, without a port and the like."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _NAME.fullmatch(text) is not None
    return True


class ServerKeywords(TypedDict, total=False):
    """The fields of `ServerOptions` as keywords."""

    host: str
    port: int
    token_file: str | Path | None
    allow_host: str | Sequence[str]
    max_upload: int
    queue: int
    timeout: float


class ServeKeywords(CodeKeywords, RunKeywords, ServerKeywords, LayerSynonyms, total=False):
    """The options that `featx.serve` takes as keywords."""
