"""A client that sends exactly what it is told to, and the collection that is served to it."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import featx
from featx.testing import toy_model, write_images

CLASSES = ("dark", "light")


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


class Client:
    def __init__(self, url: str, **headers: str) -> None:
        self.host, self.port = urlsplit(url).hostname, urlsplit(url).port
        self.headers = headers

    @contextmanager
    def connect(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection(self.host or "", self.port, timeout=20)
        try:
            yield connection
        finally:
            connection.close()

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Reply:
        with self.connect() as connection:
            connection.request(method, path, body, {**self.headers, **headers})
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.headers), answer.read())

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def ask(self, path: str, question: Mapping[str, Any]) -> Reply:
        kind = {"Content-Type": "application/json"}
        return self.send("POST", path, json.dumps(question).encode(), kind)

    def upload(self, path: str, picture: bytes, **headers: str) -> Reply:
        kind = {"Content-Type": "image/png"}
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send("POST", path, picture, kind | more)

    def form(self, path: str, question: Mapping[str, Any], pictures: Mapping[str, bytes]) -> Reply:
        body, kind = make_form(question, pictures)
        return self.send("POST", path, body, {"Content-Type": kind})


def make_form(question: Mapping[str, Any], pictures: Mapping[str, bytes]) -> tuple[bytes, str]:
    border = uuid.uuid4().hex
    begin = f'--{border}\r\nContent-Disposition: form-data; name="'
    parts = [f'{begin}question"\r\n\r\n{json.dumps(question)}\r\n'.encode()]
    for name, data in pictures.items():
        head = f'{begin}picture"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
        parts.append(head.encode() + data + b"\r\n")
    return b"".join(parts) + f"--{border}--\r\n".encode(), f"multipart/form-data; boundary={border}"


def write_collection(folder: Path, count: int = 24) -> Path:
    """Write pictures, and beside them a store with splits and columns, and a head."""
    write_images(count, folder / "photos", classes=CLASSES)
    lines = ["path,label,split,price,color"]
    for number in range(count):
        label = CLASSES[number % 2]
        split, price = ("test", "") if number % 4 == 0 else ("train", str(number))
        color = "red" if number % 3 else "blue"
        lines.append(f"photos/{label}/image_{number}.png,{label},{split},{price},{color}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    store = folder / "f.h5"
    featx.extract(
        folder / "list.csv", model=toy_model(), layers=["map", "mean"], pool="none", output=store
    )
    featx.fit_head(store, layer="mean", kind="linear", output=folder / "head")
    return store
