"""MLflow: a run of its for every run and candidate, found again by the name of the folder."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.errors import PlatformError, required
from kit.stages.export import Tracked
from kit.store.files import sha256_file, sha256_json

FOLDER, FILES, FOLD = "kit.folder", "kit.files", "kit.fold-"
# Its folders look for a name by putting it into a query as it is.
QUOTES = str.maketrans({'"': "\u201d", "'": "\u2019"})
# What one request may hold, and what older servers store of a value.
METRICS_AT_ONCE, PARAMS_AT_ONCE, LONGEST = 1000, 100, 500


def send(found: Sequence[Tracked], experiment: str, to: str, home: Path) -> tuple[str, list[bool]]:
    """Log what MLflow does not have yet; nothing of it is deleted, and a second time logs nothing.

    ``to`` is a tracking URI, empty = ``MLFLOW_TRACKING_URI``, else ``mlruns/`` in ``home``. Returns it, and of each
    whether there was something to log. Raises `ConfigError` where the package is missing, and `PlatformError` with
    MLflow's own words where it refused.
    """
    # Its file store works and is what a folder needs; newer versions would rather have a database.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    # It would print the address of every run, password included.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    package = required("mlflow", "the export", "mlflow-skinny")
    where = to or os.environ.get("MLFLOW_TRACKING_URI", "") or (home / "mlruns").as_uri()
    try:
        client = package.MlflowClient(tracking_uri=where)
        name = experiment.translate(QUOTES)
        known = client.get_experiment_by_name(name)
        number = known.experiment_id if known else client.create_experiment(name)
        return where, [_send(package, client, number, one) for one in found]
    except package.exceptions.MlflowException as error:
        said = " ".join(str(error).split())
        raise PlatformError(f"MLflow at {where}: {said}", "kit export mlflow --to file:./mlruns") from error


def _send(package: Any, client: Any, experiment: str, one: Tracked) -> bool:
    """Log what the run of MLflow for ``one`` lacks; whether there was anything."""
    folder = one.key.translate(QUOTES)
    found = client.search_runs([experiment], f"tags.`{FOLDER}` = '{folder}'", max_results=1)
    start = {FOLDER: folder, "kit.kind": one.kind}
    run = found[0] if found else client.create_run(experiment, tags=start, run_name=one.name)
    name, have = run.info.run_id, run.data
    params = [package.entities.Param(k, v[:LONGEST]) for k, v in one.params.items() if k not in have.params]
    tags = {f"kit.{key}": value[:LONGEST] for key, value in one.tags.items()}
    tags |= {f"{FOLD}{fold}": sha256_json(epochs) for fold, epochs in one.curves.items()}
    stale = {key: value for key, value in tags.items() if have.tags.get(key) != value}
    files = sha256_json([(path.name, at, sha256_file(path)) for path, at in one.files])
    changed = have.tags.get(FILES) != files
    # A number that changed, as a score or a forecast may, is another point of the same curve.
    points = [(key, value, 0) for key, value in one.scores.items() if have.metrics.get(key) != value]
    for fold, epochs in one.curves.items():
        if f"{FOLD}{fold}" in stale:
            points += [(f"fold-{fold}/{key}", v, n) for n, epoch in enumerate(epochs, 1) for key, v in epoch.items()]
    now = int(time.time() * 1000)
    metrics = [package.entities.Metric(key, v, now, n) for key, v, n in points]
    for kind, whole, most in (("params", params, PARAMS_AT_ONCE), ("metrics", metrics, METRICS_AT_ONCE)):
        for first in range(0, len(whole), most):
            client.log_batch(name, **{kind: whole[first : first + most]})
    for key, value in stale.items():  # only now: the tag of a fold says that its points are there
        client.set_tag(name, key, value)
    if changed:
        for path, at in one.files:
            client.log_artifact(name, str(path), at or None)
        client.set_tag(name, FILES, files)
    news = bool(params or points or stale or changed)
    if news or run.info.status == "RUNNING":
        client.set_terminated(name)
    return news or not found
