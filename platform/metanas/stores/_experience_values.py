"""From params, which MLflow keeps as text, to a space's options."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from metanas.core.errors import MetanasError, SpaceError
from metanas.core.plugins import listing, reference, resolve
from metanas.core.space import Choice, Space, Value, Values


def known_space(name: str) -> Space | None:
    """An installed space of this name, if there is one that needs no options."""
    if name not in {each.name for each in listing("spaces")}:
        return None
    try:
        found = resolve(reference("spaces", name))
        space = found() if callable(found) else found
    except (MetanasError, TypeError):
        return None
    return space if isinstance(space, Space) else None


def values_of(choices: Sequence[Choice], texts: Mapping[str, str]) -> Values:
    """The options that params, which are text, stand for.

    Raises:
        SpaceError: If one is missing or no option.
    """
    values: dict[str, Value] = {}
    for choice in choices:
        if choice.name not in texts:
            raise SpaceError(f"choice '{choice.name}' is missing")
        option = option_of(choice, texts[choice.name])
        if option is None:
            raise SpaceError(f"'{texts[choice.name]}' is no option of choice '{choice.name}'")
        values[choice.name] = option
    return values


def option_of(choice: Choice, text: str) -> Value | None:
    """The one option that a text stands for: written alike, or the same number."""
    alike = [option for option in choice.options if str(option) == text]
    if not alike:
        value = value_of(text)
        alike = [o for o in choice.options if not isinstance(o, str) and o == value]
    return alike[0] if len(alike) == 1 else None


def value_of(text: str) -> Value:
    """What a text says where nothing tells its type: a truth, a number, else itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            value = kind(text)
            if abs(value) < float("inf"):
                return value
    return text
