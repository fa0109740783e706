"""``metanas check``: whether a plug-in keeps the laws of its kind.

The laws themselves are in `metanas.testing`; what they say is read from the docstrings
there. Plug-ins are looked up as a search looks them up, and run in this process.
"""

from __future__ import annotations

import inspect
import json
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from metanas.cli._options import config_option, json_option
from metanas.core.errors import ConfigError, unknown

if TYPE_CHECKING:
    from metanas.core.plugins import Reference
    from metanas.core.space import Space

SHAPE, OUTPUTS = (1, 8, 8), 3
SHAPED = ("spaces", "objectives")
DRAWN = 3
"""Networks that are shown, or measured."""
LONGEST_MESSAGE = 500
LIBRARIES = ("torch", "torchvision", "numpy", "metanas")
"""A failure in these is told at the line of the plug-in that led there."""

Facts = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """A plug-in to check: its reference, its name, and what its networks map from and to."""

    reference: Reference
    name: str
    shape: tuple[int, ...]
    outputs: int


def _numbers(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, ...] | None:
    """Read ``1,8,8``."""
    if text is None:
        return None
    parts = str(text).split(",")
    if not all(part.strip().isdigit() and int(part) for part in parts):
        raise click.BadParameter(f"'{text}', expected sizes of at least 1 such as 1,8,8")
    return tuple(map(int, parts))


@click.command("check")
@click.argument("kind")
@click.argument("name")
@click.option(
    "--shape", callback=_numbers, help="Of an input, for spaces and objectives. [default: 1,8,8]"
)
@click.option(
    "--outputs",
    type=click.IntRange(min=1),
    help="Of a network, for spaces and objectives. [default: 3]",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="An option of it.")
@config_option
@json_option
def COMMAND(  # noqa: N802
    kind: str,
    name: str,
    shape: tuple[int, ...] | None,
    outputs: int | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check that NAME, or my_file.py:NAME, keeps the laws of KIND: space, strategy, ..."""
    plural = _kind(kind)
    for option, given in (("--shape", shape), ("--outputs", outputs)):
        if given is not None and plural not in SHAPED:
            raise ConfigError(f"{option} is for {' and '.join(SHAPED)}, not for {plural}")
    reference, known_as = _reference(plural, name, _settings(plural, settings))
    wanted = Wanted(reference, known_as, shape or SHAPE, outputs or OUTPUTS)
    facts, broken = judged(plural, wanted)
    laws = laws_of(plural)
    if as_json:
        result = {"kind": plural, "name": name, "keeps": not broken, "broken": broken}
        click.echo(json.dumps(result | {"laws": laws, "facts": facts}))
    elif not broken:
        _report(facts, laws)
        click.echo(f"{_singular(plural)} '{name}' keeps the laws")
    if broken:
        click.echo(f"{_singular(plural)} '{name}' {broken}", err=True)
        raise click.exceptions.Exit(1)


def _report(facts: Facts, laws: list[str]) -> None:
    for key, value in facts.items():
        click.echo(f"{key.replace('_', ' ')}: {_words(value)}")
    click.echo("checked:")
    for law in laws:
        click.echo(f"  {law}")


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(each)} {key}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return f"{int(value):,}" if whole else f"{value:.4g}" if isinstance(value, float) else value


def _kind(given: str) -> str:
    """A kind's plural, from either form.

    Raises:
        ConfigError: If there is none, or it has no laws.
    """
    forms = {_singular(plural): plural for plural in LAWS} | {plural: plural for plural in LAWS}
    if given not in forms:
        raise ConfigError(f"no laws for '{given}'{unknown(given, LAWS)}")
    return forms[given]


def _singular(plural: str) -> str:
    from metanas.core.plugins import CONSTANTS

    return CONSTANTS[plural].lower()


def _settings(plural: str, given: tuple[str, ...]) -> dict[str, str]:
    """Options by name; ``space.width=3``, as a search writes it, is ``width=3`` of a space."""
    settings: dict[str, str] = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(f"--set is '{text}', expected KEY=VALUE")
        settings[key.removeprefix(f"{_singular(plural)}.")] = value
    return settings


def _reference(plural: str, name: str, options: Mapping[str, str]) -> tuple[Reference, str]:
    """A plug-in and what it is called; a task may be a file of data, as in a search."""
    from metanas.core.plugins import reference

    if plural != "tasks":
        return reference(plural, name, options), name
    from metanas.api.config import SearchConfig
    from metanas.api.parts import references_of

    config = SearchConfig(task=name, set=tuple((f"task.{k}", v) for k, v in options.items()))
    return references_of(config)["task"], config.task_name()


def judged(plural: str, wanted: Wanted) -> tuple[Facts, str]:
    """Check a plug-in: some facts of it, and what it does wrong, or "".

    Raises:
        ConfigError: If it refuses its options, or what it is checked with.
    """
    try:
        return LAWS[plural](wanted), ""
    except ConfigError:
        raise
    # SystemExit: a plug-in that calls sys.exit would end the check without a word.
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plug-in raises is told
        modules = [str(f.f_globals.get("__name__")) for f, _ in _frames(error)]
        if isinstance(error, AssertionError) and modules[-1].startswith("metanas.testing"):
            return {}, f"breaks a law: {_joined(str(error))}"
        told = f"{type(error).__name__}: {_joined(str(error))[:LONGEST_MESSAGE]}"
        return {}, f"raises {told} ({_place(error, wanted.reference)})"


def _joined(text: str) -> str:
    return " ".join(text.split())


def _frames(error: BaseException) -> list[tuple[Any, int]]:
    return list(traceback.walk_tb(error.__traceback__))


def _place(error: BaseException, reference: Reference) -> str:
    """File and line where it failed: in the user's own file, else in a plug-in, else anywhere."""
    frames = [
        (str(frame.f_globals.get("__name__")), frame.f_code.co_filename, line)
        for frame, line in _frames(error)
    ]
    modules = ("metanas_user_", f"metanas.{reference.kind}.")
    own = [each for each in frames if each[0].startswith(modules)]
    others = [each for each in frames if each[0].partition(".")[0] not in LIBRARIES]
    if reference.source is not None and not own:  # a network of torch's own layers, say
        return f"in what {reference.name.partition(':')[0]} gives"
    _, file, line = (own or others or frames)[-1]
    return f"{Path(file).name}:{line}"


def laws_of(plural: str) -> list[str]:
    """The laws of a kind, each a line, as the docstring of their check states them."""
    import metanas.testing

    check = getattr(metanas.testing, f"check_{_singular(plural)}")
    stated = (inspect.getdoc(check) or "").partition("\nArgs:")[0].strip()
    summary, _, body = stated.partition("\n\n")
    numbered = re.findall(r"(?ms)^\d+\. .*?(?=^\d+\. |\Z)", body)
    laws = numbered or (body or summary.removeprefix("Check that ")).split("; ")
    lines = [_joined(law).replace("`", "").rstrip(".") for law in laws]
    return [line[:1].lower() + line[1:] for line in lines]


def _check_space(wanted: Wanted) -> Facts:
    from metanas.api.parts import space_of
    from metanas.measures.params import params
    from metanas.testing import check_space

    space = space_of(wanted.reference)
    check_space(space, wanted.shape, wanted.outputs)
    return {
        "choices": len(space.choices),
        "combinations": space.size,
        "shape": list(wanted.shape),
        "outputs": wanted.outputs,
        "sampled_params": [params(module) for module in _networks(space, wanted)],
    }


def _networks(space: Space, wanted: Wanted) -> list[Any]:
    """A few networks of a space, which the laws of a space have seen too."""
    import numpy as np

    from metanas.core.space import sample

    rng = np.random.default_rng(0)
    drawn = [sample(space, rng) for _ in range(DRAWN)]
    return [space.build(each.values, wanted.shape, wanted.outputs) for each in drawn]


def _check_strategy(wanted: Wanted) -> Facts:
    from metanas.core.plugins import resolve
    from metanas.testing import additive_context, check_strategy
    from metanas.testing.strategy import TRIALS

    found, context = resolve(wanted.reference), additive_context()
    if not callable(found):
        kind = type(found).__name__
        raise ConfigError(f"strategy '{wanted.name}' is a {kind}, expected a class or function")
    check_strategy(found, context)
    return {"space": context.space.name, "trials": TRIALS}


def _check_estimator(wanted: Wanted) -> Facts:
    from metanas.api.objectives import MEASURED, objective_of
    from metanas.api.parts import space_of, task_of
    from metanas.core.plugins import reference, resolve
    from metanas.testing import check_estimator

    space = space_of(reference("spaces", "cnn"))
    task = task_of(reference("tasks", "digits"), "digits")
    objectives = [objective_of(reference("objectives", name)) for name in MEASURED]
    check_estimator(resolve(wanted.reference)(), space, task, epochs=1, objectives=objectives)
    return {"space": space.name, "task": task.name, "epochs": 1}


def _check_objective(wanted: Wanted) -> Facts:
    from metanas.api.objectives import objective_of
    from metanas.api.parts import space_of
    from metanas.core.plugins import reference
    from metanas.testing import check_objective

    objective = objective_of(wanted.reference)
    facts = {"goal": objective.goal, "unit": objective.unit or "none"}
    if objective.measure is None:
        check_objective(objective)
        return facts | {"measured_by": "the estimator"}
    values = []
    for network in _networks(space_of(reference("spaces", "cnn")), wanted):
        check_objective(objective, network, wanted.shape)
        values.append(objective.measure(network, wanted.shape))
    shape = list(wanted.shape)
    return facts | {"shape": shape, "outputs": wanted.outputs, "sampled_values": values}


def _check_task(wanted: Wanted) -> Facts:
    from metanas.api.parts import task_of
    from metanas.testing import check_task
    from metanas.testing.task import PARTS

    task = task_of(wanted.reference, wanted.name)
    check_task(task)
    data = task.load(0)
    return {
        "kind": task.kind,
        "shape": list(task.shape),
        "outputs": task.outputs,
        "rows": {part: len(getattr(data, part)) for part in PARTS},
        "metrics": [metric.name for metric in task.metrics],
    }


LAWS: Mapping[str, Callable[[Wanted], Facts]] = {
    "spaces": _check_space,
    "strategies": _check_strategy,
    "estimators": _check_estimator,
    "objectives": _check_objective,
    "tasks": _check_task,
}
