"""A story in words: its headline, its key figures, and how everything came about."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metanas.core.objective import Objective, cost
from metanas.core.trial import Trial
from metanas.report._words import (
    amount,
    clipped,
    duration,
    listed,
    noun,
    plain,
    plural,
    quantity,
    short,
)
from metanas.report.story import Story, values_of

MOST_QUANTITIES = 3


@dataclass(frozen=True)
class Tile:
    """A key figure: the number, what it is, and what to compare it with."""

    value: str
    label: str
    detail: str = ""


def headline(story: Story) -> str:
    """The search in one sentence."""
    best, count = story.result.best, len(story.trials)
    task, took = plain(story.task), duration(story.seconds)
    if not count:
        return (
            f"No trial has ended yet; {plural(story.aim, 'architecture')} will be tried on {task}."
        )
    if best is None:
        ended = "ended" if story.over else "have ended so far"
        return (
            f"No architecture succeeded: {plural(count, 'trial')} on {task} {ended} in {took}, "
            f"{_failed(story)}."
        )
    fresh = count - sum(trial.cached for trial in story.trials)
    if story.over:
        verb = "was" if fresh == 1 else "were"
        start, who = f"{plural(fresh, 'architecture')} {verb} tried", "the winner"
    else:
        start, who = f"{count:,} of {story.aim:,} trials have ended", "the best so far"
    found = listed([words for _, words in quantities(story, best)])
    return f"{start} on {task} in {took}; {who}, trial {best.number}, has {found}; {_why(story)}."


def _why(story: Story) -> str:
    why = plain(story.result.why)
    if why.startswith("nothing"):
        return why
    return f"it was picked as {why}" if story.over else f"it leads as {why}"


def _failed(story: Story) -> str:
    kinds = [f"{count:,} {status.replace('_', ' ')}" for status, count in story.failures.items()]
    return listed(kinds) or "none with all that was to be measured"


def quantities(story: Story, best: Trial) -> list[tuple[Objective, str]]:
    """What the winner is worth: the objectives, then its size, each with its words."""
    tested = story.tested
    known = [o.name for o in story.objectives]
    size = [Objective("params", "", "min")] if "params" not in known else []
    found = []
    for objective in [*story.objectives, *size]:
        value, what = best.metrics.get(objective.name), ""
        if objective.name in tested:
            value, what = tested[objective.name], "test "
        if value is not None:
            found.append((objective, quantity(objective.name, objective.unit, value, what)))
    return found[:MOST_QUANTITIES]


def tiles(story: Story) -> list[Tile]:
    """Four or five key figures."""
    best = story.result.best
    found = [] if best is None else [_quality(story, best), *_size(story, best)]
    found += [_count(story), _time(story)]
    if best is None:
        failed = sum(trial.failed for trial in story.trials)
        detail = _failed(story) if failed else "so far"
        return [*found, Tile(f"{failed:,}", "failed", detail)]
    if len(story.objectives) > 1:
        front = len(story.result.front)
        names = listed([noun(o.name, o.unit) for o in story.objectives])
        return [*found, Tile(f"{front:,}", "on the front", f"of {names}")]
    return [*found, _rise(story)]


def _quality(story: Story, best: Trial) -> Tile:
    objective, tested = story.deciding, story.tested
    name, unit = objective.name, objective.unit
    validated = amount(name, unit, best.metrics[name])
    if name in tested:
        value = amount(name, unit, tested[name])
        return Tile(value, f"test {noun(name, unit)}", f"{validated} on validation data")
    return Tile(validated, noun(name, unit), f"trial {best.number}, as searched")


def _size(story: Story, best: Trial) -> list[Tile]:
    """The second objective or the number of parameters, with one more measure below."""
    first = story.deciding.name
    units = {o.name: o.unit for o in story.objectives}
    names = [*units, "params", "flops", "latency_ms"]
    have = list(dict.fromkeys(n for n in names if n in best.metrics and n != first))
    if not have:
        return []
    words = [(n, units.get(n, "ms" if n == "latency_ms" else ""), best.metrics[n]) for n in have]
    value, label = amount(*words[0]), noun(words[0][0], words[0][1])
    return [Tile(value, label, quantity(*words[1]) if len(words) > 1 else "of the winner")]


def _count(story: Story) -> Tile:
    count, failed = len(story.trials), sum(trial.failed for trial in story.trials)
    cached = sum(trial.cached for trial in story.trials)
    value = f"{count:,}" if count >= story.aim else f"{count:,} of {story.aim:,}"
    parts = [f"{failed:,} failed" if failed else "none failed"] if count else ["none ended yet"]
    parts += [f"{cached:,} answered from memory"] if cached else []
    return Tile(value, "trial" if value == "1" else "trials", ", ".join(parts))


def _time(story: Story) -> Tile:
    total = sum(trial.seconds for trial in story.trials)
    label = "from start to end" if story.over else "so far"
    detail = f"{duration(total)} of trials in sum" if story.trials else "since the start"
    return Tile(duration(story.seconds), label, detail)


def _rise(story: Story) -> Tile:
    """From the first success to the best: what searching brought."""
    objective, measured = story.deciding, story.measured
    first, values = measured[0], values_of(measured, objective.name)
    best = min(measured, key=lambda trial: cost(objective, trial.metrics))
    value = " \u2192 ".join(short(t.metrics[objective.name]) for t in (first, best))
    what = f"{noun(objective.name, objective.unit)}, first to best"
    return Tile(value, what, f"median {short(statistics.median(values))}")


def background(story: Story) -> list[tuple[str, str]]:
    """How everything came about, as terms and what there is to say of them."""
    rows = [
        ("Task", _facts(story)),
        ("Space", f"{story.space}, {plural(len(story.choices), 'choice')}"),
        ("Strategy", f"{story.strategy}, seed {story.seed}"),
        ("Trials", f"{_epochs(story)} each; {_ended(story)}"),
    ]
    final = story.result.final
    if final is not None:
        rows.append(("Winner", _final(story)))
    best = story.result.best
    if best is not None and best.proposal.settings:
        given = best.proposal.settings.items()
        rows.append(("Settings", ", ".join(f"{name} {value}" for name, value in given)))
    return [*rows, ("Tracked at", story.tracking_uri or "nowhere")]


def _facts(story: Story) -> str:
    facts, parts = story.task_facts, [story.task]
    rows, classes = facts.get("rows"), facts.get("classes")
    if isinstance(rows, int):
        parts.append(plural(rows, "row"))
    elif isinstance(rows, Mapping):
        parts += [f"{count:,} {part} rows" for part, count in rows.items()]
    if isinstance(classes, int):
        parts.append(f"{classes:,} classes")
    elif isinstance(classes, Sequence):
        names = ", ".join(str(name) for name in classes)
        parts.append(f"{len(classes):,} classes ({clipped(names, 120)})")
    return ", ".join(parts)


def _epochs(story: Story) -> str:
    epochs = {trial.proposal.epochs for trial in story.trials} or {story.epochs}
    if len(epochs) == 1:
        return plural(min(epochs), "epoch")
    return f"{min(epochs):,} to {max(epochs):,} epochs"


def _ended(story: Story) -> str:
    if not story.failures:
        return "none failed" if story.trials else "none has ended yet"
    return f"{story.failures.total():,} of {len(story.trials):,} failed: {_failed(story)}"


def _final(story: Story) -> str:
    final = story.result.final
    assert final is not None
    outcome = final.outcome
    how = f"trial {final.number}, trained afresh on train and validation for "
    how += f"{plural(final.epochs, 'epoch')} in {duration(outcome.seconds)}"
    if outcome.status != "completed":
        return f"{how}: {outcome.status.replace('_', ' ')}, {outcome.error}"
    scores = ", ".join(f"{noun(name)} {short(value)}" for name, value in outcome.metrics.items())
    return f"{how}, and scored on test data once: {scores}"


def commands(story: Story) -> list[tuple[str, str]]:
    """What to do next: commands, and what they are for."""
    name = shlex.quote(plain(story.name))
    found = [] if story.over else [(f"metanas resume {name}", "goes on after an interruption")]
    found.append((f"metanas show {name}", "tells this in the terminal"))
    if story.result.best is not None and story.over:
        found.append((f"metanas export {name} --to DIR", "writes the winner into a folder"))
    return [*found, ("metanas ui", "shows every trial, with its curves, in MLflow")]
