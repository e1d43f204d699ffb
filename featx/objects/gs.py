"""Requests to Google Cloud Storage, through its own client library."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from featx.objects.client import (
    HEAD_BYTES,
    ObjectChanged,
    ObjectClient,
    ObjectFacts,
    Unfinished,
    explained,
    split_path,
)

RETRY = DEFAULT_RETRY.with_timeout(30.0)
"""How a request is repeated that fails by the network or with a status of 500 or above."""

_FIELDS = "items(name,generation,size),nextPageToken"


class GSClient(ObjectClient):
    """Google Cloud Storage, with the credentials that the environment gives.

    Generations are the versions of objects.
    """

    def __init__(self) -> None:
        try:
            self._client = storage.Client()
        except DefaultCredentialsError:  # Anybody may read what is public.
            self._client = storage.Client.create_anonymous_client()

    def find(self, path: str) -> dict[str, ObjectFacts]:
        """See `ObjectClient`."""
        bucket, key = split_path(path)
        with explained(f"gs://{path}", "read", _translate):
            found = self._client.list_blobs(bucket, prefix=key, fields=_FIELDS, retry=RETRY)
            return {
                f"{bucket}/{blob.name}": ObjectFacts(str(blob.generation), int(blob.size))
                for blob in found
            }

    def read_version(self, path: str) -> str | None:
        """See `ObjectClient`."""
        blob = self._blob(path)
        with explained(f"gs://{path}", "read", _translate):
            try:
                blob.reload(retry=RETRY)
            except exceptions.NotFound:
                return None
            return str(blob.generation)

    def read_head(self, path: str, num_bytes: int = HEAD_BYTES) -> bytes:
        """See `ObjectClient`."""
        with explained(f"gs://{path}", "read", _translate):
            try:
                asked = {"start": 0, "end": num_bytes - 1, "retry": RETRY}
                return bytes(self._blob(path).download_as_bytes(**asked))[:num_bytes]
            except exceptions.RequestRangeNotSatisfiable:  # It is empty.
                return b""

    def download(self, path: str, target: Path) -> None:
        """See `ObjectClient`."""
        with explained(f"gs://{path}", "read", _translate):
            self._blob(path).download_to_filename(str(target), retry=RETRY)

    def upload(self, source: Path, path: str, version: str | None) -> str:
        """See `ObjectClient`."""
        blob = self._blob(path)
        with explained(f"gs://{path}", "written", _translate):
            try:
                blob.upload_from_filename(
                    str(source),
                    content_type="application/octet-stream",
                    if_generation_match=int(version or 0),  # 0: there is none.
                    retry=RETRY,
                )
            except exceptions.PreconditionFailed as error:
                raise ObjectChanged from error
            except exceptions.NotFound as error:
                if version is not None:
                    raise ObjectChanged from error
                raise
            return str(blob.generation)

    def delete(self, path: str, version: str) -> None:
        """See `ObjectClient`."""
        with (
            explained(f"gs://{path}", "deleted", _translate),
            contextlib.suppress(exceptions.NotFound, exceptions.PreconditionFailed),
        ):
            self._blob(path).delete(if_generation_match=int(version), retry=RETRY)

    def find_unfinished(self, path: str) -> list[Unfinished]:
        """See `ObjectClient`; the server does not tell, and deletes them itself after a week."""
        return []

    def remove_unfinished(self, unfinished: Unfinished) -> None:
        """See `ObjectClient`."""

    def _blob(self, path: str) -> Any:
        bucket, key = split_path(path)
        return self._client.bucket(bucket).blob(key)


def _translate(error: Exception) -> Exception:
    """Return what happened, as Python names it where it can."""
    if isinstance(error, exceptions.RetryError) and isinstance(error.cause, Exception):
        error = error.cause
    if not isinstance(error, exceptions.GoogleAPICallError):
        return error
    reason = _read_reason(error)
    if isinstance(error, exceptions.NotFound):
        return FileNotFoundError(reason)
    if isinstance(error, (exceptions.Forbidden, exceptions.Unauthorized)):
        return PermissionError(reason)
    return type(error)(reason)


def _read_reason(error: exceptions.GoogleAPICallError) -> str:
    """Return what the server said, without the request."""
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
        return str(error.response.json()["error"]["message"])
    said = re.sub(r"^[A-Z]+ \S+: ", "", error.message).partition("('Request failed")[0]
    return said.rstrip(": ") or f"it answered {error.code}"
