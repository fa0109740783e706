"""What a person sees while a search runs: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

from metanas.core.objective import Objective
from metanas.core.search import FINAL, FIRST_REPEAT
from metanas.core.trial import Proposal, Report, Trial
from metanas.trackers._best import Best


class ConsoleTracker:
    """Shows best so far, trials done, failed and time left.

    Args:
        console: Where to; its terminal decides between a live line and plain ones.
        objectives: What decides, with limits: the best so far is what would be picked now.
        trials: How many there will be.
        past: Trials of earlier attempts.
        workers: How many run at a time.
    """

    def __init__(
        self,
        console: Console,
        objectives: Sequence[Objective],
        trials: int,
        past: Sequence[Trial] = (),
        workers: int = 1,
    ) -> None:
        self._console = console
        self._objectives = objectives
        self._total = trials
        self._workers = workers
        self._done = len(past)
        self._failed = sum(trial.failed for trial in past)
        self._seconds: list[float] = []
        self._began = time.monotonic()
        self._best = Best(objectives)
        for trial in past:
            self._compare(trial)
        self._progress: Progress | None = None
        self._bar: TaskID | None = None
        self._final_epochs = 0

    def started(self, proposal: Proposal) -> None:
        """Show the bar with the first trial."""
        if proposal.number == FINAL:
            self._final_epochs = proposal.epochs
            self.say(f"training the winner for {proposal.epochs} epochs on train and validation")
            self._describe(f"winner, epoch 0 of {proposal.epochs}")
        elif proposal.number <= FIRST_REPEAT:
            self.say(proposal.reason)
        elif self._console.is_terminal and self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                Elapsed(),
                console=self._console,
                transient=True,
            )
            self._progress.start()
            self._bar = self._progress.add_task("starting", total=self._total, completed=self._done)

    def progress(self, number: int, report: Report) -> None:
        """Only the winner's training shows its epochs."""
        if number == FINAL:
            self._describe(f"winner, epoch {report.epoch} of {self._final_epochs}")

    def log(self, trial: Trial) -> None:
        """Count a trial, and say it where lines are plain or it is the best so far."""
        self._done += 1
        self._failed += trial.failed
        if not trial.cached:
            # A trial of a table tells what its training took, once, somewhere else.
            self._seconds.append(min(trial.seconds, time.monotonic() - self._began))
        better = self._compare(trial)
        line = f"trial {trial.number}: {self._outcome(trial)}"
        if better:
            line += "  best so far" if self._best.kept() else "  nearest so far"
        if not self._console.is_terminal or better or trial.failed:
            self.say(f"[{self._done}/{self._total}] {line}{self._left()}")
        self._describe(self._summary())

    def close(self) -> None:
        """Remove the bar."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _compare(self, trial: Trial) -> bool:
        """Whether it would be named the winner now."""
        # A cached trial is a network that is there already.
        new = not trial.failed and not trial.cached
        return new and self._best.add(trial.number, trial.metrics)

    def _outcome(self, trial: Trial) -> str:
        if trial.failed:
            return f"{trial.status.replace('_', ' ')}: {trial.error}"
        shown = ", ".join(
            f"{objective.name} {trial.metrics[objective.name]:.4g}"
            for objective in self._objectives
            if objective.name in trial.metrics
        )
        how = "known already" if trial.cached else f"{trial.seconds:.1f} s"
        return f"{shown or 'nothing measured'} ({how})"

    def _summary(self) -> str:
        kept = ", ".join(f"{name} {value:.4g}" for name, value in self._best.kept().items())
        wishes = self._best.wishes()
        best = f"best {kept}" if kept else "no best yet"
        if wishes and not kept and self._best.number is not None:
            best = f"nothing keeps {wishes} yet"
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{best}{failed}{self._left()}"

    def _left(self) -> str:
        missing = self._total - self._done
        if missing <= 0 or not self._seconds:
            return ""
        seconds = missing * sum(self._seconds) / len(self._seconds) / self._workers
        return f", about {_duration(seconds)} left"

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        with contextlib.suppress(OSError):  # nobody reads any more; the search goes on
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _describe(self, text: str) -> None:
        if self._progress is not None and self._bar is not None:
            self._progress.update(self._bar, description=text, completed=self._done)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
