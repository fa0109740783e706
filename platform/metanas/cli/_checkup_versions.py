"""Checks of what is installed: Python, metanas, the packages it needs and those it can use.

Versions are read from the packages' metadata, which imports nothing. Whether torch and Ray
work is tried in processes of their own: a broken one may crash, or hang in a driver.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metanas.cli._checkup import Finding, size_of

if TYPE_CHECKING:
    from packaging.requirements import Requirement

IMPORT_S = 60.0
"""How long importing torch or Ray may take; a cold disk needs a good part of it."""
FOR_DEVELOPERS = "dev"

TRY_TORCH = """
import json, torch, torchvision
found = {"threads": torch.get_num_threads(), "cuda": torch.version.cuda, "gpus": [], "error": ""}
try:
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        found["gpus"].append([facts.name, facts.total_memory])
except Exception as error:
    found["error"] = " ".join(str(error).split())
print(json.dumps(found))
"""
TRY_RAY = "import ray.tune"


def look_at_python() -> Iterator[Finding]:
    """The interpreter."""
    from packaging.specifiers import SpecifierSet

    version = platform.python_version()
    wanted = _metadata("Requires-Python") or [">=3.11"]
    if SpecifierSet(wanted[0]).contains(version, prereleases=True):
        yield Finding("python", "ok", f"{version}, {sys.executable}")
        return
    remedy = f"make a virtual environment with Python {wanted[0]}"
    yield Finding("python", "problem", f"{version}, expected {wanted[0]}", remedy)


def look_at_metanas() -> Iterator[Finding]:
    """Whether what runs is what is installed."""
    from metanas import __version__

    version = installed("metanas")
    if version == __version__:
        yield Finding("metanas", "ok", __version__)
        return
    found = "not installed as a package" if version is None else f"installed as {version}"
    yield Finding(
        "metanas", "warning", f"{__version__}, {found}", "install it anew: pip install -e ."
    )


def look_at_torch() -> Iterator[Finding]:
    """Whether torch and torchvision are a pair that works, and which GPUs torch sees."""
    pair = {name: installed(name) for name in ("torch", "torchvision")}
    named = " with ".join(f"{name} {version or 'missing'}" for name, version in pair.items())
    wanted = [each for each in _requirements() if each.name in pair]
    remedy = "pip install " + " ".join(f"'{each}'" for each in wanted or pair)
    wrong = _misfits(wanted) or _misfits(
        [each for each in _requirements("torchvision") if each.name == "torch"], "torchvision asks"
    )
    if wrong or None in pair.values():
        yield Finding("torch", "problem", "; ".join(wrong) or named, remedy)
        return
    printed, error = tried(TRY_TORCH)
    if error:
        yield Finding("torch", "problem", f"{named} cannot be imported: {error}", remedy)
        return
    found = json.loads(printed.splitlines()[-1])
    yield Finding("torch", "ok", f"{named}, {found['threads']} threads")
    yield gpus(found, bool(list(Path("/dev").glob("nvidia[0-9]*"))))


def gpus(seen: dict[str, Any], present: bool) -> Finding:
    """What `TRY_TORCH` printed of GPUs, where an NVIDIA device is `present` or not."""
    if seen["gpus"]:
        named = ", ".join(f"{name} ({size_of(memory)})" for name, memory in seen["gpus"])
        return Finding("gpus", "ok", named)
    if not present and not seen["error"]:
        return Finding("gpus", "ok", "none; trainings run on CPUs")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        found = f"there is one, and torch sees none with CUDA_VISIBLE_DEVICES='{hidden}'"
        return Finding("gpus", "warning", found, "unset CUDA_VISIBLE_DEVICES")
    built = f"built for CUDA {seen['cuda']}" if seen["cuda"] else "built without CUDA"
    found = f"torch ({built}) cannot use the one there is"
    remedy = "install a torch and a driver that fit each other; nvidia-smi shows the driver's CUDA"
    return Finding("gpus", "warning", found + (f": {seen['error']}" * bool(seen["error"])), remedy)


def look_at_ray() -> Iterator[Finding]:
    """Whether the installed Ray fits and imports."""
    finding = _package("ray")
    error = tried(TRY_RAY)[1] if finding.state == "ok" else ""
    if error:
        wanted = ", ".join(f"'{each}'" for each in _requirements() if each.name == "ray")
        remedy = f"pip install --force-reinstall {wanted or 'ray'}"
        finding = Finding("ray", "problem", f"{finding.found} cannot be imported: {error}", remedy)
    yield finding


def look_at_packages() -> Iterator[Finding]:
    """Versions of everything else that metanas needs."""
    yield _package("mlflow")
    yield _package("numpy")
    apart = ("torch", "torchvision", "ray", "mlflow", "numpy")
    others = [each for each in _requirements() if each.name not in apart]
    wrong = _misfits(others)
    if wrong:
        remedy = "pip install " + " ".join(f"'{each}'" for each in others)
        yield Finding("packages", "problem", "; ".join(wrong), remedy)
        return
    yield Finding("packages", "ok", f"{len(others)} others fit")


def look_at_extras() -> Iterator[Finding]:
    """What is optional, by the names under which metanas offers it."""
    for extra in _metadata("Provides-Extra"):
        if extra == FOR_DEVELOPERS:
            continue
        needed = _requirements(extra=extra)
        wrong = _misfits(needed)
        if wrong:
            remedy = f"if you want it: pip install 'metanas[{extra}]'"
            yield Finding(f"extra {extra}", "warning", "; ".join(wrong), remedy)
            continue
        named = ", ".join(f"{each.name} {installed(each.name)}" for each in needed)
        yield Finding(f"extra {extra}", "ok", named)


def _metadata(key: str) -> list[str]:
    """What metanas's own metadata says under a key; nothing where it is not installed."""
    try:
        return importlib.metadata.metadata("metanas").get_all(key) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _package(name: str) -> Finding:
    wanted = [each for each in _requirements() if each.name == name]
    version = installed(name)
    wrong = _misfits(wanted) or ([] if version else [f"{name} is missing"])
    if wrong:
        remedy = "pip install " + (" ".join(f"'{each}'" for each in wanted) or name)
        return Finding(name, "problem", wrong[0], remedy)
    return Finding(name, "ok", f"{name} {version}")


def installed(name: str) -> str | None:
    """A package's version; None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _requirements(name: str = "metanas", extra: str = "") -> list[Requirement]:
    """What an installed package asks for here: without extras, or with one of them alone."""
    from packaging.requirements import Requirement

    try:
        texts = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = [Requirement(text) for text in texts]
    if not extra:
        return [each for each in found if _applies(each, "")]
    return [each for each in found if _applies(each, extra) and not _applies(each, "")]


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _misfits(wanted: Iterable[Requirement], expected: str = "expected") -> list[str]:
    """One text for each requirement that what is installed does not meet."""
    wrong = []
    for each in wanted:
        version = installed(each.name)
        if version is None:
            wrong.append(f"{each.name} is missing")
        elif not each.specifier.contains(version, prereleases=True):
            wrong.append(f"{each.name} is {version}, {expected} {each.specifier}")
    return wrong


def tried(code: str) -> tuple[str, str]:
    """Run Python code in a process of its own: what it printed, and why it failed or ""."""
    try:
        process = subprocess.run(
            # -P: a torch.py in the current folder is not torch.
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=IMPORT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", f"it has not ended after {IMPORT_S:.0f} s"
    if process.returncode < 0:
        return "", f"killed by {signal.Signals(-process.returncode).name}"
    if process.returncode:
        return "", (process.stderr.strip().splitlines() or ["no reason given"])[-1][:300]
    return process.stdout, ""
