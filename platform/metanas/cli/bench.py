"""``metanas bench``: compare strategies on a table of finished trainings."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from metanas.cli._options import config_option, home_option, json_option, pair
from metanas.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from metanas.bench import Benched, Replay
    from metanas.core.protocols import Executor

STRATEGIES = ("surrogate", "evolution", "local", "random")


@click.command("bench")
@click.argument("table")
@click.option("--target", required=True, metavar="T", help="The table's task.")
@click.option("--measure", default="", metavar="COLUMN", help="In place of the task's metric.")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    default=STRATEGIES,
    show_default=True,
    metavar="[LABEL=]S",
    help="One may come twice, under a label of its own: big=evolution.",
)
@click.option("--trials", default=100, show_default=True, help="Evaluations a seed.")
@click.option("--seeds", default=50, show_default=True, help="How many, from 0.")
@click.option(
    "--sources", default="", metavar="A,B|others", help="Other tasks to learn a prior from."
)
@click.option("--source-trials", default=100, show_default=True, help="Evaluations of each source.")
@click.option("--source-history", default="random", show_default=True, help="Or evolution.")
@click.option("--source-labels", default="true", show_default=True, help="Or negated, or shuffled.")
@click.option("--workers", default=0, metavar="N", help="Seeds at a time. [default: all CPUs]")
@click.option(
    "--picture", default="", metavar="FILE.png", help="[default: in bench/ under the home]"
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="LABEL.OPTION=V",
    help="Option of a strategy: evolution.population=20, big.population=100.",
)
@home_option
@config_option
@json_option
def COMMAND(  # noqa: N802
    table: str,
    target: str,
    measure: str,
    strategies: tuple[str, ...],
    trials: int,
    seeds: int,
    sources: str,
    source_trials: int,
    source_history: str,
    source_labels: str,
    workers: int,
    picture: str,
    settings: tuple[str, ...],
    home: str | None,
    as_json: bool,
) -> None:
    """Replay strategies on TABLE with many seeds: a Parquet table's file, or nasbench201.

    Every proposal counts as an evaluation. `nasbench201` comes with the extra `bench`.
    """
    from metanas.api import home_folder
    from metanas.bench import History, Replay, bench, references, sources_of, with_priors
    from metanas.bench.picture import picture as draw

    folder = home_folder(home)
    found = references(strategies, [pair(text) for text in settings])
    place, history, warm = _path(table), None, frozenset[str]()
    if sources:
        named = sources_of(sources, place, target)
        history = History(named, source_trials, source_history, source_labels)
        found, warm = with_priors(found)
    replay = Replay(place, target, measure, trials, found, history, warm)
    path = _place(picture, folder, replay, seeds)
    executor, places = _executor(folder, workers)
    try:
        with _progress(len(found) * seeds) as told:
            benched = bench(replay, seeds, executor, places, told)
    finally:
        executor.close()
    try:
        draw(benched, path)
        click.echo(f"picture: {path}", err=True)
    except OSError as error:  # the figures are there, and took their time
        click.echo(f"no picture: {path}: {error.strerror}", err=True)
    if as_json:
        click.echo(json.dumps(benched.record, allow_nan=False))
    else:
        _show(benched)


def _place(picture: str, home: Path, replay: Replay, seeds: int) -> Path:
    """Where the picture goes, found out before anything runs."""
    from metanas.core.paths import whole

    about = [Path(replay.path).stem, replay.target, replay.measure, *replay.strategies]
    name = "-".join([*filter(None, about), str(replay.trials), str(seeds)])
    slug = re.sub(r"[^A-Za-z0-9_.+-]+", "-", name)[:150]
    path = whole(picture) if picture else home / "bench" / f"{slug}.png"
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--picture is '{picture}', expected a name that ends in .png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--picture {path}: {error.strerror}") from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"--picture {path}: cannot be written")
    return path


def _path(table: str) -> str:
    """A file whole: workers have folders of their own."""
    from metanas.core.paths import whole
    from metanas.tables import PACKAGED

    named = table in PACKAGED or (table.isidentifier() and not Path(table).exists())
    return table if named else str(whole(table))


def _executor(folder: Path, workers: int) -> tuple[Executor, int]:
    """The pool, or this process where one replay runs at a time."""
    from metanas.core.plugins import reference, resolve

    if workers < 0:
        raise ConfigError(f"--workers is {workers}, expected at least 1")
    places = workers or len(os.sched_getaffinity(0))
    name = "pool" if places > 1 else "inline"
    executor: Executor = resolve(reference("executors", name))(folder=str(folder))
    return executor, places


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal's standard error; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("replays", total=total)
        yield lambda name: bar.update(task, advance=1, description=name)


def _show(benched: Benched) -> None:
    from rich.console import Console
    from rich.table import Table as Shown

    record = benched.record
    shown = Shown(box=None, pad_edge=False)
    heads = (
        "strategy",
        "top 0.1 %",
        "best row",
        "found it",
        "regret 25",
        "regret 50",
        "regret 100",
    )
    for at, head in enumerate((*heads, "rank 50", "test of pick", "ms a suggestion")):
        shown.add_column(head, justify="right" if at else "left")
    for name, found in record["strategies"].items():
        top, best = found["evaluations_to_top_0.1pct"], found["evaluations_to_best"]
        regret = found["normalized_regret"]
        shown.add_row(
            name,
            _number(top["median"], "{:g}"),
            _number(best["median"], "{:g}"),
            f"{best['reached']:.0%}",
            *(_number(regret[k], "{:.4f}") for k in ("25", "50", "100")),
            _number(found["mean_rank"]["50"], "{:.1f}"),
            _number(found["test_of_pick"], "{:.2f}"),
            f"{1000 * found['seconds_per_suggestion']:.2f}",
        )
    console = Console(highlight=False)
    if not console.is_terminal:  # a file has no right edge
        console = Console(highlight=False, width=200)
    better = "more" if benched.objective.goal == "max" else "less"
    about = f"{record['table']}, {record['measure']} ({better} is better)"
    about += f": {record['trials']} evaluations"
    console.print(f"{about}, {record['seeds']} seeds", markup=False, soft_wrap=True)
    console.print(shown)
    click.echo("evaluations: median over the seeds, - where the median seed did not get there")


def _number(value: Any, form: str) -> str:
    return "-" if value is None else form.format(value)
