"""Priors as versions of a registered model: in a real MLflow."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from made_experience import prior
from metanas.core.errors import ConfigError, HomeError, PriorError
from metanas.meta import saved
from metanas.meta.registry import CURRENT, PLACE, Registry, parse


@pytest.fixture
def registry(home: Path) -> Registry:
    return Registry(f"sqlite:///{home}/mlflow.db", "home", home)


def client(home: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{home}/mlflow.db")


def registered(registry: Registry, tmp_path: Path, *tasks: str, name: str = "mine") -> Any:
    beside = tmp_path / "beside"
    beside.mkdir(exist_ok=True)
    (beside / "card.md").write_text("a card")
    return registry.register(prior(*tasks), name, "a card", {"metanas.tasks": "1"}, beside)


def artifacts(home: Path) -> Path:
    return next((home / "mlartifacts").glob(f"*/artifacts/{PLACE}"))


def test_versions_count_up_and_the_last_one_is_current(
    registry: Registry, home: Path, tmp_path: Path
) -> None:
    first = registered(registry, tmp_path, "a", "b")
    second = registered(registry, tmp_path, "a", "b", "c")
    assert [(each.name, each.version) for each in (first, second)] == [("mine", 1), ("mine", 2)]
    for reference, number in {
        "mine": 2, "mine@1": 1, "mine@current": 2, "mine@latest": 2
    }.items():  # fmt: skip
        assert registry.find(reference).number == number
    loaded = registry.load(registry.find("mine@2"))
    assert [each.task for each in loaded.sources] == ["a", "b", "c"]
    assert (loaded.name, loaded.version) == ("mine", 2)
    client(home).set_registered_model_alias("mine", CURRENT, "1")
    assert registry.find("mine").number == 1
    assert registry.newest("mine").number == 2  # type: ignore[union-attr]


def test_what_is_not_there_is_said_with_what_is(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there are none yet, `metanas prior fit` makes one"):
        registry.find("mine")
    registered(registry, tmp_path, "a")
    for reference, said in {
        "mine@7": "no prior 'mine@7': the newest version of 'mine' is 1",
        "mine@old": "no prior 'mine@old': the newest version of 'mine' is 1",
        "main": "no prior 'main'; did you mean 'mine'[?] Known: mine",
        "main@1": "no prior 'main@1'; did you mean 'mine'[?]",
        "mine@": "no NAME or NAME@VERSION",
        "../x": "no NAME or NAME@VERSION",
        "it's": "no NAME or NAME@VERSION",
    }.items():
        with pytest.raises(ConfigError, match=said):
            registry.find(reference)


def test_a_winner_is_no_prior(registry: Registry, home: Path, tmp_path: Path) -> None:
    client(home).create_registered_model("digits")
    client(home).create_model_version("digits", str(tmp_path))
    with pytest.raises(ConfigError, match="'digits' is a registered model and no prior"):
        registry.find("digits")
    with pytest.raises(ConfigError, match="choose another --name"):
        registered(registry, tmp_path, "a", name="digits")


def test_a_prior_that_was_changed_where_it_lies_is_refused(
    registry: Registry, home: Path, tmp_path: Path
) -> None:
    registered(registry, tmp_path, "a")
    place = artifacts(home)
    saved.write(prior("another"), place)
    with pytest.raises(PriorError, match=r"prior mine@1 cannot be used: prior\.json was changed"):
        registry.load(registry.find("mine"))
    shutil.rmtree(place)
    with pytest.raises(PriorError, match=r"prior mine@1 cannot be used: it has no prior\.json"):
        registry.load(registry.find("mine"))


def test_a_file_too_large_is_not_even_fetched(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(registry, tmp_path, "a")
    monkeypatch.setitem(saved.LARGEST, saved.SCORES, 10)
    with pytest.raises(PriorError, match=r"scores\.safetensors has \d+ bytes, expected at most 10"):
        registry.load(registry.find("mine"))


def test_a_flavour_that_a_stranger_put_beside_it_is_not_run(
    registry: Registry, home: Path, tmp_path: Path
) -> None:
    registered(registry, tmp_path, "a")
    place, witness = artifacts(home), tmp_path / "ran"
    (place / "MLmodel").write_text(
        "flavors:\n  python_function:\n    loader_module: evil\n    code: .\n"
    )
    (place / "evil.py").write_text(f"open({str(witness)!r}, 'w').close()\n")
    (place / "python_model.pkl").write_bytes(b"cos\nsystem\n(S'touch " + bytes(witness) + b"'\ntR.")
    assert registry.load(registry.find("mine")).sources
    assert not witness.exists()


def test_a_server_that_is_away_is_one_line_without_its_password(home: Path) -> None:
    with pytest.raises(HomeError) as error:
        Registry("http://me:secret@127.0.0.1:9", "http://127.0.0.1:9", home)
    assert str(error.value).startswith("MLflow at http://127.0.0.1:9 does not answer: ")
    assert "secret" not in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_reference_is_a_name_and_what_follows_the_at() -> None:
    assert parse("metanas-prior") == ("metanas-prior", "")
    assert parse("a.b@3") == ("a.b", "3")
