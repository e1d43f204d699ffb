"""One scenario ready to be disturbed: its box, as it was before and as it must be in the end."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.stress.children import Outcome, run_child
from benchmarks.stress.hooks import Counter, hooked
from benchmarks.stress.results import Tally
from benchmarks.stress.scenarios import Scenario
from benchmarks.stress.state import Committed, losses, read_committed, read_finished


class Bench:
    """A scenario in a folder.

    The uninterrupted run that everything is compared with happens in the same box, because
    stores record where their pictures are; the box is put back before each disturbed run.

    Attributes:
        box: Where the operation runs.
        before: What is committed before it.
        end: Everything that is there after an uninterrupted run.
        operations: Durable operations of that run.
    """

    def __init__(self, scenario: Scenario, work: Path, tally: Tally) -> None:
        self.scenario, self.tally = scenario, tally
        self.box, self.template = work / "box", work / "template"
        self.box.mkdir(parents=True)
        scenario.prepare(self.box, scenario)
        shutil.copytree(self.box, self.template)
        self.before = read_committed(self.box, damaged=scenario.damaged)
        assert not self.before.problems, self.before.problems
        counter = Counter()
        with hooked(self.box, counter):
            self.command()
        self.operations = counter.count
        self.end = read_finished(self.box)
        self.committed_end = read_committed(self.box)
        assert not self.committed_end.problems, self.committed_end.problems

    def command(self) -> None:
        """Run the operation."""
        self.scenario.command(self.box, self.scenario)

    def reset(self) -> None:
        """Put the box back to what it was before."""
        for path in self.box.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.template, self.box, dirs_exist_ok=True)

    def look(self, before: Committed, where: str) -> Committed:
        """Check what is committed now against what was before; note violations."""
        now = read_committed(self.box, damaged=self.scenario.damaged)
        for text in [*now.problems, *losses(before, now, self.end)]:
            self.violation(where, text)
        return now

    def finish(self, before: Committed, where: str, *, fork: bool = True) -> None:
        """Run the operation again, undisturbed, and check that all is as it must be."""
        if fork:
            outcome = run_child(self.command)
        else:
            try:
                self.command()
                outcome = Outcome()
            except Exception as error:
                outcome = Outcome(0, error)
        if not outcome.is_done:
            what = f"signal {outcome.signal}" if outcome.signal else repr(outcome.error)
            self.violation(where, f"run again, it ended with {what}")
            return
        self.look(before, f"{where}, run again")
        try:
            for text in self.end.differences(read_finished(self.box)):
                self.violation(f"{where}, run again", text)
        except Exception as error:
            self.violation(f"{where}, run again", f"{error!r}")

    def violation(self, where: str, text: str) -> None:
        """Note what must not be."""
        self.tally.violations.append(f"{where}: {text.replace(str(self.box), 'BOX')}")
