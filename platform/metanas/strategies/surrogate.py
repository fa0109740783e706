"""A Gaussian process over the architectures' structure, and expected improvement.

What was told is turned into normal scores, so no unit and no outlier matters; a failed
trial learns as the worst value seen. Candidates are scored by the logarithm of expected
improvement (Ament et al. 2023, "Unexpected Improvements to Expected Improvement for Bayesian
Optimization"), those whose evaluation runs count as evaluated with the value that is
expected of them (Ginsbourger et al. 2010, "Kriging is well-suited to parallelize
optimization", the kriging believer). No network is proposed twice, unless the context says
that each combination of values has a result of its own.

With several objectives each proposal serves its own weighing of them, as in ParEGO (Knowles
2006). An objective with a limit has a process of its own, and the score is multiplied by
the probability that the limit is kept (Gardner et al. 2014, "Bayesian Optimization with
Inequality Constraints").
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

from metanas.core.errors import ConfigError
from metanas.core.front import wish
from metanas.core.objective import Objective, excess, weighed
from metanas.core.protocols import Context
from metanas.core.space import Architecture, sample
from metanas.core.trial import Proposal, Trial
from metanas.meta.mixture import Mixed, mix
from metanas.meta.structure import describe
from metanas.models.copula import normal_scores
from metanas.models.gp import log_expected_improvement, squared_distances
from metanas.strategies._candidates import Candidates, all_of, pool_of
from metanas.strategies._processes import Processes
from metanas.strategies._start import best_expected, contrast

Array = npt.NDArray[np.float64]

DRAWS = 20
"""Random architectures from which a start is chosen."""
SLOPE = 0.05
"""Weight of the sum beside the largest cost, where several objectives are weighed."""
WARM, CONTRAST = 2, 1
"""With a prior, so many proposals come from it alone, and which of them is a check on it."""
FADED = 100
"""From so many trials of its own on a search needs no past."""
HELD = 4
"""So many processes are kept, the latest used, and one more a limit."""


@dataclass(frozen=True)
class _Scores:
    """What a proposal decides by.

    Args:
        log_gain: Expected improvement and probability of keeping the limits, ``[m]``.
        why: Puts the choice of a candidate in words.
        mixed: What the past had to do with it, None where nothing.
    """

    log_gain: Array
    why: Callable[[int], str]
    mixed: Mixed | None = None


class Surrogate:
    """Model-based search; needs nothing but the architectures' structure.

    Args:
        context: Of the search.
        initial: How many architectures, drawn at random and unlike each other, it starts from.

    Raises:
        ConfigError: If there are fewer than two.
    """

    takes_prior = True

    def __init__(self, context: Context, *, initial: int = 5) -> None:
        if initial < 2:
            raise ConfigError(f"surrogate's initial is {initial}, expected at least 2")
        self._context = context
        self._initial = initial
        self._told: list[Trial] = []
        self._limited = [each for each in context.objectives if each.limit is not None]
        self._free = [each for each in context.objectives if each.limit is None]
        if not self._free:
            self._free = [context.objectives[0]]
        self._prior = context.prior
        self._means: Array | None = None
        self._measured: dict[str, list[float]] = {}
        self._processes = Processes(HELD + len(self._limited))

    def tell(self, trial: Trial) -> None:
        """It is learnt from when the next proposal is asked for."""
        self._told.append(trial)

    def ask(self, number: int, pending: Sequence[Proposal]) -> Proposal | None:
        """A start unlike the others, then the candidate of the largest expected improvement.

        None once every network of a small space was proposed.
        """
        rng = np.random.default_rng([self._context.seed, number])
        running = [proposal.architecture for proposal in pending]
        if self._prior is not None and number < WARM:
            return self._warm_start(number, running, rng)
        # Of several objectives past tasks tell one: the rest begins as without them.
        if number < self._initial and (self._prior is None or len(self._free) > 1):
            return self._start(number, running, rng, "start, unlike the others")
        if sum(not trial.failed for trial in self._told) < 2:
            if self._prior is not None:
                return self._warm_start(number, running, rng)
            return self._start(
                number, running, rng, "random, unlike the others: nothing to learn from yet"
            )
        shares = rng.dirichlet(np.ones(len(self._free)))
        values = self._values(shares, len(self._told))
        keeping = np.array([self._keeps(trial) for trial in self._told])
        pool = self._pool(running, np.where(keeping, values, -np.inf), rng)
        free = self._unseen(pool, running)
        if not free.any():
            return None
        scores = self._scores(pool, running, values, keeping, shares)
        chosen = int(np.argmax(np.where(free, scores.log_gain, -np.inf)))
        architecture = self._one_of(pool.rows(chosen), running, rng)
        if scores.mixed is None:
            return Proposal(number, architecture, self._context.epochs, reason=scores.why(chosen))
        return Proposal(
            number,
            architecture,
            self._context.epochs,
            notes=scores.mixed.notes,
            reason=f"{scores.why(chosen)}; {scores.mixed.reason}",
        )

    def _warm_start(
        self, number: int, running: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal | None:
        """What past tasks expect most of; as the second, one of which they expect little.

        Where that one is no worse, they mislead, and it shows at once.
        """
        assert self._prior is not None
        known = [*(trial.proposal.architecture for trial in self._told), *running]
        seen = self._seen(running)
        fresh = lambda drawn: self._mark(drawn) not in seen  # noqa: E731
        if number == CONTRAST:
            chosen = contrast(self._context.space, self._prior, known, fresh, rng)
            reason = "past tasks expect little of it: a check on them"
        else:
            chosen = best_expected(self._context.space, self._prior, fresh, rng)
            reason = f"past tasks expect most of it: {', '.join(self._prior.sources)}"
        if chosen is None:
            return self._start(number, running, rng, "unlike the others")
        return Proposal(number, chosen, self._context.epochs, reason=reason)

    def _start(
        self, number: int, running: Sequence[Architecture], rng: np.random.Generator, reason: str
    ) -> Proposal | None:
        """Of a few random draws the one that is least like anything proposed before."""
        space = self._context.space
        known = [*(trial.proposal.architecture for trial in self._told), *running]
        seen = self._seen(running)
        draws = [sample(space, rng) for _ in range(DRAWS)]
        fresh = [drawn for drawn in draws if self._mark(drawn) not in seen]
        if fresh and known:
            distances = squared_distances(describe(space, fresh), describe(space, known))
            fresh = [fresh[int(distances.min(axis=1).argmax())]]
        small = all_of(space)
        if not fresh and small is not None:
            left = np.flatnonzero(self._unseen(small, running))
            if not len(left):
                return None
            fresh = [self._one_of(small.rows(int(rng.choice(left))), running, rng)]
        chosen = (fresh or draws)[0]
        return Proposal(number, chosen, self._context.epochs, reason=reason)

    def _mark(self, architecture: Architecture) -> Hashable:
        """What is never proposed twice."""
        return architecture if self._context.exact else architecture.id

    def _seen(self, running: Sequence[Architecture]) -> set[Hashable]:
        told = [trial.proposal.architecture for trial in self._told]
        return {self._mark(architecture) for architecture in (*told, *running)}

    def _unseen(self, pool: Candidates, running: Sequence[Architecture]) -> npt.NDArray[np.bool_]:
        """Which candidates may be proposed, ``[m]``."""
        told = [trial.proposal.architecture for trial in self._told]
        proposed = dict.fromkeys((self._mark(each), each.id) for each in (*told, *running))
        times = np.zeros(pool.kernel.count, dtype=np.intp)
        for _, key in proposed:
            if key in pool.numbers:
                times[pool.numbers[key]] += 1
        return times < pool.counts if self._context.exact else times == 0

    def _one_of(
        self,
        rows: Sequence[Architecture],
        running: Sequence[Architecture],
        rng: np.random.Generator,
    ) -> Architecture:
        seen = self._seen(running)
        left = [row for row in rows if self._mark(row) not in seen]
        return left[int(rng.integers(len(left)))]

    def _pool(
        self, running: Sequence[Architecture], ranking: Array, rng: np.random.Generator
    ) -> Candidates:
        space = self._context.space
        small = all_of(space)
        if small is not None:
            return small
        told = [trial.proposal.architecture for trial in self._told]
        best = [told[position] for position in np.argsort(-ranking, kind="stable")]
        return pool_of(space, [*told, *running], best, rng)

    def _values(self, shares: Array, count: int) -> Array:
        """How good the first trials told are, larger is better, ``[count]``."""
        matrix = np.array([self._costs(objective, count) for objective in self._free]).T
        if len(self._free) == 1:
            return -matrix[:, 0]
        low, high = matrix.min(axis=0), matrix.max(axis=0)
        scaled = shares * (matrix - low) / np.where(high > low, high - low, 1.0)
        return np.asarray(-scaled.max(axis=1) - SLOPE * scaled.sum(axis=1))

    def _costs(self, objective: Objective, count: int) -> Array:
        """Costs of the first trials told on the objective's scale, a failed one's the worst."""
        held = self._measured.setdefault(objective.name, [])
        for trial in self._told[len(held) :]:
            held.append(np.inf if trial.failed else weighed(objective, trial.metrics))
        measured = np.array(held[:count])
        known = np.isfinite(measured)
        worst = measured[known].max() if known.any() else 0.0
        return np.where(known, measured, worst)

    def _keeps(self, trial: Trial) -> bool:
        return not trial.failed and not any(excess(o, trial.metrics) for o in self._limited)

    def _scores(
        self,
        pool: Candidates,
        running: Sequence[Architecture],
        values: Array,
        keeping: npt.NDArray[np.bool_],
        shares: Array,
    ) -> _Scores:
        log_kept = np.zeros(pool.kernel.count)
        for objective in self._limited:
            log_kept += self._log_kept(objective, pool, running)
        if not keeping.any():
            wishes = " and ".join(wish(objective) for objective in self._limited)
            return _Scores(
                log_kept,
                lambda chosen: f"keeps {wishes} with probability {np.exp(log_kept[chosen]):.2g}",
            )
        y = normal_scores(values)
        key = "value" if len(self._free) == 1 else ""
        mean, deviation = self._believed(
            key,
            pool,
            running,
            lambda count: normal_scores(self._values(shares, count)),
        )
        log_gain = log_expected_improvement(mean, deviation, y[keeping].max())
        mixed = self._mixed(pool, running, log_gain, y)
        log_gain = log_gain if mixed is None else mixed.log_gain
        best = self._told[int(np.argmax(np.where(keeping, values, -np.inf)))]
        why = partial(self._why, values, y, log_gain, best, shares)
        return _Scores(log_gain + log_kept, why, mixed)

    def _mixed(
        self, pool: Candidates, running: Sequence[Architecture], log_gain: Array, y: Array
    ) -> Mixed | None:
        """The gain with what past tasks expect; None where they have no say.

        They have none where several objectives are weighed, since they were judged by one.
        """
        if self._prior is None or len(self._free) > 1 or len(y) >= FADED:
            return None
        means = self._means
        if means is None or not pool.whole:
            firsts = [pool.rows(number)[0] for number in range(pool.kernel.count)]
            means = self._prior.means(firsts)
            self._means = means if pool.whole else None
        observed, busy = (np.array(each, dtype=np.intp) for each in self._numbers(pool, running))
        return mix(self._prior, pool.kernel, means, observed, y, busy, log_gain)

    def _why(
        self, values: Array, y: Array, log_gain: Array, best: Trial, shares: Array, chosen: int
    ) -> str:
        """The gain in the objective's unit, as wide as scores are in it among the better half."""
        better = y >= np.median(y)
        slope = values[better].std() / (y[better].std() or 1.0)
        gain = float(np.exp(log_gain[chosen]) * slope)
        if len(self._free) == 1:
            objective = self._free[0]
            if objective.scale == "log":
                return f"expected gain {gain:.2g} of {objective.name} over trial {best.number}"
            unit = f" {objective.unit}" if objective.unit else ""
            return f"expected gain {gain:.2g}{unit} in {objective.name} over trial {best.number}"
        pairs = zip(self._free, shares, strict=True)
        weighing = ", ".join(f"{objective.name} {share:.2f}" for objective, share in pairs)
        return f"expected gain {gain:.2g} over trial {best.number}, weighing {weighing}"

    def _log_kept(
        self, objective: Objective, pool: Candidates, running: Sequence[Architecture]
    ) -> Array:
        """The logarithm of the probability that each candidate keeps a limit, ``[m]``."""
        assert objective.limit is not None
        bound = weighed(objective, {objective.name: objective.limit})

        def target(count: int) -> Array:
            costs = self._costs(objective, count)
            return np.asarray((costs - costs.mean()) / (costs.std() or 1.0))

        costs = self._costs(objective, len(self._told))
        middle, spread = costs.mean(), costs.std() or 1.0
        mean, deviation = self._believed(f"limit:{objective.name}", pool, running, target)
        return np.asarray(log_ndtr(((bound - middle) / spread - mean) / deviation))

    def _believed(
        self,
        key: str,
        pool: Candidates,
        running: Sequence[Architecture],
        target: Callable[[int], Array],
    ) -> tuple[Array, Array]:
        """Mean and deviation of a target at all candidates, ``[m]`` each."""
        observed, busy = self._numbers(pool, running)
        return self._processes.believed(key, pool, observed, busy, target)

    def _numbers(
        self, pool: Candidates, running: Sequence[Architecture]
    ) -> tuple[list[int], list[int]]:
        """The candidates that were told, and those whose evaluation runs."""
        told = [pool.numbers[trial.proposal.architecture.id] for trial in self._told]
        return told, [pool.numbers[architecture.id] for architecture in running]


STRATEGY = Surrogate
