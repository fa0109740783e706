"""``metanas retrain``: the winner's architecture, trained on more or other data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from metanas.cli._options import config_option, home_option, json_option


@click.command("retrain")
@click.argument("name")
@click.option("--data", required=True, metavar="TASK", help="What to train on, as for search.")
@click.option("--where", default="", metavar="C=V", help="Keep rows of a file with this value.")
@click.option("--epochs", required=True, type=int, help="How long.")
@click.option("--to", metavar="DIR", help="The folder to write. [default: NAME-retrained]")
@click.option("--seed", default=0, show_default=True, help="Decides all randomness.")
@home_option
@config_option
@json_option
def COMMAND(  # noqa: N802
    name: str,
    data: str,
    where: str,
    epochs: int,
    to: str | None,
    seed: int,
    home: str | None,
    as_json: bool,
) -> None:
    """Train the winner of the search NAME afresh, score it on test, and export it."""
    from metanas.api import home_folder, retrain

    def report(epoch: int, metrics: Mapping[str, float]) -> None:
        shown = ", ".join(f"{metric} {value:.4g}" for metric, value in metrics.items())
        click.echo(f"epoch {epoch} of {epochs}: {shown}", err=True)

    exported, test = retrain(
        name,
        home_folder(home),
        Path(to or f"{name}-retrained"),
        data=data,
        where=where,
        epochs=epochs,
        seed=seed,
        report=report,
        say=lambda text: click.echo(text, err=True),
    )
    if as_json:
        scores = {f"test_{metric}": value for metric, value in test.items()}
        found = {"search": name, "data": data, "epochs": epochs, **scores}
        click.echo(json.dumps(found | {"folder": str(exported.folder)}))
        return
    scored = ", ".join(f"{metric} {value:.4f}" for metric, value in test.items())
    click.echo(f"scored on test once: {scored}\n{exported.folder} holds it")
