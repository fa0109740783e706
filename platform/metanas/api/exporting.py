"""The winner of a search as a folder that stands alone, and training it again on other data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metanas import __version__
from metanas.api.config import SearchConfig, path_of
from metanas.api.home import WEIGHTS, existing
from metanas.api.parts import (
    on_other_data,
    plan_of,
    references_of,
    sources_of_task,
    space_of,
    space_reference,
    task_of,
)
from metanas.api.sameness import check_classes, check_fit, classes_of, rows_differ, task_record
from metanas.core.errors import ConfigError, DataError, HomeError, TrialError
from metanas.core.paths import expanded, whole
from metanas.core.search import FINAL
from metanas.core.trial import Job, Outcome, proposal_record, trial_seed

if TYPE_CHECKING:
    from torch import nn

    from metanas.api.searching import Finished
    from metanas.core.task import Task

SAMPLES = 8
"""Inputs whose outputs go with an export, for comparison."""


@dataclass(frozen=True)
class Exported:
    """A folder that was written.

    Args:
        folder: Where it is.
        without_onnx: Why it has no ONNX file; "" if it has one.
        changed: How the task's rows differ from those of the search; "" if they do not.
    """

    folder: Path
    without_onnx: str
    changed: str = ""


def export(name: str, home: Path, to: Path, *, onnx: bool = True) -> Exported:
    """Write the winner of a search as a folder that needs torch alone.

    Args:
        name: Of the search.
        home: As `home_folder` gives it.
        to: The folder to write.
        onnx: Whether to write ``model.onnx`` too, where its packages are installed.

    Raises:
        HomeError: If there is no such search, or it has no trained winner.
        DataError: If the task's shape, outputs or classes changed since.
        ConfigError: If the folder cannot be written, or holds something else.
    """
    from metanas.api.searching import show

    return export_finished(show(name, home), home, to, onnx=onnx)


def export_finished(finished: Finished, home: Path, to: Path, *, onnx: bool = True) -> Exported:
    """The same for a search that is at hand."""
    best, final = finished.result.best, finished.result.final
    weights = _weights(finished, home)
    assert best is not None
    assert final is not None
    seed = trial_seed(finished.config.seed, best.number)
    config = finished.config
    task = _task(config)
    check_fit(finished.task, task, f"task '{config.task}'")
    changed = rows_differ(finished.task, task_record(task, config.seed))
    made = _Made(finished, config, final.epochs, seed, final.outcome.metrics, weights)
    return replace(_written(made, task, to, onnx), changed=changed)


def retrain(
    name: str,
    home: Path,
    to: Path,
    *,
    data: str,
    where: str = "",
    epochs: int,
    seed: int = 0,
    report: Callable[[int, Mapping[str, float]], None] = lambda epoch, metrics: None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[Exported, dict[str, float]]:
    """Train the winner of a search afresh on other data, and export what comes of it.

    Args:
        name: Of the search.
        home: As `home_folder` gives it.
        to: The folder to write.
        data: The task to train on: train and validation together; its test part is scored.
        where: ``column=value`` to keep these rows only.
        epochs: How long.
        seed: Decides all randomness.
        report: Told after each epoch.
        say: Told which options of the search's task are left out, as this one has none such.

    Returns:
        The folder, and the metrics on the task's test part.

    Raises:
        HomeError: If there is no such search, or nothing in it has succeeded.
        MetanasError: If the data cannot be used or has other classes, or the training fails;
            one line says why.
    """
    from metanas.api.searching import show

    if epochs < 1:
        raise ConfigError(f"--epochs is {epochs}, expected at least 1")
    from metanas.export import check_place

    check_place(expanded(to).resolve())
    finished = show(name, home)
    best = finished.result.best
    if best is None:
        raise HomeError(f"search '{name}' has no winner to train")
    if finished.config.estimator == "table":
        raise ConfigError(f"search '{name}' read a table of results: there is nothing to train")
    own = {part: text for part, text in finished.config.sources.items() if part != "task"}
    config = replace(finished.config, task=path_of(data), where=where, seed=seed, sources=own)
    config = replace(config, sources={**own, **sources_of_task(config)})
    config, lacking = on_other_data(config)
    for option in lacking:
        say(f"--set {option} of the search is left out: '{data}' has no such option")
    task = _task(config)
    check_classes(finished.task, task, f"'{data}'")
    plan = plan_of(config)
    proposal = replace(best.proposal, number=FINAL, epochs=epochs)
    job = Job(FINAL, proposal_record(proposal), seed, final=True)
    outcome = Outcome("crashed", {}, 0.0)
    for event in plan(job):
        if isinstance(event, Outcome):
            outcome = event
        else:
            report(event.epoch, event.metrics)
    if outcome.status != "completed" or outcome.weights is None:
        raise TrialError(f"the training {outcome.status.replace('_', ' ')}: {outcome.error}")
    made = _Made(finished, config, epochs, seed, outcome.metrics, outcome.weights)
    return _written(made, task, to, onnx=True), dict(outcome.metrics)


def trained(finished: Finished, home: Path) -> nn.Module:
    """The winner's network with its weights, on the CPU, in evaluation mode.

    It maps pixels ``[n, *shape]``, 0 to 255, to outputs ``[n, outputs]``: the scaling of
    its training comes first.

    Raises:
        HomeError: If the search has no trained winner, or its file is gone or damaged.
        DataError: If the task's shape, outputs or classes changed since.
    """
    task = _task(finished.config)
    check_fit(finished.task, task, f"task '{finished.config.task}'")
    module, mean, deviation = _built(finished, task, _weights(finished, home))
    return _scaled(module, mean, deviation, len(task.shape))


@dataclass(frozen=True)
class _Made:
    """A training of a search's winner: on which task, how long, and what came of it."""

    finished: Finished
    config: SearchConfig
    epochs: int
    seed: int
    test: Mapping[str, float]
    weights: bytes


def _written(made: _Made, task: Task, to: Path, onnx: bool) -> Exported:
    from metanas.export import Winner, write_folder

    module, mean, deviation = _built(made.finished, task, made.weights)
    scores = ", ".join(f"test {name} {value:.4f}" for name, value in made.test.items())
    name = made.config.name
    winner = Winner(
        name=name,
        title=f"Winner of the search {name}: {task.kind} of {task.name}, {scores}.",
        module=module,
        mean=mean,
        deviation=deviation,
        samples=task.load(made.config.seed).test.inputs[:SAMPLES],
        classes=classes_of(task) or list(map(str, range(task.outputs))),
        recipe=_recipe(made, task),
    )
    folder = whole(to)
    return Exported(folder, write_folder(winner, folder, onnx=onnx))


def _task(config: SearchConfig) -> Task:
    return task_of(references_of(config)["task"], config.task_name())


def _built(finished: Finished, task: Task, weights: bytes) -> tuple[nn.Module, Any, Any]:
    """The network with these weights, and mean and deviation of what it was trained on."""
    from safetensors.torch import load

    best = finished.result.best
    assert best is not None
    space = space_of(space_reference(finished.config))
    module = space.build(best.proposal.architecture.values, task.shape, task.outputs)
    tensors = load(weights)
    prefix = "model."
    state = {k[len(prefix) :]: t for k, t in tensors.items() if k.startswith(prefix)}
    try:
        module.load_state_dict(state)
    except RuntimeError:  # its text names every weight, over many lines
        shape, outputs = list(task.shape), task.outputs
        raise DataError(
            f"the winner's weights do not fit task '{task.name}' of shape {shape} and "
            f"{outputs} outputs: its data or the space changed since"
        ) from None
    return module.eval(), tensors["input.mean"], tensors["input.deviation"]


def _scaled(network: nn.Module, mean: Any, deviation: Any, dimensions: int) -> nn.Module:
    from torch import nn

    class Scaled(nn.Module):
        """Scales pixels as in training, then runs the network."""

        def __init__(self) -> None:
            super().__init__()
            view = (1, -1, *(1 for _ in range(dimensions - 1)))
            self.register_buffer("mean", mean.view(view))
            self.register_buffer("deviation", deviation.view(view))
            self.network = network

        def forward(self, images: Any) -> Any:
            return self.network((images.float() - self.mean) / self.deviation)

    return Scaled().eval()


def _weights(finished: Finished, home: Path) -> bytes:
    """The file with the winner's weights, shown to be the one that the journal speaks of."""
    name = finished.config.name
    best, final = finished.result.best, finished.result.final
    current = best is not None and final is not None and final.number == best.number
    if final is None or not current or final.outcome.status != "completed" or not final.weights:
        raise HomeError(
            f"search '{name}' has no trained winner: it is not over, or ran with --final-epochs 0; "
            f"`metanas resume {name}` goes on with it"
        )
    path = existing(name, home) / WEIGHTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HomeError(f"the winner's weights {path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != final.weights:
        raise HomeError(f"the winner's weights {path} are not those that the journal speaks of")
    return content


def _recipe(made: _Made, task: Task) -> dict[str, Any]:
    """How the winner was made, as plain JSON."""
    import torch

    config, result = made.config, made.finished.result
    assert result.best is not None
    return {
        "search": config.name,
        "task": {
            "name": task.name,
            "source": config.task,
            "where": config.where,
            "kind": task.kind,
            "shape": list(task.shape),
            "outputs": task.outputs,
        },
        "space": config.space,
        "architecture": dict(result.best.proposal.architecture.values),
        "trial": result.best.number,
        "picked": result.why,
        "training": {
            "estimator": config.estimator,
            "options": dict(references_of(config)["estimator"].options),
            "settings": dict(result.best.proposal.settings),
            "epochs": made.epochs,
            "parts": ["train", "validation"],
        },
        "seeds": {"search": made.finished.config.seed, "training": made.seed},
        "validation": dict(result.best.metrics),
        "test": dict(made.test),
        "weights_sha256": hashlib.sha256(made.weights).hexdigest(),
        "versions": {"metanas": __version__, "torch": torch.__version__},
    }
