"""Options and output that several commands share."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from metanas.core.errors import ConfigError, unknown

if TYPE_CHECKING:
    from metanas.api import Finished

Command = Callable[..., Any]


def home_option(command: Command) -> Command:
    """``--home DIR``."""
    return click.option(
        "--home",
        metavar="DIR",
        help="Where searches and runs are kept. [default: METANAS_HOME or ~/.metanas]",
    )(command)


def json_option(command: Command) -> Command:
    """``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object on the last line."
    )(command)


def config_option(command: Command) -> Command:
    """``--config FILE.toml``: defaults for the other options, under their names."""
    return click.option(
        "--config",
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="A TOML file with options under the same names.",
    )(command)


def _read_config(context: click.Context, parameter: click.Parameter, path: str | None) -> None:
    if path is None:
        return
    try:
        given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    parameters = {_name(each): each for each in context.command.params if each.name != "config"}
    defaults: dict[str, Any] = {}
    for key, value in given.items():
        option = key.replace("_", "-")
        if option not in parameters:
            raise ConfigError(f"{path}: unknown key '{key}'{unknown(option, parameters)}")
        if option == "set" and isinstance(value, dict):
            value = [f"{name}={setting}" for name, setting in _flat(value)]
        if getattr(parameters[option], "multiple", False) and not isinstance(value, list):
            value = [value]
        defaults[str(parameters[option].name)] = value
    context.default_map = {**(context.default_map or {}), **defaults}


def _name(parameter: click.Parameter) -> str:
    """An option's long name without dashes; an argument's name."""
    long = [name for name in parameter.opts if name.startswith("--")]
    return long[0][2:] if long else str(parameter.name)


def _flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in table.items():
        name = f"{prefix}{key}"
        pairs += _flat(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return pairs


def pair(text: str) -> tuple[str, str]:
    """``KEY=VALUE`` of a ``--set``."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set is '{text}', expected KEY=VALUE")
    return key, value


def print_result(finished: Finished, as_json: bool) -> None:
    """The result on standard output: for a person, or as JSON on its last line.

    Raises:
        ClickException: If there is no winner, or its training failed.
    """
    import json

    from metanas.api import record

    if as_json:
        click.echo(json.dumps(record(finished)))
    else:
        from metanas.cli._summary import summary

        summary(finished)
    final = finished.result.final
    if final is not None and final.outcome.status != "completed":
        raise click.ClickException(
            f"the winner's training {final.outcome.status.replace('_', ' ')}: "
            f"{final.outcome.error}; `metanas resume {finished.config.name}` tries again"
        )
