"""The wheel carries what the tree links."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_wheel_holds_the_linked_folders(tmp_path: Path) -> None:
    copy = tmp_path / "tree"
    ignored = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=ignored)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path)]
    subprocess.run([*command, str(copy)], check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    for needed in (
        "metanas/tasks/digits.py",
        "metanas/meta/features.py",
        "metanas/core/search.py",
        "metanas/py.typed",
    ):
        assert needed in names
    links = [each.name for each in (ROOT / "platform/metanas").iterdir() if each.is_symlink()]
    assert links
    for link in links:
        assert any(name.startswith(f"metanas/{link}/") for name in names)
