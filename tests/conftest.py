"""Shared by all tests: one Ray instance, one template MLflow database, a home folder a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
for variable in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS", "METANAS_HOME", "MLFLOW_EXPERIMENT_NAME"):
    os.environ.pop(variable, None)


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty MLflow database: making one takes seconds, copying it nothing."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    code = (
        "import sys; from mlflow import MlflowClient; "
        "MlflowClient(tracking_uri=f'sqlite:///{sys.argv[1]}').search_experiments()"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True)
    return path


@pytest.fixture
def home(tmp_path: Path, template_database: Path) -> Path:
    """A home folder with an empty MLflow database."""
    folder = tmp_path / "home"
    (folder / "searches").mkdir(parents=True)
    shutil.copy(template_database, folder / "mlflow.db")
    return folder


@pytest.fixture(scope="session")
def ray_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one local Ray of two CPUs, for all tests that need one."""
    import ray

    from metanas.executors._ray import short

    folder = tmp_path_factory.mktemp("ray")
    context = ray.init(
        num_cpus=2,
        resources={"phone": 1.0},
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address="127.0.0.1",
        _temp_dir=short(folder),
    )
    yield context.address_info["gcs_address"]
    ray.shutdown()
