"""The shipped lists of layers of Keras applications: what building shows, and no other network."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import featx
from featx.models import application_layers, load_model
from featx.models.application_layers import (
    LISTS,
    describe_listed,
    find_listed,
    identify_applications,
    write_lists,
)
from featx.models.backbone import Backbone, Layer, ModelRequest
from featx.models.contracts import APPLICATIONS
from featx.models.sources import SOURCES
from featx.options import InputOptions
from featx.user_cache import CACHE_VARIABLE

QUICK = ("MobileNetV3Small", "VGG16", "EfficientNetB0")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


def test_every_application_has_a_list_made_with_this_keras() -> None:
    """Else run: python docs/make_layers.py."""
    for name in APPLICATIONS:
        listed = find_listed(ModelRequest(name, weights="random"))
        assert listed is not None, name
        assert len(listed.features()) > 20
    assert LISTS.stat().st_size < 250_000


def test_the_shell_lists_an_application_without_tensorflow_and_keras() -> None:
    code = """
import sys
from featx.__main__ import run
sys.argv = ["featx", "layers", "keras:VGG19", "block5_*", "--json"]
try:
    run()
finally:
    for name in ("tensorflow", "keras", "h5py", "openvino"):
        assert name not in sys.modules, name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["name"], last["shape"], last["index"]) == ("block5_pool", [7, 7, 512], 21)
    assert (last["stride"], last["receptive_field"], last["parameters"]) == (32, 268, 20024384)


@pytest.mark.parametrize(
    "request_",
    [
        ModelRequest("VGG19", {"include_top": False}, "random"),
        ModelRequest("VGG19", weights="imagenet"),
        ModelRequest("VGG19", weights="vgg19.h5"),
        ModelRequest("VGG19", weights="random", overrides=InputOptions(img_size=96)),
        ModelRequest("VGG19", weights="random", overrides=InputOptions(preprocess="tf")),
        ModelRequest("VGG91", weights="random"),
    ],
)
def test_another_network_than_the_default_is_built(request_: ModelRequest) -> None:
    assert SOURCES["keras"].describe(request_) is None


@pytest.mark.parametrize("damage", ["gone", "no zip", "other keras", "other fields", "no columns"])
def test_a_list_that_is_not_of_this_keras_or_damaged_is_not_believed(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(LISTS) as lists:
        facts = json.loads(lists.read("VGG19.json"))
    path = tmp_path / "lists.zip"
    monkeypatch.setattr(application_layers, "LISTS", path)
    request = ModelRequest("VGG19", weights="random")
    write_lists(path, {"VGG19": facts})
    assert find_listed(request) is not None
    if damage == "gone":
        path.unlink()
    elif damage == "no zip":
        path.write_bytes(b"PK")
    else:
        change: dict[str, Any] = {
            "other keras": {"made_with": "0" * 64},
            "other fields": {"columns": {**facts["columns"], "colour": []}},
            "no columns": {"columns": None},
        }[damage]
        write_lists(path, {"VGG19": facts | change})
    assert find_listed(request) is None


def test_a_table_of_a_list_builds_the_model_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[ModelRequest] = []

    def load(request: ModelRequest) -> Backbone:
        built.append(request)
        return load_model("builtin:mini")

    monkeypatch.setattr(SOURCES["keras"], "load", load, raising=False)
    table = featx.layers("keras:VGG19", "block5_*")
    assert "VGG19" in str(table)
    assert "VGG19" in table._repr_html_()
    assert built == []
    assert table.backbone is table[1:].backbone
    assert [request.name for request in built] == ["VGG19"]


def test_lists_are_written_alike(tmp_path: Path) -> None:
    lists = {"B": {"columns": {each.name: [] for each in fields(Layer)}}, "A": {}}
    for name in ("one.zip", "two.zip"):
        write_lists(tmp_path / name, dict(reversed(lists.items())))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert identify_applications() is not None


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", [*QUICK, *(name for name in APPLICATIONS if name not in QUICK)])
def test_a_list_is_what_building_shows(name: str) -> None:
    listed = find_listed(ModelRequest(name, weights="random"))
    built = load_model(f"keras:{name}", weights="random")
    assert listed is not None
    assert describe_listed(listed) == describe_listed(built)
    assert listed.spec.reference == built.spec.reference
    assert listed.spec.input == built.spec.input
