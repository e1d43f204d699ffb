"""The layers of Keras applications, without building them: lists that are shipped with featx.

``docs/make_layers.py`` makes them of the built networks. A list is believed where Keras's own files
of applications are those that it was made with, so that it is what building would show.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from typing import Any

from featx.input_spec import DECODE_MARGIN
from featx.models.backbone import Beginning, Described, Layer, ModelRequest
from featx.models.contracts import APPLICATIONS
from featx.options import InputOptions
from featx.specs import ModelSpec, with_input

LISTS = Path(__file__).with_name("application_layers.zip")
"""A JSON document for each application."""

UNKNOWN = ""
"""The hash of weights that there are not."""


class ListedApplication:
    """An application with random weights, at its own size, described by a shipped list.

    Args:
        name: The application.
        facts: Its list.
    """

    def __init__(self, name: str, facts: dict[str, Any]) -> None:
        contract = APPLICATIONS[name].contract()
        spec = ModelSpec("keras", name, (), "random", UNKNOWN, contract)
        self.spec = with_input(spec, decode_margin=DECODE_MARGIN)
        self.num_layers: int | None = facts["num_layers"]
        self.notes: Sequence[str] = facts["notes"]
        self.beginning = Beginning(**facts["beginning"])
        rows = zip(*facts["columns"].values(), strict=True)
        self._layers = tuple(
            Layer.from_dict(dict(zip(facts["columns"], row, strict=True))) for row in rows
        )

    def features(self) -> Sequence[Layer]:
        """Describe every layer, in the order of computation."""
        return self._layers


def find_listed(request: ModelRequest) -> ListedApplication | None:
    """Return what is known of an application as it is built by default; None for any other request.

    Other arguments, sizes and weights give other layers: such networks are built.
    """
    is_default = (
        request.weights == "random"
        and not request.arguments
        and request.overrides == InputOptions()
        and request.name in APPLICATIONS
    )
    if not is_default:
        return None
    try:
        with zipfile.ZipFile(LISTS) as lists:
            facts = json.loads(lists.read(f"{request.name}.json"))
        is_known = facts["made_with"] == identify_applications() and (
            list(facts["columns"]) == [each.name for each in fields(Layer)]
        )
        return ListedApplication(request.name, facts) if is_known else None
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile):
        return None  # As without it: the network is built.


def describe_listed(backbone: Described) -> dict[str, Any]:
    """Return the list of a built application, to be shipped."""
    layers = [layer.to_dict() for layer in backbone.features()]
    return {
        "made_with": identify_applications(),
        "num_layers": backbone.num_layers,
        "notes": list(backbone.notes),
        "beginning": asdict(backbone.beginning),
        "columns": {each.name: [layer[each.name] for layer in layers] for each in fields(Layer)},
    }


@cache
def identify_applications() -> str | None:
    """Return the SHA-256 of the files with which Keras builds applications; None if not found."""
    try:
        found = importlib.metadata.distribution("keras").locate_file("keras/src/applications")
        digest = hashlib.sha256()
        for path in sorted(Path(str(found)).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()
    except (OSError, importlib.metadata.PackageNotFoundError):
        return None


def write_lists(path: Path, lists: dict[str, dict[str, Any]]) -> None:
    """Write the lists of applications: the same bytes for the same lists."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, facts in sorted(lists.items()):
            text = json.dumps(facts, separators=(",", ":"))
            archive.writestr(zipfile.ZipInfo(f"{name}.json"), text, zipfile.ZIP_DEFLATED, 9)
