"""The command line as users call it: in a process of its own, on real data."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from helpers import BAD_SPACE, SHARED, WALK, journal, last_json, metanas, numbers, runs

KEYS = [
    "search",
    "task",
    "space",
    "strategy",
    "seed",
    "prior",
    "trials",
    "failed",
    "best",
    "front",
    "seconds",
    "seconds_training",
    "tracking_uri",
]
QUICK = ("--executor", "inline", "--epochs", "1", "--final-epochs", "0", "--json")


def image(size: int = 8, colour: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((size, size), colour, np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def table(path: Path, **changed: object) -> Path:
    """A small data set of two classes; a column that is changed to None is left out."""
    rows: dict[str, object] = {
        "image": [image(colour=10 * row) for row in range(20)],
        "label": [row % 2 for row in range(20)],
    }
    rows |= changed
    pq.write_table(pa.table({k: v for k, v in rows.items() if v is not None}), path)
    return path


def test_a_search_prints_one_json_object_on_its_last_line(home: Path) -> None:
    process = metanas("search", "digits", "--trials", "3", *QUICK, "--seed", "7", home=home)
    result = last_json(process)
    assert list(result) == KEYS
    assert len(process.stdout.splitlines()) == 1
    assert (result["task"], result["trials"], result["seed"]) == ("digits", 3, 7)
    best = result["best"]
    done = {
        e["trial"]["number"]: e["trial"]
        for e in journal(home, result["search"])[1:]
        if "trial" in e
    }
    accuracies = {number: trial["metrics"]["accuracy"] for number, trial in done.items()}
    assert best["metrics"]["accuracy"] == max(accuracies.values())
    assert best["metrics"]["params"] > 0
    assert best["metrics"]["flops"] > 0


def test_the_winner_is_scored_on_test(home: Path) -> None:
    command = ("search", "digits", "--trials", "1", "--epochs", "1", "--executor", "inline")
    result = last_json(metanas(*command, "--final-epochs", "2", "--json", home=home))
    assert 0 <= result["best"]["test_accuracy"] <= 1
    assert set(result["best"]) == {
        "number",
        "architecture",
        "metrics",
        "why",
        "test_accuracy",
        "test_loss",
    }


def test_show_and_resume_print_the_same_result_again(home: Path) -> None:
    first = last_json(
        metanas("search", "digits", "--trials", "2", *QUICK, "--name", "a", home=home)
    )
    for command in ("show", "resume"):
        again = last_json(metanas(command, "a", "--json", home=home))
        assert {**again, "seconds": 0} == {**first, "seconds": 0}


def test_resume_extends_a_search_as_if_it_had_been_longer(home: Path) -> None:
    metanas("search", "digits", "--trials", "2", *QUICK, "--name", "short", home=home)
    extended = last_json(metanas("resume", "short", "--trials", "4", "--json", home=home))
    long = last_json(metanas("search", "digits", "--trials", "4", *QUICK, "--name", "l", home=home))
    assert extended["trials"] == 4
    assert extended["best"] == long["best"]
    assert numbers(home, "short") == [0, 1, 2, 3]
    keys = [
        run.data.tags["metanas.key"]
        for run in runs(home)
        if run.data.tags["metanas.search"] == "short"
    ]
    assert sorted(keys) == ["search", "trial/0", "trial/1", "trial/2", "trial/3"]


def test_the_same_seed_gives_the_same_search(home: Path) -> None:
    command = ("search", "digits", "--trials", "2", *QUICK, "--seed", "3")
    first, second = (last_json(metanas(*command, home=home)) for _ in range(2))
    assert first["search"] != second["search"]
    assert first["best"] == second["best"]


def test_a_config_file_has_the_same_names(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(
        'trials = 2\nepochs = 1\nexecutor = "inline"\n"final-epochs" = "0"\n'
        "[set]\nstrategy.population = 6\n"
    )
    result = last_json(metanas("search", "digits", "--config", str(file), "--json", home=home))
    assert result["trials"] == 2
    assert journal(home, result["search"])[0]["config"]["set"] == [["strategy.population", "6"]]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("digitz",), "PluginError: no 'digitz' in tasks; did you mean 'digits'? Known: "),
        (("digits", "--space", "cnm"), "PluginError: no 'cnm' in spaces; did you mean 'cnn'?"),
        (("digits", "--strategy", "evolutoin"), "PluginError: no 'evolutoin' in strategies; did"),
        (("digits", "--objective", "speed"), "ConfigError: no objective 'speed' on task 'digits'"),
        (("digits", "--executor", "moon"), "PluginError: no 'moon' in executors"),
        (("digits", "--trials", "0"), "ConfigError: search.trials is 0, expected at least 1"),
        (("digits", "--set", "populaton=3"), "ConfigError: --set populaton: no option 'populaton'"),
        (
            ("digits", "--set", "strategy.pop=3"),
            "ConfigError: strategies 'evolution' has no option",
        ),
        (("digits", "--set", "sample=99"), "ConfigError: evolution's sample is 99, expected 1 to"),
        (("digits", "--where", "a=b"), "ConfigError: --where picks rows of a file"),
        (("digits", "--final-epochs", "some"), "ConfigError: search.final_epochs is 'some'"),
        (("digits", "--config", "none.toml"), "ConfigError: none.toml: No such file"),
        (("missing.parquet",), "missing.parquet': there is no '"),
        (("./missing",), "missing': there is no '"),
        (("~nobody-here/x.parquet",), "~nobody-here/x.parquet: there is no folder '~nobody-here'"),
        (("~nobody-here/x.py:task",), "ConfigError: ~nobody-here/x.py: there is no folder '~nob"),
        (("digits", "--name", "a/b"), "ConfigError: search.name is 'a/b', expected letters"),
    ],
)
def test_bad_input_is_one_line_exit_code_1_and_leaves_nothing(
    home: Path, tmp_path: Path, arguments: tuple[str, ...], line: str
) -> None:
    process = metanas("search", *arguments, home=home, cwd=tmp_path)
    assert process.returncode == 1
    assert process.stdout == ""
    assert len(process.stderr.splitlines()) == 1
    assert line in process.stderr
    assert list((home / "searches").iterdir()) == []
    assert list(home.glob("log-*")) == []


def test_a_broken_file_is_named_with_its_row(home: Path, tmp_path: Path) -> None:
    broken = [image(), b"\xff\xd8\xff no JPEG", *[image()] * 18]
    cases = {
        "no column 'label'": table(tmp_path / "a.parquet", label=None),
        "image of row 1 cannot be decoded": table(tmp_path / "b.parquet", image=broken),
        "one class only": table(tmp_path / "c.parquet", label=[1] * 20),
        "split 'test' is empty": table(tmp_path / "d.parquet", split=["train"] * 20),
        "not a Parquet file": tmp_path / "e.parquet",
    }
    (tmp_path / "e.parquet").write_text("label,image\n")
    for reason, path in cases.items():
        process = metanas("search", str(path), "--trials", "1", *QUICK, home=home)
        assert process.returncode == 1
        assert len(process.stderr.splitlines()) == 1
        assert reason in process.stderr
        assert str(path) in process.stderr
    assert list((home / "searches").iterdir()) == []


def test_unknown_keys_of_a_config_file_are_refused(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("trails = 3\n")
    process = metanas("search", "digits", "--config", str(file), home=home)
    assert process.returncode == 1
    assert f"ConfigError: {file}: unknown key 'trails'; did you mean 'trials'?" in process.stderr


def test_a_name_is_used_once(home: Path) -> None:
    command = ("search", "digits", "--trials", "1", *QUICK, "--name", "mine")
    last_json(metanas(*command, home=home))
    before = journal(home, "mine")
    process = metanas(*command, home=home)
    assert process.returncode == 1
    assert "HomeError: a search 'mine' exists already" in process.stderr
    assert journal(home, "mine") == before


def test_a_home_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = metanas("search", "digits", home=tmp_path / "file" / "home")
    assert process.returncode == 1
    assert process.stderr.startswith("HomeError: home ")
    assert len(process.stderr.splitlines()) == 1


def test_a_cut_journal_is_mended_and_a_wrong_line_is_named(home: Path) -> None:
    last_json(metanas("search", "digits", "--trials", "2", *QUICK, "--name", "cut", home=home))
    whole = last_json(metanas("show", "cut", "--json", home=home))
    path = home / "searches" / "cut" / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if '"finished"' in line)
    path.write_text("".join(lines[:last]) + lines[last][:40])
    assert last_json(metanas("resume", "cut", "--json", home=home))["best"] == whole["best"]
    path.write_text("".join([*lines[:2], "what is this\n", *lines[2:]]))
    process = metanas("resume", "cut", home=home)
    assert process.returncode == 1
    assert f"JournalError: {path}:3: no event of a search: 'what is this'" in process.stderr


def test_wrong_usage_has_exit_code_2(home: Path) -> None:
    for arguments in (("serach",), ("search", "digits", "--trails", "3"), ("search",)):
        assert metanas(*arguments, home=home).returncode == 2


def test_list_names_what_there_is(home: Path) -> None:
    for kind, known in (
        ("tasks", {"digits", "folder", "mnist5k", "npz", "parquet", "table"}),
        ("spaces", {"cnn", "nasbench201", "table", "transnas_micro"}),
        ("strategies", {"evolution", "local", "random", "surrogate"}),
        ("executors", {"inline", "pool", "tune"}),
        ("objectives", {"accuracy", "activation_mb", "flops", "latency_ms", "params"}),
    ):
        found = last_json(metanas("list", kind, "--json", home=home))["found"]
        assert {each["name"] for each in found} == known
        assert all(each["about"] for each in found)


def test_every_kind_of_failure_is_a_status_and_the_search_goes_on(
    home: Path, tmp_path: Path, ray_address: str
) -> None:
    (tmp_path / "bad.py").write_text(BAD_SPACE)
    (tmp_path / "walk.py").write_text(WALK)
    space, strategy = f"{tmp_path}/bad.py:space", f"{tmp_path}/walk.py:strategy"
    command = ("search", "digits", "--space", space, "--strategy", strategy, "--trials", "8")
    limits = ("--epochs", "1", "--max-trial-seconds", "15", "--final-epochs", "0")
    process = metanas(
        *command,
        *limits,
        "--name",
        "bad",
        "--json",
        home=home,
        environment={"RAY_ADDRESS": ray_address},
    )
    assert last_json(process)["failed"] == 7
    statuses = {
        e["trial"]["number"]: e["trial"]["status"] for e in journal(home, "bad") if "trial" in e
    }
    assert [statuses[number] for number in range(8)] == [
        "completed",
        "infeasible",
        "infeasible",
        "out_of_memory",
        "diverged",
        "crashed",
        "timed_out",
        "crashed",
    ]
    shown = {run.data.tags.get("metanas.key"): run.data.tags for run in runs(home)}
    assert {n: shown[f"trial/{n}"]["metanas.status"] for n in range(8)} == statuses
    assert "(2, 11), expected (2, 10)" in shown["trial/2"]["metanas.error"]


@pytest.mark.skipif(not (SHARED / "data").exists(), reason="needs ../shared/data beside the tree")
def test_real_images_are_searched(home: Path) -> None:
    signs = str(SHARED / "data" / "sign_digits.parquet")
    result = last_json(metanas("search", signs, "--trials", "1", *QUICK, home=home))
    assert result["task"] == "sign_digits"
    letters = str(SHARED / "data" / "omniglot_mini.parquet")
    where = ("--where", "alphabet=Greek")
    result = last_json(metanas("search", letters, *where, "--trials", "1", *QUICK, home=home))
    assert result["task"] == "omniglot_mini-Greek"


def test_the_result_for_people_goes_to_the_terminal(home: Path) -> None:
    process = metanas("search", "digits", "--trials", "1", *QUICK[:-1], "--name", "p", home=home)
    assert process.returncode == 0
    assert "winner: trial 0" in process.stdout
    assert "1 of 1 trials" in process.stdout
    assert json.loads((home / "searches/p/mlflow.json").read_text())["trials"] == 1


def test_ctrl_c_says_how_to_go_on_and_resume_does(home: Path) -> None:
    command = ("search", "digits", "--trials", "60", *QUICK, "--name", "stopped")
    process = subprocess.Popen(
        [sys.executable, "-m", "metanas", *command],
        env={**os.environ, "METANAS_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    path = home / "searches" / "stopped" / "journal.jsonl"
    deadline = time.monotonic() + 100
    while not (path.exists() and '"finished"' in path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    printed, said = process.communicate(timeout=100)
    assert process.returncode == 130
    assert printed == ""
    assert said.splitlines()[-1] == "stopped; `metanas resume stopped` goes on with it"
    done = len(numbers(home, "stopped"))
    assert 1 <= done < 60
    assert last_json(metanas("show", "stopped", "--json", home=home))["trials"] == done
    assert last_json(metanas("resume", "stopped", "--json", home=home))["trials"] == 60


OBJECTIVE = """
from metanas.core.objective import Objective

OBJ = Objective("mine", "", "min", lambda module, shape: float(len(list(module.modules()))))
"""


def test_an_objective_of_a_users_own_decides_also_when_resumed(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OBJECTIVE)
    command = ("search", "digits", "--trials", "3", *QUICK, "--name", "own")
    first = last_json(metanas(*command, "--objective", f"{file}:OBJ", home=home))
    file.unlink()
    more = last_json(metanas("resume", "own", "--trials", "5", "--json", home=home))
    assert more["best"]["metrics"]["mine"] <= first["best"]["metrics"]["mine"]
    found = [e["trial"]["metrics"]["mine"] for e in journal(home, "own") if "trial" in e]
    assert more["best"]["metrics"]["mine"] == min(found)


def test_a_kill_in_the_first_instant_leaves_a_name_that_can_be_used(home: Path) -> None:
    (home / "searches" / "early").mkdir()
    (home / "searches" / "early" / "journal.jsonl").touch()
    command = ("search", "digits", "--trials", "1", *QUICK, "--name", "early")
    assert last_json(metanas(*command, home=home))["trials"] == 1


def test_a_users_file_that_exits_on_import_is_named(home: Path, tmp_path: Path) -> None:
    (tmp_path / "gone.py").write_text("import sys\nsys.exit(0)\n")
    process = metanas("search", "digits", "--space", f"{tmp_path}/gone.py:space", home=home)
    assert process.returncode == 1
    assert "PluginError: spaces: gone.py:2 fails on import: SystemExit: 0" in process.stderr
    assert list((home / "searches").iterdir()) == []


def test_a_cluster_that_is_not_there_leaves_nothing(home: Path) -> None:
    command = ("search", "digits", "--trials", "1", "--epochs", "1", "--name", "lost")
    process = metanas(*command, home=home, environment={"RAY_ADDRESS": "127.0.0.1:1"})
    assert process.returncode == 1
    assert "no Ray cluster at RAY_ADDRESS=127.0.0.1:1" in process.stderr.splitlines()[-1]
    assert list((home / "searches").iterdir()) == []


SPACES = {
    "raises on import": ("x = 1 / 0", "mine.py:1 fails on import: ZeroDivisionError"),
    "raises in build": (
        "from metanas import Choice, Space\n\ndef build(values, shape, outputs):\n"
        "    raise ValueError('no idea how')\n\nspace = Space('s', [Choice('a', (1, 2))], build)",
        "space 'mine.py:space' on task 'digits': build fails: ValueError: no idea how (mine.py:4)",
    ),
    "gives another shape": (
        "from torch import nn\nfrom metanas import Choice, Space\n\n"
        "def build(values, shape, outputs):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs + values['a']))\n\n"
        "space = Space('s', [Choice('a', (1, 2))], build)",
        "the network gives [2, 12] for 2 inputs of [1, 8, 8], expected [2, 10]",
    ),
}


@pytest.mark.parametrize("case", SPACES)
def test_a_space_that_cannot_work_is_refused_at_once(home: Path, tmp_path: Path, case: str) -> None:
    text, message = SPACES[case]
    file = tmp_path / "mine.py"
    file.write_text(text)
    process = metanas("search", "digits", "--space", f"{file}:space", *QUICK, home=home)
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert message in line
    assert list((home / "searches").iterdir()) == []


def test_a_limit_that_nothing_keeps_is_said_with_the_front(home: Path) -> None:
    goals = ("--objective", "accuracy", "--objective", "params<10")
    result = last_json(metanas("search", "digits", *goals, "--trials", "2", *QUICK, home=home))
    assert result["front"]
    assert result["best"]["why"].startswith("nothing keeps params<10; this comes nearest (params ")


def test_finalists_are_trained_again_and_once_only(home: Path) -> None:
    command = ("search", "digits", "--trials", "4", *QUICK, "--repeats", "2", "--name", "again")
    first = last_json(metanas(*command, home=home))
    repeats = [(e["number"], e["index"]) for e in journal(home, "again") if e["event"] == "repeat"]
    assert len(repeats) == len(set(repeats)) == 6
    assert first["best"]["why"].endswith("as the mean of 3 trainings of 3 finalists")
    for command in (("resume", "again"), ("show", "again")):
        again = last_json(metanas(*command, "--json", home=home))
        assert again["best"] == first["best"]
    assert sum(e["event"] == "repeat" for e in journal(home, "again")) == 6
    child = [r for r in runs(home) if "repeat.accuracy" in r.data.metrics]
    assert len(child) == 3
