"""Model sources of other packages: found by entry points, recorded, missed when they are gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import featx
from featx.errors import ModelError, NotInstalled
from featx.models import SOURCES, load_model, restore_model
from featx.models.backbone import Backbone, ModelRequest
from featx.models.sources import ModelSource, usable_sources
from featx.options import InputOptions
from featx.specs import ModelSpec
from featx.testing import toy_model, write_images
from featx.testing.contracts.models import ModelCase, ModelSourceContract
from featx.testing.toy import load as load_toy

SOURCE = """
from dataclasses import replace
from featx.models.sources import ModelSource
from featx.testing import toy

class Source(ModelSource):
    spellings = ("shop:NAME",)
    bare = "a .shop file"

    def load(self, request):
        backbone = toy.load(request)
        backbone.spec = replace(backbone.spec, source="shop")
        return backbone

    def reads(self, name):
        return name.endswith(".shop")
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an installed package that brings the source ``shop`` and a broken one."""
    folder = tmp_path / "site"
    info = folder / "featx_shop-2.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: featx-shop\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text(
        "[featx.models]\nshop = featx_shop:SOURCE\nbroken = featx_shop_that_is_missing:SOURCE\n"
    )
    (folder / "featx_shop.py").write_text(SOURCE + "\nSOURCE = Source()\n")
    return folder


def run(code: str, folder: Path, *site: Path) -> Any:
    """Run a program in a process of its own; return the JSON that it prints."""
    paths = [*map(str, site), str(Path(featx.__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, "-c", f"import json, featx\n{code}"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_store_of_an_add_on_says_what_to_install(site: Path, tmp_path: Path) -> None:
    write_images(3, tmp_path / "photos")
    spec, package, version = run(
        "featx.extract('photos', model='net.shop', layers=['mean'], output='f.h5')\n"
        "with featx.open_store('f.h5') as store:\n"
        "    run = store.header.runs[0]\n"
        "    model = store.header.model\n"
        "print(json.dumps([model.to_dict(), model.package, run['featx-shop']]))",
        tmp_path,
        site,
    )
    assert (spec["source"], package, version) == ("shop", "featx-shop", "2.5")
    message, count = run(
        "from featx.errors import NotInstalled\n"
        "try:\n"
        "    featx.search('photos/image_1.png', features='f.h5')\n"
        "except NotInstalled as error:\n"
        "    message = str(error)\n"
        "with featx.open_store('f.h5') as store:\n"
        "    count = len(store.keys)\n"
        "print(json.dumps([message, count]))",
        tmp_path,
    )
    assert message == (
        "The model 'shop:net.shop' that made these features needs the model source 'shop', which "
        "is not installed. It comes with the package 'featx-shop': pip install featx-shop."
    )
    assert count == 3


def test_a_broken_add_on_hides_no_other_model(site: Path, tmp_path: Path) -> None:
    names, text, broken = run(
        "from featx.errors import AddOnError\n"
        "from featx.models.reference import parse_reference\n"
        "from featx.models.sources import describe_bare_names\n"
        "try:\n"
        "    parse_reference('broken:net')\n"
        "except AddOnError as error:\n"
        "    broken = str(error)\n"
        "names = [parse_reference(name)[0] for name in ('VGG19', 'net.shop')]\n"
        "print(json.dumps([names, describe_bare_names(), broken]))",
        tmp_path,
        site,
    )
    assert names == ["keras", "shop"]
    assert text.endswith("or a .shop file")
    assert "of the package 'featx-shop' cannot be loaded: ModuleNotFoundError" in broken


def test_a_missing_source_is_named_without_its_package_where_that_is_not_known() -> None:
    spec = load_model(toy_model()).spec
    SOURCES.remove("toy")
    with pytest.raises(NotInstalled, match="needs the model source 'toy', which is not installed"):
        restore_model(spec)


def test_the_package_is_not_part_of_the_identity() -> None:
    spec = load_model("builtin:mini").spec
    data = spec.to_dict()
    assert "package" not in data
    other = ModelSpec.from_dict(data | {"package": "featx-shop"})
    assert other.package == "featx-shop"
    assert ModelSpec.from_dict(other.to_dict()).package == "featx-shop"
    assert other == spec
    assert other.fingerprint == spec.fingerprint


@pytest.fixture
def careless() -> Iterator[str]:
    """A model whose source ignores changes to its input and does not say what computes it."""

    class Careless(ModelSource):
        spellings = ("careless:NAME",)

        def load(self, request: ModelRequest) -> Backbone:
            backbone = load_toy(replace(request, overrides=InputOptions()))
            backbone.spec = replace(backbone.spec, source="careless")
            backbone.run_facts = {}
            return backbone

    SOURCES.add("careless", Careless())
    yield "careless:colors"
    SOURCES.remove("careless")


def test_a_source_that_ignores_what_it_is_asked_for_is_refused(careless: str) -> None:
    assert load_model(careless).spec.input.height == 8
    assert load_model(careless, img_size=(8, 8)).spec.input.height == 8
    message = (
        "The model source 'careless' does not prepare images as it was asked to: height 64, "
        "width 32, resize crop. Received: height 8, width 8, resize stretch. Leave out that option."
    )
    with pytest.raises(ModelError) as caught:
        load_model(careless, img_size=(64, 32), resize="crop")
    assert str(caught.value) == message


def test_the_contract_finds_such_a_source(careless: str) -> None:
    contract, case = ModelSourceContract(), ModelCase(careless, ("map", "mean"))
    backbone = case.load()
    with pytest.raises(AssertionError, match="run_facts is empty, and there is no graph"):
        contract.test_run_facts_say_what_computes_it(backbone, ["mean"])
    with pytest.raises(AssertionError, match="img_size was ignored"):
        contract.test_another_size_is_obeyed_or_refused(case, backbone)
    with pytest.raises(AssertionError, match="resize was ignored"):
        contract.test_another_way_to_fit_images_is_obeyed(case, backbone)


def test_every_source_describes_itself() -> None:
    for name, source in usable_sources():
        assert bool(source.spellings) != source.takes_only_objects, name
        assert all(text.partition(":")[0] == name for text in source.spellings), name


def test_a_source_needs_nothing_but_load(toy: str) -> None:
    source: ModelSource = SOURCES["toy"]
    assert not source.reads("colors")
    assert source.files("colors", None) is None
    assert list(source.list_models()) == []
