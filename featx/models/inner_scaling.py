"""Scaling inside a network: what it does with pixels first, and which pixels that is made for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from featx.errors import join_names
from featx.images.preprocess import CAFFE_MEAN, TORCH_MEAN, TORCH_STD
from featx.input_spec import InputSpec, Scaling
from featx.wording import option

_LARGEST = 16
"""Scaled pixels are in [-16, 16] in every usual preprocessing but for that of Caffe."""

_MIDDLE = 255 / 2
_RANGES: dict[Scaling, tuple[int, int]] = {"raw": (0, 255), "unit": (0, 1), "tf": (-1, 1)}


@dataclass(frozen=True, slots=True)
class InnerScaling:
    """How a network begins: ``factor * pixel + offset`` for each channel.

    Attributes:
        names: The layers or operations that do it; none where they have no names.
        factor: Of each channel, or of all alike.
        offset: The same.
        scaling: How it wants its pixels for that; None where this is not certain.
        likely: How it probably wants them; None where there is no telling.
    """

    names: tuple[str, ...]
    factor: np.ndarray
    offset: np.ndarray
    scaling: Scaling | None
    likely: Scaling | None = None

    @property
    def title(self) -> str:
        """Its names, as a sentence calls them."""
        return join_names([repr(name) for name in self.names], conjunction="and") or "arithmetic"

    def describe(self) -> str:
        """Say in a sentence what it does with pixels.

        Example:
            >>> recognize_scaling(("scale",), np.array([1 / 127.5]), np.array([-1.0])).describe()
            "begins with 'scale': from [0, 255] to [-1, 1]"
        """
        if self.likely in _RANGES:
            low, high = _RANGES[self.likely]
            ends = np.array([low * self.factor + self.offset, high * self.factor + self.offset])
            result = f"[{_format(ends.min())}, {_format(ends.max())}]"
            likely = "" if self.scaling else " probably"
            return f"begins with {self.title}:{likely} from [{low}, {high}] to {result}"
        mean, deviation = -self.offset / self.factor, 1 / np.abs(self.factor)
        return (
            f"begins with {self.title}: pixels less {format_channels(mean)}, divided by "
            f"{format_channels(deviation)}"
        )

    def warn(self, asked: Scaling | None) -> str:
        """Say why a scaling that was asked for is wrong; nothing if it is not, or not known."""
        if self.scaling is None or asked in (None, self.scaling):
            return ""
        return (
            f"{option('preprocess', asked)} and the model both scale the pixels: it "
            f"{self.describe()}. Leave the option out, or use {option('preprocess', self.scaling)}"
        )


def format_channels(values: np.ndarray) -> str:
    """Write a number for each channel, or one where all are alike.

    Example:
        >>> format_channels(np.array([0.5, 0.5])), format_channels(np.array([0.5, 1]))
        ('0.5', '(0.5, 1)')
    """
    texts = list(dict.fromkeys(_format(value) for value in values))
    return texts[0] if len(texts) == 1 else f"({', '.join(_format(v) for v in values)})"


def _format(value: float) -> str:
    return f"{value + 0.0:.4g}"


class _Found(Protocol):
    """What is known of the pixels that a model takes."""

    @property
    def scaling(self) -> Scaling | None:
        """The scaling, where it is certain."""
        ...


def own_contract(contract: InputSpec, inner: _Found | None) -> InputSpec:
    """Return an input contract with the scaling that suits what a network does first."""
    return replace(contract, scaling=None if inner is None else inner.scaling)


def recognize_scaling(
    names: tuple[str, ...], factor: np.ndarray, offset: np.ndarray
) -> InnerScaling:
    """Tell how a model wants its pixels from the scaling that it begins with.

    ``raw`` if it brings pixels from [0, 255] to small numbers, or takes ImageNet's mean RGB or the
    middle of that range from them; ``unit`` if it continues from [0, 1] with ImageNet's mean and
    deviation, as torchvision does; None if it cannot be told.

    Args:
        names: The layers or operations that scale.
        factor: Of each channel, or of all alike.
        offset: The same.

    Example:
        >>> recognize_scaling((), np.array([1 / 127.5]), np.array([-1.0])).scaling
        'raw'
        >>> recognize_scaling((), np.array([2.0]), np.array([-1.0])).likely
        'unit'
    """
    scaling = _recognize(factor, offset)
    return InnerScaling(names, factor, offset, scaling, scaling or _guess(factor, offset))


def _recognize(factor: np.ndarray, offset: np.ndarray) -> Scaling | None:
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, deviation = -offset / factor, 1 / factor
    largest = np.maximum(np.abs(offset), np.abs(255 * factor + offset)).max()
    if np.isfinite(largest) and largest <= _LARGEST:
        return "raw"
    is_colour = factor.size in (1, len(CAFFE_MEAN))  # ImageNet has no fourth channel.
    if is_colour and np.allclose(factor, 1, rtol=1e-3):
        # In BGR it would be the mean of pixels that are turned already.
        colours = [CAFFE_MEAN, np.array([_MIDDLE])]
        return "raw" if any(np.allclose(mean, colour, atol=1) for colour in colours) else None
    if is_colour and np.allclose(mean, TORCH_MEAN, rtol=0.02):
        return "unit" if np.allclose(deviation, TORCH_STD, rtol=0.02) else None
    return None


def _guess(factor: np.ndarray, offset: np.ndarray) -> Scaling | None:
    """Guess from mean and deviation: of photographs in [0, 1] they are near 0.45 and 0.27."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, deviation = -offset / factor, 1 / np.abs(factor)
    if ((mean > 0.2) & (mean < 0.8) & (deviation < 0.6)).all():
        return "unit"
    is_centred = (np.abs(mean) < 0.4) & (deviation > 0.3) & (deviation < 0.8)
    return "tf" if is_centred.all() or np.allclose(mean, -1, atol=0.01) else None


def continues_scaling(factor: np.ndarray, offset: np.ndarray) -> bool:
    """Whether a scaling goes on from [0, 1] to [-1, 1], or the other way.

    Example:
        >>> continues_scaling(np.array([0.5]), np.array([0.5]))
        True
    """
    return any(
        np.allclose(factor, expected, rtol=0.01) and np.allclose(offset, start, rtol=0.01)
        for expected, start in ((2, -1), (0.5, 0.5), (_MIDDLE, _MIDDLE))
    )
