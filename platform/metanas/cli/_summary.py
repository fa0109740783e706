"""A search's result as a person reads it in a terminal."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metanas.api import Finished, record
from metanas.core.objective import cost
from metanas.core.trial import Trial

SHOWN = 10
SHOWN_METRICS = ("params", "flops")


def summary(finished: Finished) -> None:
    """Print the best trials, the winner, what failed, and what to do next."""
    console = Console(highlight=False)
    facts, result = record(finished), finished.result
    console.print(
        f"[bold]{facts['search']}[/bold]: {facts['task']}, space {facts['space']}, "
        f"strategy {facts['strategy']}, seed {facts['seed']}"
    )
    failures = Counter(trial.status for trial in result.trials if trial.failed)
    failed = "".join(f", {count} {status}" for status, count in failures.items())
    aim = finished.config.trials
    console.print(
        f"{facts['trials']} of {aim} trials{failed}; {facts['seconds_training']:.0f} s of "
        f"training in {facts['seconds']:.0f} s"
    )
    if finished.prior is not None:
        tasks = ", ".join(f"{task} ({n} trials)" for task, n in finished.prior["tasks"].items())
        name = f"{finished.prior['name']}@{finished.prior['version']}"
        console.print(f"started from {name}: {tasks}", soft_wrap=True, markup=False)
    if result.best is None:
        console.print("no trial has succeeded" + _first_error(result.trials), markup=False)
    else:
        console.print(_table(finished, result.best))
        _winner(console, facts)
    report = finished.log.with_name("report.html")
    if report.exists():
        console.print(f"report: {report}", soft_wrap=True, markup=False)
    console.print(f"MLflow: {facts['tracking_uri']}  (metanas ui shows it)", soft_wrap=True)


def _winner(console: Console, facts: dict[str, object]) -> None:
    best = facts["best"]
    assert isinstance(best, dict)
    tested = {name: value for name, value in best.items() if name.startswith("test_")}
    values = ", ".join(f"{name} {value}" for name, value in best["architecture"].items())
    console.print(escape(f"winner: trial {best['number']} ({values})"), soft_wrap=True)
    console.print(escape(f"picked as {best['why']}"), soft_wrap=True)
    if tested:
        scores = ", ".join(f"{name[5:]} {value:.4f}" for name, value in tested.items())
        console.print(f"trained afresh and scored on test once: {scores}", soft_wrap=True)


def _table(finished: Finished, best: Trial) -> Table:
    """The best trials, with several objectives those of the front; the winner first."""
    objective = finished.objectives[0]
    trials = finished.result.trials
    fresh = [best, *(t for t in trials if t.number != best.number and not (t.failed or t.cached))]
    front = {trial.number for trial in finished.result.front}
    several = len(finished.objectives) > 1
    ranked = sorted(
        (t for t in fresh if t.number in front or not several),
        key=lambda t: (t.number != best.number, cost(objective, t.metrics), t.number),
    )
    deciding = [objective.name for objective in finished.objectives]
    beside = [n for n in SHOWN_METRICS if n in best.metrics and n not in deciding]
    metrics = [*deciding, *beside]
    table = Table(box=None, pad_edge=False)
    for name in ("trial", *metrics, "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why", no_wrap=True, overflow="ellipsis")
    for trial in ranked[:SHOWN]:
        numbers = [_short(trial.metrics[n]) if n in trial.metrics else "-" for n in metrics]
        row = (str(trial.number), *numbers, f"{trial.seconds:.1f}", escape(trial.proposal.reason))
        table.add_row(*row, style="bold" if trial.number == best.number else None)
    return table


def _short(value: float) -> str:
    """Four digits, thousands and millions by their letter."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.4g}"


def _first_error(trials: tuple[Trial, ...]) -> str:
    errors = [f"trial {t.number} {t.status}: {t.error}" for t in trials if t.error]
    return f"; {errors[0]}" if errors else ""
