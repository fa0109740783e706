"""``metanas doctor``: whether searches will work here, and what to do where they will not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from metanas.cli._options import config_option, home_option, json_option

if TYPE_CHECKING:
    from metanas.cli._checkup import Check, Finding

STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


@click.command("doctor")
@home_option
@config_option
@json_option
def COMMAND(home: str | None, as_json: bool) -> None:  # noqa: N802
    """Look at versions, devices, Ray, MLflow and disks; exit code 1 if there is a problem."""
    from metanas.cli._checkup import examine

    findings = examine(checks(home))
    counts = {state: sum(each.state == state for each in findings) for state in STYLES}
    if as_json:
        listed = [asdict(each) for each in findings]
        result = {
            "findings": listed,
            "problems": counts["problem"],
            "warnings": counts["warning"],
        }
        click.echo(json.dumps(result))
    else:
        _report(findings)
        click.echo(_verdict(counts["problem"], counts["warning"]))
    if counts["problem"]:
        raise click.exceptions.Exit(1)


def checks(home: str | None = None) -> list[Check]:
    """All checks, in the order of the report; `home` as a user gave it."""
    from metanas.cli import _checkup as machine
    from metanas.cli import _checkup_mlflow as mlflow
    from metanas.cli import _checkup_versions as versions
    from metanas.cli._checkup import Check

    slow_s = versions.IMPORT_S + machine.ANSWER_S
    return [
        Check("python", versions.look_at_python),
        Check("metanas", versions.look_at_metanas),
        Check("torch", versions.look_at_torch, slow_s),
        Check("ray", versions.look_at_ray, slow_s),
        Check("packages", versions.look_at_packages),
        Check("extras", versions.look_at_extras),
        Check("cpus", machine.look_at_cpus),
        Check("memory", machine.look_at_memory),
        Check("shared memory", machine.look_at_shared_memory),
        Check("open files", machine.look_at_open_files),
        Check("cluster", machine.look_at_cluster),
        Check("tracking", lambda: mlflow.look_at_tracking(home)),
        Check("home", lambda: machine.look_at_home(home)),
        Check("disk", lambda: machine.look_at_disk(home)),
        Check("temporary", machine.look_at_temporary),
    ]


def _report(findings: Sequence[Finding]) -> None:
    """One line a finding, its remedy on the next."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    states = max(len(state) for state in STYLES)
    names = max(len(each.name) for each in findings)
    for each in findings:
        line = Text.assemble(
            (each.state.ljust(states), STYLES[each.state]),
            "  ",
            (each.name.ljust(names), "bold"),
            f"  {each.found}",
        )
        console.print(line, soft_wrap=True)
        if each.remedy:
            indent = " " * (states + names + 4)
            console.print(Text(f"{indent}{each.remedy}", style="dim"), soft_wrap=True)


def _verdict(problems: int, warnings: int) -> str:
    warned = f"{warnings} warning{'s' * (warnings != 1)}"
    if problems:
        return f"{problems} problem{'s' * (problems != 1)} and {warned}: searches may fail here"
    return f"searches will work here; {warned}" if warnings else "searches will work here"
