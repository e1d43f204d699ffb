"""A confusion matrix as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from featx.report.text import printable

if TYPE_CHECKING:
    from featx.heads.evaluation import Evaluation

MAX_CLASSES = 30
"""Most classes that are drawn: a matrix is for looking at."""

CELL = 36
"""Width and height of a cell, in pixels."""

LONGEST_NAME = 24
"""Characters of a class's name; the rest is cut."""

MARGIN = 12
INK, PAPER, GREY = (32, 32, 32), (255, 255, 255), (120, 120, 120)
RIGHT, WRONG = (38, 110, 190), (200, 60, 48)


def draw_confusion_matrix(evaluation: Evaluation) -> Image.Image:
    """Draw how many images of each true class (rows) were taken for which class (columns).

    The colour of a cell is its share of the row: blue where it is right, red where it is wrong.
    """
    names, counts = _choose_classes(*count_pairs(evaluation))
    font = ImageFont.load_default(size=13)
    labels = [_shorten(name) for name in names]
    side = max((round(font.getlength(label)) for label in labels), default=0) + MARGIN
    start = MARGIN + side
    size = start + len(names) * CELL + MARGIN
    left_out = len(evaluation.classes) - len(names)
    more = f"; {left_out} classes with fewer confusions are left out" if left_out else ""
    legend = f"rows: true, columns: predicted; accuracy {evaluation.accuracy:.3f}{more}"
    width = max(size, round(font.getlength(legend)) + 2 * MARGIN)
    sheet = Image.new("RGB", (width, size + 24), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, label in enumerate(labels):
        middle = start + number * CELL + CELL // 2
        draw.text((start - 8, middle), label, INK, font, anchor="rm")
        _write_upwards(sheet, label, (middle, start - 8), font)
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            share = count / max(1, line.sum())
            left, top = start + column * CELL, start + row * CELL
            color = _blend(RIGHT if row == column else WRONG, share)
            draw.rectangle((left, top, left + CELL - 2, top + CELL - 2), fill=color)
            if count:
                ink = PAPER if share > 0.5 else INK
                draw.text((left + CELL // 2, top + CELL // 2), f"{count}", ink, font, anchor="mm")
    draw.text((MARGIN, size), legend, GREY, font)
    return sheet


def count_pairs(evaluation: Evaluation) -> tuple[list[str], np.ndarray]:
    """Return the C class names and the counts, (C, C): true classes × predicted ones.

    Example:
        >>> from featx.heads.evaluation import measure_classes
        >>> predicted = np.eye(2)[[0, 1, 1]]
        >>> measured = measure_classes(predicted, np.array([0, 0, 1]), ("cat", "dog"))
        >>> count_pairs(measured)[1].tolist()
        [[1, 1], [0, 1]]
    """
    names = [line.name for line in evaluation.classes]
    numbers = {name: number for number, name in enumerate(names)}
    counts = np.diag([line.support for line in evaluation.classes])
    for true, other, count in evaluation.confusions:
        counts[numbers[true], numbers[other]] += count
        counts[numbers[true], numbers[true]] -= count
    return names, counts


def _choose_classes(names: list[str], counts: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the classes that are most often taken for others, in their order."""
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    chosen = np.sort(np.argsort(-wrong, kind="stable")[:MAX_CLASSES])
    return [names[number] for number in chosen], counts[np.ix_(chosen, chosen)]


def _write_upwards(
    sheet: Image.Image,
    text: str,
    foot: tuple[int, int],
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    """Write a name from a point upwards."""
    strip = Image.new("RGB", (round(font.getlength(text)) + 2, 18), PAPER)
    ImageDraw.Draw(strip).text((0, 9), text, INK, font, anchor="lm")
    turned = strip.rotate(90, expand=True)
    sheet.paste(turned, (foot[0] - turned.width // 2, foot[1] - turned.height))


def _blend(color: tuple[int, int, int], share: float) -> tuple[int, ...]:
    shown = 0.06 + 0.94 * share if share else 0.04
    return tuple(round(255 + shown * (channel - 255)) for channel in color)


def _shorten(name: str) -> str:
    text = printable(name)
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"
