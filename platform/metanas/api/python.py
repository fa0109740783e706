"""The same from Python: ``from metanas import search``, with the command line's names."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metanas.api import searching
from metanas.api.arrays import arrays_of
from metanas.api.config import SearchConfig
from metanas.api.exporting import Exported, export_finished, trained
from metanas.api.home import home_folder
from metanas.core.errors import ConfigError
from metanas.core.plugins import executing

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from metanas.core.protocols import Tracker
    from metanas.core.space import Space
    from metanas.core.trial import Trial

Arrays = tuple[Any, Any]


@dataclass(frozen=True)
class Found:
    """What a search found, for a program to go on with.

    Args:
        finished: Its description and result.
        home: The home folder it lies in.
    """

    finished: searching.Finished
    home: Path

    @property
    def name(self) -> str:
        """Of the search: `metanas.resume(name)` goes on with it."""
        return self.finished.config.name

    @property
    def best(self) -> Trial | None:
        """The trial that was picked; `why` says why."""
        return self.finished.result.best

    @property
    def why(self) -> str:
        """The winner was picked."""
        return self.finished.result.why

    @property
    def front(self) -> tuple[Trial, ...]:
        """The trials that none dominates, the best in the first objective first."""
        return self.finished.result.front

    @property
    def test(self) -> dict[str, float]:
        """The winner's metrics on test data; empty where it was not trained."""
        final = self.finished.result.final
        return {} if final is None else dict(final.outcome.metrics)

    def frame(self) -> pd.DataFrame:
        """A row a trial: number, status, choices, metrics, seconds, reason."""
        import pandas as pd

        numbers = {trial.number for trial in self.front}
        rows = [
            {
                "number": trial.number,
                "status": trial.status,
                **trial.proposal.architecture.values,
                **trial.metrics,
                "seconds": trial.seconds,
                "front": trial.number in numbers,
                "reason": trial.proposal.reason,
            }
            for trial in sorted(self.finished.result.trials, key=lambda trial: trial.number)
        ]
        return pd.DataFrame(rows)

    def model(self) -> nn.Module:
        """The trained winner: pixels ``[n, *shape]``, 0 to 255, to ``[n, outputs]``."""
        return trained(self.finished, self.home)

    def export(self, to: str | Path) -> Exported:
        """Write the winner as a folder that needs torch alone."""
        return export_finished(self.finished, self.home, Path(to))


def search(
    task: str | Path | Arrays | Sequence[Any],
    *,
    space: str | Space = "",
    objective: str | Sequence[str] = (),
    set: Mapping[str, Any] | None = None,
    home: str | Path | None = None,
    progress: bool = True,
    **options: Any,
) -> Found:
    """Search an architecture for a task.

    Args:
        task: As on the command line; or a pair of arrays, images ``[n, height, width]`` or
            ``[n, height, width, channels]`` and labels ``[n]``; or a PyTorch data set of
            (image, label).
        space: A name, ``my_net.py:space``, or a `Space` that a Python file defines.
        objective: One or several, as on the command line: ``"accuracy"``, ``"flops<1e6"``.
        set: Options of parts by name: ``{"strategy.population": 20}``.
        home: Where searches and runs are kept.
        progress: Whether to show it.
        **options: The other options of ``metanas search``, with underscores: ``trials``,
            ``epochs``, ``strategy``, ``workers``, ``executor``, ``seed``, ``name``, ...

    Raises:
        ConfigError: If an option is unknown or not allowed.
        MetanasError: If the search cannot be begun; one line says why.
    """
    _refuse_within_plugin("search")
    known = SearchConfig.__dataclass_fields__.keys() - {"sources"}
    for name in options:
        if name not in known:
            raise ConfigError(f"search has no option '{name}'. Known: {', '.join(sorted(known))}")
    where = space if isinstance(space, str) else _where_defined(space)
    parts: dict[str, Any] = {"objective": _names(objective), "set": _settings(set)}
    plain = {key: _plain(value) for key, value in options.items()}
    SearchConfig("", space=where, **parts, **plain)  # before arrays are stored
    folder = home_folder(None if home is None else str(home))
    config = SearchConfig(_task(task, folder), space=where, **parts, **plain)
    return Found(searching.search(config, folder, _console if progress else None), folder)


def resume(
    name: str, *, trials: int | None = None, home: str | Path | None = None, progress: bool = True
) -> Found:
    """Go on with a search, or extend it; gives its result again where nothing is missing."""
    _refuse_within_plugin("resume")
    folder = home_folder(None if home is None else str(home))
    console = _console if progress else None
    return Found(searching.resume(name, folder, trials, console), folder)


def show(name: str, *, home: str | Path | None = None) -> Found:
    """What a search has found so far, running or over."""
    folder = home_folder(None if home is None else str(home))
    return Found(searching.show(name, folder), folder)


def _refuse_within_plugin(called: str) -> None:
    """A script that searches over its own space is read again, as the source of that space.

    Raises:
        ConfigError: If this happens now: a second search would begin within the first.
    """
    file = executing()
    if file:
        raise ConfigError(
            f"{file} calls metanas.{called} while it is read as a plug-in: put the call under "
            'if __name__ == "__main__":'
        )


def _names(objective: Any) -> tuple[Any, ...]:
    if isinstance(objective, str):
        return (objective,)
    if not isinstance(objective, Iterable):
        raise ConfigError(f"search.objective is {objective!r}, expected a name or several")
    return tuple(objective)


def _settings(given: Any) -> tuple[tuple[str, str], ...]:
    if given is not None and not isinstance(given, Mapping):
        raise ConfigError(f"search.set is {given!r}, expected options of parts by name")
    return tuple((str(key), str(value)) for key, value in (given or {}).items())


def _plain(value: Any) -> Any:
    """A number of NumPy's as Python's own, which a journal can hold."""
    return value.item() if isinstance(value, np.generic) else value


def _console(search: Any, past: Sequence[Trial]) -> Tracker:
    from rich.console import Console

    from metanas.trackers.console import ConsoleTracker

    console = Console(stderr=True, highlight=False)
    return ConsoleTracker(console, search.objectives, search.trials, past, search.workers)


def _where_defined(space: Any) -> str:
    """``file.py:name`` of a space: workers get its file's text, as from the command line."""
    from metanas.core.space import Space

    if not isinstance(space, Space):
        kind = type(space).__name__
        raise ConfigError(f"search.space is a {kind}, expected a name, a file's or a Space")
    path = inspect.getsourcefile(space.build)
    module = inspect.getmodule(space.build)
    for name, value in vars(module).items() if module is not None else ():
        if value is space and path is not None and Path(path).is_file():
            return f"{path}:{name}"
    raise ConfigError(
        f"space '{space.name}' is in no file: put its choices, its build function and the Space "
        "into a file of their own and give space='my_net.py:space'"
    )


def _task(task: Any, home: Path) -> str:
    """The task as the command line would name it; arrays are stored first."""
    if isinstance(task, str | Path):
        return str(task)
    images, labels = arrays_of(task)
    from metanas.tasks.npz import archive

    about = repr((images.shape, images.dtype.str, labels.tolist())).encode()
    text = hashlib.sha256(about + np.ascontiguousarray(images).tobytes()).hexdigest()
    path = home / "data" / f"arrays-{text[:16]}.npz"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():  # never written over: an earlier search may go on with it
        archive(path, images, labels)
    return str(path)
