"""The local platform: runs the bundle on the hidden test in its own process, scores, keeps a board with baselines."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kit import score
from kit.config import Config
from kit.data import load_images, load_index
from kit.errors import BundleError, ConfigError, PlatformError
from kit.files import lock, read_json, write_json
from kit.layout import Layout
from kit.platforms.base import BoardRow, Remaining, Status
from kit.records import ImageArray
from kit.sandbox import BundleRun, run_bundle
from kit.sources import RawSet, open_source

THUMBNAIL = 8


class Local:
    """A platform on this machine; ``data/local-platform`` is what another host would keep for itself."""

    def __init__(self, layout: Layout, config: Config) -> None:
        self._layout = layout
        self._config = config
        self._folder = layout.local_platform

    def check(self, bundle: Path) -> None:
        if not self._config.data.truth:
            raise ConfigError(
                "the local platform has nothing to score on: data.truth is not set",
                '[data] truth = "path/to/hidden.npz"',
            )
        if not bundle.is_file():
            raise PlatformError(f"no such bundle: {bundle}", "kit bundle")

    def remaining(self) -> Remaining:
        return Remaining(None, None)

    def find(self, tag: str) -> str | None:
        return tag if self._record(tag).exists() else None

    def submit(self, bundle: Path, tag: str) -> str:
        self.check(bundle)
        with lock(self._folder / ".lock", "the local platform"):
            if not self._record(tag).exists():
                write_json(self._record(tag), self._score(bundle, tag))
        return tag

    def status(self, remote: str) -> Status:
        record = self._read(remote)
        return Status(record["state"], record.get("score"), record.get("message", ""))

    def logs(self, remote: str) -> str:
        return str(self._read(remote).get("message", ""))

    def leaderboard(self) -> list[BoardRow]:
        mine = [read_json(path) for path in sorted((self._folder / "submissions").glob("*.json"))]
        lines = [(record["score"], record["tag"], True) for record in mine if record["state"] == "scored"]
        lines += [(value, name, False) for name, value in self._baselines().items()]
        sign = -1 if score.lookup(self._config.competition.metric).greater_is_better else 1
        lines.sort(key=lambda line: (sign * line[0], line[1]))
        return [BoardRow(rank, name, value, own) for rank, (value, name, own) in enumerate(lines, start=1)]

    def _record(self, tag: str) -> Path:
        return self._folder / "submissions" / f"{tag}.json"

    def _read(self, remote: str) -> dict[str, Any]:
        if not self._record(remote).exists():
            raise PlatformError(f"the local platform knows no submission {remote!r}", "kit lb")
        record: dict[str, Any] = read_json(self._record(remote))
        return record

    def _truth(self) -> RawSet:
        return open_source(self._config.data, self._layout.root, "truth")

    def _score(self, bundle: Path, tag: str) -> dict[str, Any]:
        """Run and score a bundle as a host would: its failure is an answer, not an error."""
        about = {"tag": tag, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        truth = self._truth()
        try:
            run = run_bundle(bundle, truth.all_images())
        except BundleError as error:
            return {**about, "state": "failed", "message": error.message}
        metric = self._config.competition.metric
        value = score.score(metric, truth.labels, _answer(run, metric, len(truth.classes)))
        if not math.isfinite(value):
            return {**about, "state": "failed", "message": f"{metric} of these predictions is {value}"}
        return {**about, "state": "scored", "score": value, "rows": len(truth.ids), "seconds": run.predict_seconds}

    def _baselines(self) -> dict[str, float]:
        """What anybody reaches without a network; computed once for a state of the data."""
        path = self._folder / "baselines.json"
        index, truth = load_index(self._layout), self._truth()
        key = [index.sha256, truth.fingerprint, self._config.competition.metric]
        if path.exists() and read_json(path)["key"] == key:
            return dict(read_json(path)["scores"])
        images = truth.all_images()
        scores = {
            name: score.score(self._config.competition.metric, truth.labels, proba)
            for name, proba in _baseline_predictions(np.asarray(load_images(self._layout)), index.labels, images)
        }
        write_json(path, {"key": key, "scores": scores})
        return scores


def _answer(run: BundleRun, metric: str, classes: int) -> npt.NDArray[np.float64]:
    """What is scored: class indices as the contract gives them, probabilities only where the metric needs them."""
    if score.lookup(metric).needs_proba:
        return run.proba
    return np.eye(classes)[np.clip(run.labels, 0, classes - 1)]


def _baseline_predictions(
    images: ImageArray, labels: npt.NDArray[np.int64], test: ImageArray
) -> list[tuple[str, npt.NDArray[np.float64]]]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes = int(labels.max()) + 1
    prior = np.bincount(labels, minlength=classes) / len(labels)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    model.fit(_thumbnails(images), labels)
    return [
        ("baseline: largest class", np.tile(prior, (len(test), 1))),
        ("baseline: logistic regression on thumbnails", model.predict_proba(_thumbnails(test))),
    ]


def _thumbnails(images: ImageArray) -> npt.NDArray[np.float64]:
    """Mean colours of an 8 x 8 grid, flattened (N, 192)."""
    n, height, width, _ = images.shape
    rows, columns = height // THUMBNAIL * THUMBNAIL, width // THUMBNAIL * THUMBNAIL
    if rows == 0 or columns == 0:
        return images.reshape(n, -1).astype(np.float64)
    cut = images[:, :rows, :columns].reshape(n, THUMBNAIL, rows // THUMBNAIL, THUMBNAIL, columns // THUMBNAIL, 3)
    means: npt.NDArray[np.float64] = cut.mean(axis=(2, 4)).reshape(n, -1)
    return means
