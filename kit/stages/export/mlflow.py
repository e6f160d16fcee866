"""MLflow: a run of its for every run and candidate, found again by the name of the folder."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kit.errors import ConfigError, PlatformError
from kit.stages.export.tracked import Tracked
from kit.store.files import sha256_file, sha256_json

FOLDER, FILES, FOLD = "kit.folder", "kit.files", "kit.fold-"
# Its folders look for a name by putting it into a query as it is.
QUOTES = str.maketrans({'"': "\u201d", "'": "\u2019"})
# What one request may hold, and what older servers store of a value.
METRICS_AT_ONCE, PARAMS_AT_ONCE, LONGEST = 1000, 100, 500


def send(found: Sequence[Tracked], experiment: str, to: str, home: Path) -> tuple[str, list[bool]]:
    """Log what MLflow does not have yet; nothing of it is deleted, and a second time logs nothing.

    An ``experiment`` is made where there is none of that name; ``to`` is a tracking URI, empty =
    ``MLFLOW_TRACKING_URI``, else ``mlruns/`` in ``home``. Returns the tracking URI, and of each whether there was
    something to log. Raises `ConfigError` where the package is missing, and `PlatformError` with MLflow's own words
    where it refused.
    """
    package = _package()
    where = to or os.environ.get("MLFLOW_TRACKING_URI", "") or (home / "mlruns").as_uri()
    try:
        client = package.MlflowClient(tracking_uri=where)
        name = experiment.translate(QUOTES)
        known = client.get_experiment_by_name(name)
        number = known.experiment_id if known else client.create_experiment(name)
        return where, [_Sender(package, client, number, one).send() for one in found]
    except package.exceptions.MlflowException as error:
        said = " ".join(str(error).split())
        raise PlatformError(f"MLflow at {where}: {said}", "kit export mlflow --to file:./mlruns") from error


def _package() -> Any:
    try:
        # Its file store works and is what a folder needs; newer versions would rather have a database.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        # It would print the address of every run, password included.
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        return importlib.import_module("mlflow")
    except ImportError as error:
        raise ConfigError(f"MLflow is not installed: {error}", "pip install mlflow-skinny") from error


def _batches(whole: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(whole), size):
        yield whole[start : start + size]


class _Sender:
    """One run of MLflow, made or found."""

    def __init__(self, package: Any, client: Any, experiment: str, one: Tracked) -> None:
        self._entities, self._client, self._one = package.entities, client, one
        folder = one.key.translate(QUOTES)
        found = client.search_runs([experiment], f"tags.`{FOLDER}` = '{folder}'", max_results=1)
        self._known = found[0] if found else None
        tags = {FOLDER: folder, "kit.kind": one.kind}
        self._run = self._known or client.create_run(experiment, tags=tags, run_name=one.name)
        self._id = self._run.info.run_id

    def send(self) -> bool:
        """Log what is new; the tag that says so follows what it speaks of."""
        have = self._run.data.metrics
        # A number that changed, as a score or a forecast may, is another point of the same curve.
        scores = [(name, value, 0) for name, value in self._one.scores.items() if have.get(name) != value]
        news = [self._params(), self._log(scores), *map(self._curve, self._one.curves), self._artefacts()]
        if any(news) or self._run.info.status == "RUNNING":
            self._client.set_terminated(self._id)
        return self._known is None or any(news)

    def _params(self) -> bool:
        have = self._run.data.params
        new = [self._entities.Param(k, v[:LONGEST]) for k, v in self._one.params.items() if k not in have]
        for some in _batches(new, PARAMS_AT_ONCE):
            self._client.log_batch(self._id, params=some)
        tags = {f"kit.{name}": value[:LONGEST] for name, value in self._one.tags.items()}
        stale = [name for name in tags if self._run.data.tags.get(name) != tags[name]]
        for name in stale:
            self._client.set_tag(self._id, name, tags[name])
        return bool(new or stale)

    def _curve(self, fold: int) -> bool:
        epochs = self._one.curves[fold]
        state = sha256_json(epochs)
        if self._run.data.tags.get(f"{FOLD}{fold}") == state:
            return False
        self._log([(f"fold-{fold}/{k}", v, n) for n, epoch in enumerate(epochs, 1) for k, v in epoch.items()])
        self._client.set_tag(self._id, f"{FOLD}{fold}", state)
        return True

    def _log(self, points: list[tuple[str, float, int]]) -> bool:
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(name, value, now, step) for name, value, step in points]
        for some in _batches(metrics, METRICS_AT_ONCE):
            self._client.log_batch(self._id, metrics=some)
        return bool(points)

    def _artefacts(self) -> bool:
        state = sha256_json([(path.name, folder, sha256_file(path)) for path, folder in self._one.files])
        if self._run.data.tags.get(FILES) == state:
            return False
        for path, folder in self._one.files:
            self._client.log_artifact(self._id, str(path), folder or None)
        self._client.set_tag(self._id, FILES, state)
        return True
