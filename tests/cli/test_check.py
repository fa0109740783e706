"""Checking plug-ins from the command line: built-in ones, and files of users that go wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from helpers import metanas
from metanas.cli import main
from metanas.cli.check import LAWS, laws_of
from metanas.core.plugins import CONSTANTS, listing, options_of, reference

Run = Callable[..., tuple[int, str, str]]

SPACE = """
import torch
from torch import nn

from metanas.core.space import Choice, Space


class Net(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.layer = nn.Linear(shape[0] * shape[1] * shape[2], outputs)

    def forward(self, images):
        scores = self.layer(images.flatten(1))
        {forward}
        return scores


def build(values, shape, outputs):
    {build}
    return Net(shape, outputs)


def wide(*, width: int = 2):
    return Space("wide", (Choice("a", tuple(range(width))),), build)


space = Space("mine", (Choice("a", (1, 2)), Choice("b", ("x", "y", "z"))), build)
"""

STRATEGY = """
import numpy as np

from metanas.core.space import sample
from metanas.core.trial import Proposal


class Counts:
    asked = 0

    def __init__(self, context):
        self.context = context

    def ask(self, number, pending):
        self.asked += 1
        rng = np.random.default_rng(self.asked)
        return Proposal(number, sample(self.context.space, rng), self.context.epochs)

    def tell(self, trial):
        {tell}


strategy = Counts
constant = 7
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line, in this process: exit code, standard output, standard error."""

    def called(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(["check", *arguments])
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return called


def written(folder: Path, template: str = SPACE, **parts: str) -> str:
    """A user's file, with statements in the places that are named."""
    file = folder / "my_net.py"
    for place in ("forward", "build", "tell"):
        template = template.replace(f"{{{place}}}", parts.get(place, "pass"))
    file.write_text(template)
    return str(file)


def line_with(path: str, text: str) -> int:
    lines = Path(path).read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def names(*kinds: str) -> list[Any]:
    """Plug-ins that need no data of a user's; one that times networks takes its time."""
    found = [(kind, each.name) for kind in kinds for each in listing(kind)]
    return [
        pytest.param(*each, marks=pytest.mark.slow if each[1] == "latency_ms" else ())
        for each in found
        if "path" not in options_of(reference(*each))
    ]


@pytest.mark.parametrize(("kind", "name"), names("spaces", "strategies", "objectives", "tasks"))
def test_a_built_in_plugin_keeps_the_laws(run: Run, kind: str, name: str) -> None:
    code, out, err = run(kind, name, "--json")
    result = json.loads(out)
    assert (code, result["keeps"], result["broken"], err) == (0, True, "", "")
    assert (result["kind"], result["name"]) == (kind, name)
    assert result["laws"] == laws_of(kind)
    assert result["facts"]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("estimators", "train")])
def test_a_built_in_estimator_keeps_the_laws(run: Run, kind: str, name: str) -> None:
    code, out, err = run("estimator", name)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"estimator '{name}' keeps the laws"


def test_a_file_of_images_is_a_task(run: Run, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), 9, np.uint8)).save(buffer, format="PNG")
    rows = {"image": [buffer.getvalue()] * 20, "label": [row % 2 for row in range(20)]}
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.table(rows), path)
    code, out, _ = run("task", str(path), "--set", "size=6", "--json")
    assert code == 0
    facts = json.loads(out)["facts"]
    assert facts["shape"] == [1, 6, 6]
    assert sum(facts["rows"].values()) == 20


def test_it_says_what_was_checked_in_words(run: Run, tmp_path: Path) -> None:
    code, out, err = run("space", f"{written(tmp_path)}:space", "--shape", "2,4,4")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert "choices: 2" in lines
    assert "combinations: 6" in lines
    # One linear layer of 2 x 4 x 4 inputs and 3 outputs, with biases.
    assert "sampled params: 99, 99, 99" in lines
    assert lines[-1].endswith("my_net.py:space' keeps the laws")
    laws = lines[lines.index("checked:") + 1 : -1]
    assert [law.strip() for law in laws] == laws_of("spaces")


@pytest.mark.parametrize("kind", sorted(LAWS))
def test_every_law_is_a_line_of_words(kind: str) -> None:
    laws = laws_of(kind)
    assert all("\n" not in law and "`" not in law and len(law.split()) >= 3 for law in laws)
    assert not any(law.endswith(".") for law in laws)
    assert [law[:3] for law in laws_of("strategies")] == ["1. ", "2. ", "3. ", "4. "]


def test_singular_and_plural_are_one_kind(run: Run) -> None:
    for kind in ("objective", "objectives"):
        assert json.loads(run(kind, "accuracy", "--json")[1])["kind"] == "objectives"


@pytest.mark.parametrize("kind", ["executor", "executors", "spacs"])
def test_kinds_without_laws_are_refused_with_those_that_have(run: Run, kind: str) -> None:
    code, out, err = run(kind, "tune")
    assert (code, out) == (1, "")
    assert err.startswith(f"ConfigError: no laws for '{kind}'")
    assert err.endswith(f"Known: {', '.join(sorted(LAWS))}\n")
    assert set(LAWS) == set(CONSTANTS) - {"executors"}


def test_a_file_that_raises_on_import_is_named_with_its_line(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "gone.py"
    file.write_text("x = 1\nraise OSError('no such table')\n")
    code, out, err = run("space", f"{file}:space")
    assert (code, out) == (1, "")
    assert err == "PluginError: spaces: gone.py:2 fails on import: OSError: no such table\n"


@pytest.mark.parametrize(
    ("place", "statement", "told"),
    [
        ("build", 'raise ValueError("no such\\n layer")', "raises ValueError: no such layer"),
        ("build", "raise SystemExit(0)", "raises SystemExit: 0"),
        ("build", "assert outputs == 99, 'not so many'", "raises AssertionError: not so many"),
        ("build", "values['c'] = 1", "breaks a law: build changed the values"),
        ("forward", "torch.ones(2, 3) @ torch.ones(4, 5)", "raises RuntimeError: mat1 and mat2"),
    ],
)
def test_what_a_plugins_own_code_raises_is_one_line_with_its_place(
    run: Run, tmp_path: Path, place: str, statement: str, told: str
) -> None:
    path = written(tmp_path, **{place: statement})
    code, out, err = run("space", f"{path}:space")
    assert (code, out) == (1, "")
    assert err.startswith(f"space '{path}:space' {told}")
    assert len(err.splitlines()) == 1
    if "raises" in told:
        assert err.endswith(f" (my_net.py:{line_with(path, statement)})\n")


def test_a_wrong_shape_is_told_with_the_right_one(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path, forward="scores = scores[:, 1:]")
    code, _, err = run("space", f"{path}:space", "--outputs", "5")
    assert code == 1
    assert "breaks a law: the network of {" in err
    assert err.endswith(" gives (2, 4), expected (2, 5)\n")


def test_where_only_layers_of_torch_fail_the_file_is_named(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path, build="return nn.Linear(5, outputs)")
    _, _, err = run("space", f"{path}:space")
    assert "raises RuntimeError: mat1 and mat2 shapes cannot be multiplied" in err
    assert err.endswith(" (in what my_net.py gives)\n")


def test_a_broken_law_is_also_json(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path, build="values['c'] = 1")
    code, out, err = run("space", f"{path}:space", "--json")
    result = json.loads(out)
    assert (code, result["keeps"], result["facts"]) == (1, False, {})
    assert result["broken"] in err


def test_a_strategy_that_counts_its_questions_breaks_law_1(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path, STRATEGY)
    code, _, err = run("strategy", f"{path}:strategy")
    assert code == 1
    assert f"strategy '{path}:strategy' breaks a law: law 1: " in err
    assert len(err.splitlines()) == 1


def test_what_a_strategy_raises_has_its_place(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path, STRATEGY, tell="trial.metrics['speed']")
    _, _, err = run("strategy", f"{path}:strategy")
    place = f"(my_net.py:{line_with(path, 'speed')})"
    assert err == f"strategy '{path}:strategy' raises KeyError: 'speed' {place}\n"


def test_options_reach_the_plugin(run: Run, tmp_path: Path) -> None:
    name = f"{written(tmp_path)}:wide"
    for setting, options in (("width=5", 5), ("space.width=4", 4)):
        code, out, _ = run("space", name, "--set", setting, "--json")
        assert (code, json.loads(out)["facts"]["combinations"]) == (0, options)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("space", "cnm"), "PluginError: no 'cnm' in spaces; did you mean 'cnn'? Known: "),
        (("task", "digitz"), "PluginError: no 'digitz' in tasks; did you mean 'digits'?"),
        (("task", "missing.csv1"), "DataError: task 'missing.csv1': there is no 'missing.csv1'"),
        (("space", "nasbench201", "--set", "channel=3"), "has no option 'channel'; did you mean"),
        (("space", "nasbench201", "--set", "channels=0"), "nasbench201.channels is 0, expected"),
        (("space", "cnn", "--set", "width"), "ConfigError: --set is 'width', expected KEY=VALUE"),
        (("strategy", "random", "--shape", "4"), "ConfigError: --shape is for spaces and obj"),
        (("task", "digits", "--outputs", "4"), "ConfigError: --outputs is for spaces and obj"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(
    run: Run, arguments: tuple[str, ...], line: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert line in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("shape", ["", "1,0,3", "1,-2", "a", "1,,2"])
def test_a_shape_that_is_none_is_wrong_usage(run: Run, shape: str) -> None:
    code, _, err = run("space", "cnn", "--shape", shape)
    assert code == 2
    assert "expected sizes of at least 1 such as 1,8,8" in err


def test_a_constant_that_is_no_plugin_is_refused(run: Run, tmp_path: Path) -> None:
    for kind, expected in (
        ("space", "is a int, expected a Space"),
        ("strategy", "is a int, expected a class or function"),
        ("objective", "is a int, expected an Objective"),
        ("task", "is a int, expected a Task"),
    ):
        code, _, err = run(kind, f"{written(tmp_path, STRATEGY)}:constant")
        assert code == 1
        assert err.startswith("ConfigError: ")
        assert expected in err


def test_an_objective_is_measured_on_networks_of_the_shape_asked_for(
    run: Run, tmp_path: Path
) -> None:
    def values(*arguments: str) -> Any:
        return json.loads(run("objective", "params", "--json", *arguments)[1])["facts"]

    small, large = values(), values("--outputs", "30", "--shape", "3,8,8")
    assert (large["shape"], large["outputs"]) == ([3, 8, 8], 30)
    pairs = zip(small["sampled_values"], large["sampled_values"], strict=True)
    assert all(less < more for less, more in pairs)


OBJECTIVE = """
import torch

from metanas.core.objective import Objective


def measure(module, shape):
    module.train()
    return float(module(torch.zeros(2, *shape)).shape[1])


objective = Objective("outputs", "", "min", measure)
"""


def test_an_objective_that_changes_what_it_measures_breaks_a_law(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path, OBJECTIVE)
    code, _, err = run("objective", f"{path}:objective")
    assert code == 1
    assert "breaks a law: measuring 'outputs' " in err


def test_it_is_a_command_of_its_own_process(tmp_path: Path) -> None:
    name = f"{written(tmp_path, STRATEGY)}:strategy"
    process = metanas("check", "strategy", name, "--json", home=tmp_path)
    assert process.returncode == 1
    assert json.loads(process.stdout)["broken"].startswith("breaks a law: law 1: ")
    assert len(process.stderr.splitlines()) == 1
