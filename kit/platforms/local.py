"""The local platform: runs the bundle on the hidden test in its own process, scores, keeps a board with baselines."""

import math
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from kit.base.arrays import ImageArray
from kit.base.tasks import Array
from kit.errors import BundleError, ConfigError, PlatformError, StageError
from kit.images.sources import RawSet, open_source
from kit.judge import score
from kit.judge.seen import seen
from kit.platforms import Platform, Setting, Status
from kit.platforms.sandbox import run_bundle
from kit.runtime.names import answers
from kit.store.data import load_images, load_index
from kit.store.files import lock, write_json
from kit.store.ledger import Attempt, BoardRow
from kit.store.record import Part, read, read_cache, write_cache

BLOCK = 20_000  # thumbnails at once, and at most as many are learnt from
THUMBNAIL = 8  # pixels a side: enough for colours, too few for shapes, so that a network has something to beat


class LocalScore(Part, extra="ignore"):
    """What became of a submission."""

    tag: str
    time: str
    state: Literal["scored", "failed"]
    score: float | None = None
    metric: str = ""  # this and the next are empty where an earlier kit did not say it
    truth: str = ""  # the fingerprint of the images and labels
    message: str = ""


class Baselines(Part):
    """Scores by name, and the state of the data that they are of."""

    key: list[str]
    scores: dict[str, float]


class Local(Platform):
    """A platform on this machine; ``data/local-platform`` is what another host would keep for itself."""

    def __init__(self, setting: Setting) -> None:
        self._layout = setting.layout
        self._config = setting.config
        self._folder = setting.layout.local_platform

    def check(self, file: Path) -> list[str]:
        """Raise where there is nothing to score on, or no bundle."""
        if not self._config.data.truth:
            hint = '[data] truth = "path/to/hidden.npz"'
            raise ConfigError("the local platform cannot score: data.truth is not set", hint)
        if not file.is_file():
            raise PlatformError(f"no such bundle: {file}", "kit bundle")
        return []

    def find(self, digest: str, phase: str = "") -> list[tuple[str, str]]:
        """Submissions by the end of their tag, newest first."""
        return [(tag, tag) for tag in reversed(self._tags()) if tag.endswith(f"-{digest}")]

    def submit(self, file: Path, tag: str, journal: Attempt) -> str:
        """Run and score the bundle at once. No `request` is noted: the same tag twice is the same submission."""
        self.check(file)
        with lock(self._folder / ".lock", "the local platform"):
            if not self._record(tag).exists():
                write_json(self._record(tag), self._score(file, tag).model_dump(exclude_defaults=True))
        return tag

    def status(self, remote: str) -> Status:
        """Scored or failed; nothing waits here."""
        found = self._read(remote)
        return Status(found.state, found.score, found.message)

    def logs(self, remote: str) -> str:
        """What the bundle said when it failed."""
        return self._read(remote).message

    def leaderboard(self) -> list[BoardRow]:
        """Our submissions among baselines that need no network; empty where there is nothing to score on."""
        if not self._config.data.truth:
            return []
        metric, truth = self._config.competition.metric, self._truth().fingerprint
        every = map(self._read, self._tags())
        mine = [found for found in every if found.metric in ("", metric) and found.truth in ("", truth)]
        lines = [(found.score, found.tag, True) for found in mine if found.score is not None]
        lines += [(value, name, False) for name, value in self._baselines().items()]
        sign = -1 if score.lookup(metric).measure.greater_is_better else 1
        lines.sort(key=lambda line: (sign * line[0], line[1]))
        return [
            BoardRow(rank, name, value, own, name if own else "")
            for rank, (value, name, own) in enumerate(lines, start=1)
        ]

    def _tags(self) -> list[str]:
        return sorted(path.stem for path in (self._folder / "submissions").glob("*.json"))

    def _record(self, tag: str) -> Path:
        return self._folder / "submissions" / f"{tag}.json"

    def _read(self, remote: str) -> LocalScore:
        if not self._record(remote).exists():
            raise PlatformError(f"the local platform has no submission {remote!r}", "kit submit --again")
        try:
            return read(self._record(remote), LocalScore.model_validate_json)
        except StageError as error:
            raise PlatformError(error.message, error.hint) from None

    def _truth(self) -> RawSet:
        return open_source(self._config.data, self._layout.root, "truth")

    def _score(self, bundle: Path, tag: str) -> LocalScore:
        """Run and score a bundle as a host would: its failure is an answer, not an error."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        truth, metric = self._truth(), self._config.competition.metric
        proba = score.lookup(metric).measure.needs != "labels" or truth.task.kind != "classes"
        try:
            parts = [(known, run_bundle(bundle, images, proba=proba)) for images, known in truth.labelled()]
        except BundleError as error:
            return LocalScore(tag=tag, time=time, state="failed", message=error.message)
        every = zip(*((known, run.labels, run.proba) for known, run in parts), strict=True)
        labels, answered, said = map(np.concatenate, every)
        if truth.task.kind != "classes":
            rows = seen(metric, truth.task, labels, truth.classes)
            value = score.score(metric, rows.y, rows.said(said, answered))
        else:
            # Numbers of classes as the contract gives them; probabilities only where the metric needs them.
            place = {number: at for at, number in enumerate(answers(truth.classes))}
            # A number that is no class is wrong, whatever the label.
            wrong = ((labels + 1) % len(place)).tolist()
            found = [place.get(number, other) for number, other in zip(answered.tolist(), wrong, strict=True)]
            value = score.score(metric, labels, said if proba else np.eye(len(place))[found])
        if not math.isfinite(value):
            return LocalScore(tag=tag, time=time, state="failed", message=f"{metric} of these predictions is {value}")
        return LocalScore(tag=tag, time=time, state="scored", score=value, metric=metric, truth=truth.fingerprint)

    def _baselines(self) -> dict[str, float]:
        """What anybody reaches without a network; computed once for a state of the data."""
        path = self._folder / "baselines.json"
        index, truth = load_index(self._layout), self._truth()
        if index.task.kind != "classes":  # these baselines are classifiers
            return {}
        key = [index.training, truth.fingerprint, self._config.competition.metric]
        known = read_cache(path, Baselines.model_validate_json)
        if known is not None and known.key == key:
            return known.scores
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        ours = load_images(self._layout)
        prior = np.bincount(index.labels, minlength=int(index.labels.max()) + 1) / len(index.labels)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
        learnt = range(0, len(index.labels), -(-len(index.labels) // BLOCK))
        with warnings.catch_warnings():  # it need not have converged to be a mark that a network should beat
            warnings.filterwarnings("ignore", category=ConvergenceWarning)
            model.fit(_thumbnails(ours, learnt), index.labels[learnt])
        labels, said = np.zeros(0, np.int64), list[Array]()
        for images, some in truth.labelled():
            every = range(len(images))
            said += [model.predict_proba(_thumbnails(images, every[start:][:BLOCK])) for start in every[::BLOCK]]
            labels = np.append(labels, some)
        baselines = {
            "baseline: largest class": np.tile(prior, (len(labels), 1)),
            "baseline: logistic regression on thumbnails": np.concatenate(said),
        }
        metric = self._config.competition.metric
        scores = {name: score.score(metric, labels, proba) for name, proba in baselines.items()}
        write_cache(path, Baselines(key=key, scores=scores).model_dump_json().encode())
        return scores


def _thumbnails(images: ImageArray, rows: range) -> npt.NDArray[np.float64]:
    """Mean colours of an 8 x 8 grid of ``rows`` (K,), flattened (K, 192)."""
    small = (Image.fromarray(images[row]).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX) for row in rows)
    return np.array([np.asarray(one) for one in small], np.float64).reshape(len(rows), -1)
