"""Training on a GPU; skipped where there is none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from metanas.core.evaluation import Evaluation
from metanas.core.plugins import reference, resolve
from metanas.core.space import Choice, Space, sample
from metanas.core.trial import Job, Outcome, Proposal, Report, proposal_record
from metanas.estimators.train import Train
from metanas.tasks.digits import digits

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def judged(space: Space, *, epochs: int, final: bool = False, **options: Any) -> list[Any]:
    import numpy as np

    architecture = sample(space, np.random.default_rng(1))
    job = Job(0, proposal_record(Proposal(0, architecture, epochs)), seed=3, final=final)
    objectives = tuple(resolve(reference("objectives", name)) for name in ("params", "flops"))
    return list(Evaluation(space, digits(), Train(**options), objectives)(job))


@pytest.mark.parametrize("name", ["cnn", "nasbench201"])
@pytest.mark.parametrize("final", [False, True])
def test_it_learns_there_as_on_a_cpu(name: str, final: bool) -> None:
    found = resolve(reference("spaces", name))
    space = found() if callable(found) else found
    torch.cuda.reset_peak_memory_stats()
    there = judged(space, epochs=5, final=final)
    assert torch.cuda.max_memory_allocated() > 0
    here = judged(space, epochs=5, final=final, device="cpu")
    assert [type(event) for event in there] == [Report] * 5 + [Outcome]
    assert there[-1].status == here[-1].status == "completed", there[-1].error
    assert there[-1].metrics["accuracy"] > 0.5
    assert abs(there[-1].metrics["accuracy"] - here[-1].metrics["accuracy"]) < 0.1
    if not final:
        assert there[-1].metrics["flops"] == here[-1].metrics["flops"]


class Hungry(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(64, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            torch.empty(2**50, device=images.device)
        scores: torch.Tensor = self.layer(images.flatten(1))
        return scores


def test_memory_that_runs_out_is_a_status() -> None:
    space = Space("hungry", (Choice("a", (0,)),), lambda values, shape, outputs: Hungry(outputs))
    outcome = judged(space, epochs=1)[-1]
    assert (outcome.status, "out of memory" in outcome.error.lower()) == ("out_of_memory", True)
