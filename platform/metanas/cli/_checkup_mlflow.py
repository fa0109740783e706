"""Checks of the MLflow that runs go to: a server, a SQLite file, or another database.

MLflow itself is not imported, which would take seconds. No password is shown: every address
goes through `public`.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import importlib.util
import ipaddress
import os
import re
import sqlite3
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from metanas.cli._checkup import ANSWER_S, Finding, home_of, line_of, nearest, silent
from metanas.cli._checkup_versions import installed
from metanas.trackers._address import public

PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def look_at_tracking(home: str | None) -> Iterator[Finding]:
    """Whether the MLflow that runs go to can be reached and written."""
    from metanas.trackers.mlflow import tracking_uri

    uri = tracking_uri(home_of(home))
    scheme, separator, _ = uri.partition("://")
    if scheme in ("http", "https"):
        yield _server(uri)
    elif scheme.partition("+")[0] == "sqlite":
        yield _sqlite(uri)
    elif scheme.partition("+")[0] in PORTS:
        yield _database(uri)
    elif uri.startswith("databricks") or (separator and scheme != "file"):
        yield Finding("tracking", "ok", f"{public(uri)}, which is not checked")
    else:
        yield _folder(uri)


def _server(uri: str) -> Finding:
    """Ask a server for its version."""
    shown, set_it = public(uri), "MLFLOW_TRACKING_URI"
    remedy = f"start that server, or unset {set_it}: runs then go to a file in the home folder"
    try:
        host = urlsplit(uri).hostname or ""
        status, text = _asked(uri, "/version")
        if status == 404:  # servers before 2.0 have no other page that every server has
            status, text = _asked(uri, "/health")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Finding("tracking", "problem", f"{shown}: {_reason(error)}", remedy)
    if status in (401, 403):
        named = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        return Finding("tracking", "problem", f"{shown} refuses: {status} {text}", f"set {named}")
    if status != 200 or not re.fullmatch(r"OK|\d+\.\d+\S*", text):
        found = f"{shown} answers, but not as MLflow does: {status} {text}"
        return Finding("tracking", "problem", found, f"set {set_it} to the address of MLflow")
    proxy = urllib.request.getproxies().get(urlsplit(uri).scheme)
    if _loopback(host) and proxy and not urllib.request.proxy_bypass(host):
        found = f"{shown} answers, but MLflow's client will ask a proxy for it"
        return Finding("tracking", "warning", found, f"export NO_PROXY={host}")
    ours = installed("mlflow") or "none"
    if text != "OK" and text.split(".")[:2] != ours.split(".")[:2]:
        found = f"{shown} is MLflow {text}, installed here is {ours}"
        remedy = f"have one version on both sides: pip install 'mlflow=={text}'"
        return Finding("tracking", "warning", found, remedy)
    return Finding("tracking", "ok", f"{shown}, MLflow {text}")


def _asked(uri: str, page: str) -> tuple[int, str]:
    """Status and first line of a page, asked for as MLflow's client would.

    Raises:
        OSError, ValueError, HTTPException: If there is no answer.
    """
    parts = urlsplit(uri)
    host = parts.hostname or ""
    place = f"[{host}]" if ":" in host else host
    place += f":{parts.port}" if parts.port else ""
    request = urllib.request.Request(f"{parts.scheme}://{place}{parts.path.rstrip('/')}{page}")
    if authorization := _authorization(parts.username, parts.password):
        # Unredirected: where the server sends us on, the password stays behind.
        request.add_unredirected_header("Authorization", authorization)
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.HTTPSHandler(context=_certificates())
    ]
    if _loopback(host):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=ANSWER_S) as answer:
            return int(answer.status), _first_line(answer.read(2000))
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _first_line(error.read(2000))


def _authorization(user: str | None, password: str | None) -> str:
    environment = os.environ.get
    user = unquote(user) if user else environment("MLFLOW_TRACKING_USERNAME", "")
    secret = unquote(password) if password else environment("MLFLOW_TRACKING_PASSWORD", "")
    token = environment("MLFLOW_TRACKING_TOKEN")
    if user:
        return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()
    return f"Bearer {token}" if token else ""


def _certificates() -> ssl.SSLContext:
    """Trust as MLflow's client does."""
    names = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    files = [os.environ[name] for name in names if os.environ.get(name)]
    context = ssl.create_default_context(cafile=files[0] if files else None)
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _first_line(body: bytes) -> str:
    """What a short answer says; a page for people is left out."""
    text = body.decode(errors="replace").strip()
    return "" if text.startswith("<") else (text.splitlines() or [""])[0][:100]


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _sqlite(uri: str) -> Finding:
    """Open a SQLite file, write to it and take that back, and let it check itself."""
    path = Path(uri.partition("://")[2].partition("?")[0].removeprefix("/"))
    shown = public(uri)
    if str(path) in (".", ":memory:"):
        found = "sqlite in memory: every process would have an MLflow of its own"
        return Finding("tracking", "problem", found, "unset MLFLOW_TRACKING_URI")
    if not os.path.exists(path):
        return _may_be_made(path, shown)
    try:
        damage, schema = _opened(path)
    except sqlite3.Error as error:
        return _unusable(shown, error)
    if damage:
        remedy = "bring it back from a backup, or move it away: the next search makes a new one"
        return Finding("tracking", "problem", f"{shown} is damaged: {damage}", remedy)
    return _of_schema(shown, schema)


def _may_be_made(path: Path, shown: str) -> Finding:
    around = nearest(path.absolute())
    if around.is_dir() and os.access(around, os.W_OK | os.X_OK):
        return Finding("tracking", "ok", f"{shown}, made by the first search")
    found = f"{shown} cannot be made: {around} cannot be written"
    return Finding("tracking", "problem", found, "set MLFLOW_TRACKING_URI, or give another --home")


def _opened(path: Path) -> tuple[str, str]:
    """What is damaged in a SQLite file, and the version of MLflow's tables; "" for nothing.

    Raises:
        sqlite3.Error: If it cannot be opened, read or written.
    """
    deadline = time.monotonic() + ANSWER_S
    target = f"file:{urllib.request.pathname2url(str(path.absolute()))}?mode=rw"
    with contextlib.closing(
        sqlite3.connect(target, timeout=ANSWER_S / 2, uri=True, isolation_level=None)
    ) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE metanas_doctor (never INTEGER)")
        connection.execute("ROLLBACK")
        schema = ""
        with contextlib.suppress(sqlite3.OperationalError):  # no such table: MLflow was never here
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            schema = str(rows[0][0]) if rows else ""
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
        try:
            verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.OperationalError as error:
            if "interrupted" not in str(error):
                raise
            verdict = "ok"  # too large to be read in the time there is, and sound so far
    return "" if verdict == "ok" else verdict.splitlines()[-1], schema


def _unusable(shown: str, error: sqlite3.Error) -> Finding:
    if "locked" in str(error):
        found = f"{shown} is busy: another process has been writing to it for seconds"
        return Finding("tracking", "warning", found, "look again when that process has ended")
    remedy = "move it away, or set MLFLOW_TRACKING_URI: the next search makes a new one"
    if "readonly" in str(error):
        remedy = "make the file and its folder writable"
    return Finding("tracking", "problem", f"{shown}: {error}", remedy)


def _of_schema(shown: str, schema: str) -> Finding:
    """Whether a database's tables are of the installed MLflow's version."""
    latest, known = schemas()
    version = installed("mlflow") or "none"
    if not schema:
        return Finding("tracking", "ok", f"{shown}, without MLflow's tables yet")
    if schema == latest or not known:
        return Finding("tracking", "ok", f"{shown}, MLflow {version}")
    if schema in known:
        found = f"{shown} was written by an MLflow older than {version}"
        return Finding(
            "tracking", "warning", found, f"copy the file, then: mlflow db upgrade {shown}"
        )
    found = f"{shown} was written by an MLflow newer than {version}, or changed by other software"
    return Finding("tracking", "problem", found, "pip install --upgrade mlflow")


def schemas() -> tuple[str, frozenset[str]]:
    """The latest version of the installed MLflow's tables, and all that it can upgrade from.

    Read from its migrations, as importing MLflow takes seconds.
    """
    spec = importlib.util.find_spec("mlflow")
    if spec is None or spec.origin is None:
        return "", frozenset()
    folder = Path(spec.origin).parent / "store" / "db_migrations" / "versions"
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.py")]
    made, built_on = (
        {found for text in texts for found in re.findall(rf"(?m)^{name} = [\"'](\w+)", text)}
        for name in ("revision", "down_revision")
    )
    heads = made - built_on
    return (heads.pop(), frozenset(made)) if len(heads) == 1 else ("", frozenset())


def _database(uri: str) -> Finding:
    """Knock at a database server; whether it lets us in shows in a search."""
    shown = public(uri)
    try:
        parts = urlsplit(uri)
        port = parts.port or PORTS[parts.scheme.partition("+")[0]]
    except ValueError as error:
        return Finding("tracking", "problem", f"{shown}: {_reason(error)}", "correct its address")
    reason = silent(parts.hostname or "localhost", port)
    if reason:
        return Finding("tracking", "problem", f"{shown}: {reason}", "start that database")
    return Finding("tracking", "ok", f"{shown}: somebody listens there")


def _folder(uri: str) -> Finding:
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1"):
        return Finding("tracking", "ok", f"{public(uri)}, a folder, which is not checked")
    return Finding(
        "tracking",
        "problem",
        f"{public(uri)} is a folder, and MLflow writes to no folders any more",
        "unset MLFLOW_TRACKING_URI, or set it to a server or sqlite:///FILE",
    )


def _reason(error: BaseException) -> str:
    """Why there was no answer; an address that cannot be read is not repeated."""
    if isinstance(error, http.client.InvalidURL) or type(error) is ValueError:
        return "no valid address"
    cause = getattr(error, "reason", None)
    if isinstance(cause, TimeoutError) or isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_S:.0f} s"
    if isinstance(cause, ssl.SSLError):
        return f"its certificate or encryption fails: {cause.reason}"
    if isinstance(cause, OSError):
        return cause.strerror or str(cause)
    return line_of(error)
