"""A prior as a folder: what is written comes back, and whatever else lies there is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from made_experience import prior, source
from metanas.core.errors import PriorError
from metanas.meta import saved

JUDGED = {"task": "a", "space": "made", "objective": "accuracy", "trials": 30, "learnt_from": 30}
CARD = {"tasks": [{**JUDGED, "score": 0.5}], "left_out": [], "versions": {"format": 1}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    saved.write(replace(prior("a", "b"), card=CARD), tmp_path)
    return tmp_path


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the JSON as somebody would who means harm, scores' checksum included."""
    path = folder / saved.PRIOR
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def with_scores(folder: Path, content: bytes) -> None:
    (folder / saved.SCORES).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    changed(folder, lambda record: record.update(scores_sha256=digest))


def refused(folder: Path) -> str:
    with pytest.raises(PriorError) as error:
        saved.read(folder)
    text = str(error.value)
    assert len(text.splitlines()) == 1
    return text


def test_a_prior_comes_back_as_it_was(tmp_path: Path) -> None:
    made = replace(prior("a", "b"), card=CARD)
    checksum = saved.write(made, tmp_path)
    found = saved.read(tmp_path, checksum, "mine", 3)
    assert (found.name, found.version, found.card) == ("mine", 3, CARD)
    for before, after in zip(made.sources, found.sources, strict=True):
        assert before.architectures == after.architectures
        assert np.array_equal(before.scores, after.scores)
        assert (before.task, before.trials, before.goal) == (after.task, after.trials, after.goal)


def test_what_is_learnt_has_one_hash_in_any_order_and_another_with_one_more_trial() -> None:
    one, other = prior("a", "b"), prior("a", "b")
    turned = replace(other, sources=other.sources[::-1], name="x", version=7)
    assert saved.learnt(one) == saved.learnt(turned)
    more = replace(one, sources=(*one.sources[:1], replace(one.sources[1], trials=31)))
    assert saved.learnt(one) != saved.learnt(more)


def test_a_file_that_is_missing_or_cut_is_named(folder: Path) -> None:
    scores = (folder / saved.SCORES).read_bytes()
    (folder / saved.SCORES).write_bytes(scores[:-4])
    assert "scores.safetensors was changed or cut" in refused(folder)
    (folder / saved.SCORES).unlink()
    assert "it has no scores.safetensors" in refused(folder)
    text = (folder / saved.PRIOR).read_bytes()
    (folder / saved.PRIOR).write_bytes(text[: len(text) // 2])
    assert "prior.json is no JSON of finite numbers" in refused(folder)


def test_a_change_that_is_in_itself_sound_shows_by_the_checksum(folder: Path) -> None:
    checksum = hashlib.sha256((folder / saved.PRIOR).read_bytes()).hexdigest()
    changed(folder, lambda record: record["sources"][0].update(task="other"))
    assert saved.read(folder).sources[0].task == "other"
    with pytest.raises(PriorError, match=r"prior mine@2 cannot be used: prior\.json was changed"):
        saved.read(folder, checksum, "mine", 2)


@pytest.mark.parametrize("key", ["format", "features"])
def test_another_version_is_refused_with_what_helps(folder: Path, key: str) -> None:
    changed(folder, lambda record: record.update({key: 99}))
    assert f"of {key} version 99, expected" in refused(folder)
    assert "`metanas prior fit`" in refused(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda each: each.update(goal="best"), "goal 'best'"),
        (lambda each: each.update(task=7), "task 7, expected text"),
        (lambda each: each.update(trials=2), "trials 2, expected at least 30"),
        (lambda each: each.update(trials=True), "trials True"),
        (lambda each: each.update(architectures={}), "expected a list"),
        (lambda each: each.update(fingerprint=[]), "fingerprint"),
        (lambda each: each["architectures"].pop(), r"scores float64 \[30\], expected"),
        (lambda each: each["architectures"].append([1]), "expected choices by name"),
        (lambda each: each["architectures"][0].update(depth=[1]), "expected choices by name"),
    ],
)
def test_a_task_that_is_none_is_named(folder: Path, change: Any, said: str) -> None:
    import re

    changed(folder, lambda record: change(record["sources"][0]))
    assert re.search("task 0 .*" + said, refused(folder))


@pytest.mark.parametrize(
    "card",
    [
        {"tasks": 3},
        {"tasks": [3]},
        {"tasks": [{"task": "a"}]},
        {**CARD, "tasks": [{**JUDGED, "score": "high"}]},
        {**CARD, "tasks": [{**JUDGED, "score": None}]},
        {**CARD, "left_out": {}},
        {**CARD, "versions": []},
    ],
)
def test_a_card_that_cannot_be_shown_is_refused(folder: Path, card: Any) -> None:
    changed(folder, lambda record: record.update(card=card))
    assert "card" in refused(folder)


def test_numbers_that_are_no_normal_scores_are_refused(folder: Path) -> None:
    good = {str(number): np.zeros(30) for number in range(2)}
    for bad in (np.full(30, np.nan), np.full(30, np.inf), np.full(30, 1e300)):
        with_scores(folder, save({**good, "1": bad}))
        assert "task 1 has scores that are no normal scores" in refused(folder)
    with_scores(folder, save({**good, "1": np.zeros(30, np.float32)}))
    assert "task 1 has scores float32 [30]" in refused(folder)
    with_scores(folder, save({"0": np.zeros(30)}))
    assert "task 1 has scores none" in refused(folder)
    with_scores(folder, b"\xff" * 64)
    assert "scores.safetensors is none" in refused(folder)


def test_nan_in_the_json_and_absurd_sizes_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (folder / saved.PRIOR).read_text()
    (folder / saved.PRIOR).write_text(text.replace('"format":1', '"format":NaN'))
    assert "no JSON of finite numbers" in refused(folder)
    (folder / saved.PRIOR).write_text("[" * 100_000)
    assert "no JSON of finite numbers" in refused(folder)
    (folder / saved.PRIOR).write_text("[]")
    assert "no JSON object" in refused(folder)
    monkeypatch.setitem(saved.LARGEST, saved.PRIOR, 1)
    assert "prior.json has 2 bytes, expected at most 1" in refused(folder)


def test_nothing_is_unpickled(folder: Path, tmp_path: Path) -> None:
    witness = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (exec, (f"open({str(witness)!r}, 'w').close()",))

    (folder / "model.pkl").write_bytes(pickle.dumps(Evil()))
    assert saved.read(folder).sources
    with_scores(folder, pickle.dumps(Evil()))
    refused(folder)
    (folder / saved.PRIOR).write_bytes(pickle.dumps(Evil()))
    refused(folder)
    assert not witness.exists()


def test_a_prior_without_tasks_is_none(tmp_path: Path) -> None:
    saved.write(replace(prior("a"), sources=()), tmp_path)
    assert "it holds no task" in refused(tmp_path)


def test_sources_of_two_spaces_may_have_one_task(tmp_path: Path) -> None:
    both = replace(prior("a"), sources=(source("a"), source("a", space="other")))
    saved.write(both, tmp_path)
    assert [each.space for each in saved.read(tmp_path).sources] == ["made", "other"]
