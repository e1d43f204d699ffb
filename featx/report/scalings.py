"""What ``--preprocess try`` prints: one line for each scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from featx.report.drawing import make_table, print_result
from featx.report.json_lines import write_json
from featx.wording import option

if TYPE_CHECKING:
    from featx.heads.scaling_trial import ScalingTrial


def show_scalings(trials: Sequence[ScalingTrial], *, as_json: bool = False) -> None:
    """Draw a table, and say how it is read; or write a line of JSON for each scaling."""
    if as_json:
        for trial in trials:
            write_json(asdict(trial))
        return
    has_classes = any(trial.confidence is not None for trial in trials)
    headers = [
        option("preprocess"),
        *(["confidence", "entropy", "classes"] * has_classes),
        "spread",
    ]
    table = make_table(*headers, right=range(1, len(headers)))
    for trial in trials:
        cells = [trial.confidence, trial.entropy]
        classes = ["" if cell is None else f"{cell:.3f}" for cell in cells]
        classes.append("" if trial.num_classes is None else str(trial.num_classes))
        spread = "not finite" if trial.spread is None else f"{trial.spread:.4f}"
        table.add_row(trial.scaling, *(classes * has_classes), spread)
    print_result(table)
    print_result(_explain(trials[0], has_classes))


def _explain(trial: ScalingTrial, has_classes: bool) -> str:
    pictures = f"{trial.num_pictures} picture{'s' * (trial.num_pictures != 1)}"
    if has_classes:
        reading = (
            "The right scaling usually makes a network sure of pictures like those it was trained "
            "on: high confidence, low entropy (in bits), several classes."
        )
    else:
        reading = "The right scaling usually lets a network tell pictures apart: a large spread."
    return (
        f"Values of {trial.layer} for {pictures}. {reading} Nothing was chosen and nothing was "
        f"written: repeat the command with {option('preprocess', 'NAME')}."
    )
