"""What a search leaves in its folder when it is over: the winner's export and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from metanas.api.exporting import export_finished
from metanas.api.parts import references_of, space_of, space_reference, task_of
from metanas.core.errors import MetanasError

if TYPE_CHECKING:
    from metanas.api.searching import Finished
    from metanas.core.history import Final
    from metanas.core.space import Space
    from metanas.core.task import Task
    from metanas.measures.trace import Node


def leave(finished: Finished, home: Path, folder: Path, say: Callable[[str], None]) -> None:
    """Write export and report; what cannot be written is said, and ends nothing.

    An export of an earlier winner is removed where the new one has no trained weights, so
    that nobody takes the one for the other.

    Args:
        finished: The search.
        home: As `home_folder` gives it.
        folder: The search's own.
        say: Told what could not be written, and why.
    """
    final, export = finished.result.final, folder / "export"
    if final is not None and final.weights and final.outcome.status == "completed":
        _tried(lambda: export_finished(finished, home, export, onnx=False), "export", say)
    elif final is not None:
        _tried(lambda: _withdraw(export, final, say), "export", say)
    _tried(lambda: report(finished, folder), "report", say)


def _withdraw(export: Path, final: Final, say: Callable[[str], None]) -> None:
    from metanas.export import remove_folder

    if remove_folder(export):
        how = final.outcome.status.replace("_", " ")
        say(f"removed {export}, an earlier winner's: training trial {final.number} {how}")


def _tried(write: Callable[[], object], what: str, say: Callable[[str], None]) -> None:
    try:
        write()
    except MetanasError as error:
        say(f"no {what} of the winner: {error}")
    except Exception as error:  # noqa: BLE001 - the search is over, its result is not lost for this
        say(f"no {what}: {type(error).__name__}: {error}")


def report(finished: Finished, folder: Path) -> Path:
    """Write the report of a search, over or not, into a folder; the page's path."""
    from metanas.report import Story, write_report

    config = finished.config
    space = space_of(space_reference(config))
    task = task_of(references_of(config)["task"], config.task_name())
    story = Story(
        name=config.name,
        task=task.name,
        space=space.name,
        strategy=config.strategy,
        seed=config.seed,
        epochs=config.epochs,
        objectives=finished.objectives,
        result=finished.result,
        aim=config.trials,
        seconds=finished.seconds,
        tracking_uri=finished.tracking_uri,
        choices=space.choices,
        graph=_graph(finished, space, task),
        task_facts=task.facts,
    )
    return write_report(story, folder)


def _graph(finished: Finished, space: Space, task: Task) -> tuple[Node, ...]:
    from metanas.measures.trace import trace

    best = finished.result.best
    if best is None:
        return ()
    try:
        module = space.build(best.proposal.architecture.values, task.shape, task.outputs)
        return trace(module, task.shape)
    except Exception:  # noqa: BLE001 - a drawing that is missing is no reason to have no report
        return ()
