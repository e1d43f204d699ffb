"""Which engine and precision are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from featx.checks.texts import check_choice
from featx.engines.engines import ENGINES, ComputeType, Engine, Quantizing
from featx.errors import InvalidValue, join_names
from featx.specs import DEFAULT_READ_PRECISION, Precision
from featx.wording import option

AUTO = "auto"
INT8: Literal["int8"] = "int8"
"""Only computed in where asked for."""

FAST: tuple[ComputeType, ...] = ("bfloat16", "mixed")
"""Precisions to try instead of float32, the fastest first."""


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """Which engine and precision are to compute.

    Attributes:
        engine: ``auto``, for the fastest, or the name of one in `featx.engines.engines.ENGINES`.
        precision: ``auto``, ``float32``, ``mixed``, ``bfloat16`` or ``int8``.
        stored_precision: The precision of the existing features, in which ``auto`` continues if
            this machine can; ``auto`` if there are none.
        quantized: The 8-bit network of the existing features, with which new ones are computed;
            empty if there are none.

    Raises:
        UnknownName: If there is no such engine or precision.
        InvalidValue: If the engine does not compute in the precision.

    Example:
        >>> EngineRequest("tensorflow", "bfloat16")
        Traceback (most recent call last):
        ...
        featx.errors.InvalidValue: The engine tensorflow computes in float32. For precision=...
    """

    engine: str = AUTO
    precision: Precision = "auto"
    stored_precision: Precision = "auto"
    quantized: str = ""

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, get_args(Precision))
        if self.engine == AUTO:
            return
        if self.engine not in ENGINES:
            check_choice("engine", self.engine, (AUTO, *ENGINES))
        precisions = precisions_of(ENGINES[self.engine])
        if self.precision not in (AUTO, *precisions):
            able = [name for name in ENGINES if self.precision in precisions_of(ENGINES[name])]
            raise InvalidValue(
                f"The engine {self.engine} computes in "
                f"{join_names(list(precisions), conjunction='and')}. "
                f"For {option('precision', self.precision)} take {option('engine', *able)}."
            )

    @property
    def asks_for_fast(self) -> bool:
        """Whether a precision other than float32 was asked for."""
        return self.precision in (*FAST, INT8)

    @property
    def wanted_precision(self) -> Precision:
        """The precision to begin with: what was asked for, else what is stored."""
        return self.stored_precision if self.precision == AUTO else self.precision


def request_reading(engine: str, precision: Precision | None) -> EngineRequest:
    """Return what computes features that no store keeps: of queries, or of arrays.

    Raises:
        InvalidValue: If it should be in 8 bits: only those of a run of `extract` are calibrated.
        UnknownName: If there is no such engine or precision.

    Example:
        >>> request_reading("auto", None).precision
        'float32'
    """
    if precision == INT8:
        raise InvalidValue(
            "8 bits are calibrated on the pictures of `extract`, and only it computes in them: "
            f"{option('precision', 'float32', 'bfloat16', 'mixed')}."
        )
    return EngineRequest(engine, precision or DEFAULT_READ_PRECISION)


def precisions_of(engine: Engine) -> tuple[ComputeType, ...]:
    """Return the precisions that an engine can be asked for."""
    return (*engine.precisions, *((INT8,) if isinstance(engine, Quantizing) else ()))
