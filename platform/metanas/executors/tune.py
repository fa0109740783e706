"""Jobs as trials of Ray Tune: on the cluster that RAY_ADDRESS names, or a local one.

Tune starts, places and reuses the workers; what is evaluated next, what is remembered and
what a failure means is decided elsewhere, so Tune's own snapshots, loggers and searchers
are off. A worker is an actor that keeps its task's data and answers one epoch a call.

What Ray writes goes below the folder it is given and is removed afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metanas.core.errors import ConfigError, HomeError
from metanas.core.protocols import Evaluate, NextJob, OnEvent

LONGEST_SOCKET_FOLDER = 45
"""Ray's socket paths add some 60 characters to its folder, and the system takes 107 in all."""

KNOCK_S = 10.0

ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_MAX_PENDING_TRIALS_PG": "16",
    "TUNE_RESULT_BUFFER_LENGTH": "0",
}


@dataclass
class Tune:
    """Runs jobs on Ray Tune; one Ray session lasts until `close`.

    Args:
        folder: Where Tune and a local Ray may write; a temporary one by default.
        gpus: Share of a GPU a worker; by default the GPUs divided among the workers.
    """

    folder: str = ""
    gpus: float | None = None
    isolated: bool = field(default=True, init=False)
    _own_ray: bool = field(default=False, init=False)
    _runs: int = field(default=0, init=False)

    def open(self, workers: int) -> None:
        """Join the cluster, or start a local one of so many CPUs.

        Raises:
            ConfigError: If there is no cluster at RAY_ADDRESS.
        """
        os.environ.update(ENVIRONMENT)
        import ray

        folder = Path(self.folder or tempfile.mkdtemp(prefix="metanas-"))
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = str(folder)
        self._connect(ray, folder, workers)

    def __call__(
        self, evaluate: Evaluate, next_job: NextJob, on_event: OnEvent, *, workers: int
    ) -> None:
        """Run jobs until there are no more, `workers` at a time."""
        self.open(workers)
        import ray
        from ray import tune

        folder = Path(self.folder)
        workers = min(workers, max(1, int(ray.cluster_resources().get("CPU", 1))))
        from metanas.executors._tune_parts import Jobs, Noting, Worker

        causes: dict[str, str] = {}
        searcher = Jobs(next_job, on_event, causes)
        trainable = tune.with_resources(
            tune.with_parameters(Worker, evaluate=evaluate), self._share(ray, workers)
        )
        self._runs += 1
        storage = folder / f"tune-{os.getpid()}"
        try:
            tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    scheduler=Noting(causes),
                    num_samples=-1,
                    max_concurrent_trials=workers,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name=f"run-{self._runs}",
                    storage_path=str(storage),
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=0),
                ),
            ).fit()
        finally:
            shutil.rmtree(storage, ignore_errors=True)
        searcher.check()

    def close(self) -> None:
        """Stop the local Ray that this executor started, and remove what it wrote."""
        if self._own_ray:
            import ray

            node = ray._private.worker._global_node  # None where it was interrupted while starting
            session = None if node is None else Path(node.get_session_dir_path())
            ray.shutdown()
            if session is not None:
                shutil.rmtree(session, ignore_errors=True)
                latest = session.parent / "session_latest"
                if latest.is_symlink() and not latest.exists():
                    latest.unlink(missing_ok=True)
            self._own_ray = False

    def _connect(self, ray: Any, folder: Path, workers: int) -> None:
        if ray.is_initialized():
            return
        address = os.environ.get("RAY_ADDRESS")
        common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address:
            try:
                _knock(address)
                ray.init(address=address, **common)
            except (OSError, ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:200]
                raise ConfigError(f"no Ray cluster at RAY_ADDRESS={address}: {reason}") from None
            return
        self._own_ray = True
        ray.init(
            num_cpus=workers,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=_short(folder / "ray"),
            **common,
        )

    def _share(self, ray: Any, workers: int) -> dict[str, float]:
        gpus = self.gpus
        if gpus is None:
            gpus = ray.cluster_resources().get("GPU", 0) / workers
            gpus = min(gpus, 1.0) if gpus < 1 else float(int(min(gpus, 1)))
        return {"CPU": 1.0, "GPU": gpus} if gpus else {"CPU": 1.0}


def _knock(address: str) -> None:
    """Ask whether anybody listens there: Ray itself tries for minutes before it gives up.

    Raises:
        OSError: If nobody does.
    """
    host, separator, port = address.rpartition("//")[2].rpartition(":")
    if separator and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()


def _short(folder: Path) -> str:
    """The folder, by a link in the system's temporary folder where its own path is too long."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve()
    _sweep(path)
    if len(str(path)) <= LONGEST_SOCKET_FOLDER:
        return str(path)
    name = f"metanas-{os.getuid()}-{hashlib.sha256(str(path).encode()).hexdigest()[:10]}"
    link = Path(tempfile.gettempdir()) / name
    if not link.is_symlink():
        with contextlib.suppress(FileExistsError):
            link.symlink_to(path)
    if link.resolve() != path:
        raise HomeError(f"{link} is in the way of Ray's sockets, remove it")
    return str(link)


def _sweep(folder: Path) -> None:
    """Remove the sessions of drivers that are gone: their names end in the process's number."""
    for session in folder.glob("session_*"):
        pid = session.name.rpartition("_")[2]
        if session.is_symlink() or not pid.isdigit() or Path(f"/proc/{pid}").exists():
            continue
        shutil.rmtree(session, ignore_errors=True)


EXECUTOR = Tune
