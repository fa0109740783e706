"""How well measured latencies repeat, at rest and while another process loads one core.

Measures, each at rest and under a load that this script starts and ends:
  repeats     one architecture of the space `cnn` ten times: range over median of the ten
              medians (aim: below 0.10)
  ranks       thirty architectures of `cnn`, drawn with seed 0, twice: Spearman's rank
              correlation of the two passes (aim: at least 0.9)
The load trains a small convolution on one thread. What else the machine does shows in the
load average, of a minute, before and after each case.

Run: .venv/bin/python tests/benchmarks/latency.py
Prints one JSON line a case; takes one to three minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from metanas.core.plugins import reference, resolve
from metanas.core.space import sample
from metanas.measures.latency import Latency, latency

SHAPE = (1, 28, 28)
OUTPUTS = 10
LOAD = """
import torch
torch.set_num_threads(1)
layer, images = torch.nn.Conv2d(32, 32, 3, padding=1), torch.rand(64, 32, 28, 28)
print(flush=True)
while True:
    layer(images).square().mean().backward()
"""


@contextlib.contextmanager
def load(wanted: bool) -> Iterator[None]:
    """Another process at work, if wanted."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", LOAD], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.communicate()


def modules(number: int) -> list[Any]:
    """Architectures of the space `cnn`, drawn with seed 0 and built."""
    space = resolve(reference("spaces", "cnn"))
    rng = np.random.default_rng(0)
    return [space.build(sample(space, rng).values, SHAPE, OUTPUTS) for _ in range(number)]


def repeats() -> dict[str, Any]:
    """One architecture ten times."""
    module = modules(1)[0]
    started = time.perf_counter()
    found = [latency(module, SHAPE) for _ in range(10)]
    seconds = time.perf_counter() - started
    medians = _medians(found)
    return {
        "range_over_median": round(float(np.ptp(medians) / np.median(medians)), 3),
        "medians_ms": medians.round(3).tolist(),
        "seconds_a_measurement": round(seconds / 10, 2),
    }


def ranks() -> dict[str, Any]:
    """Thirty architectures twice."""
    drawn = modules(30)
    started = time.perf_counter()
    first, second = (_medians([latency(module, SHAPE) for module in drawn]) for _ in range(2))
    seconds = time.perf_counter() - started
    positions = [medians.argsort().argsort() for medians in (first, second)]
    return {
        "spearman": round(float(np.corrcoef(positions)[0, 1]), 3),
        "median_change": round(float(np.median(np.abs(second / first - 1))), 3),
        "fastest_ms": round(float(first.min()), 3),
        "slowest_ms": round(float(first.max()), 3),
        "seconds_a_measurement": round(seconds / 60, 2),
    }


def _medians(found: list[Latency]) -> npt.NDArray[np.float64]:
    return np.array([each.median_ms for each in found])


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"


def main() -> None:
    """Run all cases."""
    for case in (repeats, ranks):
        for loaded in (False, True):
            before = os.getloadavg()[0]
            with load(loaded):
                figures = case()
            averages = [round(average, 1) for average in (before, os.getloadavg()[0])]
            said = {"case": case.__name__, "under_load": loaded, **figures}
            print(json.dumps({**said, "load_averages": averages, "machine": machine()}), flush=True)


if __name__ == "__main__":
    main()
