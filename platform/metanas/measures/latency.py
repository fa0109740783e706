"""How long a forward pass takes: medians over short blocks, on machines that do other work.

Calls are timed in blocks of some milliseconds, until the median is known well enough or
the time is up. Two disturbances are taken out, since the processes of a search share
their machine:

* Waiting. Where the system says for how long a thread was ready and had no core (Linux
  does), that time does not count.
* Pace. What else runs slows memory and caches, and clocks drift. A small network is timed
  in turn with the module, and the part of each block in which this process computed is
  brought to the pace that the small one had in the fastest moments of one second, once a
  process.

What this module does not know: what a batch means to a user, or which time is fast.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from metanas.core.errors import ConfigError
from metanas.measures._running import device_of, evaluating

if TYPE_CHECKING:
    import torch
    from torch import nn

WARM_UP_S = 0.02
WARM_UP_CALLS = 2
BLOCK_S = 0.003
LEAST_BLOCKS = 40
PRECISION = 0.005
"""Standard error of the median, over the median, that is good enough."""

REFERENCE_S = 1.0
FASTEST = 0.02
"""Quantile of the small network's blocks that counts as undisturbed; the very first is luck."""


@dataclass(frozen=True, slots=True)
class Latency:
    """What timing a module gave.

    Args:
        median_ms: Of one forward pass, over blocks.
        spread: Inter-quartile range over median of the same blocks.
        blocks: How many they are.
    """

    median_ms: float
    spread: float
    blocks: int


def latency(
    module: nn.Module,
    shape: tuple[int, ...],
    *,
    batch: int = 1,
    threads: int = 1,
    device: str | None = None,
    budget_s: float = 1.0,
) -> Latency:
    """Time from giving a module its input to having its output, in evaluation mode.

    Args:
        module: Maps ``[batch, *shape]`` to anything; left as it was.
        shape: Of one input, without the batch.
        batch: Inputs a call.
        threads: Of torch, on a CPU; set back afterwards. More of them than there are free
            cores give times that do not repeat.
        device: Where a copy of the module is measured; the module itself, where it is,
            without one.
        budget_s: Seconds after which no block is begun. A machine at rest needs a third.

    Raises:
        ConfigError: If a number is out of range, or the device is not there.
    """
    return latencies(
        [module], shape, batch=batch, threads=threads, device=device, budget_s=budget_s
    )[0]


def latencies(
    modules: Sequence[nn.Module],
    shape: tuple[int, ...],
    *,
    batch: int = 1,
    threads: int = 1,
    device: str | None = None,
    budget_s: float = 1.0,
) -> list[Latency]:
    """Time several modules in turn, block by block, so that disturbances hit all alike.

    Args:
        modules: All for inputs of one shape; left as they were; may be empty.
        shape: Of one input, without the batch.
        batch: Inputs a call.
        threads: Of torch, on a CPU; set back afterwards. More of them than there are free
            cores give times that do not repeat.
        device: Where copies of the modules are measured; without one each where it is.
        budget_s: Seconds a module after which no round of blocks is begun.

    Returns:
        In the order of `modules`; all of equally many blocks.

    Raises:
        ConfigError: If a number is out of range, or the device is not there.
    """
    import torch

    for name, value, low in (("batch", batch, 1), ("threads", threads, 1)):
        if value < low:
            raise ConfigError(f"latency.{name} is {value}, expected at least {low}")
    if not 0 < budget_s < math.inf:
        raise ConfigError(f"latency.budget_s is {budget_s}, expected more than 0")
    timed = list(modules) if device is None else _copies(modules, device)
    with evaluating(*timed), on_threads(threads), torch.inference_mode():
        subjects = [_subject(module, (batch, *shape)) for module in timed]
        return [_summary(times) for times in _times(subjects, threads, budget_s * len(subjects))]


def _copies(modules: Sequence[nn.Module], device: str) -> list[nn.Module]:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"latency.device is {device!r}, which cannot be used: {reason}") from None
    return [copy.deepcopy(module).to(device) for module in modules]


@contextlib.contextmanager
def on_threads(number: int) -> Iterator[None]:
    """So many threads of torch, and afterwards as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is timed: `calls` times `call`, on `device`, are a block."""

    call: Callable[[], object]
    device: torch.device
    calls: int


def _subject(module: nn.Module, shape: tuple[int, ...]) -> _Subject:
    import torch

    device = device_of(module)
    inputs = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
    return _warmed(lambda: module(inputs), device)


def _reference(device: torch.device) -> _Subject:
    """The small network: its convolutions feel what disturbs those of others."""
    import torch
    from torch.nn import functional

    generator = torch.Generator().manual_seed(0)
    images = torch.rand(1, 12, 28, 28, generator=generator).to(device)
    weight = (torch.rand(12, 12, 3, 3, generator=generator) / 54).to(device)

    def call() -> None:
        features = images
        for _ in range(4):
            features = functional.conv2d(features, weight, padding=1)
            features = functional.gelu(functional.group_norm(features, 4))

    return _warmed(call, device)


def _warmed(call: Callable[[], object], device: torch.device) -> _Subject:
    """Called until warm; the fastest call, the least disturbed, says how many make a block."""
    once = _Subject(call, device, 1)
    fastest, started = math.inf, time.perf_counter()
    for number in itertools.count(1):
        fastest = min(fastest, _block(once).seconds)
        if number >= WARM_UP_CALLS and time.perf_counter() - started > WARM_UP_S:
            break
    return _Subject(call, device, max(1, round(BLOCK_S / fastest)))


def _times(subjects: Sequence[_Subject], threads: int, budget_s: float) -> list[list[float]]:
    """Seconds of a call in each block, a list a subject: blocks in turn until all are precise."""
    devices = {subject.device for subject in subjects}
    references = {device: _reference(device) for device in devices}
    undisturbed = {device: _undisturbed_s(device, threads) for device in devices}
    times: list[list[float]] = [[] for _ in subjects]
    until = time.perf_counter() + budget_s
    while subjects:
        paces = {
            device: undisturbed[device] / _block(reference).seconds
            for device, reference in references.items()
        }
        for subject, seconds in zip(subjects, times, strict=True):
            block = _block(subject)
            factor = 1 + block.computed * (paces[subject.device] - 1)
            seconds.append(block.seconds * factor)
        if all(map(_precise, times)) or time.perf_counter() > until:
            break
    return times


def _summary(times: Sequence[float]) -> Latency:
    low, median, high = np.quantile(times, (0.25, 0.5, 0.75))
    return Latency(1e3 * float(median), float((high - low) / median), len(times))


def _precise(times: Sequence[float]) -> bool:
    if len(times) < LEAST_BLOCKS:
        return False
    # Of a normal distribution: deviation 0.74 ranges, error of the median 1.25 deviations.
    return 0.93 * _summary(times).spread / math.sqrt(len(times)) < PRECISION


@lru_cache
def _undisturbed_s(device: torch.device, threads: int) -> float:
    """Seconds of the reference in the fastest moments of a second; once a process."""
    reference, until = _reference(device), time.perf_counter() + REFERENCE_S
    seconds = [_block(reference).seconds]
    while time.perf_counter() < until:
        seconds.append(_block(reference).seconds)
    return float(np.quantile(seconds, FASTEST))


@dataclass(frozen=True, slots=True)
class _Block:
    """One block.

    Args:
        seconds: A call, without waiting for a core.
        computed: Share of `seconds` in which this process computed. In the rest it slept,
            or a graphics card still worked.
    """

    seconds: float
    computed: float


def _block(subject: _Subject) -> _Block:
    """Time a block."""
    on_cpu = subject.device.type == "cpu"
    if subject.calls > 1:
        _call(subject)  # what ran before has left other things in the caches
    waited, computed, wall = _waited_s(), time.thread_time(), time.perf_counter()
    idle = sum(_call(subject) for _ in range(subject.calls))
    wall, computed = time.perf_counter() - wall, time.thread_time() - computed
    if on_cpu:
        # Some of the waiting may lie just outside of the block; what was computed lies in it.
        net = max(wall - (_waited_s() - waited), computed)
    else:
        net, computed = wall, wall - idle
    return _Block(net / subject.calls, min(1.0, computed / net))


def _call(subject: _Subject) -> float:
    """Call, and give the seconds in which a graphics card still worked.

    It is waited for after every call: a queue of calls would give its throughput, which
    is no latency.
    """
    import torch

    subject.call()
    if subject.device.type == "cpu":
        return 0.0
    launched = time.perf_counter()
    torch.accelerator.synchronize(subject.device)
    return time.perf_counter() - launched


def _waited_s() -> float:
    """Seconds that this thread was ready and had no core, since it began; 0 where unknown."""
    try:
        with open("/proc/thread-self/schedstat", "rb", buffering=0) as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
