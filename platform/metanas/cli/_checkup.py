"""What `metanas doctor` looks at: findings, how checks are run, and the checks of the machine.

A check is a function that gives findings and changes nothing but the home folder, which it
makes. What lies outside (a server, a driver, a disk) may never answer, so every look outside
has a time limit of its own, and `examine` leaves behind what overruns even that. Beside this
module, `_checkup_versions` looks at what is installed and `_checkup_mlflow` at MLflow.
"""

from __future__ import annotations

import math
import os
import resource
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metanas.trackers._address import public

State = Literal["ok", "warning", "problem"]

ANSWER_S = 5.0
"""How long a server, a port or a database may take."""
LITTLE_SPACE, NO_SPACE = 2e9, 200e6
FEW_FILES, MANY_FILES = 4096, 65536
STORE_SHARE, STORE_MOST = 0.3, 1e10
"""Ray's object store takes this share of memory, and this much at most unless /dev/shm is larger
(`resolve_object_store_memory` in ray/_private/utils.py)."""


@dataclass(frozen=True)
class Finding:
    """What a check has found.

    Args:
        name: Of what was looked at, unique in a report.
        state: "problem" where metanas will not work as it should.
        found: One line.
        remedy: What to do about it, one line; "" where there is nothing to do.
    """

    name: str
    state: State
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """Something to look at, and how long that may take at most."""

    name: str
    look: Callable[[], Iterable[Finding]]
    limit_s: float = 3 * ANSWER_S


def examine(wanted: Sequence[Check]) -> list[Finding]:
    """Run checks all at once; one that raises or overruns its limit is itself a problem."""
    found: dict[int, list[Finding]] = {}

    def run(position: int, check: Check) -> None:
        try:
            found[position] = list(check.look())
        except Exception as error:  # noqa: BLE001 - a broken installation is what this looks for
            text = f"cannot be checked: {line_of(error)}"
            found[position] = [Finding(check.name, "problem", text)]

    began = time.monotonic()
    # Daemons: a thread that waits for a dead disk or name server must not hold up the exit.
    threads = [threading.Thread(target=run, args=each, daemon=True) for each in enumerate(wanted)]
    for thread in threads:
        thread.start()
    findings: list[Finding] = []
    for position, (check, thread) in enumerate(zip(wanted, threads, strict=True)):
        thread.join(max(0.0, began + check.limit_s - time.monotonic()))
        late = [Finding(check.name, "problem", f"no answer within {check.limit_s:.0f} s")]
        findings += found.get(position, late)
    return findings


def look_at_cpus(root: Path = Path("/")) -> Iterator[Finding]:
    """How many CPUs there are, and how many of them this process may use."""
    count = os.cpu_count() or 1
    # Systems without it have no affinity either.
    affinity = getattr(os, "sched_getaffinity", None)
    usable = min(count if affinity is None else len(affinity(0)), cpu_quota(root))
    if usable >= count:
        yield Finding("cpus", "ok", str(count))
        return
    found = f"{count} in the machine, of which this process may use {usable:g}"
    remedy = f"metanas search --workers {max(1, int(usable))}"
    yield Finding("cpus", "warning", found, remedy)


def cpu_quota(root: Path = Path("/")) -> float:
    """CPUs that the control groups around this process grant it; infinity without a limit."""
    granted = math.inf
    for folder in _groups("cpu", root):
        pair = _read(folder / "cpu.max") or " ".join(
            _read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")
        )
        quota, _, period = pair.partition(" ")
        if quota.isdigit() and period.isdigit():
            granted = min(granted, int(quota) / int(period))
    return granted


def memory_bytes(root: Path = Path("/")) -> tuple[float, float]:
    """Of the machine, and what the control groups around this process leave of it."""
    whole = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    left = whole
    for folder in _groups("memory", root):
        limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
        if limit.isdigit():
            left = min(left, float(limit))
    return whole, left


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Folders of the control groups that this process is in, version 2 and 1, inmost first."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        mount = root / "sys/fs/cgroup"
        if number != "0":
            if controller not in controllers.split(","):
                continue
            mount /= controller
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            yield mount.joinpath(*parts[:depth])


def _read(path: Path) -> str:
    """The text of a small file; "" where there is none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def look_at_memory() -> Iterator[Finding]:
    """How much memory there is."""
    whole, left = memory_bytes()
    limited = f", limited to {size_of(left)}" if left < whole else ""
    yield Finding("memory", "ok", size_of(whole) + limited)


def look_at_shared_memory(folder: Path = Path("/dev/shm")) -> Iterator[Finding]:
    """Whether Ray's object store fits into shared memory."""
    if not folder.exists():
        yield Finding("shared memory", "ok", f"there is no {folder} on this system")
        return
    free = shutil.disk_usage(folder).free
    wanted = min(STORE_SHARE * memory_bytes()[1], STORE_MOST)
    if free >= wanted:
        yield Finding("shared memory", "ok", f"{size_of(free)} free in {folder}")
        return
    yield Finding(
        "shared memory",
        "warning",
        f"{size_of(free)} free in {folder}: Ray's object store wants {size_of(wanted)} and will "
        "use the disk, which is slower",
        f"in a container: docker run --shm-size={math.ceil(wanted / 1e9)}g; else remove old files "
        f"from {folder}",
    )


def look_at_open_files() -> Iterator[Finding]:
    """How many files a process may have open; Ray opens thousands."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= FEW_FILES:
        yield Finding("open files", "ok", "no limit" if soft < 0 else f"at most {soft}")
        return
    allowed = MANY_FILES if hard == resource.RLIM_INFINITY else min(MANY_FILES, hard)
    remedy = f"ulimit -n {allowed}"
    if allowed < FEW_FILES:
        remedy = f"raise the hard limit; in a container: docker run --ulimit nofile={MANY_FILES}"
    found = f"at most {soft}, Ray may need more than {FEW_FILES}"
    yield Finding("open files", "warning", found, remedy)


def look_at_cluster() -> Iterator[Finding]:
    """Whether anybody listens at the address of the cluster that is to be joined."""
    address = os.environ.get("RAY_ADDRESS", "")
    if not address:
        yield Finding("cluster", "ok", "RAY_ADDRESS is not set: a search starts a Ray of its own")
        return
    if address in ("auto", "local"):
        yield Finding("cluster", "ok", f"RAY_ADDRESS={address}: left to Ray")
        return
    remedy = "start the cluster (ray start --head), or unset RAY_ADDRESS"
    shown = f"RAY_ADDRESS={public(address)}"
    host, separator, port = address.rpartition("//")[2].rpartition(":")
    if not (separator and port.isdigit() and 0 < int(port) < 65536):
        found = f"{shown} has no port, expected HOST:PORT, ray://HOST:PORT or auto"
        yield Finding("cluster", "problem", found, remedy)
        return
    reason = silent(host.strip("[]"), int(port))
    if reason:
        yield Finding("cluster", "problem", f"{shown}: {reason}", remedy)
        return
    yield Finding("cluster", "ok", f"{shown}: somebody listens there")


def silent(host: str, port: int) -> str:
    """Why nobody answers at a port; "" where somebody does."""
    try:
        socket.create_connection((host, port), timeout=ANSWER_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def home_of(given: str | None) -> Path:
    """Where `home_folder` looks, whether or not it can be made."""
    return Path(given or os.environ.get("METANAS_HOME") or "~/.metanas").expanduser().absolute()


def look_at_home(given: str | None) -> Iterator[Finding]:
    """Whether the home folder can be made and written."""
    from metanas.api.home import home_folder
    from metanas.core.errors import HomeError

    remedy = "give a folder that can be written: --home DIR or METANAS_HOME"
    try:
        yield Finding("home", "ok", str(home_folder(given)))
    except (HomeError, RuntimeError) as error:  # the latter where a user has no `~`
        yield Finding("home", "problem", str(error), remedy)


def look_at_disk(given: str | None) -> Iterator[Finding]:
    """How much space is left under the home folder."""
    folder = nearest(home_of(given))
    yield space_left(shutil.disk_usage(folder).free, folder)


def space_left(free: float, folder: Path) -> Finding:
    """Whether so many bytes are enough for searches."""
    found = f"{size_of(free)} free under {folder}"
    if free >= LITTLE_SPACE:
        return Finding("disk", "ok", found)
    state: State = "problem" if free < NO_SPACE else "warning"
    wanted = f"{found}, expected at least {size_of(LITTLE_SPACE)}"
    return Finding("disk", state, wanted, "free some space, or give another folder: --home DIR")


def look_at_temporary() -> Iterator[Finding]:
    """Whether the temporary folder can be written."""
    remedy = "set TMPDIR to a folder that can be written"
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"\0" * 4096)
            file.flush()
    except OSError as error:
        yield Finding("temporary", "problem", f"no file can be written: {line_of(error)}", remedy)
        return
    yield Finding("temporary", "ok", tempfile.gettempdir())


def nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    # os.path's answer is no, not an exception, where a folder on the way cannot be looked into.
    return next((each for each in (path, *path.parents) if os.path.exists(each)), Path("/"))


def size_of(count: float) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def line_of(error: BaseException) -> str:
    """An exception's type and message, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
