"""A graph that a later run converts, without loading its model again."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from featx.engines.engines import Results
from featx.engines.graph import NotConvertible
from featx.engines.stored_graph import GraphModel, read_graph, save_graph
from featx.errors import first_line

RESULTS_NAME = "results.npz"


@dataclass(frozen=True, slots=True)
class KeptGraph:
    """A graph, and what the engine that loaded its model computed of some images.

    Attributes:
        model: The graph, and how its pixels are scaled.
        pixels: The images: uint8 (B, H, W, C).
        results: Their layers.
    """

    model: GraphModel
    pixels: np.ndarray
    results: Results

    def save(self, folder: Path) -> None:
        """Write it into an empty folder.

        Raises:
            NotConvertible: If the graph is not bytes.
        """
        save_graph(self.model, folder)
        layers = {str(number): rows for number, rows in enumerate(self.results.values())}
        # A cache may be shared, but the pictures are nobody else's.
        with open(folder / RESULTS_NAME, "wb", opener=partial(os.open, mode=0o600)) as file:
            np.savez(file, allow_pickle=False, pixels=self.pixels, **layers)


def read_kept(folder: Path, names: Sequence[str]) -> KeptGraph:
    """Read what `KeptGraph.save` wrote.

    Args:
        folder: The folder.
        names: The layers, in their order.

    Raises:
        NotConvertible: If it cannot be read.
    """
    try:
        with np.load(folder / RESULTS_NAME, allow_pickle=False) as arrays:
            results = {name: arrays[str(number)] for number, name in enumerate(names)}
            return KeptGraph(read_graph(folder), arrays["pixels"], results)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise NotConvertible(first_line(error)) from error
