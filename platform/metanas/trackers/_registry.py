"""The winner as a version of a registered model, and the report as artifacts, each once."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

DELIVERED_TAG = "metanas.delivered"
EXPORT = "export"
REPORT = "report.html"
FIGURES = "figures"


def digest(folder: Path) -> str:
    """Changes with what there is to deliver: "" for nothing."""
    paths = [folder / REPORT, folder / EXPORT / "recipe.json"]
    found = [path.read_bytes() for path in paths if path.is_file()]
    return hashlib.sha256(b"".join(found)).hexdigest() if found else ""


def deliver(client: MlflowClient, run: str, folder: Path, tags: Mapping[str, str]) -> None:
    """Bring a search's report and winner to its parent run, unless they are there.

    Args:
        client: Of the server.
        run: The parent run.
        folder: The search's own.
        tags: Of the model's version.

    Raises:
        MlflowException: If the server refuses.
    """
    now = digest(folder)
    if not now or client.get_run(run).data.tags.get(DELIVERED_TAG) == now:
        return
    if (folder / REPORT).is_file():
        client.log_artifact(run, str(folder / REPORT))
    if (folder / FIGURES).is_dir():
        client.log_artifacts(run, str(folder / FIGURES), FIGURES)
    if (folder / EXPORT / "recipe.json").is_file():
        _register(client, run, folder / EXPORT, tags)
    client.set_tag(run, DELIVERED_TAG, now)


def _register(client: MlflowClient, run: str, export: Path, tags: Mapping[str, str]) -> None:
    recipe = json.loads((export / "recipe.json").read_text())
    # MLflow allows neither quotes in its filters nor slashes in names.
    name = re.sub(r"[^A-Za-z0-9._ -]+", "_", str(recipe["task"]["name"]))
    weights, search = str(recipe["weights_sha256"]), tags["metanas.search_id"]
    place_of = f"model-{weights[:12]}"
    same = f"tags.`metanas.weights` = '{weights}' and tags.`metanas.search_id` = '{search}'"
    if client.search_model_versions(f"name='{name}' and {same}"):
        return
    with tempfile.TemporaryDirectory() as place:
        model = Path(place) / "model"
        _save(model, export, recipe)
        client.log_artifacts(run, str(model), place_of)
    try:
        client.create_registered_model(name, {"metanas.task": name})
    except MlflowException:
        client.get_registered_model(name)
    about = {**tags, "metanas.weights": weights} | {
        f"metanas.test_{metric}": f"{value:.6g}" for metric, value in recipe["test"].items()
    }
    source = f"{client.get_run(run).info.artifact_uri}/{place_of}"
    client.create_model_version(
        name, source, run, tags=about, description=f"Winner of the search {recipe['search']}"
    )


def _save(place: Path, export: Path, recipe: Mapping[str, Any]) -> None:
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    pixels = TensorSpec(np.dtype(np.uint8), (-1, *recipe["task"]["shape"]))
    scores = TensorSpec(np.dtype(np.float32), (-1, int(recipe["task"]["outputs"])))
    mlflow.pyfunc.save_model(
        place,
        python_model=str(Path(__file__).with_name("_served.py")),
        artifacts={"export": str(export)},
        signature=ModelSignature(Schema([pixels]), Schema([scores])),
        pip_requirements=[f"torch=={recipe['versions']['torch'].partition('+')[0]}", "numpy"],
    )
