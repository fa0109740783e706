from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.func import functional_call, grad

from metanas.core.errors import ConfigError
from metanas.measures.latency import on_threads
from metanas.meta.adapt import (
    Examples,
    Loss,
    anil,
    learning_rates,
    maml,
    meta_sgd,
    meta_train,
    missing,
)
from metanas.meta.losses import (
    censored_ranking_loss,
    outer_loss,
    pairwise_ranking_loss,
    squared_error,
)

Weights = Mapping[str, Tensor]
KINDS = ("maml", "anil", "meta_sgd")


def parts(inputs: int, hidden: int, outputs: int, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """An encoder and a head, in double precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs), nn.SiLU()
        return nn.Sequential(*layers).double(), nn.Linear(outputs, 1).double()


def examples(number: int, inputs: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(number, inputs, generator=generator, dtype=torch.float64)
    return features, torch.randn(number, generator=generator, dtype=torch.float64)


def rates_of(encoder: nn.Module, head: nn.Module, seed: int) -> nn.ParameterList:
    """Rates that differ."""
    rates = learning_rates(encoder, head, 0.1)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in rates:
            each.mul_(torch.rand(each.shape, generator=generator, dtype=torch.float64) + 0.5)
    return rates


def plainly(
    network: nn.Module,
    weights: Weights,
    rates: Weights,
    support: Examples,
    loss: Loss,
    steps: int,
    first_order: bool,
) -> dict[str, Tensor]:
    """All weights after steps of those that have a rate, by torch.func alone."""
    features, values = support
    found = dict(weights)

    def error(moving: Weights) -> Tensor:
        return loss(functional_call(network, {**found, **moving}, (features,)).squeeze(-1), values)

    for _ in range(steps):
        moving = {name: found[name] for name in rates}
        for name, gradient in grad(error)(moving).items():
            taken = gradient.detach() if first_order else gradient
            found[name] = moving[name] - rates[name] * taken
    return found


LOSSES: Mapping[str, Callable[[int], Loss]] = {
    "squared": lambda number: squared_error,
    "ranking": lambda number: pairwise_ranking_loss,
    "censored": lambda number: partial(censored_ranking_loss, known=torch.arange(number) % 3 > 0),
}


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    loss=st.sampled_from(sorted(LOSSES)),
    sizes=st.tuples(st.integers(1, 6), st.integers(1, 8), st.integers(1, 5)),
    number=st.integers(1, 12),
    steps=st.integers(0, 4),
    first_order=st.booleans(),
    seed=st.integers(0, 999),
)
def test_adapting_equals_a_plain_computation_and_so_do_the_gradients_through_it(
    kind: str,
    loss: str,
    sizes: tuple[int, int, int],
    number: int,
    steps: int,
    first_order: bool,
    seed: int,
) -> None:
    encoder, head = parts(*sizes, seed)
    network = nn.Sequential(encoder, head)
    support, query = examples(number, sizes[0], seed), examples(7, sizes[0], seed + 1)
    inner = LOSSES[loss](number)
    every = rates_of(encoder, head, seed)
    if kind == "meta_sgd":
        adapted = meta_sgd(
            encoder, head, every, support, inner, steps=steps, first_order=first_order
        )
    else:
        adapt = maml if kind == "maml" else anil
        adapted = adapt(
            encoder, head, support, inner, rate=0.2, steps=steps, first_order=first_order
        )

    weights = dict(network.named_parameters())
    names = [name for name in weights if kind != "anil" or name.startswith("1.")]
    rates = dict(zip(weights, every, strict=True)) if kind == "meta_sgd" else {}
    flat = {name: torch.tensor(0.2, dtype=torch.float64) for name in names}

    def outcome(weights: Weights, rates: Weights) -> Tensor:
        known = plainly(network, weights, rates or flat, support, inner, steps, first_order)
        return functional_call(network, known, (query[0],)).squeeze(-1)

    scores = adapted(query[0]).squeeze(-1)
    torch.testing.assert_close(scores, outcome(weights, rates), atol=1e-5, rtol=1e-5)

    wanted = grad(lambda both: outer_loss(outcome(*both), query[1]))((weights, rates))
    learnt = [*weights.values(), *rates.values()]
    got = torch.autograd.grad(outer_loss(scores, query[1]), learnt, materialize_grads=True)
    expected = [*wanted[0].values(), *wanted[1].values()]
    for ours, plain in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)


def adapted_by(kind: str, encoder: nn.Module, head: nn.Module, support: Examples) -> nn.Module:
    """Three steps on squared error."""
    if kind == "meta_sgd":
        rates = learning_rates(encoder, head, 0.1)
        return meta_sgd(encoder, head, rates, support, squared_error, steps=3)
    adapt = maml if kind == "maml" else anil
    return adapt(encoder, head, support, squared_error, steps=3, rate=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_given_stays_as_it_is_and_the_copy_fits_better(kind: str) -> None:
    encoder, head = parts(4, 8, 5)
    support = examples(10, 4, seed=1)
    network = nn.Sequential(encoder, head)
    before = [weight.clone() for weight in network.parameters()]
    with torch.no_grad():  # as where one only predicts
        adapted = adapted_by(kind, encoder, head, support)
        errors = [squared_error(n(support[0]).squeeze(-1), support[1]) for n in (network, adapted)]
    assert errors[1] < errors[0]
    for weight, old in zip(network.parameters(), before, strict=True):
        torch.testing.assert_close(weight.detach(), old, atol=0, rtol=0)
        assert weight.grad is None


def test_the_last_layer_of_the_encoder_moves_where_it_is_given_as_part_of_the_head() -> None:
    encoder, head = parts(4, 8, 5)
    assert isinstance(encoder, nn.Sequential)
    support = examples(10, 4, seed=1)
    tail = nn.Sequential(encoder[2:], head)
    adapted = adapted_by("anil", encoder[:2], tail, support)
    weights = zip(adapted.parameters(), nn.Sequential(encoder, head).parameters(), strict=True)
    assert [torch.equal(new, old) for new, old in weights] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


class Spare(nn.Module):
    """A head with a layer that has no part in what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare = nn.Linear(5, 1).double(), nn.Linear(5, 1).double()

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.used(features)
        return scores


def frozen() -> nn.Module:
    head = nn.Linear(5, 1).double()
    head.bias.requires_grad_(False)
    return head


def tied() -> nn.Module:
    first, second = nn.Linear(5, 5).double(), nn.Linear(5, 5).double()
    second.weight = first.weight
    return nn.Sequential(first, second, nn.Linear(5, 1).double())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("head", "line"),
    [
        (Spare(), r"weight '(1\.)?spare.weight' has no part in the loss"),
        (frozen(), r"weight '(1\.)?bias' is frozen"),
        (tied(), "two layers share a weight"),
    ],
    ids=["unused", "frozen", "tied"],
)
def test_weights_without_a_gradient_of_their_own_are_an_error_and_nothing_is_printed(
    kind: str, head: nn.Module, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder, _ = parts(4, 8, 5)
    with pytest.raises(ConfigError, match=line):
        adapted_by(kind, encoder, head, examples(6, 4, seed=2))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("other", [parts(4, 8, 6), (nn.Identity(), nn.Linear(5, 1))])
def test_rates_of_another_network_are_an_error(other: tuple[nn.Module, nn.Module]) -> None:
    encoder, head = parts(4, 8, 5)
    with pytest.raises(ConfigError, match=r"meta_sgd: rates have shapes .* the weights"):
        meta_sgd(
            encoder, head, learning_rates(*other, 0.1), examples(6, 4, 0), squared_error, steps=1
        )


def test_what_adapting_cannot_work_with_is_refused_in_one_line() -> None:
    encoder, head = parts(4, 8, 5)
    support = examples(6, 4, 0)
    with pytest.raises(ConfigError, match="adapt: steps is -1, expected at least 0"):
        maml(encoder, head, support, squared_error, steps=-1, rate=0.1)
    for rate in (0.0, float("nan")):
        with pytest.raises(ConfigError, match=f"adapt: rate is {rate}, expected more than 0"):
            anil(encoder, head, support, squared_error, steps=1, rate=rate)
    with pytest.raises(ConfigError, match=r"before step \d+ of 100 is (inf|nan): take a smaller"):
        maml(encoder, head, support, squared_error, steps=100, rate=1e6)


# -- the outer loop ------------------------------------------------------------------------


def trained(seed: int) -> list[Tensor]:
    encoder, head = parts(4, 8, 5)
    tasks = [examples(80, 4, seed=number) for number in range(3)]

    def adapt(support: Examples) -> nn.Module:
        return anil(encoder, head, support, squared_error, steps=2, rate=0.1)

    weights = [*encoder.parameters(), *head.parameters()]
    losses = meta_train(adapt, weights, tasks, episodes=10, seed=seed)
    return [torch.tensor(losses), *(weight.detach() for weight in weights)]


def test_learning_is_the_same_for_the_same_seed_and_leaves_torchs_own_alone() -> None:
    state = torch.get_rng_state()
    one, again, other = trained(0), trained(0), trained(1)
    assert all(torch.equal(left, right) for left, right in zip(one, again, strict=True))
    assert not torch.equal(one[0], other[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_learning_takes_one_thread_and_gives_the_others_back() -> None:
    network = nn.Linear(4, 1).double()
    during: list[int] = []

    def adapt(support: Examples) -> nn.Module:
        during.append(torch.get_num_threads())
        return network

    with on_threads(2):
        meta_train(adapt, network.parameters(), [examples(80, 4, 0)], episodes=1)
        during.append(torch.get_num_threads())
    assert during == [1, 2]


@pytest.mark.parametrize(
    ("number", "support", "query"),
    [(200, (2, 24), (40, 60)), (40, (2, 20), (20, 38)), (4, (2, 2), (2, 2))],
)
def test_an_episode_is_judged_by_other_examples_of_one_task_than_it_adapts_to(
    number: int, support: tuple[int, int], query: tuple[int, int]
) -> None:
    network = nn.Linear(1, 1)
    adapted_to: list[Tensor] = []
    judged_by: list[Tensor] = []

    def adapt(given: Examples) -> nn.Module:
        adapted_to.append(given[0])
        return network

    def loss(scores: Tensor, values: Tensor) -> Tensor:
        judged_by.append(values)
        return squared_error(scores, values)

    numbers = torch.arange(2.0 * number)
    tasks = [(half[:, None], half) for half in numbers.split(number)]
    meta_train(adapt, network.parameters(), tasks, episodes=60, rate=1e-9, loss=loss)
    for known, asked in zip(adapted_to, judged_by, strict=True):
        drawn = torch.cat([known.squeeze(-1), asked])
        assert len(drawn.unique()) == len(drawn)
        assert len((drawn // number).unique()) == 1
    for drawn_sizes, (low, high) in ((adapted_to, support), (judged_by, query)):
        sizes = [len(each) for each in drawn_sizes]
        assert low <= min(sizes) <= low + 4
        assert high - 4 <= max(sizes) <= high


def test_rates_are_learnt_with_the_weights() -> None:
    encoder, head = parts(4, 8, 5)
    rates = learning_rates(encoder, head, 0.05)

    def adapt(support: Examples) -> nn.Module:
        return meta_sgd(encoder, head, rates, support, squared_error, steps=2)

    meta_train(adapt, [*rates, *head.parameters()], [examples(80, 4, 0)], episodes=5)
    assert all(bool((each != 0.05).any()) for each in rates)
    assert all(weight.grad is None for weight in encoder.parameters())


def test_a_single_steep_episode_does_not_undo_what_was_learnt() -> None:
    network = nn.Linear(4, 1).double()
    steep = {7: 1e6}
    number = iter(range(100))

    def loss(scores: Tensor, values: Tensor) -> Tensor:
        return squared_error(scores, values) * steep.get(next(number), 1.0)

    features, _ = examples(100, 4, 0)
    tasks = [(features, features.sum(dim=1))]
    losses = meta_train(
        lambda support: network, network.parameters(), tasks, episodes=100, rate=0.05, loss=loss
    )
    assert losses[7] > 1e5
    assert np.mean(losses[-10:]) < 0.1 * np.mean(losses[:7])


def test_tasks_that_cannot_be_learnt_from_are_refused_in_one_line() -> None:
    features, values = examples(20, 4, 0)
    spoilt = values.clone()
    spoilt[3] = torch.nan
    network = nn.Linear(4, 1).double()
    for tasks, line in (
        ([], "no tasks"),
        ([(features, values), (features, spoilt)], "task 1 holds what is not finite"),
        ([(features[:3], values[:3])], "task 0 has 3 examples, expected at least 4"),
        ([(features, values[:, None])], r"task 0 is \[20, 4\] and \[20, 1\], expected"),
    ):
        with pytest.raises(ConfigError, match=line):
            meta_train(lambda support: network, network.parameters(), tasks)
    with pytest.raises(ConfigError, match="the loss of episode 0 is inf"):
        meta_train(
            lambda support: network, network.parameters(), [(features, values)],
            loss=lambda scores, values: scores.square().sum() * torch.inf,
        )  # fmt: skip


# -- what it is good for -------------------------------------------------------------------


def family(seed: int, number: int = 120) -> Examples:
    """A task that wants three hidden directions in a mixture of its own; few values are high."""
    hidden = torch.randn(6, 3, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(number, 6, generator=generator)
    wants = torch.tensor([0.5, 0.0, 0.0]) + torch.randn(3, generator=generator)
    return features, (torch.tanh(features @ hidden) @ wants).exp()


def standardised(task: Examples) -> Examples:
    logarithms = task[1].log()
    return task[0], (logarithms - logarithms.mean()) / logarithms.std()


@pytest.fixture(scope="module")
def learnt() -> tuple[nn.Module, nn.Module]:
    """An encoder and a head that were learnt for steps on the order alone."""
    encoder, head = (part.float() for part in parts(6, 32, 16))

    def adapt(support: Examples) -> nn.Module:
        return anil(encoder, head, support, pairwise_ranking_loss, steps=5, rate=0.5)

    tasks = [standardised(family(seed)) for seed in range(12)]
    meta_train(adapt, [*encoder.parameters(), *head.parameters()], tasks, episodes=250)
    return encoder, head


def rank_correlation(network: nn.Module, task: Examples) -> float:
    with torch.no_grad():
        return float(spearmanr(network(task[0]).squeeze(-1), task[1]).statistic)


def test_adapting_the_head_to_an_order_alone_orders_what_was_not_seen_better(
    learnt: tuple[nn.Module, nn.Module],
) -> None:
    before, after = [], []
    for seed in range(100, 120):
        features, values = family(seed)
        support, held = (features[:12], values[:12]), (features[12:], values[12:])
        order = (support[0], support[1].argsort().argsort())
        adapted = anil(*learnt, order, pairwise_ranking_loss, steps=5, rate=0.5, first_order=True)
        before.append(rank_correlation(nn.Sequential(*learnt), held))
        after.append(rank_correlation(adapted, held))
    assert np.mean(after) > np.mean(before) + 0.2
    assert sum(b > a for a, b in zip(before, after, strict=True)) >= 14


def test_crashed_trials_teach_which_architectures_are_not_wanted(
    learnt: tuple[nn.Module, nn.Module],
) -> None:
    without, within = [], []
    for seed in range(100, 120):
        features, values = family(seed)
        support, held = (features[:16], values[:16]), (features[16:], values[16:])
        known = support[1] > support[1].median()
        hidden = torch.where(known, support[1], torch.nan)
        fit = partial(anil, *learnt, steps=5, rate=0.5, first_order=True)
        alone = fit((features[:16][known], hidden[known]), pairwise_ranking_loss)
        whole = fit((support[0], hidden), partial(censored_ranking_loss, known=known))
        without.append(rank_correlation(alone, held))
        within.append(rank_correlation(whole, held))
    assert np.mean(within) > np.mean(without) + 0.05


# -- learn2learn itself ----------------------------------------------------------------------


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


ADAPT = """
import torch
from torch import nn
from metanas.meta.adapt import anil
from metanas.meta.losses import squared_error
anil(nn.Identity(), nn.Linear(2, 1), (torch.ones(3, 2), torch.ones(3)), squared_error, steps=1, rate=0.1)
"""


def test_adapting_prints_nothing_not_even_gyms_notice() -> None:
    process = python(ADAPT + "import sys; assert 'gym' in sys.modules")
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_importing_the_module_does_not_import_learn2learn() -> None:
    code = "import sys; from metanas.meta import adapt; adapt.missing(); print('learn2learn' in sys.modules)"
    assert python(code).stdout == "False\n"


def test_without_the_extra_what_to_install_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from metanas.meta import adapt

    assert missing() == ""
    monkeypatch.setitem(sys.modules, "learn2learn", None)
    adapt._learn2learn.cache_clear()
    encoder, head = parts(4, 8, 5)
    for kind in KINDS:
        with pytest.raises(ConfigError) as caught:
            adapted_by(kind, encoder, head, examples(6, 4, 0))
        assert str(caught.value) == missing()
    assert "needs the extra 'meta': pip install 'metanas[meta]'" in missing()
    # What needs no gradient steps goes on.
    losses = meta_train(lambda support: head, head.parameters(), [examples(20, 5, 0)], episodes=2)
    assert len(losses) == 2


def test_an_installation_that_lacks_what_it_imports_is_told_in_one_line() -> None:
    code = "import sys; sys.modules['gym'] = None\n" + ADAPT
    line = python(code).stderr.splitlines()[-1]
    assert line.startswith("metanas.core.errors.ConfigError: learn2learn cannot be imported (")
    assert line.endswith("): needs the extra 'meta': pip install 'metanas[meta]'")
