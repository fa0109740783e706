from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import nn

from metanas.core.errors import ConfigError
from metanas.measures import latency as measures
from metanas.measures.latency import latencies, latency
from metanas.objectives.latency_ms import latency_ms
from metanas.testing import check_objective

QUICK_S = 0.05


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finds the pace of a machine at rest in a tenth of the time."""
    monkeypatch.setattr(measures, "REFERENCE_S", 0.1)


class Sleeper(nn.Module):
    """Takes a known time, and no core."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return inputs


class Worker(nn.Module):
    """Computes for a time that grows with `rounds`, in caches."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds
        self.register_buffer("weight", torch.eye(64))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        for _ in range(self.rounds):
            inputs = inputs @ self.weight
        return inputs


class Witness(nn.Module):
    """Notes how it is called."""

    def __init__(self, name: str = "", log: list[str] | None = None) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.name, self.log = name, [] if log is None else log
        self.seen: set[tuple[object, ...]] = set()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.log.append(self.name)
        self.seen.add(
            (
                tuple(inputs.shape),
                self.training,
                torch.is_inference_mode_enabled(),
                torch.get_num_threads(),
            )
        )
        return self.layer(inputs)


def test_it_is_the_time_of_one_call_in_milliseconds() -> None:
    found = latency(Sleeper(0.004), (1,), budget_s=QUICK_S)
    assert 4 <= found.median_ms < 40
    assert found.blocks >= 1
    assert 0 <= found.spread < math.inf


def test_it_does_not_change_afterwards() -> None:
    found = latency(nn.Identity(), (1,), budget_s=QUICK_S)
    with pytest.raises(FrozenInstanceError):
        found.median_ms = 1.0  # type: ignore[misc]


def test_four_times_the_work_takes_several_times_as_long() -> None:
    little, much = latencies([Worker(20), Worker(80)], (64,), batch=64, budget_s=QUICK_S)
    assert 2 < much.median_ms / little.median_ms < 8


def test_a_slow_module_is_measured_once_though_the_time_is_up() -> None:
    found = latency(Sleeper(0.05), (1,), budget_s=1e-6)
    assert (found.blocks, found.spread) == (1, 0.0)
    assert found.median_ms >= 50


def test_the_budget_ends_a_measurement_that_does_not_settle() -> None:
    started = time.perf_counter()
    found = latency(Sleeper(0.01), (1,), budget_s=0.1)
    assert time.perf_counter() - started < 5
    assert found.blocks <= 10


def test_modules_take_turns() -> None:
    log: list[str] = []
    names = ("a", "b", "c")
    found = latencies([Witness(name, log) for name in names], (4,), budget_s=QUICK_S)
    turns = [name for name, before in zip(log, ["", *log], strict=False) if name != before]
    assert turns == [*names] * (len(turns) // 3)
    assert len(turns) > 3 * max(each.blocks for each in found)


def test_nothing_to_measure_gives_nothing() -> None:
    assert latencies([], (4,)) == []


def test_evaluation_is_what_is_measured() -> None:
    module = Witness().train()
    latency(module, (4,), batch=3, threads=1, budget_s=QUICK_S)
    assert module.seen == {((3, 4), False, True, 1)}


def test_the_threads_are_as_many_as_asked_and_then_as_before() -> None:
    before = torch.get_num_threads()
    module = Witness()
    latency(module, (4,), threads=before + 1, budget_s=QUICK_S)
    assert {seen[-1] for seen in module.seen} == {before + 1}
    assert torch.get_num_threads() == before


def test_measuring_leaves_the_module_and_torch_as_they_were() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    module[1].eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    drawn = torch.get_rng_state()
    latency(module, (1, 8, 8), budget_s=QUICK_S)
    assert [part.training for part in module] == [True, False, True]
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(not parameter.is_inference() for parameter in module.parameters())
    assert torch.equal(torch.get_rng_state(), drawn)
    module(torch.ones(2, 1, 8, 8)).sum().backward()


def test_a_module_that_fails_is_left_as_it_was() -> None:
    before = torch.get_num_threads()
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(3, 3)).train()
    with pytest.raises(RuntimeError, match="shapes"):
        latency(module, (4,), threads=before + 1)
    assert all(part.training for part in module)
    assert torch.get_num_threads() == before
    assert not torch.is_inference_mode_enabled()


def test_on_a_named_device_a_copy_is_measured() -> None:
    module = Witness()
    latency(module, (4,), device="cpu", budget_s=QUICK_S)
    assert module.log == []
    assert module.training


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_the_work_is_waited_for() -> None:
    little, much = (Worker(rounds).double() for rounds in (10, 100))
    for module in (little, much):
        module.weight = torch.eye(2048, dtype=torch.float64)
        module.register_forward_pre_hook(lambda module, args: args[0].to(module.weight.dtype))
    short, long = latencies([little, much], (2048,), batch=2048, device="cuda")
    assert 5 < long.median_ms / short.median_ms < 20
    assert little.weight.device.type == "cpu"
    own = latency(little.to("cuda"), (2048,), batch=2048)
    assert 0.5 < own.median_ms / short.median_ms < 2


@contextmanager
def sharing_one_core() -> Iterator[None]:
    """This thread and a process that never rests, on the same core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    rival = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        rival.kill()
        rival.wait()
        os.sched_setaffinity(0, before)


@pytest.mark.skipif(not os.path.exists("/proc/thread-self/schedstat"), reason="needs Linux")
@pytest.mark.parametrize("rounds", [10, 1500], ids=["shorter than a turn", "longer"])
def test_waiting_for_a_core_is_not_counted(rounds: int) -> None:
    module = Worker(rounds)
    alone = latency(module, (64,), batch=64, budget_s=0.3)
    with sharing_one_core():
        started, computed = time.perf_counter(), time.thread_time()
        shared = latency(module, (64,), batch=64, budget_s=0.3)
        share = (time.thread_time() - computed) / (time.perf_counter() - started)
    assert share < 0.8, "the rival took nothing, so this shows nothing"
    assert shared.median_ms < 1.5 * alone.median_ms


def test_computing_is_brought_to_the_pace_of_a_machine_at_rest_and_sleeping_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def medians() -> list[float]:
        modules = [Worker(30), Sleeper(0.004)]
        return [each.median_ms for each in latencies(modules, (64,), batch=64, budget_s=0.2)]

    computing, sleeping = medians()
    at_rest = measures._undisturbed_s(torch.device("cpu"), 1)
    monkeypatch.setattr(measures, "_undisturbed_s", lambda device, threads: at_rest / 3)
    computing_now, sleeping_now = medians()
    assert 0.2 < computing_now / computing < 0.6
    assert 0.7 < sleeping_now / sleeping < 1.4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "latency.batch is 0, expected at least 1"),
        ({"threads": 0}, "latency.threads is 0, expected at least 1"),
        ({"budget_s": 0.0}, "latency.budget_s is 0.0, expected more than 0"),
        ({"budget_s": math.nan}, "latency.budget_s is nan, expected more than 0"),
        ({"device": "toaster"}, "latency.device is 'toaster', which cannot be used: "),
    ],
)
def test_what_is_out_of_range_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        latency(nn.Identity(), (1,), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "latency_ms.batch is 0, expected at least 1"),
        ({"threads": -1}, "latency_ms.threads is -1, expected at least 1"),
        ({"device": "toaster"}, "latency_ms.device is 'toaster', expected cpu, cuda, ..."),
    ],
)
def test_the_objective_refuses_it_before_anything_runs(
    options: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        latency_ms(**options)  # type: ignore[arg-type]


def test_the_objective_keeps_the_laws() -> None:
    objective = latency_ms()
    assert (objective.name, objective.unit, objective.goal) == ("latency_ms", "ms", "min")
    check_objective(objective)


def test_the_objective_measures_with_its_options() -> None:
    objective = latency_ms(batch=5, threads=2)
    module = Witness()
    assert objective.measure is not None
    assert objective.measure(module, (4,)) > 0
    assert {(seen[0], seen[-1]) for seen in module.seen} == {((5, 4), 2)}
