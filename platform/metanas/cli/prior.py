"""``metanas prior``: what finished searches teach the next one."""

from __future__ import annotations

import json

import click

from metanas.cli._options import config_option, home_option, json_option

DEFAULT_NAME = "metanas-prior"


@click.group("prior")
def COMMAND() -> None:  # noqa: N802
    """What finished searches teach the next one, as versions of a registered model."""


@COMMAND.command("fit")
@click.option("--task", "tasks", multiple=True, metavar="T", help="Only this one; repeated.")
@click.option(
    "--exclude-task", "exclude", multiple=True, metavar="T", help="Not this one; repeated."
)
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Of the registered model.")
@home_option
@config_option
@json_option
def fit_command(
    tasks: tuple[str, ...], exclude: tuple[str, ...], name: str, home: str | None, as_json: bool
) -> None:
    """Learn a prior from all finished trials in MLflow, and register it."""
    from metanas.api import home_folder
    from metanas.api.prior import fit_prior, prior_record

    found = fit_prior(home_folder(home), tasks=tasks, exclude=exclude, name=name, say=_say)
    if as_json:
        click.echo(json.dumps(prior_record(found.prior) | {"new": found.new}))
        return
    if not found.new:
        click.echo(f"nothing is new since {name}@{found.prior.version}: nothing registered")
        return
    from metanas.meta.card import in_words

    click.echo(in_words(found.prior.name, found.prior.version, found.prior.card))


@COMMAND.command("show")
@click.argument("reference", metavar="[NAME[@VERSION]]", default=DEFAULT_NAME)
@home_option
@config_option
@json_option
def show_command(reference: str, home: str | None, as_json: bool) -> None:
    """Show a registered prior: by its version or alias, else the current one."""
    from metanas.api import home_folder
    from metanas.api.prior import prior_record, show_prior
    from metanas.meta.card import in_words

    found = show_prior(home_folder(home), reference)
    if as_json:
        click.echo(json.dumps(prior_record(found)))
    else:
        click.echo(in_words(found.name, found.version, found.card))


def _say(line: str) -> None:
    click.echo(line, err=True)
