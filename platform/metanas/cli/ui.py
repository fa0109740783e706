"""``metanas ui``: MLflow's page on the store that searches write to."""

from __future__ import annotations

import os
import sys

import click

from metanas.cli._options import config_option, home_option


@click.command("ui")
@click.option("--port", default=5000, show_default=True, help="To serve the page at.")
@click.option("--host", default="127.0.0.1", show_default=True, help="To listen at.")
@home_option
@config_option
def COMMAND(port: int, host: str, home: str | None) -> None:  # noqa: N802
    """Open MLflow's page; stop it with Ctrl-C."""
    from metanas.api import home_folder
    from metanas.trackers.mlflow import public, tracking_uri

    folder = home_folder(home)
    uri = tracking_uri(folder)
    if uri.startswith(("http://", "https://")):
        click.echo(f"MLFLOW_TRACKING_URI names a server: open {public(uri)}")
        return
    click.echo(f"MLflow's page on {public(uri)}: http://{host}:{port}  (Ctrl-C stops it)", err=True)
    arguments = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    arguments += ["--host", host, "--port", str(port), "--workers", "1"]
    arguments += ["--artifacts-destination", (folder / "mlartifacts").as_uri()]
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.execv(sys.executable, arguments)
