"""Addresses as they are shown: whatever the password, no part of it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metanas.trackers._address import HIDDEN, public, without_secrets

USERS = st.from_regex(r"[a-z0-9._-]{0,8}", fullmatch=True)
PASSWORDS = st.text(st.sampled_from("ABC/:@?#;&=%[]+ .\\\n é"), min_size=1, max_size=12)
SCHEMES = st.sampled_from(
    ["http", "https", "postgresql", "mysql+pymysql", "mssql+pyodbc", "sqlite+pysqlcipher", "ray"]
)
HOSTS = st.sampled_from(["server", "server:5000", "10.0.0.1:80", "[::1]:5000", "db.example.org"])
PATHS = st.sampled_from(["", "/", "/base", "/a/b.c", "/runs-1"])
CHARACTERS = st.characters(blacklist_categories=("Cs",))


@given(SCHEMES, USERS, PASSWORDS | st.text(CHARACTERS, min_size=1), HOSTS, PATHS)
@example("http", "me", "a/b?c", "server", "")
@example("http", "me", "://", "server", "/base")
def test_no_part_of_a_password_is_shown(
    scheme: str, user: str, password: str, host: str, path: str
) -> None:
    shown = public(f"{scheme}://{user}:{password}@{host}{path}")
    assert shown in (f"{scheme}://{host}{path}", f"{scheme}://{HIDDEN}")


@given(SCHEMES, PASSWORDS | st.text(CHARACTERS, min_size=1), HOSTS, PATHS, st.sampled_from("?#;"))
@example("http", "a@b", "server", "/base", "?")
def test_no_part_of_a_query_is_shown(
    scheme: str, secret: str, host: str, path: str, mark: str
) -> None:
    for user in ("", "me@", "me:pass@"):
        shown = public(f"{scheme}://{user}{host}{path}{mark}password={secret}")
        assert shown in (f"{scheme}://{host}{path}", f"{scheme}://{HIDDEN}")


@given(USERS, PASSWORDS.filter(lambda text: "://" not in f":{text}"), HOSTS, PATHS)
def test_no_part_of_a_password_is_shown_without_a_scheme(
    user: str, password: str, host: str, path: str
) -> None:
    assert public(f"{user}:{password}@{host}{path}") in (f"{host}{path}", HIDDEN)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://me:secret@server:5000", "http://server:5000"),
        ("http://me:sec/ret@server:5000/base?key=secret", "http://server:5000/base"),
        ("http://server/?mail=a@b", f"http://{HIDDEN}"),
        ("http://me:secret", f"http://{HIDDEN}"),
        ("postgresql://me@/runs?password=secret", "postgresql:///runs"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("sqlite:////home/mlflow.db?key=secret", "sqlite:////home/mlflow.db"),
        ("sqlite+pysqlcipher://:secret@/runs.db?cipher=x", "sqlite+pysqlcipher:///runs.db"),
        ("/home/a@b/mlruns", "/home/a@b/mlruns"),
        ("databricks", "databricks"),
        ("10.0.0.1:6379", "10.0.0.1:6379"),
        ("", ""),
    ],
)
def test_what_is_no_secret_stays(uri: str, shown: str) -> None:
    assert public(uri) == shown


def read(uri: str) -> str:
    """What Python takes for the host of an address, and says of one that it cannot read."""
    try:
        parts = urlsplit(uri)
        return f"no host {str(parts.hostname).upper()}, port {parts.port}"
    except ValueError as error:
        return str(error)


@given(st.text(st.sampled_from("ABC/:@?#;&=%.\n "), min_size=1, max_size=12))
@example("A/B")
@example("A\nB?")
@example("A@B/")
def test_an_errors_text_holds_no_part_of_a_password(password: str) -> None:
    uri = f"http://me:{password}@server:5000/base"
    for text in (f"cannot reach {uri}/version", f"'{uri}' is none", read(uri)):
        assert not set("ABC") & set(without_secrets(text, uri))


def test_a_text_about_an_address_without_secrets_stays() -> None:
    uri = "http://server:5000"
    assert without_secrets(f"{uri} is away", uri) == f"{uri} is away"
