"""Nothing is fetched because of what a file says: a server counts the requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import fsspec
import numpy as np
import pytest
from PIL import Image

import featx
from featx.errors import DownloadNotAllowed, InvalidType, InvalidValue
from featx.images.roots import Root
from featx.images.sources import find_images
from featx.input_spec import InputSpec
from featx.report.contact_sheet import write_contact_sheet
from featx.specs import FeatureSpec, ModelSpec
from featx.store.rows import Announced, StoreHeader
from featx.store.writing import write_store
from featx.testing import write_images
from tests.cli.program import Program
from tests.store_samples import make_rows

KEYS = ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]


class Server(BaseHTTPRequestHandler):
    """Gives a picture for whatever is asked, and remembers what that was."""

    asked: list[str] = []  # noqa: RUF012
    content = b""

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


class CountedFiles(fsspec.AbstractFileSystem):
    """The pictures of the server, as fsspec opens them."""

    protocol = "counted"
    cachable = False

    def ls(self, path: str, **_: Any) -> list[dict[str, Any]]:
        with urlopen(f"http://{path}"):
            return [self.info(f"{path}/{number}.png") for number in range(3)]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": len(self.cat_file(path)), "type": "file"}

    def cat_file(self, path: str, *_: Any, **__: Any) -> bytes:
        with urlopen(f"http://{self._strip_protocol(path)}") as answer:
            return bytes(answer.read())


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Host and port of the server."""
    picture = tmp_path_factory.mktemp("served") / "picture.png"
    Image.new("RGB", (8, 8), (200, 30, 30)).save(picture)
    Server.content = picture.read_bytes()
    fsspec.register_implementation("counted", CountedFiles, clobber=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def files(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store, a head and an index that say that everything is on the server."""
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "modules"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.chdir(tmp_path)
    write_elsewhere(tmp_path / "features.h5", f"counted://{address}/photos", module(address))
    featx.fit_head("features.h5", output="head")
    featx.build_index("features.h5")
    write_images(2, tmp_path / "mine")
    Server.asked.clear()
    return tmp_path


def module(address: str) -> ModelSpec:
    """A Hub module at the server."""
    url = f"http://{address}/module/1"
    return ModelSpec("hub", url, (), url, "0" * 64, InputSpec(8, 8, scaling="unit"))


def write_elsewhere(
    path: Path, root: str, model: ModelSpec, keys: tuple[str, ...] = tuple(KEYS)
) -> None:
    values = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], np.float32)
    header = StoreHeader(
        model, (FeatureSpec("v", "endpoint", "none", (2,)),), "float32", Root.parse(root), root
    )
    rows = make_rows({"v": values}, keys, labels=["cat", "cat", "dog", "dog"])
    announced = Announced(num_rows=4, key_bytes=60, classes={"cat", "dog"})
    write_store(path, header, [rows], announced)


COMMANDS = {
    "info": ["info", "features.h5"],
    "info of a head": ["info", "head"],
    "verify": ["verify", "features.h5"],
    "verify with images": ["verify", "features.h5", "--images", "mine"],
    "repair": ["verify", "features.h5", "--repair"],
    "export to npy": ["export", "features.h5", "-o", "out.npy"],
    "export to csv": ["export", "features.h5", "-o", "out.csv"],
    "export to parquet": ["export", "features.h5", "-o", "out.parquet"],
    "export to tensorboard": ["export", "features.h5", "-o", "out"],
    "index": ["index", "features.h5", "-o", "new.faiss"],
    "search by key": ["search", "--key", KEYS[0], "--json"],
    "search in an index alone": ["search", "--key", KEYS[0], "--index", "features.faiss"],
    "search with a picture": ["search", "mine/image_0.png"],
    "sheet": ["search", "--key", KEYS[0], "--sheet", "sheet.png"],
    "predict": ["predict", "mine"],
    "fit-head": ["fit-head", "features.h5", "-o", "another"],
    "merge": ["merge", "features.h5", "-o", "merged.h5"],
    "pack": ["pack", "features.h5", "-o", "packed.h5"],
    "extract": ["extract", "mine", "-o", "features.h5"],
    "extract anew": ["extract", "mine", "-o", "features.h5", "--dry-run"],
    "layers": ["layers", "head"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_starts_a_request(
    command: str, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Program(monkeypatch, capsys)(*COMMANDS[command])
    assert Server.asked == []
    assert "Traceback" not in result.err
    if command in ("search with a picture", "predict"):
        assert result.status == 1
        assert "--allow-download" in result.err
    if command in ("sheet", "export to tensorboard"):
        assert result.status == 0
        assert "--allow-download" in " ".join(result.err.split())


LIBRARY: dict[str, Callable[[], object]] = {
    "open_store": lambda: featx.open_store("features.h5").root,
    "load_head": lambda: featx.load_head("head").is_stale,
    "open_index": lambda: featx.open_index("features.faiss").search(np.ones((1, 2)), 4),
    "export_store": lambda: featx.export_store("features.h5", "out"),
    "write_contact_sheet": lambda: write_contact_sheet(featx.search(keys=KEYS[:1]), "sheet.png"),
    "verify_store": lambda: featx.verify_store("features.h5", images="mine"),
}


@pytest.mark.parametrize("call", LIBRARY)
def test_no_call_starts_a_request(call: str, files: Path) -> None:
    LIBRARY[call]()
    assert Server.asked == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: featx.predict("mine", head="head"),
        lambda: featx.search("mine", features="features.h5"),
        lambda: featx.search("mine", index="features.faiss"),
        lambda: featx.export_head("head", output="out"),
        lambda: featx.fine_tune("mine", head="head"),
    ],
)
def test_models_that_files_name_are_refused(call: Callable[[], object], files: Path) -> None:
    with pytest.raises(DownloadNotAllowed, match="only a file asks for it"):
        call()
    assert Server.asked == []


def test_a_table_leads_to_no_other_server(
    files: Path, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table on the disk, or at a URL, that names pictures elsewhere."""
    rows = f"path\ncounted://{address}/photos/1.png\ncounted://{address}/photos/2.png\n"
    (files / "rows.csv").write_text(rows)
    fsspec.filesystem("memory").pipe_file("/tables/rows.csv", rows.encode())
    for place in ("rows.csv", "memory://tables/rows.csv"):
        with pytest.raises(InvalidValue, match=f"'counted://{address}/photos'.*allow_download=Tru"):
            featx.extract(place, dry_run=True)
        with pytest.raises(InvalidValue, match="allow_download=True"):
            featx.predict(place, head="head")
        with pytest.raises(InvalidValue, match="allow_download=True"):
            find_images([place, "mine"])
    with pytest.raises(InvalidValue, match="allow_download=True"):
        featx.compare_scalings("rows.csv", model="builtin:mini")
    result = Program(monkeypatch, capsys)("extract", "rows.csv", "--dry-run")
    assert result.status == 2
    assert "allow it with --allow-download" in result.err
    with pytest.raises(InvalidType):
        featx.extract("rows.csv", allow_download="no", dry_run=True)  # type: ignore[arg-type]
    assert Server.asked == []


def test_a_table_leads_to_servers_that_were_named(files: Path, address: str) -> None:
    (files / "rows.csv").write_text(f"path\ncounted://{address}/photos/1.png\n")
    pictures = f"counted://{address}/photos/0.png"
    keys = {item.key for item in find_images(["rows.csv", pictures]).items}
    assert keys == {"0.png", "1.png"}
    assert len(find_images("rows.csv", allow_download=True).items) == 1


def test_a_key_is_no_address(files: Path, address: str) -> None:
    """Of images that were passed in Python, the key is all that is known of their place."""
    keys = (f"counted://{address}/1.png", *KEYS[1:])
    write_elsewhere(files / "python.h5", "python:", module(address), keys)
    found = featx.search(keys=KEYS[1:2], features="python.h5")
    assert keys[0] in {match.key for match in found.results[0].matches}
    write_contact_sheet(found, "sheet.png")
    assert Server.asked == []


def test_pictures_are_fetched_where_that_is_allowed(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = Program(monkeypatch, capsys)
    assert program(*COMMANDS["sheet"], "--allow-download").status == 0
    assert {path.rpartition("/photos/")[2] for path in Server.asked} == {*KEYS}
    Server.asked.clear()
    assert program(*COMMANDS["export to tensorboard"], "--allow-download").status == 0
    assert {path.rpartition("/photos/")[2] for path in Server.asked} == {*KEYS}


def test_pictures_are_fetched_from_where_the_user_says(files: Path, address: str) -> None:
    report = featx.verify_store("features.h5", images=f"counted://{address}/photos")
    assert (report.images, len(report.changed)) == (4, 4)
    assert {path.rpartition("/photos/")[2] for path in Server.asked} == {*KEYS}


def test_a_key_leads_to_no_other_address(files: Path, address: str) -> None:
    """fsspec reads what follows "::" as an address of its own."""
    keys = [f"1.png::counted://{address}/2.png", *KEYS[1:]]
    values = np.ones((4, 2), np.float32)
    header = featx.open_store("features.h5").header
    rows = make_rows({"v": values}, keys)
    write_store(Path("other.h5"), header, [rows], Announced(num_rows=4, key_bytes=90))
    report = featx.verify_store("other.h5", images="counted://127.0.0.1:1/nothing")
    assert "no part of a URL" in report.unreadable[keys[0]]
    assert Server.asked == []
