"""What `metanas doctor` finds: each fault is made once, and found with its remedy."""

from __future__ import annotations

import http.server
import json
import math
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers import metanas
from metanas.cli import _checkup as machine
from metanas.cli import _checkup_mlflow as mlflow
from metanas.cli import _checkup_versions as versions
from metanas.cli import main
from metanas.cli._checkup import Check, Finding, examine

Run = Callable[..., tuple[int, str]]
Serve = Callable[..., str]

OURS = versions.installed("mlflow") or ""
TORCH = {"threads": 3, "cuda": None, "gpus": [], "error": ""}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server, cluster or proxy is named, and addresses answer or are given up quickly."""
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    proxies = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for name in (*names, "MLFLOW_TRACKING_TOKEN", "MLFLOW_ALLOW_FILE_STORE", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name in proxies:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for module in (machine, mlflow):
        monkeypatch.setattr(module, "ANSWER_S", 0.5)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The command in this process, without importing torch and Ray in others."""
    monkeypatch.setattr(versions, "tried", lambda code: (json.dumps(TORCH), ""))

    def called(*arguments: str, home: Path | None = tmp_path / "home") -> tuple[int, str]:
        code = 0
        try:
            main(["doctor", *arguments, *([] if home is None else ["--home", str(home)])])
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        printed = capsys.readouterr()
        assert printed.err == ""
        return code, printed.out

    return called


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def tracking(home: Path) -> Finding:
    (finding,) = mlflow.look_at_tracking(str(home))
    return finding


def only(findings: Iterator[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


# The command


def test_the_report_is_one_json_object_on_the_last_line(run: Run, tmp_path: Path) -> None:
    code, printed = run("--json")
    result = json.loads(printed.splitlines()[-1])
    findings = result["findings"]
    assert list(result) == ["findings", "problems", "warnings"]
    assert all(list(each) == ["name", "state", "found", "remedy"] for each in findings)
    assert all(each["found"] and "\n" not in each["found"] for each in findings)
    names = [each["name"] for each in findings]
    assert len(set(names)) == len(names)
    assert {"python", "torch", "gpus", "ray", "mlflow", "numpy", "tracking", "disk"} <= set(names)
    states = [each["state"] for each in findings]
    assert result["problems"] == states.count("problem")
    assert result["warnings"] == states.count("warning")
    assert code == (1 if result["problems"] else 0)
    found = {each["name"]: each["found"] for each in findings}
    assert found["home"] == str(tmp_path / "home")


@pytest.mark.slow
def test_torch_ray_and_mlflow_are_fine_where_these_tests_run(home: Path) -> None:
    process = metanas("doctor", "--json", home=home)
    findings = json.loads(process.stdout.splitlines()[-1])["findings"]
    found = {each["name"]: each for each in findings}
    for name in ("torch", "ray", "mlflow", "tracking"):
        assert found[name]["state"] == "ok"
    assert f"{home}/mlflow.db, MLflow {OURS}" in found["tracking"]["found"]
    assert process.stderr == ""


def test_nothing_heavy_is_imported_by_the_process_that_looks(tmp_path: Path) -> None:
    code = (
        "import sys; from metanas.cli.doctor import checks; from metanas.cli import _checkup;"
        "from metanas.cli import _checkup_versions as v; v.tried = lambda code: ('', 'left out');"
        "_checkup.examine(checks(sys.argv[1]));"
        "print([m for m in ('torch', 'ray', 'mlflow', 'pandas') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert process.stdout == "[]\n"


def test_a_report_for_people_has_a_line_a_finding_and_its_remedy_below(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    code, printed = run()
    lines = printed.splitlines()
    assert code == 1
    assert "\x1b" not in printed
    assert "searches may fail here" in lines[-1]
    states = [line.split()[0] for line in lines[:-1] if not line.startswith(" ")]
    assert set(states) <= {"ok", "warning", "problem"}
    at = next(i for i, line in enumerate(lines) if "RAY_ADDRESS=nowhere has no port" in line)
    column = lines[at].index("RAY_ADDRESS")
    assert (
        lines[at + 1] == " " * column + "start the cluster (ray start --head), or unset RAY_ADDRESS"
    )


def test_the_verdict_is_that_of_the_worst_finding(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for state, code, verdict in (
        ("ok", 0, "searches will work here"),
        ("warning", 0, "searches will work here; 1 warning"),
        ("problem", 1, "1 problem and 0 warnings: searches may fail here"),
    ):
        check = Check("it", lambda state=state: [Finding("it", state, "found")])  # type: ignore[misc]
        monkeypatch.setattr("metanas.cli.doctor.checks", lambda home, check=check: [check])
        given, printed = run()
        assert (given, printed.splitlines()[-1]) == (code, verdict)


def test_options_may_come_from_a_config_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(f"json = true\nhome = '{tmp_path}/mine'\n")
    findings = json.loads(run("--config", str(file), home=None)[1])["findings"]
    assert {"name": "home", "found": f"{tmp_path}/mine"}.items() <= findings[-3].items()


def test_a_terminal_gets_colours(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32mok" in run()[1]


# How checks are run


def test_a_check_that_hangs_or_raises_is_a_problem_and_the_others_are_reported() -> None:
    def breaks() -> list[Finding]:
        raise ImportError("no numpy\nhere")

    def hangs() -> list[Finding]:
        time.sleep(30)
        return []

    fine = Finding("fine", "ok", "found")
    wanted = [Check("a", breaks), Check("b", hangs, 0.2), Check("c", lambda: [fine])]
    began = time.monotonic()
    found = examine(wanted)
    assert time.monotonic() - began < 10
    assert [(each.name, each.state) for each in found[:2]] == [("a", "problem"), ("b", "problem")]
    assert found[0].found == "cannot be checked: ImportError: no numpy here"
    assert "no answer within" in found[1].found
    assert found[2] == fine


# What is installed


def test_the_installed_packages_fit() -> None:
    assert {each.state for each in versions.look_at_packages()} == {"ok"}
    assert only(versions.look_at_python(), "python").state == "ok"


def test_another_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.python_version", lambda: "3.10.2")
    finding = only(versions.look_at_python(), "python")
    assert finding.state == "problem"
    assert finding.found == "3.10.2, expected >=3.11"


def with_versions(monkeypatch: pytest.MonkeyPatch, **changed: str | None) -> None:
    real = versions.installed
    names = {name.replace("_", "-"): version for name, version in changed.items()}
    monkeypatch.setattr(
        versions, "installed", lambda name: names[name] if name in names else real(name)
    )


def test_a_version_that_does_not_fit_is_named_with_what_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_versions(monkeypatch, numpy="1.26.4", mlflow=None)
    numpy, missing = (only(versions.look_at_packages(), name) for name in ("numpy", "mlflow"))
    assert (numpy.state, numpy.found) == ("problem", "numpy is 1.26.4, expected >=2")
    assert numpy.remedy == "pip install 'numpy>=2'"
    assert (missing.state, missing.found) == ("problem", "mlflow is missing")


def test_torch_and_torchvision_must_be_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    with_versions(monkeypatch, torch="1.0.0+cpu")
    finding = only(versions.look_at_torch(), "torch")
    assert finding.state == "problem"
    assert finding.found.startswith("torch is 1.0.0+cpu, expected ")
    assert "'torch<" in finding.remedy
    assert "'torchvision<" in finding.remedy


def test_torchvision_has_its_own_wish_for_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    real = versions._requirements

    def wishes(name: str = "metanas", extra: str = "") -> Any:
        return real(name, extra) if name == "torchvision" else []

    monkeypatch.setattr(versions, "_requirements", wishes)
    with_versions(monkeypatch, torch="1.0.0")
    finding = only(versions.look_at_torch(), "torch")
    assert "torch is 1.0.0, torchvision asks" in finding.found


def test_a_missing_extra_is_a_warning_with_the_command_that_adds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_versions(monkeypatch, onnx=None, mlxtend="0.1")
    found = {each.name: each for each in versions.look_at_extras()}
    assert "extra dev" not in found
    assert found["extra onnx"].state == "warning"
    assert found["extra onnx"].found == "onnx is missing"
    assert "pip install 'metanas[onnx]'" in found["extra onnx"].remedy
    assert found["extra demo"].found.startswith("mlxtend is 0.1, expected ")


def test_without_its_own_metadata_metanas_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with_versions(monkeypatch, metanas=None)
    finding = only(versions.look_at_metanas(), "metanas")
    assert finding.state == "warning"
    assert "not installed as a package" in finding.found


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("raise ImportError('no such\\noperator')", "operator"),
        ("raise SystemExit(3)", "no reason given"),
        ("import time; time.sleep(60)", "it has not ended after 0 s"),
    ],
)
def test_a_library_that_crashes_or_hangs_harms_only_its_process(
    monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    monkeypatch.setattr(versions, "IMPORT_S", 0.4 if "sleep" in code else 60.0)
    assert versions.tried(code) == ("", reason)


def test_a_module_in_the_current_folder_is_not_taken_for_the_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "click.py").write_text("raise ImportError('mine')")
    monkeypatch.chdir(tmp_path)
    assert versions.tried("import click") == ("", "")


def test_a_torch_or_ray_that_cannot_be_imported_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(versions, "tried", lambda code: ("", "no such operator"))
    for look, name in ((versions.look_at_torch, "torch"), (versions.look_at_ray, "ray")):
        finding = only(look(), name)
        assert finding.state == "problem"
        assert finding.found.endswith("cannot be imported: no such operator")


def test_gpus_are_named_and_one_that_torch_cannot_use_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    seen = TORCH | {"gpus": [["Big", 80e9], ["Small", 8e9]]}
    assert versions.gpus(seen, True) == Finding("gpus", "ok", "Big (80.0 GB), Small (8.0 GB)")
    assert versions.gpus(TORCH, False).state == "ok"
    unusable = versions.gpus(TORCH | {"cuda": "13.0", "error": "driver too old"}, True)
    assert unusable.state == "warning"
    assert unusable.found.endswith(
        "(built for CUDA 13.0) cannot use the one there is: driver too old"
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES='-1'" in versions.gpus(TORCH, True).found


# The machine


def groups(root: Path, own: str, **files: str) -> Path:
    """A made-up control group: `own` as in /proc/self/cgroup, files by path with __ for /."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(own)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def at(name: str) -> str:
    """A path as a keyword: ``a/b`` is ``a__b``."""
    return name.replace("/", "__")


@pytest.mark.parametrize(
    ("own", "files", "cpus", "memory"),
    [
        ("0::/\n", {"cpu.max": "150000 100000", "memory.max": "1000000"}, 1.5, 1e6),
        ("0::/\n", {"cpu.max": "max 100000", "memory.max": "max"}, math.inf, None),
        (
            "0::/../a/b\n",
            {"a/b/cpu.max": "max 100000", "a/cpu.max": "50000 100000", "memory.max": "7"},
            0.5,
            7.0,
        ),
        (
            "4:memory:/x\n1:cpu,cpuacct:/x\n",
            {
                "cpu/x/cpu.cfs_quota_us": "300000",
                "cpu/x/cpu.cfs_period_us": "100000",
                "cpu/cpu.cfs_quota_us": "-1",
                "memory/x/memory.limit_in_bytes": "9223372036854771712",
                "memory/memory.limit_in_bytes": "5000",
            },
            3.0,
            5000.0,
        ),
        ("", {}, math.inf, None),
    ],
)
def test_limits_of_a_container_are_read(
    tmp_path: Path, own: str, files: Mapping[str, str], cpus: float, memory: float | None
) -> None:
    root = groups(tmp_path, own, **{at(name): text for name, text in files.items()})
    assert machine.cpu_quota(root) == cpus
    whole, left = machine.memory_bytes(root)
    assert left == (whole if memory is None else memory)


def test_fewer_cpus_than_the_machine_has_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    affine = only(machine.look_at_cpus(tmp_path), "cpus")
    assert affine.state == "warning"
    assert affine.found == "64 in the machine, of which this process may use 8"
    assert affine.remedy == "metanas search --workers 8"
    root = groups(tmp_path, "0::/", **{"cpu.max": "150000 100000"})
    assert only(machine.look_at_cpus(root), "cpus").remedy == "metanas search --workers 1"


def test_little_shared_memory_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda: (16e9, 10e9))
    for free, state in ((64e6, "warning"), (2.9e9, "warning"), (3.1e9, "ok")):
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, usage=usage: usage)
        finding = only(machine.look_at_shared_memory(tmp_path), "shared memory")
        assert finding.state == state
        assert bool(finding.remedy) == (state == "warning")
    assert only(machine.look_at_shared_memory(tmp_path / "no"), "shared memory").state == "ok"


@pytest.mark.parametrize(
    ("limits", "state", "remedy"),
    [
        ((1024, 4096), "warning", "ulimit -n 4096"),
        ((1024, resource.RLIM_INFINITY), "warning", "ulimit -n 65536"),
        (
            (1024, 1024),
            "warning",
            "raise the hard limit; in a container: docker run --ulimit nofile=65536",
        ),
        ((4096, 4096), "ok", ""),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), "ok", ""),
    ],
)
def test_a_low_limit_of_open_files_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], state: str, remedy: str
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    finding = only(machine.look_at_open_files(), "open files")
    assert (finding.state, finding.remedy) == (state, remedy)


@pytest.mark.parametrize(("free", "state"), [(199e6, "problem"), (1.9e9, "warning"), (2e9, "ok")])
def test_space_left_decides(free: float, state: str) -> None:
    assert machine.space_left(free, Path("/somewhere")).state == state


def test_a_home_that_cannot_be_made_is_a_problem_and_no_crash(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = tmp_path / "file" / "home"
    code, printed = run("--json", home=home)
    found = {each["name"]: each for each in json.loads(printed)["findings"]}
    assert code == 1
    assert found["home"]["state"] == "problem"
    assert found["home"]["found"].startswith(f"home {home} cannot be written: ")
    assert "--home DIR" in found["home"]["remedy"]
    assert found["tracking"]["state"] == "problem"
    assert f" free under {tmp_path / 'file'}" in found["disk"]["found"]


def test_a_user_without_a_home_of_their_own_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(path: Path) -> Path:
        raise RuntimeError("home ~/.metanas: there is no '~' here, set METANAS_HOME")

    monkeypatch.delenv("METANAS_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", unknown)
    code, printed = run("--json", home=None)
    found = {each["name"]: each for each in json.loads(printed)["findings"]}
    assert code == 1
    assert found["home"]["found"] == "home ~/.metanas: there is no '~' here, set METANAS_HOME"
    assert "METANAS_HOME" in found["home"]["remedy"]


def test_a_temporary_folder_that_is_not_there_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    finding = only(machine.look_at_temporary(), "temporary")
    assert finding.state == "problem"
    assert "TMPDIR" in finding.remedy


# Ray's address


def test_a_cluster_that_nobody_serves_is_a_problem(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    code, printed = run("--json")
    found = {each["name"]: each for each in json.loads(printed)["findings"]}
    assert code == 1
    assert found["cluster"]["state"] == "problem"
    assert found["cluster"]["found"].endswith(": Connection refused")


@pytest.mark.parametrize(
    ("address", "state", "found"),
    [
        ("auto", "ok", "left to Ray"),
        ("head", "problem", "has no port, expected HOST:PORT"),
        ("127.0.0.1:65536", "problem", "has no port, expected HOST:PORT"),
        ("ray://me:hidden@[::1]:1", "problem", "RAY_ADDRESS=ray://[::1]:1: "),
        ("me:hidden@127.0.0.1:x", "problem", "RAY_ADDRESS=127.0.0.1:x has no port"),
    ],
)
def test_an_address_of_a_cluster_is_read(
    monkeypatch: pytest.MonkeyPatch, address: str, state: str, found: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    finding = only(machine.look_at_cluster(), "cluster")
    assert finding.state == state
    assert found in finding.found
    assert "hidden" not in finding.found


def test_a_cluster_that_somebody_serves_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for prefix in ("", "ray://"):
            address = f"{prefix}127.0.0.1:{server.getsockname()[1]}"
            monkeypatch.setenv("RAY_ADDRESS", address)
            assert only(machine.look_at_cluster(), "cluster").state == "ok"


# MLflow's server


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a web server with these pages; each request's authorization is kept."""
    servers: list[http.server.HTTPServer] = []

    def started(pages: Mapping[str, tuple[int, str]], asked: list[str | None] | None = None) -> str:
        class Pages(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, text = pages.get(self.path, (404, "<html>not found</html>"))
                if asked is not None:
                    asked.append(self.headers.get("Authorization"))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", text)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        servers.append(http.server.HTTPServer(("127.0.0.1", 0), Pages))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"127.0.0.1:{servers[-1].server_port}"

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_server_that_is_away_is_a_problem_and_its_password_is_not_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hidden@127.0.0.1:{port}/base?key=hidden")
    for arguments in ((), ("--json",)):
        code, printed = run(*arguments)
        assert code == 1
        assert f"http://127.0.0.1:{port}/base: Connection refused" in printed
        assert "unset MLFLOW_TRACKING_URI" in printed
        assert "hidden" not in printed


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:hid/den@127.0.0.1:1",
        "http://me:hid?den@127.0.0.1:1",
        "http://me:hid#den@127.0.0.1:1",
        "http://me:hid den@127.0.0.1:1",
        "http://me:hid@den@127.0.0.1:1",
        "http://127.0.0.1:hidden",
        "postgresql://me:hid/den@127.0.0.1:1/runs",
        "mysql+pymysql://me:hidden@127.0.0.1:1/runs?password=hidden",
    ],
)
def test_no_part_of_a_password_is_shown_even_of_an_address_that_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    finding = tracking(tmp_path)
    assert finding.state == "problem"
    shown = f"{finding.found} {finding.remedy}"
    secrets = ("me:", "hid/", "hid?", "hid ", "den@") if "@" in uri else ()
    assert not [secret for secret in (*secrets, "password") if secret in shown]


@pytest.mark.parametrize(
    ("pages", "state", "found"),
    [
        ({"/version": (200, OURS)}, "ok", f", MLflow {OURS}"),
        ({"/version": (200, f"{OURS}.post1\n")}, "ok", ", MLflow "),
        ({"/health": (200, "OK")}, "ok", ", MLflow OK"),
        ({"/version": (200, "1.30.0")}, "warning", f" is MLflow 1.30.0, installed here is {OURS}"),
        ({"/version": (200, "<html>")}, "problem", " answers, but not as MLflow does: 200"),
        ({"/version": (500, "oh\nno")}, "problem", " answers, but not as MLflow does: 500 oh"),
        ({"/version": (401, "who?")}, "problem", " refuses: 401 who?"),
        ({}, "problem", " answers, but not as MLflow does: 404"),
    ],
)
def test_a_server_is_asked_for_its_version(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    pages: Mapping[str, tuple[int, str]],
    state: str,
    found: str,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{serve(pages)}/")
    finding = tracking(tmp_path)
    assert finding.state == state
    assert found in finding.found
    assert bool(finding.remedy) == (state != "ok")


def test_a_server_below_a_path_gets_the_name_and_password_and_nobody_else_does(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here: list[str | None] = []
    there: list[str | None] = []
    elsewhere = serve({"/version": (200, OURS)}, there)
    address = serve({"/base/version": (302, f"http://{elsewhere}/version")}, here)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:a%40b@{address}/base/")
    assert tracking(tmp_path).state == "ok"
    assert here == ["Basic bWU6YUBi"]  # me:a@b
    assert there == [None]


def test_a_server_that_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        began = time.monotonic()
        finding = tracking(tmp_path)
    assert time.monotonic() - began < 10
    assert finding.state == "problem"
    assert "no answer within" in finding.found


def test_what_speaks_no_http_is_no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"hello\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert tracking(tmp_path).state == "problem"


def test_a_proxy_is_not_asked_for_this_machine_and_mlflow_asking_it_is_a_warning(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{serve({'/version': (200, OURS)})}")
    finding = tracking(tmp_path)
    assert (finding.state, finding.remedy) == ("warning", "export NO_PROXY=127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert tracking(tmp_path).state == "ok"


# MLflow's database


def test_a_home_without_a_database_is_fine_and_gets_none(tmp_path: Path) -> None:
    assert tracking(tmp_path).state == "ok"
    assert list(tmp_path.iterdir()) == []


def test_looking_at_a_database_changes_no_byte_of_it(home: Path) -> None:
    before = (home / "mlflow.db").read_bytes()
    assert tracking(home).state == "ok"
    assert (home / "mlflow.db").read_bytes() == before
    assert [path.name for path in home.iterdir() if "journal" in path.name] == []


def test_the_version_of_mlflows_tables_is_read_from_its_migrations(home: Path) -> None:
    latest, known = mlflow.schemas()
    with sqlite3.connect(home / "mlflow.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [
            (latest,)
        ]
    assert latest in known
    assert len(known) > 40


def test_a_database_of_another_mlflow_is_told(tmp_path: Path) -> None:
    latest, known = mlflow.schemas()
    for schema, state, found in (
        (min(known - {latest}), "warning", "by an MLflow older than"),
        ("ffffffffffff", "problem", "by an MLflow newer than"),
    ):
        connection = sqlite3.connect(tmp_path / "mlflow.db")
        connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")
        connection.execute("DELETE FROM alembic_version")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (schema,))
        connection.commit()
        connection.close()
        finding = tracking(tmp_path)
        assert finding.state == state
        assert found in finding.found


def test_a_file_that_is_no_database_is_a_problem(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "mlflow.db").write_text("this is no database at all, though it is a file " * 40)
    code, printed = run()
    assert code == 1
    assert f"sqlite:///{home}/mlflow.db: file is not a database" in printed
    assert "move it away" in printed


def test_a_damaged_database_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE rows (text TEXT)")
        connection.executemany("INSERT INTO rows VALUES (?)", [("x" * 500,)] * 200)
    connection.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * 8192 + whole[16384:])
    finding = tracking(tmp_path)
    assert finding.state == "problem"
    assert "mlflow.db is damaged: " in finding.found
    assert "backup" in finding.remedy


def test_a_database_that_another_process_writes_is_a_warning(home: Path) -> None:
    connection = sqlite3.connect(home / "mlflow.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    finding = tracking(home)
    connection.close()
    assert finding.state == "warning"
    assert "is busy" in finding.found
    assert tracking(home).state == "ok"


def test_a_folder_in_the_place_of_a_database_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").mkdir()
    finding = tracking(tmp_path)
    assert finding.state == "problem"
    assert "unable to open database file" in finding.found


@pytest.mark.parametrize(
    ("uri", "state", "found"),
    [
        ("sqlite:///:memory:", "problem", "sqlite in memory"),
        ("sqlite:////no/such/folder?timeout=3", "ok", "sqlite:////no/such/folder, made by"),
        ("mlruns", "problem", "mlruns is a folder"),
        ("file:///tmp/mlruns", "problem", "is a folder"),
        ("databricks", "ok", "which is not checked"),
    ],
)
def test_other_places_of_runs_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uri: str, state: str, found: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    finding = tracking(tmp_path)
    assert finding.state == state
    assert found in finding.found


def test_mlflow_itself_refuses_a_folder(tmp_path: Path) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match="filesystem tracking backend"):
        MlflowClient(tracking_uri=str(tmp_path / "mlruns")).search_experiments()


def test_a_database_server_is_knocked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"postgresql+psycopg2://me:hidden@127.0.0.1:{server.getsockname()[1]}/runs"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert tracking(tmp_path).state == "ok"
    finding = tracking(tmp_path)
    assert finding.state == "problem"
    assert "hidden" not in finding.found
