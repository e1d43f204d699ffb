"""The files of a SavedModel, examined without TensorFlow."""

from __future__ import annotations

import os.path
from pathlib import Path

GRAPH_NAME = "saved_model.pb"
"""The file that makes a folder a SavedModel."""

TF1_MODULE_NAME = "tfhub_module.pb"
"""What modules of TensorFlow Hub for TF1 hold beside their graph. Those for TF2 have no such mark:
they are recognised when they are loaded."""


def is_savedmodel(path: str) -> bool:
    """Whether a path is the folder of a SavedModel.

    `os.path` rather than `Path`: text that cannot be a path at all is then just not one.
    """
    return os.path.isfile(os.path.join(path, GRAPH_NAME))


def is_tf1_module(path: str) -> bool:
    """Whether a path is the folder of a module of TensorFlow Hub for TF1."""
    return is_savedmodel(path) and os.path.isfile(os.path.join(path, TF1_MODULE_NAME))


def savedmodel_files(folder: Path) -> list[Path]:
    """Return the files of a SavedModel that decide what it computes: its graph and its weights.

    Of one that is packed, that is the archive.
    """
    if folder.is_file():
        return [folder]
    return [folder / GRAPH_NAME, *sorted((folder / "variables").glob("*"))]
