"""Requests to S3 and what speaks its protocol, through s3fs."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import fsspec
import s3fs  # noqa: F401  (its absence is an error here, not in the middle of a request)
from botocore.exceptions import ResponseStreamingError

from featx.errors import InvalidValue
from featx.objects.client import (
    HEAD_BYTES,
    ObjectChanged,
    ObjectClient,
    ObjectFacts,
    Unfinished,
    explained,
    split_path,
)

SINGLE_BYTES = 96 << 20
"""Files up to this size are sent in one request, and held in memory; it is more than a part has."""

PIECE_BYTES = 32 << 20
"""Size of the pieces in which larger ones are sent; S3 takes at most 10,000 of them."""

ATTEMPTS = 5
"""How often a request is made that fails by the network or with a status of 500 or above, where the
environment has no ``AWS_MAX_ATTEMPTS``."""

_CHANGED = (409, 412)
_MISSING = (404,)
_NO_SUCH_RANGE = 416
_NOT_IMPLEMENTED = 501


class S3Client(ObjectClient):
    """S3, with the credentials and the endpoint that the environment gives."""

    def __init__(self) -> None:
        self._attempts = _read_attempts()
        # botocore's oldest mode, its default, repeats nothing that is an `HTTPClientError`.
        mode = os.environ.get("AWS_RETRY_MODE") or "standard"
        retries = {"total_max_attempts": self._attempts, "mode": mode}
        self._files: Any = fsspec.filesystem(
            "s3",
            skip_instance_cache=True,
            use_listings_cache=False,
            config_kwargs={"retries": retries},
        )
        self._files.retries = 1  # Those of botocore are enough.

    def find(self, path: str) -> dict[str, ObjectFacts]:
        """See `ObjectClient`."""
        bucket, key = split_path(path)
        found: dict[str, ObjectFacts] = {}
        more: dict[str, str] = {}
        with explained(f"s3://{path}", "read"):
            while True:
                page = self._call("list_objects_v2", Bucket=bucket, Prefix=key, **more)
                for entry in page.get("Contents", ()):
                    facts = ObjectFacts(_version(entry), int(entry["Size"]))
                    found[f"{bucket}/{entry['Key']}"] = facts
                if not page.get("IsTruncated"):
                    return found
                more = {"ContinuationToken": page["NextContinuationToken"]}

    def read_version(self, path: str) -> str | None:
        """See `ObjectClient`."""
        bucket, key = split_path(path)
        with explained(f"s3://{path}", "read"):
            try:
                return _version(self._call("head_object", Bucket=bucket, Key=key))
            except Exception as error:
                if _status(error) in _MISSING:
                    return None
                raise

    def read_head(self, path: str, num_bytes: int = HEAD_BYTES) -> bytes:
        """See `ObjectClient`."""
        with explained(f"s3://{path}", "read"):
            read = functools.partial(self._files.cat_file, path, start=0, end=num_bytes)
            try:
                return bytes(self._receive(read))[:num_bytes]  # Some servers answer with all of it.
            except OSError as error:
                if _status(error) == _NO_SUCH_RANGE:  # It is empty.
                    return b""
                raise

    def download(self, path: str, target: Path) -> None:
        """See `ObjectClient`."""
        with explained(f"s3://{path}", "read"):
            self._receive(lambda: self._files.get_file(path, str(target), max_concurrency=1))

    def upload(self, source: Path, path: str, version: str | None) -> str:
        """See `ObjectClient`."""
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": f'"{version}"'}
        bucket, key = split_path(path)
        where = {"Bucket": bucket, "Key": key}
        with explained(f"s3://{path}", "written"):
            try:
                if source.stat().st_size <= SINGLE_BYTES:
                    body = source.read_bytes()
                    return _version(self._call("put_object", Body=body, **where, **condition))
                return self._upload_pieces(source, where, condition)
            except Exception as error:
                status = _status(error)
                # The object is gone; or its pieces are, since they were put together already.
                gone = version is not None or _code(error) == "NoSuchUpload"
                if status in _CHANGED or (status in _MISSING and gone):
                    raise ObjectChanged from error
                raise

    def delete(self, path: str, version: str) -> None:
        """See `ObjectClient`."""
        bucket, key = split_path(path)
        where = {"Bucket": bucket, "Key": key}
        with explained(f"s3://{path}", "deleted"):
            try:
                self._call("delete_object", IfMatch=f'"{version}"', **where)
            except Exception as error:
                if _status(error) == _NOT_IMPLEMENTED:  # Such a server deletes without conditions.
                    self._call("delete_object", **where)
                elif _status(error) not in (*_CHANGED, *_MISSING):
                    raise

    def find_unfinished(self, path: str) -> list[Unfinished]:
        """See `ObjectClient`."""
        bucket, key = split_path(path)
        with explained(f"s3://{path}", "read"):
            found = self._call("list_multipart_uploads", Bucket=bucket, Prefix=key)
        return [
            Unfinished(f"{bucket}/{each['Key']}", each["UploadId"], each["Initiated"].timestamp())
            for each in found.get("Uploads") or ()
        ]

    def remove_unfinished(self, unfinished: Unfinished) -> None:
        """See `ObjectClient`."""
        bucket, key = split_path(unfinished.path)
        where = {"Bucket": bucket, "Key": key, "UploadId": unfinished.upload}
        with explained(f"s3://{unfinished.path}", "deleted"):
            self._call("abort_multipart_upload", **where)

    def _upload_pieces(self, source: Path, where: dict[str, str], condition: dict[str, str]) -> str:
        begun = where | {"UploadId": self._call("create_multipart_upload", **where)["UploadId"]}
        pieces = []
        try:
            with source.open("rb") as file:
                for number, body in enumerate(iter(lambda: file.read(PIECE_BYTES), b""), start=1):
                    sent = self._call("upload_part", Body=body, PartNumber=number, **begun)
                    pieces.append({"PartNumber": number, "ETag": sent["ETag"]})
            done = self._call(
                "complete_multipart_upload", MultipartUpload={"Parts": pieces}, **begun, **condition
            )
            return _version(done)
        except BaseException:
            with contextlib.suppress(Exception):
                self._call("abort_multipart_upload", **begun)
            raise

    def _receive(self, read: Callable[[], Any]) -> Any:
        """Return what was read; begin again where an answer breaks off, as botocore does not."""
        for left in reversed(range(self._attempts)):
            try:
                return read()
            except (aiohttp.ClientPayloadError, ResponseStreamingError):
                if left == 0:
                    raise

    @functools.cached_property
    def _call(self) -> Callable[..., Any]:
        return self._files.call_s3  # type: ignore[no-any-return]


def _read_attempts() -> int:
    """Return how often a request is made.

    Raises:
        InvalidValue: If the environment has something else than a number of times.
    """
    asked = os.environ.get("AWS_MAX_ATTEMPTS", "").strip() or str(ATTEMPTS)
    if not asked.isdecimal() or not int(asked):
        raise InvalidValue(
            "AWS_MAX_ATTEMPTS is how often a request is made in all: a whole number, at least 1. "
            f"Received: {asked!r}."
        )
    return int(asked)


def _version(answer: Any) -> str:
    """Return the ETag in an answer; some servers quote it in some answers only."""
    return str(answer["ETag"]).strip('"')


def _status(error: BaseException) -> int | None:
    """Return the HTTP status behind an error; None if there was no answer."""
    status = _response(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    return None if status is None else int(status)


def _code(error: BaseException) -> str:
    """Return S3's name of an error; empty if there was no answer."""
    return str(_response(error).get("Error", {}).get("Code", ""))


def _response(error: BaseException) -> dict[str, Any]:
    cause: BaseException | None = error
    while cause is not None:
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return response
        cause = cause.__cause__
    return {}
