"""A prior as a folder: `prior.json` with all that is text, `scores.safetensors` with numbers.

Nothing is unpickled or run: a stranger's prior can be wrong, and no more than that. The JSON
holds the checksum of the scores, and whoever keeps a prior keeps the checksum of the JSON, so
that a file that was cut or changed is known for it. All that is read is checked here, once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from metanas.core.errors import PriorError
from metanas.core.space import Values
from metanas.meta import features, structure
from metanas.meta.prior import Prior, Source

FORMAT = 1
FEATURES = [structure.VERSION, features.VERSION]
"""How architectures are described: a prior that was judged with others may mean less."""
PRIOR, SCORES = "prior.json", "scores.safetensors"
FILES = (PRIOR, SCORES)
LARGEST = {PRIOR: 256 * 2**20, SCORES: 64 * 2**20}
"""Bytes; what is larger no search has learnt."""
SOFTWARE = ("metanas", "numpy", "scipy", "safetensors")
HIGHEST = 20.0
"""No normal score is as far from 0."""


def write(prior: Prior, folder: Path) -> str:
    """Write a prior into a folder, which is made; the checksum of its JSON.

    Raises:
        OSError: If it cannot be written.
    """
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    scores = save({str(n): each.scores for n, each in enumerate(prior.sources)})
    record = {
        "format": FORMAT,
        "features": FEATURES,
        "software": software(),
        "scores_sha256": hashlib.sha256(scores).hexdigest(),
        "sources": [_described(each) for each in prior.sources],
        "card": dict(prior.card),
    }
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    for name, content in ((SCORES, scores), (PRIOR, text)):
        (folder / name).write_bytes(content)
    return hashlib.sha256(text).hexdigest()


def learnt(prior: Prior) -> str:
    """A hash of what a prior teaches: equal for two that were learnt from the same trials."""
    about = [
        [_described(each), np.round(each.scores, 6).tolist()]
        for each in sorted(prior.sources, key=lambda each: (each.task, each.space))
    ]
    text = json.dumps([FORMAT, FEATURES, about], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def software() -> dict[str, str]:
    """Versions of what makes a prior."""
    found = {}
    for name in SOFTWARE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def _described(source: Source) -> dict[str, Any]:
    """A source without its scores."""
    return {
        "task": source.task,
        "kind": source.kind,
        "space": source.space,
        "objective": source.objective,
        "goal": source.goal,
        "trials": source.trials,
        "fingerprint": dict(source.fingerprint),
        "architectures": [dict(values) for values in source.architectures],
    }


def read(folder: Path, checksum: str = "", name: str = "", number: int = 0) -> Prior:
    """Read a prior back.

    Args:
        folder: With both files; what else lies there is not looked at.
        checksum: Of its JSON, where it is known.
        name: Under which it is registered.
        number: Its version there.

    Raises:
        PriorError: With one line on the first thing that is wrong.
    """
    what = f"prior {name}@{number}" if name else f"prior in {folder}"
    try:
        text = _bytes(folder, PRIOR)
        _compare(text, checksum, PRIOR)
        record = _record(text)
        scores = _scores(_bytes(folder, SCORES), record)
        sources = tuple(
            _source(n, each, scores) for n, each in enumerate(_list(record, "sources", "prior"))
        )
        if not sources:
            raise PriorError("it holds no task")
        return Prior(sources, name, number, _card(record))
    except PriorError as error:
        raise PriorError(f"{what} cannot be used: {error}") from None


# -- what is checked --------------------------------------------------------------


def _bytes(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        size = path.stat().st_size
        if size > LARGEST[name]:
            raise PriorError(f"{name} has {size} bytes, expected at most {LARGEST[name]}")
        return path.read_bytes()
    except FileNotFoundError:
        raise PriorError(f"it has no {name}") from None
    except OSError as error:
        raise PriorError(f"{name} cannot be read: {error.strerror}") from None


def _compare(content: bytes, expected: Any, name: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if expected and found != expected:
        raise PriorError(
            f"{name} was changed or cut: its SHA-256 is {found[:12]}..., "
            f"expected {str(expected)[:12]}..."
        )


def _record(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise PriorError(f"{PRIOR} is no JSON of finite numbers") from None
    if not isinstance(found, dict):
        raise PriorError(f"{PRIOR} is no JSON object")
    for key, expected in (("format", FORMAT), ("features", FEATURES)):
        if found.get(key) != expected:
            raise PriorError(
                f"it is of {key} version {found.get(key)}, expected {expected}: "
                "`metanas prior fit` makes one anew"
            )
    return found


def _refused(constant: str) -> None:
    raise ValueError(constant)


def _scores(content: bytes, record: Mapping[str, Any]) -> Mapping[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    _compare(content, record.get("scores_sha256") or "none", SCORES)
    try:
        found: Mapping[str, Any] = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise PriorError(f"{SCORES} is none: {' '.join(str(error).split())[:80]}") from None
    return found


def _source(number: int, found: Any, scores: Mapping[str, Any]) -> Source:
    where = f"task {number}"
    if not isinstance(found, dict):
        raise PriorError(f"{where} is no JSON object")
    texts = {name: _text(found, name, where) for name in ("task", "space", "objective")}
    kind = found.get("kind")
    goal, trials = found.get("goal"), found.get("trials")
    if goal not in ("max", "min"):
        raise PriorError(f"{where} has goal {goal!r}, expected 'max' or 'min'")
    architectures = tuple(_values(each, where) for each in _list(found, "architectures", where))
    if type(trials) is not int or trials < len(architectures):
        raise PriorError(f"{where} has trials {trials!r}, expected at least {len(architectures)}")
    return Source(
        **texts,
        kind=kind if isinstance(kind, str) else "",
        goal=goal,
        architectures=architectures,
        scores=_normal(scores.get(str(number)), len(architectures), where),
        trials=trials,
        fingerprint=_mapping(found, "fingerprint", where),
    )


def _card(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The card, empty or whole: commands print it."""
    card = _mapping(record, "card", "prior")
    if not card:
        return card
    for number, each in enumerate(_list(card, "tasks", "card")):
        where = f"card's task {number}"
        if not isinstance(each, dict):
            raise PriorError(f"{where} is no JSON object")
        for key in ("task", "space", "objective"):
            _text(each, key, where)
        score = each.get("score")
        whole = all(type(each.get(key)) is int for key in ("trials", "learnt_from"))
        if not whole or not (type(score) is float or (score is None and "why" in each)):
            raise PriorError(f"{where} has numbers that are none")
    _list(card, "left_out", "card")
    _mapping(card, "versions", "card")
    return card


def _normal(found: Any, count: int, where: str) -> Any:
    if found is None or found.dtype != np.float64 or found.shape != (count,) or not count:
        what = "none" if found is None else f"{found.dtype.name} {list(found.shape)}"
        raise PriorError(f"{where} has scores {what}, expected float64 [{count}], not empty")
    if not (np.abs(found) < HIGHEST).all():  # NaN compares as false
        raise PriorError(f"{where} has scores that are no normal scores")
    return found


def _values(found: Any, where: str) -> Values:
    if not isinstance(found, dict) or not all(map(_is_value, found.values())):
        raise PriorError(f"{where} has an architecture {str(found)[:60]}, expected choices by name")
    return found


def _is_value(value: Any) -> bool:
    return isinstance(value, str | int | bool) or (
        isinstance(value, float) and math.isfinite(value)
    )


def _text(found: Mapping[str, Any], key: str, where: str) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not value:
        raise PriorError(f"{where} has {key} {value!r}, expected text")
    return value


def _list(found: Mapping[str, Any], key: str, where: str) -> Sequence[Any]:
    value = found.get(key)
    if not isinstance(value, list):
        raise PriorError(f"{where} has {key} {str(value)[:60]}, expected a list")
    return value


def _mapping(found: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = found.get(key)
    if not isinstance(value, dict):
        raise PriorError(f"{where} has {key} {str(value)[:60]}, expected a JSON object")
    return value
