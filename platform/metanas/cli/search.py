"""``metanas search``: search an architecture for a task."""

from __future__ import annotations

from typing import Any

import click

from metanas.cli._options import config_option, home_option, json_option, pair, print_result


@click.command("search")
@click.argument("task")
@click.option("--where", default="", metavar="C=V", help="Keep rows of a file with this value.")
@click.option("--space", default="", help="What is searched. [default: cnn, or a table's rows]")
@click.option("--strategy", default="evolution", show_default=True, help="How.")
@click.option("--estimator", default="", help="How they are judged. [default: train, or table]")
@click.option(
    "--objective",
    multiple=True,
    metavar="NAME[<LIMIT]",
    help="What decides; repeated for several. [default: the task's own metric]",
)
@click.option("--trials", default=24, show_default=True, help="How many architectures.")
@click.option("--epochs", type=int, help="Of each training. [default: 5, or 1 on a table]")
@click.option("--final-epochs", default="", help="Of the winner's; 0 for none. [default: 3x]")
@click.option("--repeats", default=0, metavar="R", help="Train the three best R times more.")
@click.option(
    "--max-seconds",
    type=float,
    metavar="T",
    help="For the search; the winner's training, kept time for, may overrun.",
)
@click.option("--max-trial-seconds", type=float, metavar="T", help="For one trial.")
@click.option("--workers", default=0, metavar="N", help="Trials at a time. [default: all CPUs]")
@click.option(
    "--executor",
    default="",
    help="tune or pool (both Ray), or inline. [default: tune, or inline on a table]",
)
@click.option(
    "--prior",
    default="none",
    show_default=True,
    metavar="none|auto|NAME[@VERSION]",
    help="What finished searches teach; auto brings it up to date.",
)
@click.option("--seed", default=0, show_default=True, help="Decides all randomness.")
@click.option("--name", default="", help="Of the search. [default: derived, unique]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Option of a part.")
@home_option
@config_option
@json_option
def COMMAND(as_json: bool, home: str | None, settings: tuple[str, ...], **given: Any) -> None:  # noqa: N802
    """Search an architecture for TASK.

    TASK is a Parquet file of images and labels, a folder of class folders of images, an
    .npz file of arrays, a task of your own as my_task.py:task, or the name of a built-in
    one.

    `metanas list tasks` names the built-in tasks, `metanas list spaces` what can be
    searched. Options of a part are given as `--set strategy.population=20`.
    """
    from metanas.api import SearchConfig, home_folder, search
    from metanas.cli._running import watched

    config = SearchConfig(set=tuple(pair(text) for text in settings), **given)
    folder = home_folder(home)
    finished = watched(lambda console: search(config, folder, console), folder)
    print_result(finished, as_json)
    if finished.result.best is None:
        raise click.ClickException(f"no trial succeeded, see {finished.log}")
