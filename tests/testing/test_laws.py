"""Each law is broken once, and found out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from metanas.core.errors import ConfigError
from metanas.core.objective import Objective
from metanas.core.protocols import Context
from metanas.core.space import Architecture, Choice, Space, mutate, sample
from metanas.core.task import Data, Part, Task
from metanas.core.trial import Proposal, Report, Trial
from metanas.tasks.classification import Rows, classification
from metanas.testing import (
    additive_context,
    check_estimator,
    check_objective,
    check_space,
    check_strategy,
    check_task,
)


def linear(values: Any, shape: tuple[int, ...], outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), outputs))


CHOICES = (Choice("a", (1, 2, 3)), Choice("b", ("x", "y")))
COUNTER = count()


def growing(values: dict[str, Any], shape: tuple[int, ...], outputs: int) -> nn.Module:
    values["c"] = 1
    return linear(values, shape, outputs)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Space("s", CHOICES, lambda v, s, o: linear(v, s, o + 1)), r"gives \(2, 4\), expected"),
        (
            Space("s", CHOICES, lambda v, s, o: nn.Sequential(linear(v, s, o), nn.Flatten(0))),
            "gives",
        ),
        (Space("s", CHOICES, growing), "build changed the values"),  # type: ignore[arg-type]
        (
            Space("s", CHOICES, linear, canonical=lambda v: next(COUNTER)),
            "canonical forms .*differ|id",
        ),
        (Space("s", CHOICES, linear, canonical=lambda v: list(v)), "depends on the order"),
    ],
)
def test_a_space_that_breaks_a_law_is_found_out(space: Space, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_space(space)


def test_a_sound_space_passes() -> None:
    check_space(Space("s", CHOICES, linear, canonical=lambda v: v["b"]))
    check_space(Space("one", (Choice("only", (True,)),), linear), shape=(4,), outputs=2)
    check_space(Space("holes", CHOICES, linear, allowed=lambda v: v["a"] != 2 or v["b"] == "x"))


class Draws:
    """Random search, to be broken."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.told: list[Trial] = []

    def drawn(self, number: int) -> Architecture:
        return sample(self.context.space, np.random.default_rng([self.context.seed, number]))

    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal | None:
        return Proposal(number, self.drawn(number), self.context.epochs)

    def tell(self, trial: Trial) -> None:
        self.told.append(trial)


class Stateful(Draws):
    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal | None:
        self.asked = getattr(self, "asked", 0) + 1
        return Proposal(number, self.drawn(self.asked), 1)


class Remembers(Draws):
    """Keeps what it was asked with, so a new instance does not know it."""

    best: Architecture | None = None

    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal | None:
        if number == 0:
            self.best = self.drawn(0)
        rng = np.random.default_rng(number)
        return Proposal(number, mutate(self.best, rng) if self.best else self.drawn(number), 1)


class Misnumbers(Draws):
    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal | None:
        return Proposal(0, self.drawn(0), 1)


class Foreign(Draws):
    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal | None:
        return Proposal(number, replace(self.drawn(number), values={"choice_0": 99}), 1)


class Tuples(Draws):
    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal | None:
        return Proposal(number, self.drawn(number), 1, notes={"pair": (1, 2)})


class Arrays(Draws):
    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal | None:
        return Proposal(number, self.drawn(number), 1, notes={"logits": np.zeros(2)})


class Child(Draws):
    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal | None:
        return Proposal(number, self.drawn(number), 1, parent=number)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (Stateful, "law 1"),
        (Remembers, "law 2"),
        (Misnumbers, "asked for trial 1, it proposes number 0"),
        (Foreign, "proposal 0 is no member of the space"),
        (Tuples, "comes back from JSON as another one"),
        (Arrays, "is no plain JSON"),
        (Child, "has parent 0, expected an earlier trial"),
    ],
)
def test_a_strategy_that_breaks_a_law_is_found_out(strategy: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_strategy(strategy)


def test_a_strategy_that_only_takes_in_success_is_found_out() -> None:
    class Hopeful(Draws):
        def tell(self, trial: Trial) -> None:
            assert trial.metrics["accuracy"] >= 0

    with pytest.raises(KeyError):
        check_strategy(Hopeful)


def test_a_strategy_that_waits_and_ends_passes() -> None:
    class Generations(Draws):
        """Waits until all of a generation of four are told; ends after five."""

        def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal | None:
            if number >= 20 or len(self.told) < 4 * (number // 4):
                return None
            return super().ask(number, pending)

    check_strategy(Generations)


def test_the_context_can_be_given() -> None:
    check_strategy(Draws, replace(additive_context(seed=3), epochs=7))


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda module, shape: float("nan"), "measures nan, expected a finite float"),
        (lambda module, shape: 3, "measures 3, expected"),
        (lambda module, shape: float(module.eval().training), "left the module with training"),
        (lambda module, shape: nn.init.zeros_(module[0].weight).sum().item(), "changed .*weight"),
        (
            lambda module, shape: module(torch.ones(2, *shape)).sum().backward() or 1.0,
            "changed|gradient",
        ),
    ],
)
def test_an_objective_that_breaks_a_law_is_found_out(measure: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_objective(Objective("some", "", "min", measure))


def test_an_objective_with_a_name_that_no_column_can_have_is_found_out() -> None:
    with pytest.raises(AssertionError, match="objective name 'a b' is no identifier"):
        check_objective(Objective("a b", "", "min"))


@lru_cache
def task() -> Task:
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 4, 4), dtype=np.uint8)
    return classification("t", Rows(images, np.arange(60) % 3), where="t")


def loads(change: Callable[[Data, int], Data]) -> Callable[[int], Data]:
    sound = task().load
    return lambda seed: change(sound(seed), seed)


def leaking(data: Data, seed: int) -> Data:
    return replace(data, train=data.train.joined(data.test))


def moving_test(data: Data, seed: int) -> Data:
    return Data(data.train, data.test, data.validation) if seed else data


def leaving_out(data: Data, seed: int) -> Data:
    train = data.train
    return replace(data, train=Part(train.inputs[seed:], train.targets[seed:]))


def as_float(data: Data, seed: int) -> Data:
    return replace(data, train=Part(data.train.inputs / 255, data.train.targets))


def empty(data: Data, seed: int) -> Data:
    return replace(data, validation=Part(data.test.inputs[:0], data.test.targets[:0]))


def too_many_classes(data: Data, seed: int) -> Data:
    return replace(data, test=Part(data.test.inputs, data.test.targets + 3))


def drifting(data: Data, seed: int) -> Data:
    return replace(data, train=Part(data.train.inputs + next(COUNTER) % 7, data.train.targets))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"load": loads(leaking)}, "the parts hold .* rows in all, the task has 60"),
        ({"load": loads(moving_test)}, "seeds 0 and 1 gave two different parts 'test'"),
        ({"load": loads(leaving_out)}, "are not the same rows taken together"),
        ({"load": loads(as_float)}, "images of train are float64, expected uint8"),
        ({"load": loads(empty)}, "validation is empty"),
        ({"load": loads(too_many_classes)}, "targets of test run from 3 to 5, expected 0 to 2"),
        (
            {"load": loads(drifting)},
            "seed 0 twice gave two different parts 'train'|inputs .*dtype|uint8",
        ),
        ({"shape": (1, 5, 5)}, "inputs of train have shape"),
        ({"score": lambda outputs, targets: {"accuracy": 1.0}}, "the score gives"),
        (
            {"score": lambda o, t: {"accuracy": 1.0, "loss": float("nan")}},
            "expected finite numbers",
        ),
        ({"loss": lambda outputs, targets: outputs.sum(dim=1)}, "the loss is"),
        ({"augment": lambda images, generator: torch.rand_like(images)}, "gives different batches"),
        ({"augment": lambda images, generator: images[:, :, 1:]}, "augmenting"),
    ],
)
def test_a_task_that_breaks_a_law_is_found_out(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_task(replace(task(), **changed))


def test_a_sound_task_passes() -> None:
    check_task(task())
    check_task(replace(task(), augment=None))


def estimator(
    *,
    epochs_given: int | None = None,
    loss: Callable[[], float] = lambda: 1.0,
    early: bool = False,
    refuses: bool = True,
    lacks: str = "",
) -> Any:
    def judge(*_: Any, epochs: int, settings: Any, final: bool, **__: Any) -> Iterator[Report]:
        if settings and refuses:
            raise ConfigError(f"no setting {list(settings)}")
        for epoch in range(1, (epochs_given or epochs) + 1):
            shown = (
                {"accuracy": 0.5, "loss": loss()} if epoch == epochs or early or not final else {}
            )
            yield Report(epoch, {k: v for k, v in shown.items() if k != lacks})

    return judge


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (estimator(epochs_given=1), r"epochs \[1\], expected \[1, 2\]"),
        (estimator(loss=lambda: float("inf")), "expected finite numbers"),
        (estimator(loss=lambda: float(next(COUNTER))), "the same arguments gave"),
        (estimator(early=True), r"shows test metrics after epochs \[1\]"),
        (estimator(refuses=False), "'no_such_setting', is not refused"),
        (estimator(lacks="loss"), r"the last report lacks \['loss'\]"),
    ],
)
def test_an_estimator_that_breaks_a_law_is_found_out(broken: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_estimator(broken, Space("s", CHOICES, linear), task())


def test_a_sound_estimator_passes() -> None:
    check_estimator(estimator(), Space("s", CHOICES, linear), task())
