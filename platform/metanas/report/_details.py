"""What stands below the figures: the best trials, the failures, how it came about, what next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metanas.core.objective import cost
from metanas.core.trial import Trial
from metanas.report._telling import background, commands
from metanas.report._words import axis_label, clipped, escaped, listed, noun, short
from metanas.report.story import Story

MOST_ROWS = 50
BEST = 10
BESIDE = ("params", "flops")


def details(story: Story) -> str:
    """All of it, in two columns where there is room."""
    best = story.result.best
    main = [_best(story, best)] if best is not None else []
    main += [_failures(story)] if story.failures else []
    main.append(_section("How it came about", _pairs(background(story))))
    side = []
    if best is not None:
        side.append(_section(f"Architecture of trial {best.number}", values_table(best)))
    after = "".join(
        f"<li><code>{escaped(command)}</code> <span>{escaped(what)}</span></li>"
        for command, what in commands(story)
    )
    side.append(_section("How to go on", f"<ul>{after}</ul>"))
    return (
        f'<div class="details"><div class="stack">{"".join(main)}</div>'
        f'<div class="stack">{"".join(side)}</div></div>'
    )


def _section(title: str, content: str) -> str:
    return f'<section class="card"><h2>{escaped(title)}</h2>{content}</section>'


def _pairs(rows: Sequence[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{escaped(term)}</dt><dd>{_linked(said)}</dd>" for term, said in rows)
    return f'<dl class="facts">{items}</dl>'


def _linked(said: str) -> str:
    text = escaped(said)
    web = said.startswith(("http://", "https://"))
    return f'<a href="{text}">{text}</a>' if web else text


def values_table(best: Trial) -> str:
    """An architecture's choices and their values."""
    values = best.proposal.architecture.values
    return _pairs([(str(name), str(value)) for name, value in values.items()])


def _best(story: Story, best: Trial) -> str:
    """The front with several objectives, else the best ten; the winner first."""
    several = len(story.objectives) > 1
    title = "The best trials"
    if several:
        names = listed([noun(o.name, o.unit) for o in story.objectives])
        title = f"The front of {names}"
    ranked = _ranked(story, best)
    shown = ranked[: MOST_ROWS if several else BEST]
    more = len(ranked) - len(shown)
    note = f'<p class="note">and {more:,} more</p>' if more and several else ""
    columns = _columns(story, best)
    head = "".join(
        f'<th scope="col" class="number{" minor" * column.minor}">{escaped(column.title)}</th>'
        for column in columns
    )
    rows = "".join(_row(trial, columns, trial.number == best.number) for trial in shown)
    return _section(
        title,
        f'<div class="scroll"><table><thead><tr><th scope="col">trial</th>{head}'
        '<th scope="col" class="number minor">seconds</th><th scope="col">why it was tried</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>{note}",
    )


def _ranked(story: Story, best: Trial) -> list[Trial]:
    objective = story.deciding
    if len(story.objectives) > 1:
        found = list(story.result.front)
    else:
        fresh = [trial for trial in story.measured if not trial.cached]
        found = sorted(fresh, key=lambda t: (cost(objective, t.metrics), t.number))
    return [best, *(trial for trial in found if trial.number != best.number)]


@dataclass(frozen=True)
class _Column:
    """A metric in the table; a minor one is left out where there is little room."""

    name: str
    title: str
    minor: bool


def _columns(story: Story, best: Trial) -> list[_Column]:
    objectives = story.objectives or (story.deciding,)
    found = [
        _Column(o.name, axis_label(o.name, o.unit), place > 2) for place, o in enumerate(objectives)
    ]
    known = {column.name for column in found}
    beside = [name for name in BESIDE if name in best.metrics and name not in known]
    return [*found, *(_Column(name, noun(name), name != "params") for name in beside)]


def _row(trial: Trial, columns: Sequence[_Column], won: bool) -> str:
    cells = "".join(
        f'<td class="number{" minor" * column.minor}">{_cell(trial, column.name)}</td>'
        for column in columns
    )
    start = '<tr class="won">' if won else "<tr>"
    return (
        f'{start}<th scope="row">{trial.number}</th>{cells}'
        f'<td class="number minor">{trial.seconds:.1f}</td>'
        f"<td>{escaped(clipped(trial.proposal.reason, 160))}</td></tr>"
    )


def _cell(trial: Trial, name: str) -> str:
    return short(trial.metrics[name]) if name in trial.metrics else "-"


def _failures(story: Story) -> str:
    rows = []
    for status, count in story.failures.items():
        failed = [trial for trial in story.trials if trial.status == status]
        told = next((trial for trial in failed if trial.error), failed[0])
        why = clipped(told.error or "it left no word on why", 300)
        rows.append(
            f'<tr><th scope="row">{escaped(status.replace("_", " "))}</th>'
            f'<td class="number">{count:,}</td>'
            f"<td>trial {told.number}: {escaped(why)}</td></tr>"
        )
    return _section(
        "Failures",
        '<div class="scroll"><table><thead><tr><th scope="col">how</th>'
        '<th scope="col" class="number">trials</th><th scope="col">for instance</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>",
    )
