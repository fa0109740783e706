"""``metanas export``: the winner as a folder that needs torch alone."""

from __future__ import annotations

import json
from pathlib import Path

import click

from metanas.cli._options import config_option, home_option, json_option


@click.command("export")
@click.argument("name")
@click.option("--to", required=True, metavar="DIR", help="The folder to write.")
@click.option("--onnx/--no-onnx", default=True, help="Write model.onnx where the extra is there.")
@home_option
@config_option
@json_option
def COMMAND(name: str, to: str, onnx: bool, home: str | None, as_json: bool) -> None:  # noqa: N802
    """Write the winner of the search NAME as code and weights that need torch alone.

    `python DIR/check.py` compares it with the searched network.
    """
    from metanas.api import export, home_folder

    exported = export(name, home_folder(home), Path(to), onnx=onnx)
    if exported.changed:
        click.echo(
            f"the task's data changed since the search, {exported.changed}: weights and scores "
            "are of the data before, samples of the data now",
            err=True,
        )
    if as_json:
        found = {"folder": str(exported.folder), "without_onnx": exported.without_onnx}
        click.echo(json.dumps(found))
        return
    click.echo(f"{exported.folder}: `python {exported.folder / 'check.py'}` checks it")
    if exported.without_onnx:
        click.echo(f"without model.onnx: {exported.without_onnx}")
