"""The second task costs a fraction of the first: all of it, from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from helpers import SHARED, journal, last_json, metanas, runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = ("--space", "nasbench201", "--executor", "inline", "--epochs", "2", "--final-epochs", "0")
SIGNS = SHARED / "data" / "sign_digits.parquet"


def proposals(home: Path, name: str) -> list[dict[str, Any]]:
    return [e["proposal"] for e in journal(home, name) if e["event"] == "proposed"]


def forget(home: Path) -> None:
    """Remove all that is not MLflow's."""
    for path in home.iterdir():
        if path.name == "mlartifacts" or path.name.startswith("mlflow"):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def test_a_search_starts_from_what_others_left_in_mlflow(home: Path) -> None:
    first = ("search", "digits", *SMALL, "--trials", "12", "--strategy", "random")
    last_json(metanas(*first, "--json", home=home))
    if SIGNS.exists():
        second = ("search", str(SIGNS), "--set", "task.size=16", *first[2:])
        others = {"digits", "sign_digits"}
    else:
        second = (*first, "--seed", "1")
        others = {"digits"}
    last_json(metanas(*second, "--json", home=home))
    forget(home)
    fitted = last_json(metanas("prior", "fit", "--json", home=home))
    assert {each["task"] for each in fitted["tasks"]} == others
    command = ("search", "mnist5k", *SMALL, "--trials", "6", "--strategy", "surrogate")
    found = last_json(metanas(*command, "--prior", "auto", "--json", home=home))
    assert (found["prior"]["name"], found["prior"]["version"]) == ("metanas-prior", 1)
    assert set(found["prior"]["tasks"]) | set(found["prior"]["left_out"]) == others
    assert all(5 <= count <= 24 for count in found["prior"]["tasks"].values())
    made = proposals(home, found["search"])
    assert made[0]["reason"].startswith("past tasks expect most of it: ")
    assert all("past tasks" in proposal["reason"] for proposal in made)
    assert all(0 <= p["notes"]["prior"]["share"] <= 1 for p in made[2:])
    shown = last_json(metanas("show", found["search"], "--json", home=home))
    assert shown["prior"] == found["prior"]
    parent = next(
        run
        for run in runs(home)
        if run.data.tags.get("metanas.search") == found["search"]
        and run.data.tags["metanas.key"] == "search"
    )
    assert parent.data.tags["metanas.prior"] == "metanas-prior@1"
    assert json.loads(parent.data.tags["metanas.fingerprint"])["outputs"] == 10
    again = last_json(metanas("prior", "fit", "--json", home=home))
    assert (again["version"], again["new"]) == (2, True)
    assert "mnist5k" in {each["task"] for each in again["tasks"]} | {
        text.split("'")[1] for text in again["left_out"]
    }
