"""What the README shows is what the files hold, and the files work as a newcomer runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import SHARED, last_json, metanas

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_every_example_is_in_the_readme_as_it_is() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shown = {path.name for path in EXAMPLES if path.read_text() in blocks}
    assert shown == {path.name for path in EXAMPLES}


def test_a_space_takes_less_than_25_lines() -> None:
    assert len((ROOT / "examples" / "my_net.py").read_text().splitlines()) <= 25


def test_commands_and_options_of_the_readme_exist() -> None:
    import click

    from metanas.cli import COMMANDS, cli

    text = (ROOT / "README.md").read_text()
    context = click.Context(cli)
    for name, rest in re.findall(r"metanas ([a-z]+)((?:[^\n`|]|\\\n)*)", text):
        if name not in COMMANDS:
            continue
        command = cli.get_command(context, name)
        assert command is not None
        options = {option for each in command.params for option in each.opts}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= options, (name, rest)


@pytest.mark.slow
def test_the_space_is_searched_on_ray_from_another_folder(home: Path, tmp_path: Path) -> None:
    data = SHARED / "data" / "sign_digits.parquet"
    if not data.exists():
        pytest.skip(f"needs {data.name}")
    space = f"{ROOT / 'examples' / 'my_net.py'}:space"
    goals = ("--objective", "accuracy", "--objective", "flops<4e6")
    command = ("search", str(data), "--space", space, *goals, "--trials", "4", "--epochs", "1")
    small = ("--set", "task.size=16")
    result = last_json(
        metanas(*command, *small, "--final-epochs", "1", "--json", home=home, cwd=tmp_path)
    )
    assert (result["trials"], result["failed"]) == (4, 0)
    assert result["front"]
    assert "flops<4e+06" in result["best"]["why"]


@pytest.mark.slow
def test_the_example_from_python_runs_as_it_is(home: Path, tmp_path: Path) -> None:
    import os
    import shutil

    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    done = subprocess.run(
        [sys.executable, "examples/from_python.py"],
        cwd=tmp_path,
        env={**os.environ, "METANAS_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert "on test {'accuracy':" in done.stdout
    assert (tmp_path / "my_winner" / "model.py").exists()
