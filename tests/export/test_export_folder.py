"""The folder of a winner, whatever its names hold."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from metanas.export import Winner, write_folder


def test_names_of_a_user_end_no_docstring_and_change_no_code(tmp_path: Path) -> None:
    strange = 'a"""b\\n\\x {shape} \N{SNOWMAN} \udcff\\'
    title = f"{strange}: classes of {strange}"
    winner = Winner(
        name=strange,
        title=title,
        module=nn.Sequential(nn.Flatten(), nn.Linear(4, 2)),
        mean=torch.zeros(1),
        deviation=torch.ones(1),
        samples=np.zeros((2, 1, 2, 2), np.uint8),
        classes=[strange, "b"],
        recipe={"test": {}, "architecture": {"a": strange}, "weights_sha256": "x"},
    )
    write_folder(winner, tmp_path / "out", onnx=False)
    text = (tmp_path / "out" / "model.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text)) or ""
    assert docstring.splitlines()[0] == title
    done = subprocess.run(
        [sys.executable, "check.py"], cwd=tmp_path / "out", capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_files_are_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from metanas.export.folder import _text
_text(Path(sys.argv[1]), "\\N{SNOWMAN}")
"""
    file = tmp_path / "snow.txt"
    command = [sys.executable, "-X", "utf8=0", "-c", code, str(file)]
    subprocess.run(command, check=True, env={"LC_ALL": "C", "PYTHONPATH": ":".join(sys.path),
                   "PYTHONCOERCECLOCALE": "0"})  # fmt: skip
    assert file.read_text(encoding="utf-8") == "\N{SNOWMAN}"
