"""The contract of an export format; `featx.testing.contracts` shows how to run it."""

from __future__ import annotations

import errno
from pathlib import Path

from PIL import Image

from featx.errors import ExportError, InvalidValue
from featx.events import Listener
from featx.exports.exporting import export_store
from featx.exports.formats import EXPORTS
from featx.extraction import extract
from featx.testing.toy import toy_model

NAMES = ("plain.png", "quo\"ted, it's.png", "Blüten 日本.png", "=1+1.png", " .png")
"""Names of pictures that break careless writers."""


class FullDisk(Listener):
    """Fails as a full disk does once rows are written."""

    def advance(self, count: int) -> None:
        """Fail; see `featx.events.Listener`."""
        raise OSError(errno.ENOSPC, "No space left on device")


def make_store(folder: Path, *, layer: str = "mean") -> Path:
    """Extract a layer of the toy from five pictures with difficult names."""
    (folder / "photos").mkdir(exist_ok=True)
    for number, name in enumerate(NAMES):
        Image.new("RGB", (8, 8), (50 * number, 0, 0)).save(folder / "photos" / name)
    store = folder / f"{layer}.h5"
    extract(folder / "photos", model=toy_model(), layers=[layer], output=store)
    return store


class ExportContract:
    """Tests that take the name of an export format.

    Example::

        @pytest.mark.parametrize("format", ["jsonl"])
        class TestExports(ExportContract):
            pass
    """

    def test_suffix(self, format: str) -> None:
        """The suffix begins with a dot, in lower case; or there is none."""
        suffix = EXPORTS[format].SUFFIX
        assert suffix is None or (suffix.startswith(".") and suffix == suffix.lower())

    def test_files_are_those_announced(self, format: str, tmp_path: Path) -> None:
        """All rows are written, to no other files than `list_files` says."""
        output = self.output(format, tmp_path)
        report = export_store(make_store(tmp_path), output, format=format)
        assert (report.rows, report.columns, report.format) == (len(NAMES), 3, format)
        written = {path for path in output.parent.rglob("*") if path.is_file()}
        announced = EXPORTS[format].list_files(output)
        assert written
        assert written <= set(announced)
        assert report.bytes == sum(path.stat().st_size for path in written)

    def test_writing_again_gives_the_same_bytes(self, format: str, tmp_path: Path) -> None:
        """What is written depends on the store alone."""
        store, output = make_store(tmp_path), self.output(format, tmp_path)
        export_store(store, output, format=format)
        files = [path for path in output.parent.rglob("*") if path.is_file()]
        before = {path: path.read_bytes() for path in files}
        export_store(store, output, format=format, overwrite=True)
        assert {path: path.read_bytes() for path in files} == before

    def test_a_full_disk_leaves_nothing_behind(self, format: str, tmp_path: Path) -> None:
        """When writing fails, no file is there, nor a temporary one."""
        store, output = make_store(tmp_path), self.output(format, tmp_path)
        self.fail_to_export(store, output, format)
        assert list(output.parent.iterdir()) == []

    def test_a_full_disk_leaves_what_was_there(self, format: str, tmp_path: Path) -> None:
        """When writing fails, an earlier export is still whole."""
        store, output = make_store(tmp_path), self.output(format, tmp_path)
        export_store(store, output, format=format)
        files = {path: path.read_bytes() for path in output.parent.rglob("*") if path.is_file()}
        self.fail_to_export(store, output, format)
        now = {path: path.read_bytes() for path in output.parent.rglob("*") if path.is_file()}
        assert now == files

    def test_maps(self, format: str, tmp_path: Path) -> None:
        """Rows that are maps are kept by formats that can, and refused by the others."""
        store, output = make_store(tmp_path, layer="map"), self.output(format, tmp_path)
        try:
            report = export_store(store, output, format=format, pool="none")
        except InvalidValue:
            assert not EXPORTS[format].KEEPS_MAPS
            report = export_store(store, output, format=format, pool="flatten")
        else:
            assert EXPORTS[format].KEEPS_MAPS
        assert report.columns == 12

    def output(self, format: str, tmp_path: Path) -> Path:
        """Return a path for an export, in a folder of its own."""
        folder = tmp_path / "exported"
        folder.mkdir(exist_ok=True)
        return folder / f"out{EXPORTS[format].SUFFIX or ''}"

    def fail_to_export(self, store: Path, output: Path, format: str) -> None:
        """Export to a disk that is full once rows are written."""
        try:
            export_store(store, output, format=format, overwrite=True, listener=FullDisk())
        except ExportError:
            return
        raise AssertionError("writing to a full disk reported success")
