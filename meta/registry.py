"""Priors as versions of a registered model in MLflow: stored, found and fetched.

A version's artifacts are the files of `metanas.meta.saved`, a card to read and a picture.
Only the two files of the prior itself are ever fetched, whatever else a stranger has put
beside them, and no flavour of MLflow is loaded: nothing of a prior is run.

Each fit moves the alias `current` to its version; who trusts an earlier one more moves it
back in MLflow, and searches then start from that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metanas.core.errors import ConfigError, HomeError, PriorError, unknown
from metanas.meta import saved
from metanas.meta.prior import Prior

NAME = "metanas-prior"
CURRENT = "current"
EXPERIMENT = "metanas-priors"
PLACE = "prior"
"""The artifacts' folder."""
OURS, SHA256, LEARNT = "metanas.prior", "metanas.sha256", "metanas.learnt"
LONGEST_DESCRIPTION = 4_900
REFERENCE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,99})(?:@(?P<which>[A-Za-z0-9_-]+))?")
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Version:
    """A registered prior that has not been fetched.

    Args:
        name: Of the registered model.
        number: Of the version.
        tags: What was noted of it.
        run: Whose artifacts it is.
    """

    name: str
    number: int
    tags: Mapping[str, str]
    run: str

    @property
    def learnt(self) -> str:
        """A hash of what it teaches."""
        return self.tags.get(LEARNT, "")

    @property
    def checksum(self) -> str:
        """Of its JSON."""
        return self.tags.get(SHA256, "")


def parse(reference: str) -> tuple[str, str]:
    """``NAME`` or ``NAME@VERSION`` in two; VERSION is a number or an alias, or "".

    Raises:
        ConfigError: If it is neither.
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise ConfigError(f"prior '{reference}' is no NAME or NAME@VERSION")
    return match["name"], match["which"] or ""


class Registry:
    """The priors on one tracking server.

    Args:
        uri: Of the server or database, which may hold a password.
        public: The same without one, for messages.
        home: Holds the lock under which a database is created, and its artifacts.

    Raises:
        HomeError: If the server does not answer; every method raises the same.
    """

    def __init__(self, uri: str, public: str, home: Path) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        self._uri, self._public, self._home = uri, public, home
        with self._asking(), open(home / "mlflow.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=uri)
            self._client.search_registered_models(max_results=1)

    def names(self) -> list[str]:
        """Of the priors that there are."""
        with self._asking():
            found = self._client.search_registered_models(f"tags.`{OURS}` = 'true'")
            return sorted(each.name for each in found)

    def newest(self, name: str) -> Version | None:
        """The version of the highest number; None where there is none."""
        with self._asking():
            found = self._client.search_model_versions(
                f"name = '{name}'", order_by=["version_number DESC"], max_results=1
            )
        return _version(found[0]) if found else None

    def find(self, reference: str) -> Version:
        """The version that is meant: by its number or alias, else the current one.

        Raises:
            ConfigError: If there is none; the message names those that there are.
        """
        name, which = parse(reference)
        if not which:
            found = self._looked_up(name, CURRENT) or self.newest(name)
        elif which == "latest":  # MLflow's own word, which it lets nobody set
            found = self.newest(name)
        else:
            found = self._looked_up(name, which)
        if found is None:
            raise ConfigError(f"no prior '{reference}'{self._known(name, which)}")
        if found.tags.get(OURS) != "true":
            raise ConfigError(f"'{name}' is a registered model and no prior")
        return found

    def load(self, version: Version) -> Prior:
        """Fetch and check a version.

        Raises:
            PriorError: If it cannot be used.
        """
        with tempfile.TemporaryDirectory() as place:
            self._fetch(version, Path(place))
            return saved.read(Path(place), version.checksum, version.name, version.number)

    def register(
        self, prior: Prior, name: str, description: str, tags: Mapping[str, str], beside: Path
    ) -> Prior:
        """Store a prior as a new version, which becomes the current one.

        Args:
            prior: What was learnt.
            name: Of the registered model, made where there is none.
            description: Of the version, for people.
            tags: Of the version.
            beside: A folder of files that go with it, such as a picture.

        Returns:
            The same, with its name and version.
        """
        with tempfile.TemporaryDirectory() as place:
            checksum = saved.write(prior, Path(place))
            about = {**tags, OURS: "true", SHA256: checksum, LEARNT: saved.learnt(prior)}
            with self._asking():
                run = self._stored(name, Path(place), beside, about)
                self._model(name)
                source = f"{self._client.get_run(run).info.artifact_uri}/{PLACE}"
                text = description[:LONGEST_DESCRIPTION]
                made = self._client.create_model_version(
                    name, source, run, tags=about, description=text
                )
                self._client.set_registered_model_alias(name, CURRENT, made.version)
        return replace(prior, name=name, version=int(made.version))

    # -- asking MLflow -------------------------------------------------------------

    def _stored(self, name: str, files: Path, beside: Path, tags: Mapping[str, str]) -> str:
        """The files as artifacts of a run of their own; its id."""
        client = self._client
        own = {"mlflow.runName": name, "metanas.key": "prior"}
        run: str = client.create_run(self._experiment(), tags={**tags, **own}).info.run_id
        for folder in (files, beside):
            client.log_artifacts(run, str(folder), PLACE)
        client.set_terminated(run)
        return run

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None and found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        if found is not None:
            return str(found.experiment_id)
        place = (self._home / "mlartifacts").resolve().as_uri()
        where = place if self._uri.startswith("sqlite:") else None
        try:
            return str(self._client.create_experiment(EXPERIMENT, artifact_location=where))
        except MlflowException:  # another fit was faster
            return str(self._client.get_experiment_by_name(EXPERIMENT).experiment_id)

    def _model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(
                name, {OURS: "true"}, "What finished searches teach the next one."
            )
        except MlflowException:
            tags = self._client.get_registered_model(name).tags
            if tags.get(OURS) != "true":
                raise ConfigError(
                    f"'{name}' is a registered model and no prior: choose another --name"
                ) from None

    def _looked_up(self, name: str, which: str) -> Version | None:
        from mlflow.exceptions import MlflowException

        with self._asking():
            try:
                if which.isdecimal():
                    return _version(self._client.get_model_version(name, which))
                return _version(self._client.get_model_version_by_alias(name, which))
            except MlflowException as error:
                if error.error_code in MISSING:
                    return None
                raise

    def _known(self, name: str, which: str) -> str:
        newest = self.newest(name) if which else None
        if newest is not None:
            return f": the newest version of '{name}' is {newest.number}"
        names = self.names()
        if not names:
            return ": there are none yet, `metanas prior fit` makes one"
        return unknown(name, names)

    def _fetch(self, version: Version, place: Path) -> None:
        if not version.run:
            raise PriorError(f"prior {version.name}@{version.number} has no run with its files")
        with self._asking():
            listed = self._client.list_artifacts(version.run, PLACE)
        sizes = {Path(each.path).name: each.file_size or 0 for each in listed}
        for name in saved.FILES:
            if sizes.get(name, 0) > saved.LARGEST[name]:
                raise PriorError(
                    f"prior {version.name}@{version.number} cannot be used: {name} has "
                    f"{sizes[name]} bytes, expected at most {saved.LARGEST[name]}"
                )
            if name in sizes:
                with self._asking():
                    found = self._client.download_artifacts(
                        version.run, f"{PLACE}/{name}", str(place)
                    )
                os.replace(found, place / name)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except (PriorError, ConfigError, HomeError):
            raise
        except Exception as error:  # libraries below MLflow raise their own
            if not _from_outside(error):
                raise
            # What a library says of an address may quote the password in it.
            text = "" if "@" in self._uri else " ".join(str(error).split())[:160]
            what = f"{type(error).__name__} {text}".strip()
            raise HomeError(f"MLflow at {self._public} does not answer: {what}") from None


def _from_outside(error: Exception) -> bool:
    module = type(error).__module__
    return isinstance(error, OSError) or module.startswith(("mlflow", "requests", "sqlalchemy"))


def _version(found: Any) -> Version:
    return Version(found.name, int(found.version), dict(found.tags), found.run_id or "")
