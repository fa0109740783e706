"""What executors on Ray share: joining or starting it, shares of a machine, how workers end.

What Ray writes goes below the folder that an executor is given and is removed afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from metanas.core.errors import ConfigError, HomeError
from metanas.core.trial import (
    Job,
    Outcome,
    Report,
    outcome_from,
    outcome_record,
    report_record,
)

LONGEST_SOCKET_FOLDER = 45
"""Ray's socket paths add some 60 characters to its folder, and the system takes 107 in all."""

KNOCK_S = 10.0

BOOT = "/proc/sys/kernel/random/boot_id"
"""Differs between machines, and between the starts of one."""

CONTAINER = "/proc/self/ns/pid"
"""A link that differs where the numbers of processes mean others."""

HARD_LIMIT_FACTOR = 1.5
HARD_LIMIT_GRACE_S = 5.0
"""A worker that ignores a job's limit (stuck in C) is ended after 1.5 times it plus this."""

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
class Session:
    """The Ray of one executor: the cluster that RAY_ADDRESS names, or a local one of its own.

    Args:
        folder: Where a local Ray may write; a temporary one by default.
    """

    folder: str = ""
    _own: bool = field(default=False, init=False)

    def open(self, workers: int) -> None:
        """Join the cluster, or start a local one of so many CPUs; once is enough.

        Raises:
            ConfigError: If there is no cluster at RAY_ADDRESS.
            HomeError: If a local one has no place for its sockets.
        """
        os.environ.update(ENVIRONMENT)
        import ray

        folder = Path(self.folder or tempfile.mkdtemp(prefix="metanas-"))
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = str(folder)
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
        self._own = True
        ray.init(
            num_cpus=workers,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=short(folder / "ray"),
            **common,
        )

    def close(self) -> None:
        """Stop the Ray that was started here, and remove what it wrote."""
        if not self._own:
            return
        import ray

        node = ray._private.worker._global_node  # None where it was interrupted while starting
        session = None if node is None else Path(node.get_session_dir_path())
        ray.shutdown()
        if session is not None:
            shutil.rmtree(session, ignore_errors=True)
            latest = session.parent / "session_latest"
            if latest.is_symlink() and not latest.exists():
                latest.unlink(missing_ok=True)
        self._own = False


def places(workers: int) -> int:
    """How many of so many workers the cluster has CPUs for: one at least."""
    import ray

    return min(workers, max(1, int(ray.cluster_resources().get("CPU", 1))))


def share(gpus: float | None, workers: int) -> dict[str, float]:
    """What one of so many workers takes of the cluster, by Ray's names.

    Args:
        gpus: Share of a GPU; None for the GPUs divided among the workers.
        workers: How many there are.
    """
    import ray

    if gpus is None:
        gpus = ray.cluster_resources().get("GPU", 0) / workers
        gpus = min(gpus, 1.0) if gpus < 1 else float(int(min(gpus, 1)))
    return {"CPU": 1.0, "GPU": gpus} if gpus else {"CPU": 1.0}


def hard_s(limit_s: float) -> float:
    """Seconds after which a worker that ignores this limit is ended."""
    return limit_s * HARD_LIMIT_FACTOR + HARD_LIMIT_GRACE_S


def died(job: Job, seconds: float, cause: str) -> Outcome:
    """The outcome of a job whose worker process is gone.

    Args:
        job: What it ran.
        seconds: For how long.
        cause: What Ray says of it; the last line is told.
    """
    if "OutOfMemory" in cause or "low on memory" in cause:
        return Outcome("out_of_memory", {}, seconds, "Ray ended its worker: memory ran out")
    # `seconds` counts the start of a worker too, so a shorter time tells nothing.
    if job.limit_s is not None and seconds > hard_s(job.limit_s):
        return Outcome("timed_out", {}, seconds, f"ignored its limit of {job.limit_s:.3g} s")
    last = last_line(cause)
    return Outcome(
        "crashed", {}, seconds, "the worker process died" + (f": {last}" if last else "")
    )


def last_line(text: str) -> str:
    """The last line of an error's text, at most 200 characters of it."""
    return text.strip().rpartition("\n")[2].strip()[:200]


def written_events(events: Sequence[Report | Outcome]) -> tuple[str, bytes | None]:
    """Events as JSON, and the weights that the last of them carries."""
    records = [
        outcome_record(event) if isinstance(event, Outcome) else report_record(event)
        for event in events
    ]
    return json.dumps(records, allow_nan=False), events[-1].weights


def read_events(text: str, weights: bytes | None) -> list[Report | Outcome]:
    """Read `written_events` back."""
    events: list[Report | Outcome] = [
        outcome_from(record) if "status" in record else Report(**record)
        for record in json.loads(text)
    ]
    events[-1] = replace(events[-1], weights=weights)
    return events


def _knock(address: str) -> None:
    """Ask whether anybody listens there: Ray itself tries for minutes before it gives up.

    Raises:
        OSError: If nobody does.
    """
    host, separator, port = address.rpartition("//")[2].rpartition(":")
    if separator and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()


def short(folder: Path) -> str:
    """A folder for this machine's Ray in `folder`; by a link where its path is too long.

    The link is in the system's temporary folder.

    Raises:
        HomeError: If something else has the link's name.
    """
    path = folder.resolve() / _here()
    path.mkdir(parents=True, exist_ok=True)
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


def _here() -> str:
    """A name for this machine since it started, and for this container on it.

    Only within it does the number of a process say which one is meant: where several
    machines or containers share a home folder, each has a folder of its own.
    """
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path(BOOT).read_text(encoding="utf-8"))
        parts.append(os.readlink(CONTAINER))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]


def _sweep(folder: Path) -> None:
    """Remove the sessions of drivers that are gone: their names end in the process's number.

    Args:
        folder: One of `_here`, so that no other machine's processes are looked for.
    """
    for session in folder.glob("session_*"):
        pid = session.name.rpartition("_")[2]
        if session.is_symlink() or not pid.isdigit() or Path(f"/proc/{pid}").exists():
            continue
        shutil.rmtree(session, ignore_errors=True)
