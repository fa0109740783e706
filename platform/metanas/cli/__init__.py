"""The command line: one file a command, each imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from metanas import __version__
from metanas.core.errors import MetanasError, unknown

LONGEST_TOLD = 300

COMMANDS = {
    "search": "Search an architecture for a task.",
    "resume": "Go on with a search, or extend it.",
    "show": "Show what a search has found.",
    "export": "Write the winner as code and weights that need torch alone.",
    "retrain": "Train the winner afresh on other data.",
    "list": "List what there is: tasks, spaces, strategies, searches, ...",
    "bench": "Compare strategies on a table of finished trainings.",
    "experience": "Gather finished trials for the meta-learner.",
    "prior": "What finished searches teach the next one: fit, show.",
    "check": "Check that a plug-in keeps the laws of its kind.",
    "doctor": "Look at whether searches will work here.",
    "ui": "Open MLflow's page on the trials.",
}


class Commands(click.Group):
    """Looks a command up in its own module ``metanas.cli.<name>``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command; None if there is none of the name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"metanas.cli.{cmd_name}")
        command: click.Command = module.COMMAND
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest a command where a name is unknown."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            ctx.fail(f"no command '{args[0]}'{unknown(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The summaries, without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="metanas")
def cli() -> None:
    """Search neural architectures; every search makes the next one cheaper."""


OUTSIDE = ("mlflow.exceptions", "requests.exceptions", "sqlalchemy.exc")
"""Modules whose exceptions tell of a server or a database; they need not be imported to know."""


def _from_outside(error: BaseException) -> bool:
    """Whether the world is at fault (a full disk, a server that is away) and not the code."""
    outside = type(error).__module__.startswith(OUTSIDE)
    return outside or isinstance(error, OSError | MemoryError)


def _told(error: BaseException) -> str:
    """What an error from outside says, in one line, with the file that it is about."""
    if isinstance(error, OSError) and error.strerror:
        file = f"{error.filename}: " if error.filename else ""
        return f"{file}{error.strerror}"
    return " ".join(str(error).split())[:LONGEST_TOLD] or "no more is known"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; what is wrong with its input ends it with one line and exit code 1."""
    try:
        code = cli.main(args=arguments, standalone_mode=False, prog_name="metanas")
        if code:
            sys.exit(code)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show(sys.stderr)
        sys.exit(error.exit_code)  # 2 for wrong usage
    except MetanasError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        if not _from_outside(error):
            raise
        print(f"{type(error).__name__}: {_told(error)}", file=sys.stderr)
        sys.exit(1)
