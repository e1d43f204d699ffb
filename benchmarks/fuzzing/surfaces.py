"""Everything that opens a store, a head or an index, each as a function of the folder."""

from __future__ import annotations

import contextlib
import io
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import featx
from benchmarks.fuzzing.stored_files import (
    HEAD,
    INDEX,
    STORE,
    read_head,
    read_index,
    read_store,
    read_view,
)
from benchmarks.fuzzing.supervisor import OtherValues
from featx.report.contact_sheet import write_contact_sheet
from featx.report.json_lines import write_json, write_matches, write_predictions
from featx.store.summary import summarize_store

Surface = Callable[[Path], object]


def show_info(folder: Path) -> object:
    with featx.open_store(folder / STORE) as store:
        return _printed(write_json, summarize_store(store))


def verify(folder: Path) -> object:
    return _printed(write_json, featx.verify_store(folder / STORE).to_dict())


def verify_images(folder: Path) -> object:
    return featx.verify_store(folder / STORE, images=folder / "photos").to_dict()


def repair(folder: Path) -> object:
    return featx.verify_store(folder / STORE, repair=True).to_dict()


def export_as(name: str, **options: Any) -> Surface:
    def export(folder: Path) -> object:
        report = featx.export_store(folder / STORE, folder / name, overwrite=True, **options)
        return _printed(write_json, report.to_dict())

    return export


def merge(folder: Path) -> object:
    report = featx.merge_stores([folder / STORE, folder / "view.h5"], folder / "out.h5")
    return _printed(write_json, report.to_dict()), read_store(folder, "out.h5")


def pack(folder: Path) -> object:
    featx.pack_store(folder / STORE, output=folder / "out.h5")
    return read_store(folder, "out.h5")


def extract_again(folder: Path) -> object:
    shutil.copy(_picture(folder), folder / "photos" / "light" / "new.png")
    layers = ["map", "mean", "head/double"]
    report = featx.extract(
        folder / "photos", model="toy:colors", layers=layers, output=folder / STORE
    )
    return report.rows, read_store(folder)


def search_store(folder: Path) -> object:
    """Build an index of the store, and search it with an image of its own and with a picture."""
    (folder / INDEX).unlink(missing_ok=True)
    with featx.open_store(folder / STORE) as store:
        keys = store.keys[:1]
    found = featx.search(_picture(folder), keys=keys, features=folder / STORE, layer="mean")
    write_contact_sheet(found, folder / "out-sheet.png")
    return found, _printed(write_matches, found)


def search_index(folder: Path) -> object:
    found = featx.search(_picture(folder), index=folder / INDEX)
    _check_finite(found.results)
    write_contact_sheet(found, folder / "out-sheet.png")
    return found, _printed(write_matches, found)


def fit(folder: Path) -> object:
    report = featx.fit_head(folder / STORE, layer="mean", output=folder / "out-head")
    return _printed(write_json, report.to_dict())


def predict(folder: Path) -> object:
    report = featx.predict(_picture(folder), head=folder / HEAD)
    _check_finite(report.predictions)
    return report, _printed(lambda made: write_predictions(made, ()), report.predictions)


STORE_SURFACES: dict[str, Surface] = {
    "read": read_store,
    "info": show_info,
    "verify": verify,
    "verify images": verify_images,
    "repair": repair,
    "export csv": export_as("out.csv"),
    "export npy": export_as("out.npy", layer="map", pool="none"),
    "export parquet": export_as("out.parquet"),
    "export tensorboard": export_as("out-board"),
    "merge": merge,
    "pack": pack,
    "extract": extract_again,
    "search": search_store,
    "fit-head": fit,
}
VIEW_SURFACES: dict[str, Surface] = {"read": read_view}
HEAD_SURFACES: dict[str, Surface] = {"read": read_head, "predict": predict}
INDEX_SURFACES: dict[str, Surface] = {"read": read_index, "search": search_index}


def _picture(folder: Path) -> Path:
    return next((folder / "photos" / "dark").glob("image*.png"))


def _printed(write: Callable[[Any], None], value: Any) -> str:
    """Return what is printed for scripts; it must be JSON as everybody reads it.

    Raises:
        OtherValues: If it is not: Python also writes NaN and Infinity, which are no JSON.
    """

    def refuse(text: str) -> None:
        raise OtherValues(f"{text} is no JSON")

    with contextlib.redirect_stdout(io.StringIO()) as output:
        write(value)
    for line in output.getvalue().splitlines():
        json.loads(line, parse_constant=refuse)
    return output.getvalue()


def _check_finite(results: Any) -> None:
    """Refuse results with numbers that are none."""
    for result in results:
        for value in _numbers(asdict(result)):
            if not math.isfinite(value):
                raise OtherValues(f"a result is {value}")


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, (float, np.floating)) else []
