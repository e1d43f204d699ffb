"""The demo: real handwritten digits through the whole chain."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from featx.errors import InvalidValue
from featx.events import Listener
from featx.extraction import extract
from featx.extraction.report import ExtractReport
from featx.heads.fitting import FitReport, fit_head
from featx.heads.prediction import predict
from featx.heads.prediction_report import PredictReport
from featx.index.building import build_index
from featx.index.searching import SearchReport, search
from featx.index.vector_index import VectorIndex
from featx.report.contact_sheet import write_contact_sheet

PICTURE_SIZE = 64
QUERIES_PER_DIGIT = 20
"""Pictures of each digit kept out of the store: for `predict` and `search`."""

MARK_FILE = "made-by-featx-demo.txt"
"""Tells an earlier demo's folder from a person's own."""

FIRST_QUERY = "query_000.png"
MATCHES = 8


class Screen(Protocol):
    """What the demo shows; the command line draws it."""

    def pictures(self, folder: Path, num_stored: int, num_queries: int) -> None:
        """Say where the pictures are."""
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

    def indexed(self, index: VectorIndex) -> None:
        """Show what `index` did."""
        ...

    def found(self, report: SearchReport, sheet: Path) -> None:
        """Show what `search` did."""
        ...


def run_demo(folder: str | Path, screen: Screen, listener: Listener | None = None) -> bool:
    """Write pictures of handwritten digits and run the chain on them.

    The digits are the test set of the UCI "Optical Recognition of Handwritten Digits" (E. Alpaydin
    and C. Kaynak, 1998; CC BY 4.0), 1,797 scans of 8 x 8 pixels, as scikit-learn ships them.

    Args:
        folder: Where to write: ``digits/``, ``queries/``, ``digits.h5``, ``head/``,
            ``digits.faiss`` and ``matches.png``. Running it again there finds everything done.
        screen: Shows the commands and their results.
        listener: Receives progress.

    Returns:
        Whether every picture could be used.

    Raises:
        InvalidValue: If `folder` is a file, or holds something else than an earlier demo.
    """
    folder = _prepare(Path(folder))
    num_stored, num_queries = _write_digits(folder)
    screen.pictures(folder, num_stored, num_queries)
    store, head, sheet = folder / "digits.h5", folder / "head", folder / "matches.png"
    index = folder / "digits.faiss"

    screen.command(f"featx extract {_quoted(folder / 'digits')} -o {_quoted(store)}")
    extracted = extract(folder / "digits", output=store, listener=listener)
    screen.extracted(extracted)
    screen.command(f"featx fit-head {_quoted(store)} -o {_quoted(head)}")
    screen.fitted(fit_head(store, output=head, listener=listener))
    screen.command(f"featx predict {_quoted(folder / 'queries')} --head {_quoted(head)}")
    predicted = predict(folder / "queries", head=head, listener=listener)
    screen.predicted(predicted)
    screen.command(f"featx index {_quoted(store)} -o {_quoted(index)}")
    screen.indexed(build_index(store, output=index, listener=listener))
    screen.command(
        f"featx search {_quoted(folder / 'queries')}/*/{FIRST_QUERY} --index {_quoted(index)} "
        f"-k {MATCHES} --sheet {_quoted(sheet)}"
    )
    queries = [folder / "queries" / str(digit) / FIRST_QUERY for digit in range(10)]
    report = search(queries, index=index, k=MATCHES, listener=listener)
    write_contact_sheet(report, sheet)
    screen.found(report, sheet)
    return not (extracted.failed or predicted.failures or report.failures)


def _prepare(folder: Path) -> Path:
    """Make the folder, unless it is there from an earlier demo."""
    if folder.exists() and not folder.is_dir():
        raise InvalidValue(f"The demo writes into a folder. Received: {str(folder)!r}, a file.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK_FILE).exists():
        raise InvalidValue(
            f"{str(folder)!r} holds other files; the demo leaves them alone. Name a new folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK_FILE).write_text("Made by `featx demo`; it may be deleted.\n", encoding="utf-8")
    return folder


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


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
        digit_folder = folder / ("queries" if is_query else "digits") / str(digit)
        path = digit_folder / f"{'query' if is_query else 'digit'}_{number:03d}.png"
        if path.exists() and path.stat().st_size:  # Nothing is in it after a power cut.
            continue
        digit_folder.mkdir(parents=True, exist_ok=True)
        grey = np.round(255 - pixels * 255 / 16).astype(np.uint8)  # 0 to 16, ink is dark
        image = Image.fromarray(grey).resize((PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.BICUBIC)
        temporary = path.with_suffix(".tmp")
        image.save(temporary, "PNG")
        temporary.replace(path)  # Whole, but not flushed: that takes longer than all else.
    return sum(counts.values()) - num_queries, num_queries
