"""A search's result as a person reads it in a terminal."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from metanas.api import Finished, record
from metanas.core.trial import Trial

SHOWN = 10


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
    if result.best is None:
        console.print("no trial has succeeded" + _first_error(result.trials))
    else:
        console.print(_table(result.trials, result.best))
        _winner(console, facts)
    console.print(f"MLflow: {facts['tracking_uri']}  (metanas ui shows it)")


def _winner(console: Console, facts: dict[str, object]) -> None:
    best = facts["best"]
    assert isinstance(best, dict)
    tested = {name: value for name, value in best.items() if name.startswith("test_")}
    values = ", ".join(f"{name} {value}" for name, value in best["architecture"].items())
    console.print(f"winner: trial {best['number']} ({values})")
    if tested:
        scores = ", ".join(f"{name[5:]} {value:.4f}" for name, value in tested.items())
        console.print(f"trained afresh and scored on test once: {scores}")


def _table(trials: tuple[Trial, ...], best: Trial) -> Table:
    """The best trial and the latest others, by number."""
    ranked = [best, *(t for t in reversed(trials) if t.number != best.number)][:SHOWN]
    ranked.sort(key=lambda trial: trial.number)
    metrics = list(best.metrics)
    table = Table(box=None, pad_edge=False)
    for name in ("trial", "status", *metrics, "seconds", "why"):
        table.add_column(name, justify="left" if name in ("status", "why") else "right")
    for trial in ranked:
        numbers = [f"{trial.metrics[n]:.4g}" if n in trial.metrics else "-" for n in metrics]
        why = trial.error or trial.proposal.reason
        status = "known already" if trial.cached else trial.status
        style = "bold" if trial is best else None
        row = (str(trial.number), status, *numbers, f"{trial.seconds:.1f}", why[:60])
        table.add_row(*row, style=style)
    return table


def _first_error(trials: tuple[Trial, ...]) -> str:
    errors = [f"trial {t.number} {t.status}: {t.error}" for t in trials if t.error]
    return f"; {errors[0]}" if errors else ""
