"""``metanas experience``: the trials that the meta-learner learns from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from metanas.cli._options import config_option, home_option, json_option

MOST_REASONS = 10


@click.group("experience")
def COMMAND() -> None:  # noqa: N802
    """Finished trials, read from MLflow into files that are fast to read.

    They lie in the home folder under experience/, and can be removed: `sync` reads them
    again, `import` has to be repeated.
    """


@COMMAND.command("sync")
@click.option("--full", is_flag=True, help="Read everything again, what was edited or purged too.")
@home_option
@config_option
@json_option
def sync_command(full: bool, home: str | None, as_json: bool) -> None:
    """Read what is new in MLflow."""
    from metanas.api import home_folder
    from metanas.api.experience import origin_of
    from metanas.stores.experience import sync

    folder = home_folder(home)
    found = sync(folder, origin_of(folder), full=full, say=_say)
    if as_json:
        click.echo(json.dumps(asdict(found) | {"seconds": round(found.seconds, 3)}))
        return
    click.echo(
        f"{found.new} new, {found.removed} removed, {found.rows} trials in "
        f"{folder / 'experience'} ({found.seconds:.1f} s)"
    )
    _reasons("could not be read", found.broken)


@COMMAND.command("import")
@click.option("--mapping", required=True, metavar="FILE", help="What is what, as TOML.")
@home_option
@config_option
@json_option
def import_command(mapping: str, home: str | None, as_json: bool) -> None:
    """Bring in runs that metanas did not write.

    FILE says what is what; importing by a FILE of the same name again replaces what it
    brought.

    \b
      experiment = "old-project"     # in MLflow
      task = "my-task"
      space = "my_net.py:space"      # or a name; without one params are taken as they are
      filter = "params.net = 'cnn'"  # MLflow's own, optional
      epochs = "n_epochs"            # a param, optional; so is seed
      cost = "train_seconds"         # a metric, optional

    \b
      [objective]
      metric = "val_acc"
      goal = "max"
      name = "accuracy"              # under which it is stored, optional

    \b
      [choices]                      # param = choice
      conv_width = "width"

    \b
      [values.width]                 # what the param says = option, optional
      small = 16

    \b
      [fixed]                        # choice = option, where no param says it
      depth = 3
    """  # noqa: D301 - click's mark for lines that stay as they are is the character itself
    from metanas.api import home_folder
    from metanas.api.experience import origin_of
    from metanas.stores.experience import import_runs, read_mapping

    mapped = read_mapping(Path(mapping).expanduser())
    folder = home_folder(home)
    found = import_runs(folder, origin_of(folder), mapped, _say)
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    click.echo(
        f"{found.rows} runs of '{mapped.experiment}' are trials of task '{mapped.task}' now; "
        f"{found.removed} removed, {found.total} trials in all"
    )
    _reasons("were left out", found.left_out)


@COMMAND.command("show")
@home_option
@config_option
@json_option
def show_command(home: str | None, as_json: bool) -> None:
    """Show how many trials there are, by task, space and where from."""
    from metanas.api import home_folder
    from metanas.stores.experience import census

    found = census(home_folder(home), _say)
    total = sum(each["trials"] for each in found)
    if as_json:
        click.echo(json.dumps({"trials": total, "found": found}))
        return
    if not found:
        click.echo("no trials here; `metanas experience sync` reads them from MLflow")
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False)
    heads = ("task", "space", "from", "trials", "failed", "cached", "searches")
    for head in heads:
        shown.add_column(head, justify="left" if head in heads[:3] else "right")
    for each in found:
        source = "MLflow at " + each["tracking"] if each["origin"] == "metanas" else each["origin"]
        shown.add_row(
            each["task"],
            each["space"] or "-",
            source,
            *(str(each[name]) for name in heads[3:]),
        )
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a file has no right edge
        console = Console(highlight=False, markup=False, width=200)
    console.print(shown)
    click.echo(f"{total} trials")


def _say(line: str) -> None:
    click.echo(line, err=True)


def _reasons(what: str, reasons: Mapping[str, int]) -> None:
    """Why runs are not there, the commonest first."""
    if not reasons:
        return
    click.echo(f"{sum(reasons.values())} runs {what}:", err=True)
    ordered = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    for reason, count in ordered[:MOST_REASONS]:
        click.echo(f"  {count}: {reason}", err=True)
    if len(ordered) > MOST_REASONS:
        click.echo(f"  and {len(ordered) - MOST_REASONS} reasons more", err=True)
