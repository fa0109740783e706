"""``metanas search``: search an architecture for a task."""

from __future__ import annotations

from typing import Any

import click

from metanas.cli._options import config_option, home_option, json_option, print_result
from metanas.core.errors import ConfigError


@click.command("search")
@click.argument("task")
@click.option("--where", default="", metavar="C=V", help="Keep rows of a file with this value.")
@click.option("--space", default="cnn", show_default=True, help="What is searched.")
@click.option("--strategy", default="evolution", show_default=True, help="How.")
@click.option("--estimator", default="train", show_default=True, help="How they are judged.")
@click.option(
    "--objective",
    multiple=True,
    metavar="NAME[<LIMIT]",
    help="What decides; repeated for several. [default: the task's own metric]",
)
@click.option("--trials", default=24, show_default=True, help="How many architectures.")
@click.option("--epochs", default=5, show_default=True, help="Of each training.")
@click.option(
    "--final-epochs", default="3x", show_default=True, help="Of the winner's; 0 for none."
)
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
    "--executor", default="tune", show_default=True, help="tune or pool (both Ray), or inline."
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

    config = SearchConfig(set=tuple(_pair(text) for text in settings), **given)
    folder = home_folder(home)
    finished = watched(lambda console: search(config, folder, console), folder)
    print_result(finished, as_json)
    if finished.result.best is None:
        raise click.ClickException(f"no trial succeeded, see {finished.log}")


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set is '{text}', expected KEY=VALUE")
    return key, value
