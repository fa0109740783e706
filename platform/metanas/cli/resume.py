"""``metanas resume``: go on with a search."""

from __future__ import annotations

import click

from metanas.cli._options import config_option, home_option, json_option, print_result


@click.command("resume")
@click.argument("name")
@click.option("--trials", type=int, help="Extend the search to so many trials.")
@home_option
@config_option
@json_option
def COMMAND(name: str, trials: int | None, home: str | None, as_json: bool) -> None:  # noqa: N802
    """Go on with the search NAME where it was interrupted; print its result if it is over."""
    from metanas.api import home_folder, resume
    from metanas.cli._running import watched

    folder = home_folder(home)
    finished = watched(lambda console: resume(name, folder, trials, console), folder)
    print_result(finished, as_json)
    if finished.result.best is None:
        raise click.ClickException(f"no trial succeeded, see {finished.log}")
