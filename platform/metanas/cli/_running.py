"""Running a search in front of a person: progress, quiet, and what an interruption says."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from metanas.api import LOG
from metanas.core.errors import MetanasError

if TYPE_CHECKING:
    from metanas.api import Finished
    from metanas.core.protocols import Tracker
    from metanas.core.search import Search
    from metanas.core.trial import Trial

Run = Callable[[Callable[..., "Tracker"]], "Finished"]


def watched(run: Run, home: Path) -> Finished:
    """Run a search with a console, its libraries' chatter in a log.

    Args:
        run: Called with what makes the console's tracker.
        home: Where the log goes until the search is over.
    """
    from metanas.cli._quiet import quiet

    descriptor, path = tempfile.mkstemp(prefix="log-", suffix=".txt", dir=home)
    os.close(descriptor)
    log = Path(path)
    name = ""
    keep = False
    try:
        with quiet(log) as terminal:

            def console(search: Search, past: Sequence[Trial]) -> Tracker:
                nonlocal name
                from rich.console import Console

                from metanas.trackers.console import ConsoleTracker

                name = search.name
                terminal.move(home / "searches" / name / LOG)
                tracker = ConsoleTracker(
                    Console(file=terminal.stream, highlight=False),
                    search.objectives,
                    search.trials,
                    past,
                    search.workers,
                )
                tracker.say(_opening(search, past))
                return tracker

            return run(console)
    except KeyboardInterrupt:
        click.echo(_stopped(name), err=True)
        raise click.exceptions.Exit(130) from None
    except MetanasError:
        raise
    except Exception:  # noqa: BLE001 - a bug keeps its traceback, below where to look
        keep = not name
        traceback.print_exc()
        where = home / "searches" / name / LOG if name else log
        click.echo(f"{_stopped(name)}\nWhat Ray and MLflow said is in {where}", err=True)
        sys.exit(1)
    finally:
        if not keep:
            log.unlink(missing_ok=True)


def _opening(search: Search, past: Sequence[Trial]) -> str:
    so_far = f", {len(past)} done before" if past else ""
    return (
        f"{search.name}: {search.trials} trials of {search.epochs} epochs on {search.task}, "
        f"{search.workers} at a time{so_far}"
    )


def _stopped(name: str) -> str:
    return f"stopped; `metanas resume {name}` goes on with it" if name else "stopped"
