"""What can be named with ``-m``, with its size, before anything is loaded."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from featx.models.builtin import MINI, read_card
from featx.models.contracts import APPLICATIONS
from featx.models.mini_network import MINI_SIZE

DOWNLOADS: dict[str, tuple[float, float]] = {
    "ConvNeXtTiny": (28.6, 109),
    "ConvNeXtSmall": (50.2, 192),
    "ConvNeXtBase": (88.6, 339),
    "ConvNeXtLarge": (197.8, 755),
    "ConvNeXtXLarge": (350.2, 1310),
    "DenseNet121": (8.1, 33),
    "DenseNet169": (14.3, 57),
    "DenseNet201": (20.2, 80),
    "EfficientNetB0": (5.3, 29),
    "EfficientNetB1": (7.9, 31),
    "EfficientNetB2": (9.2, 36),
    "EfficientNetB3": (12.3, 48),
    "EfficientNetB4": (19.5, 75),
    "EfficientNetB5": (30.6, 118),
    "EfficientNetB6": (43.3, 166),
    "EfficientNetB7": (66.7, 256),
    "EfficientNetV2B0": (7.2, 29),
    "EfficientNetV2B1": (8.2, 34),
    "EfficientNetV2B2": (10.2, 42),
    "EfficientNetV2B3": (14.5, 59),
    "EfficientNetV2S": (21.6, 88),
    "EfficientNetV2M": (54.4, 220),
    "EfficientNetV2L": (119.0, 479),
    "InceptionResNetV2": (55.9, 215),
    "InceptionV3": (23.9, 92),
    "MobileNet": (4.3, 16),
    "MobileNetV2": (3.5, 14),
    "MobileNetV3Large": (5.5, 22),
    "MobileNetV3Small": (2.6, 10),
    "NASNetLarge": (88.9, 343),
    "NASNetMobile": (5.3, 23),
    "ResNet50": (25.6, 98),
    "ResNet101": (44.7, 171),
    "ResNet152": (60.4, 232),
    "ResNet50V2": (25.6, 98),
    "ResNet101V2": (44.7, 171),
    "ResNet152V2": (60.4, 232),
    "VGG16": (138.4, 528),
    "VGG19": (143.7, 549),
    "Xception": (22.9, 88),
}
"""Millions of parameters and MB of ImageNet weights, with the classifier (the table of
https://keras.io/api/applications/; MobileNetV3, which it leaves out, by `count_params`)."""


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One model that can be named.

    Attributes:
        reference: What ``-m`` takes.
        size: Height and width of its input, in pixels.
        parameters: Number of weights, in millions.
        download: MB that are downloaded once; 0 for the built-in.
    """

    reference: str
    size: int
    parameters: float
    download: float


def list_models(pattern: str | None = None) -> list[CatalogueEntry]:
    """List the built-in backbone and all Keras applications.

    Args:
        pattern: A glob over references or bare names, in any case; None for all.

    Example:
        >>> [entry.reference for entry in list_models("*v3*")][:2]
        ['keras:InceptionV3', 'keras:MobileNetV3Large']
    """
    parameters = read_card().parameters / 1e6
    entries = [CatalogueEntry(f"builtin:{MINI}", MINI_SIZE, parameters, 0.0)]
    for name, application in APPLICATIONS.items():
        millions, megabytes = DOWNLOADS[name]
        entries.append(CatalogueEntry(f"keras:{name}", application.size, millions, megabytes))
    if pattern is None:
        return entries
    wanted = pattern.casefold()
    return [
        entry
        for entry in entries
        if fnmatch.fnmatchcase(entry.reference.casefold(), wanted)
        or fnmatch.fnmatchcase(entry.reference.partition(":")[2].casefold(), wanted)
    ]
