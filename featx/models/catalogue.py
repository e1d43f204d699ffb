"""What can be named with ``-m``, with its size, before anything is loaded."""

from __future__ import annotations

import fnmatch
import os
from dataclasses import dataclass
from pathlib import Path

from featx.models.builtin import MINI, WEIGHTS_FOLDER, Measurement, read_card
from featx.models.contracts import APPLICATIONS
from featx.models.mini_network import EMBEDDING_WIDTH, MINI_SIZE


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One model that can be named.

    Attributes:
        reference: What ``-m`` takes.
        size: Height and width of its input, in pixels.
        parameters: Number of weights, in millions.
        width: Values of its feature vector.
        megabytes: Size of its weights.
        on_disk: Whether these are here already, so that nothing has to be downloaded.
        location: Where they lie, or would.
        measurements: What was measured of its features; of the built-in alone.
    """

    reference: str
    size: int
    parameters: float
    width: int
    megabytes: float
    on_disk: bool
    location: str
    measurements: tuple[Measurement, ...] = ()

    @property
    def is_built_in(self) -> bool:
        """Whether featx itself brings the weights."""
        return self.reference.startswith("builtin:")


def keras_models_folder() -> Path:
    """Return where Keras keeps downloaded weights, by the rule of Keras (`keras.config`)."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        base = os.path.expanduser("~")
        home = os.path.join(base if os.access(base, os.W_OK) else "/tmp", ".keras")
    return Path(home) / "models"


def list_models(pattern: str | None = None) -> list[CatalogueEntry]:
    """List the built-in backbone and all Keras applications.

    Args:
        pattern: A glob over references or bare names, in any case; None for all.

    Example:
        >>> [entry.reference for entry in list_models("*v3*")][:2]
        ['keras:InceptionV3', 'keras:MobileNetV3Large']
    """
    card, weights = read_card(), WEIGHTS_FOLDER / f"{MINI}.npz"
    entries = [
        CatalogueEntry(
            reference=f"builtin:{MINI}",
            size=MINI_SIZE,
            parameters=card.parameters / 1e6,
            width=EMBEDDING_WIDTH,
            megabytes=round(weights.stat().st_size / 1e6, 1),
            on_disk=True,
            location=str(weights),
            measurements=card.measurements,
        )
    ]
    folder = keras_models_folder()
    for name, application in APPLICATIONS.items():
        location = folder / application.weights_file
        entries.append(
            CatalogueEntry(
                reference=f"keras:{name}",
                size=application.size,
                parameters=application.parameters,
                width=application.width,
                megabytes=application.megabytes,
                on_disk=location.is_file(),
                location=str(location),
            )
        )
    if pattern is None:
        return entries
    wanted = pattern.casefold()
    return [
        entry
        for entry in entries
        if fnmatch.fnmatchcase(entry.reference.casefold(), wanted)
        or fnmatch.fnmatchcase(entry.reference.partition(":")[2].casefold(), wanted)
    ]
