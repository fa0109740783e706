"""``metanas list``: what there is to choose from."""

from __future__ import annotations

import json

import click

from metanas.cli._options import config_option, home_option, json_option
from metanas.core.errors import ConfigError, unknown


@click.command("list")
@click.argument("kind")
@home_option
@config_option
@json_option
def COMMAND(kind: str, home: str | None, as_json: bool) -> None:  # noqa: N802
    """List KIND: tasks, spaces, strategies, estimators, objectives, executors or searches."""
    from metanas.core.plugins import CONSTANTS, listing

    if kind == "searches":
        from metanas.api import home_folder, searches

        rows = searches(home_folder(home))
    elif kind in CONSTANTS:
        rows = [(found.name, found.summary or found.origin) for found in listing(kind)]
    else:
        raise ConfigError(f"no kind '{kind}'{unknown(kind, [*CONSTANTS, 'searches'])}")
    if as_json:
        click.echo(json.dumps({"kind": kind, "found": [{"name": n, "about": a} for n, a in rows]}))
        return
    width = max((len(name) for name, _ in rows), default=0)
    for name, about in rows:
        click.echo(f"{name.ljust(width)}  {about}")
