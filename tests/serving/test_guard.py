"""Attacks: other names and origins, missing tokens, paths that lead out, names that are scripts."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

import featx
from featx.errors import InvalidValue
from featx.serving.remarks import Remarks
from featx.testing import toy_model, write_images
from tests.curation.stores import write_vectors
from tests.serving.client import Client

TOKEN = "correct-horse-battery-staple"
ROUTES = (
    *("/describe", "/items", "/items/a", "/thumbnails/a", "/pictures/a", "/map", "/map/points"),
    *("/duplicates", "/audit", "/notes", "/export", "/metrics", "/openapi.json", "/no-such"),
)


@pytest.fixture(scope="module")
def guarded(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token.txt").write_text(f"{TOKEN}\n")
    shutil.copy(store, folder / "f.h5")
    with featx.serve(
        folder / "f.h5",
        port=0,
        token_file=folder / "token.txt",
        allow_host=["pictures.example", "2001:db8::1"],
    ) as server:
        yield Client(server.url)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "",
        "127.0.0.1@evil.example",
        "192.168.0.1",
        "[::1",
        "a b",
        "x:y",
    ],
)
def test_other_names_of_the_server_are_refused(client: Client, host: str) -> None:
    # A page at evil.example, whose name is made to point here, would have that name in Host.
    assert client.get("/describe", Host=host).status in (400, 421)
    assert client.get("/", Host=host).status in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1", "[::1]:8", "127.0.0.9"])
def test_own_names_of_the_server_are_answered(client: Client, host: str) -> None:
    assert client.get("/healthz", Host=host).status == 200


def test_further_names_are_allowed_by_name(guarded: Client) -> None:
    assert guarded.get("/healthz", Host="pictures.example").status == 200
    assert guarded.get("/healthz", Host="[2001:db8::1]:80").status == 200
    assert guarded.get("/healthz", Host="[2001:db8::2]:80").status == 421
    assert guarded.get("/healthz", Host="other.example").status == 421


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "", "http://127.0.0.1:1", "http://localhost", "http://[::1",
     "http://evil.example#@localhost", "http://[x]/"],
)  # fmt: skip
def test_pages_of_other_sites_may_not_ask(client: Client, origin: str) -> None:
    for method, path in (("GET", "/items"), ("POST", "/notes"), ("POST", "/search"), ("GET", "/")):
        assert client.send(method, path, b"{}", {"Origin": origin}).status == 403
    assert client.get("/items", Origin=f"http://{client.host}:{client.port}").status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_other_sites_may_link_to_the_page_and_no_more(client: Client, site: str) -> None:
    assert client.get("/thumbnails/a", Sec_Fetch_Site=site).status == 403
    assert client.get("/export", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 403
    assert client.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status == 403
    assert client.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 200


def test_a_form_of_another_site_changes_nothing(client: Client) -> None:
    before = client.get("/notes").json["revision"]
    body = json.dumps({"changes": [{"key": "photos/dark/image_0.png", "action": "reject"}]})
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert client.send("POST", "/notes", body.encode(), {"Content-Type": kind}).status == 415
    assert client.get("/notes").json["revision"] == before


def test_nothing_is_answered_without_the_token(guarded: Client) -> None:
    for path in ROUTES:
        answer = guarded.get(path)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert guarded.get(path, Authorization=f"Bearer {TOKEN}x").status == 401
        assert guarded.get(path, Authorization=f"Basic {TOKEN}").status == 401
        assert guarded.get(path, Cookie="featx_session=a.b").status == 401
        assert guarded.get(path, Authorization=f"Bearer {TOKEN}").status != 401
    for path in ("/search", "/predict", "/features", "/notes"):
        assert guarded.ask(path, {}).status == 401
    assert guarded.get(f"/describe?token={TOKEN}").status == 401
    assert guarded.get("/healthz").json == {"status": "ok"}
    assert guarded.get("/").status == 200


def test_a_browser_shows_the_token_once(guarded: Client) -> None:
    assert guarded.ask("/login", {"token": "wrong"}).status == 401
    answer = guarded.ask("/login", {"token": TOKEN})
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    session = cookie.partition(";")[0]
    assert guarded.get("/describe", Cookie=session).status == 200
    assert guarded.get("/describe", Cookie=f"{session}x").status == 401
    number, _, signature = session.removeprefix("featx_session=").partition(".")
    forged = f"featx_session={number[:-1]}_.{signature}"
    assert guarded.get("/describe", Cookie=forged).status == 401


def test_other_machines_need_a_token(store: Path, tmp_path: Path) -> None:
    token = tmp_path / "token.txt"
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(InvalidValue, match="can be reached from other machines"):
            featx.serve(store, host=host, port=0)
    for text in ("", "short", "two words of a token that is long", "ö" * 20):
        token.write_text(text, encoding="utf-8")
        with pytest.raises(InvalidValue, match="A token is one word"):
            featx.serve(store, host="0.0.0.0", port=0, token_file=token)
    with pytest.raises(InvalidValue, match="cannot be read"):
        featx.serve(store, port=0, token_file=tmp_path / "none.txt")


@pytest.mark.skipif(os.name != "posix", reason="files have no modes")
def test_a_token_that_others_can_read_is_said(store: Path, tmp_path: Path) -> None:
    (token := tmp_path / "token.txt").write_text(TOKEN)
    for mode, is_open in ((0o600, False), (0o640, True), (0o604, True)):
        token.chmod(mode)
        said = Remarks()
        with pytest.raises(OSError, match="address of this machine"):
            featx.serve(store, host="192.0.2.1", port=0, token_file=token, listener=said)
        assert any("chmod 600" in one for one in said.remarks) == is_open


@pytest.mark.parametrize("name", ["*", "https://a.example", "a.example:443", "a.example/x", ""])
def test_names_that_no_request_would_have(store: Path, name: str) -> None:
    with pytest.raises(InvalidValue, match="allow_host= takes a name alone"):
        featx.serve(store, port=0, allow_host=[name])


OUTSIDE = (
    "../secret.png", "..%2fsecret.png", "%2e%2e/secret.png", "....//secret.png", "/etc/passwd",
    "%2fetc%2fpasswd", "photos/../../secret.png", "file:///etc/passwd", "a%00.png", "\\secret.png",
    "%5c..%5csecret.png", "photos/dark/image_0.png/../../../../secret.png", "C:/secret.png",
)  # fmt: skip


@pytest.mark.parametrize("key", OUTSIDE)
@pytest.mark.parametrize("route", ["items", "thumbnails", "pictures", "page"])
def test_no_path_leads_out(client: Client, store: Path, route: str, key: str) -> None:
    (store.parent.parent / "secret.png").write_bytes(b"a secret")
    answer = client.get(f"/{route}/{key}")
    assert answer.status == 404
    assert b"secret" not in answer.body.replace(key.encode(), b"").replace(b"secret.png", b"")


def test_keys_of_a_prepared_store_lead_nowhere(tmp_path: Path) -> None:
    """A store may name any key and root; pictures are opened below the root alone."""
    values = np.eye(2, 8, dtype=np.float32)
    store = write_vectors(tmp_path / "f.h5", values, ["../secret.png", "a.png"])
    (tmp_path / "pictures").mkdir()
    picture = write_images(1, tmp_path / "made") / "image_0.png"
    picture.rename(tmp_path / "secret.png")
    with featx.serve(store, port=0) as server:
        client = Client(server.url)
        assert client.get("/items").json["items"][0]["key"] == "../secret.png"
        for route in ("pictures", "thumbnails"):
            answer = client.get(f"/{route}/{quote('../secret.png', safe='')}")
            assert answer.status == 404
            assert "error" in answer.json
        crop = client.ask("/search", {"keys": ["../secret.png"], "crop": "0,0,4,4"})
        assert crop.status == 404


def test_only_pictures_that_were_extracted_are_shown(tmp_path: Path) -> None:
    """A link that was put in place of a picture, or another file, is not followed to its bytes."""
    photos = write_images(2, tmp_path / "photos")
    store = tmp_path / "f.h5"
    featx.extract(photos, model=toy_model(), layers=["mean"], output=store)
    (tmp_path / "secret").write_bytes(b"a secret")
    (photos / "image_0.png").unlink()
    (photos / "image_0.png").symlink_to(tmp_path / "secret")
    with featx.serve(store, port=0) as server:
        client = Client(server.url)
        assert client.get("/pictures/image_1.png").status == 200
        answer = client.get("/pictures/image_0.png")
        assert answer.status == 404
        assert "changed since" in answer.error
        crop = client.ask("/search", {"keys": ["image_0.png"], "crop": "0,0,4,4"})
        assert crop.status == 404


HOSTILE = "<script>alert(1)</script>\"'&\u202e"


def test_names_that_are_scripts_are_data(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_images(2, photos / "<img src=x onerror=alert(1)>")
    write_images(2, photos / "b")
    store = tmp_path / "f.h5"
    featx.extract(photos, model=toy_model(), layers=["mean"], output=store)
    with featx.serve(store, port=0) as server:
        client = Client(server.url)
        key = client.get("/items").json["items"][0]["key"]
        assert "onerror" in key
        change = {"key": key, "action": "tag", "value": HOSTILE}
        assert client.ask("/notes", {"changes": [change]}).status == 200
        for path in ("/items", "/notes", "/describe", f"/items/{quote(key)}", "/items/<script>"):
            answer = client.get(quote(path, safe="/%"))
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert client.get("/items").json["items"][0]["tags"] == [HOSTILE]


def test_every_answer_has_the_policy(client: Client) -> None:
    for path in ("/", "/page/no", "/items", "/items/no", "/healthz", "/thumbnails/no", "/no"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers
    assert "script-src 'self'" in policy


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /items HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET /items HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"\x16\x03\x01\x00nonsense\r\n\r\n",
        b"GET /items?" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_requests_that_are_none(client: Client, request_: bytes) -> None:
    with socket.create_connection((client.host, client.port), timeout=10) as connection:
        connection.sendall(request_)
        status = connection.recv(4096)[9:12]
    assert status.startswith(b"4") or not status
    assert client.get("/healthz").status == 200


def test_errors_name_no_files(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "somewhere"
    folder.mkdir()
    copy = shutil.copy(store, folder / "f.h5")
    with featx.serve(copy, layer="mean", port=0) as server:
        client = Client(server.url)
        key = "photos/dark/image_0.png"
        for question in (
            {"keys": ["x"]},
            {"keys": [key], "split": ["x"]},
            {"keys": [key], "where_column": "a < 1"},
        ):
            answer = client.ask("/search", question)
            assert answer.status in (404, 422)
            assert str(tmp_path).encode() not in answer.body
            assert b"somewhere" not in answer.body
        picture = (store.parent / "photos/dark/image_0.png").read_bytes()
        assert client.upload("/predict", picture).status == 409
