"""8 bits: convolutions in integers whose ranges are calibrated on pictures, by NNCF.

NNCF is OpenVINO's own library for it (``featx[int8]``). It reports its use to Intel where
``openvino-telemetry`` is installed and nobody has declined. featx imports it without that package,
and calls the function behind the one that reports, so that nothing is sent or written.

Weights get a scale for each output channel. Biases are corrected one layer after the other, by
what rounding changes at the mean of the pictures: of small networks that keeps twice as much as
correcting all at once (``benchmarks/LOG.md``).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from featx.engines.graph import NotConvertible
from featx.errors import InvalidValue
from featx.forks import ProcessLock
from featx.host import (
    importing_without,
    importing_without_reports,
    printing_to_stderr,
    quiet_loggers,
)

_CONVOLUTIONS = ("Convolution", "GroupConvolution")
_NOT_NEEDED = ("torch", "onnx", "tensorflow")
"""What NNCF imports if it is there: most of the time of its import."""

_importing = ProcessLock()
_quieting = ProcessLock()


def quantize(model: Any, images: Sequence[np.ndarray]) -> Any:
    """Return a model that computes its convolutions and products in 8 bits.

    Args:
        model: An OpenVINO model of uint8 pixels (B, H, W, C); not modified.
        images: The pictures that it is calibrated on: uint8 (H, W, C).

    Raises:
        InvalidValue: If NNCF is not installed.
        NotConvertible: If it has no convolutions.
    """
    from openvino._offline_transformations import apply_moc_transformations

    if not any(node.get_type_name() in _CONVOLUTIONS for node in model.get_ordered_ops()):
        raise NotConvertible("it has no convolutions")
    nncf = import_nncf()
    model = model.clone()
    apply_moc_transformations(model, True)  # Batch normalisation goes into the weights.
    with printing_to_stderr(), quiet_loggers("nncf"), _without_bars():
        quantized = inspect.unwrap(nncf.quantize)(
            model,
            nncf.Dataset([image[None] for image in images]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            fast_bias_correction=False,
        )
    return quantized


def import_nncf() -> Any:
    """Import NNCF without what would report its use.

    Raises:
        InvalidValue: If it is not installed.
    """
    with _importing, importing_without(_NOT_NEEDED), importing_without_reports():
        try:
            import nncf
        except ImportError as error:
            raise InvalidValue(
                f"8 bits need the library nncf ({error}): pip install 'featx[int8]'"
            ) from error
    return nncf


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep NNCF's progress bars off stdout: they are drawn on the console that rich shares."""
    from rich import get_console  # NNCF needs rich, and has no setting for it.

    console = get_console()
    with _quieting:  # Of two threads, each would take the other's setting for the one before.
        before, console.quiet = console.quiet, True
        try:
            yield
        finally:
            console.quiet = before
