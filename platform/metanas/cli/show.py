"""``metanas show``: what a search has found so far."""

from __future__ import annotations

import click

from metanas.cli._options import config_option, home_option, json_option, print_result


@click.command("show")
@click.argument("name")
@home_option
@config_option
@json_option
def COMMAND(name: str, home: str | None, as_json: bool) -> None:  # noqa: N802
    """Show what the search NAME has found, running or over."""
    from metanas.api import home_folder, show

    print_result(show(name, home_folder(home)), as_json)
