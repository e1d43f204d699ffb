"""The demo: real handwritten digits through the whole chain."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from featx.errors import InvalidValue
from featx.events import Listener
from featx.extraction import ExtractReport, extract
from featx.heads import FitReport, PredictReport, fit_head, predict
from featx.index import SearchReport, search
from featx.report.contact_sheet import write_contact_sheet

PICTURE_SIZE = 64
QUERIES_PER_DIGIT = 20
"""Pictures of each digit kept out of the store: for `predict` and `search`."""

SHEET_QUERIES = 10
MATCHES = 8


class Screen(Protocol):
    """What the demo shows; the command line draws it."""

    def pictures(self, folder: Path, num_stored: int, num_queries: int) -> None:
        """Say that the pictures lie there."""
        ...

    def command(self, line: str) -> None:
        """Show a command that the reader can repeat."""
        ...

    def extracted(self, report: ExtractReport) -> None:
        """Show what `extract` did."""
        ...

    def fitted(self, report: FitReport) -> None:
        """Show what `fit-head` did."""
        ...

    def predicted(self, report: PredictReport) -> None:
        """Show what `predict` did."""
        ...

    def found(self, report: SearchReport, sheet: Path) -> None:
        """Show what `search` did."""
        ...


def run_demo(folder: str | Path, screen: Screen, listener: Listener | None = None) -> None:
    """Write pictures of handwritten digits and run the chain on them.

    The digits are the test set of the UCI "Optical Recognition of Handwritten Digits" (E. Alpaydin
    and C. Kaynak, 1998; CC BY 4.0), 1,797 scans of 8 x 8 pixels, as scikit-learn ships them.

    Args:
        folder: Where to write: ``digits/``, ``queries/``, ``digits.h5``, ``head/``,
            ``digits.faiss`` and ``matches.png``. Running it again there finds everything done.
        screen: Shows the commands and their results.
        listener: Receives progress.

    Raises:
        InvalidValue: If `folder` is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InvalidValue(f"The demo writes into a folder. Received: {str(folder)!r}, a file.")
    num_stored, num_queries = _write_digits(folder)
    screen.pictures(folder, num_stored, num_queries)
    store, head, sheet = folder / "digits.h5", folder / "head", folder / "matches.png"

    screen.command(f"featx extract {folder}/digits -o {store}")
    screen.extracted(extract(folder / "digits", output=store, listener=listener))
    screen.command(f"featx fit-head {store} -o {head}")
    screen.fitted(fit_head(store, output=head, listener=listener))
    screen.command(f"featx predict {folder}/queries --head {head}")
    screen.predicted(predict(folder / "queries", head=head, listener=listener))
    queries = [folder / "queries" / str(digit) for digit in range(SHEET_QUERIES)]
    first = [min(query.iterdir()) for query in queries]
    screen.command(
        f"featx search {folder}/queries/*/{first[0].name} --features {store} "
        f"-k {MATCHES} --sheet {sheet}"
    )
    report = search(first, features=store, k=MATCHES, listener=listener)
    write_contact_sheet(report, sheet)
    screen.found(report, sheet)


def _write_digits(folder: Path) -> tuple[int, int]:
    """Write the pictures that are not there yet; return how many are stored and queried."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    counts = dict.fromkeys(range(10), 0)
    num_queries = 0
    for pixels, digit in zip(digits.images, digits.target.tolist(), strict=True):
        number = counts[digit]
        counts[digit] += 1
        is_query = number < QUERIES_PER_DIGIT
        num_queries += is_query
        place = folder / ("queries" if is_query else "digits") / str(digit)
        path = place / f"{'query' if is_query else 'digit'}_{number:03d}.png"
        if path.exists():
            continue
        place.mkdir(parents=True, exist_ok=True)
        grey = np.round(255 - pixels * 255 / 16).astype(np.uint8)  # 0 to 16, ink is dark
        image = Image.fromarray(grey).resize((PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.BICUBIC)
        image.save(path)
    return sum(counts.values()) - num_queries, num_queries
