"""How runs that metanas did not write become experience: a mapping file, read and checked.

::

    experiment = "old-project"            # in MLflow
    task = "my-task"
    space = "my_net.py:space"             # or a name; left out: params are taken as they are
    filter = "params.model = 'cnn'"       # of MLflow, optional
    epochs = "n_epochs"                   # a param, optional
    seed = "seed"                         # a param, optional
    cost = "train_seconds"                # a metric; left out: from the run's start to its end

    [objective]
    metric = "val_acc"
    goal = "max"
    name = "accuracy"                     # under which it is stored; left out: the metric's

    [choices]                             # param = choice
    conv_width = "width"

    [values.width]                        # of a choice: what a param says = the option
    small = 16

    [fixed]                               # choice = option, where no param says it
    depth = 3
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metanas.core.errors import ConfigError, MetanasError, SpaceError, unknown
from metanas.core.plugins import reference, resolve
from metanas.core.space import Space, Value, Values, check
from metanas.stores._experience_values import value_of, values_of

OBJECTIVE_KEYS = ("metric", "goal", "name")


@dataclass(frozen=True)
class Mapped:
    """A mapping file's content, checked.

    Args:
        name: Of the file, without its suffix: rows carry it as their origin.
        experiment: Whose runs.
        task: Their task's name.
        metric: The deciding one.
        goal: "max" or "min".
        objective: The name under which the metric is stored.
        choices: Choices by param.
        values: By choice: options by what a param says.
        fixed: Options by choice.
        space: None where options are taken as params say them.
        where: MLflow's filter.
        epochs: A param, or "".
        seed: A param, or "".
        cost: A metric in seconds, or "".
    """

    name: str
    experiment: str
    task: str
    metric: str
    goal: str
    objective: str
    choices: Mapping[str, str]
    values: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    fixed: Mapping[str, Value] = field(default_factory=dict)
    space: Space | None = None
    where: str = ""
    epochs: str = ""
    seed: str = ""
    cost: str = ""

    def values_of(self, params: Mapping[str, str]) -> Values:
        """The choices that a run's params stand for.

        Raises:
            SpaceError: If one is missing, is no option, or the space does not allow them.
            KeyError: If a param is missing and there is no space.
        """
        texts = {choice: params[p] for p, choice in self.choices.items() if p in params}
        told = {
            choice: self.values[choice][text]
            for choice, text in texts.items()
            if text in self.values.get(choice, {})
        }
        given: dict[str, Value] = {**self.fixed, **told}
        if self.space is None:
            for param, choice in self.choices.items():
                if choice not in given:
                    given[choice] = value_of(params[param])
            return given
        left = {choice: text for choice, text in texts.items() if choice not in told}
        names = {choice.name for choice in self.space.choices} - set(given)
        options = [choice for choice in self.space.choices if choice.name in names]
        given |= values_of(options, left)
        try:
            return check(self.space, given).values
        except SpaceError:  # its message names this one architecture; reasons are counted
            raise SpaceError(
                f"space '{self.space.name}' does not allow the combination of its choices"
            ) from None

    def id_of(self, values: Values) -> str:
        """Equal for architectures that are the same network, as `Architecture.id` is."""
        if self.space is not None:
            return check(self.space, values).id
        text = json.dumps(["", dict(values)], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_mapping(path: Path) -> Mapped:
    """Read a mapping file.

    Raises:
        ConfigError: With one line on the first thing that is wrong.
        MetanasError: If its space cannot be used.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    try:
        return _mapped(path, given)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _mapped(path: Path, given: Mapping[str, Any]) -> Mapped:
    texts = ("experiment", "task", "space", "filter", "epochs", "seed", "cost")
    tables = ("objective", "choices", "values", "fixed")
    _known(given, (*texts, *tables), "key of a mapping")
    text = {key: _text(given.get(key, ""), key) for key in texts}
    for key in ("experiment", "task"):
        if not text[key]:
            raise ConfigError(f"{key} is missing")
    table = {key: _table(given.get(key, {}), key) for key in tables}
    objective = {key: _text(table["objective"].get(key, ""), f"objective.{key}")
                 for key in OBJECTIVE_KEYS}  # fmt: skip
    _known(table["objective"], OBJECTIVE_KEYS, "key of objective")
    if not objective["metric"]:
        raise ConfigError("objective.metric is missing")
    if objective["goal"] not in ("max", "min"):
        raise ConfigError(f"objective.goal is '{objective['goal']}', expected max or min")
    choices = {param: _text(c, f"choices.{param}") for param, c in table["choices"].items()}
    space = _space(text["space"], path.parent) if text["space"] else None
    mapped = Mapped(
        name=path.stem,
        experiment=text["experiment"],
        task=text["task"],
        metric=objective["metric"],
        goal=objective["goal"],
        objective=objective["name"] or objective["metric"],
        choices=choices,
        values={c: _options(o, f"values.{c}") for c, o in table["values"].items()},
        fixed=_options(table["fixed"], "fixed"),
        space=space,
        where=text["filter"],
        epochs=text["epochs"],
        seed=text["seed"],
        cost=text["cost"],
    )
    _check_choices(mapped)
    return mapped


def _check_choices(mapped: Mapped) -> None:
    """Every choice of the space is said once, and no other; every option is one."""
    said = [*mapped.choices.values(), *mapped.fixed]
    if not mapped.choices:
        raise ConfigError("choices is empty, expected param = choice")
    for name in said:
        if said.count(name) > 1:
            raise ConfigError(f"choice '{name}' is said {said.count(name)} times")
    _known(mapped.values, tuple(mapped.choices.values()), "choice that a param says")
    if mapped.space is not None:
        _check_options(mapped, mapped.space, said)


def _check_options(mapped: Mapped, space: Space, said: list[str]) -> None:
    choices = {choice.name: choice for choice in space.choices}
    _known(said, tuple(choices), f"choice of space '{space.name}'")
    for name, choice in choices.items():
        if name not in said:
            raise ConfigError(
                f"choice '{name}' of space '{space.name}' is said by no param and not fixed"
            )
        fixed = [mapped.fixed[name]] if name in mapped.fixed else []
        for option in [*fixed, *mapped.values.get(name, {}).values()]:
            try:
                choice.index(option)
            except ValueError:
                raise ConfigError(
                    f"choice '{name}' is {option!r}, expected one of {choice.options}"
                ) from None


def _space(name: str, folder: Path) -> Space:
    file, colon, attribute = name.rpartition(":")
    if colon and not Path(file).expanduser().is_absolute():
        name = f"{folder / file}:{attribute}"
    try:
        found = resolve(reference("spaces", name))
        space = found() if callable(found) else found
    except (MetanasError, TypeError) as error:
        raise ConfigError(f"space: {error}") from None
    if not isinstance(space, Space):
        raise ConfigError(f"space '{name}' is a {type(space).__name__}, expected a Space")
    return space


def _known(given: Iterable[str], known: tuple[str, ...], what: str) -> None:
    for key in given:
        if key not in known:
            raise ConfigError(f"'{key}' is no {what}{unknown(key, known)}")


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{key} is {value!r}, expected text")
    return value


def _table(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{key} is {value!r}, expected a table")
    return value


def _options(value: Any, key: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, option in _table(value, key).items():
        if not isinstance(option, str | int | float | bool):
            raise ConfigError(f"{key}.{name} is {option!r}, expected text, a number or a boolean")
        if isinstance(option, float) and not math.isfinite(option):
            raise ConfigError(f"{key}.{name} is {option}, expected a finite number")
        found[name] = option
    return found
