"""What `featx demo` shows: each command and the main line of its result."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from featx.report.text import printable, short_path
from featx.units import format_rate

if TYPE_CHECKING:
    from featx.extraction.report import ExtractReport
    from featx.heads.fitting import FitReport
    from featx.heads.prediction_report import PredictReport
    from featx.index.searching import SearchReport
    from featx.index.vector_index import VectorIndex


class DemoScreen:
    """Writes to stdout, in colour on a terminal. See `featx.demo.Screen`."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, width=None if _is_terminal() else 1000)

    def pictures(self, folder: Path, num_stored: int, num_queries: int) -> None:
        """Say where the pictures are."""
        self._say(
            f"{num_stored:,} handwritten digits in {short_path(folder)}/digits, one folder for "
            f"each class; {num_queries} others in {short_path(folder)}/queries"
        )

    def command(self, line: str) -> None:
        """Show a command that the reader can repeat."""
        self._console.print(Text(f"\n$ {printable(line)}", style="bold cyan"), soft_wrap=True)

    def extracted(self, report: ExtractReport) -> None:
        """Show what `extract` did."""
        rate = report.images_per_second
        speed = f", {format_rate(rate)} images/s" if rate else ""
        self._say(f"{report.rows:,} rows ({report.done:,} computed now{speed})")

    def fitted(self, report: FitReport) -> None:
        """Show what `fit-head` did."""
        assert report.evaluation is not None
        self._say(
            f"accuracy {report.accuracy:.3f} on {report.evaluation.num_examples} "
            f"held-out digits, fitted on {report.num_train:,}"
        )

    def predicted(self, report: PredictReport) -> None:
        """Show what `predict` did."""
        assert report.accuracy is not None
        self._say(f"accuracy {report.accuracy:.3f} on {report.num_labelled} digits never seen")

    def indexed(self, index: VectorIndex) -> None:
        """Show what `index` did."""
        self._say(f"{len(index):,} digits, exact search by cosine similarity")

    def found(self, report: SearchReport, sheet: Path) -> None:
        """Show what `search` did."""
        answers = Counter(
            match.label == Path(result.query).parent.name
            for result in report.results
            for match in result.matches
        )
        total = sum(answers.values())
        self._say(f"{answers[True]} of {total} matches show the query's digit")
        self._say("")
        self._say(f"Look at {short_path(sheet)}, then run these commands on your own folder.")

    def _say(self, text: str) -> None:
        self._console.print(Text(printable(text)), soft_wrap=True)


def _is_terminal() -> bool:
    return sys.stdout.isatty()
