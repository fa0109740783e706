"""``metanas prior`` as users call it."""

from __future__ import annotations

from pathlib import Path

from helpers import last_json, metanas
from made_runs import made_runs


def test_a_prior_is_fitted_once_and_shown(home: Path, template_database: Path) -> None:
    nothing = metanas("prior", "fit", home=home)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert nothing.stderr == ("ConfigError: no prior can be learnt: there are no finished trials\n")
    made_runs(template_database, home, 60, a_search=20, tasks=3)
    first = last_json(metanas("prior", "fit", "--json", home=home))
    assert (first["name"], first["version"], first["new"]) == ("metanas-prior", 1, True)
    assert [(each["task"], each["trials"]) for each in first["tasks"]] == [
        ("task0", 20),
        ("task1", 20),
        ("task2", 20),
    ]
    again = metanas("prior", "fit", home=home)
    assert again.stdout == "nothing is new since metanas-prior@1: nothing registered\n"
    few = last_json(metanas("prior", "fit", "--exclude-task", "task1", "--json", home=home))
    assert (few["version"], [each["task"] for each in few["tasks"]]) == (2, ["task0", "task2"])
    shown = metanas("prior", "show", "metanas-prior@1", home=home)
    assert shown.stdout.startswith("# metanas-prior version 1\n")
    assert "| task1 | classification | made | accuracy | 20 | 20 |" in shown.stdout
    now = last_json(metanas("prior", "show", "--json", home=home))
    assert {**now, "new": True} == few


def test_wrong_usage_of_prior_is_one_line(home: Path, template_database: Path) -> None:
    made_runs(template_database, home, 20)
    for arguments, said in {
        ("fit", "--task", "task9"): "ConfigError: --task is 'task9'; did you mean 'task0'? Known:",
        ("fit", "--name", "a@2"): "ConfigError: --name is 'a@2', expected a name without '@'",
        ("show", "mine"): "ConfigError: no prior 'mine': there are none yet",
    }.items():
        process = metanas("prior", *arguments, home=home)
        assert (process.returncode, process.stdout) == (1, "")
        assert process.stderr.startswith(said)
        assert len(process.stderr.splitlines()) == 1


def test_a_server_that_is_away_is_one_line(home: Path) -> None:
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    process = metanas("prior", "show", home=home, environment=away)
    assert process.returncode == 1
    assert process.stderr.startswith("HomeError: MLflow at http://127.0.0.1:9 does not answer")
    assert len(process.stderr.splitlines()) == 1
