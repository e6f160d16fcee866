"""A project with everything that a report reads, made in seconds: its predictions are drawn, not trained."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from recorded import join_runs, write_fold

from kit.base.events import silent
from kit.images.corrupt.plan import plan_of
from kit.project import Project
from kit.runs.spec import plan_runs
from kit.runs.stressed import StressedRun, StressScores
from kit.stages.ensemble.ensemble import ensemble
from kit.store.candidate import Ensemble, ForecastRecord
from kit.store.data import load_index
from kit.store.files import write_csv
from kit.store.layout import SubmissionPaths
from kit.store.ledger import BoardRow, add_event, target_of
from kit.store.ledger.facts import Answer, Intent, Request, Score
from kit.store.partition import load_folds
from kit.store.record import Figure, digests_of

HOSTILE = (
    "<script>document.title='broken'</script>",
    '"><img src=x onerror="document.title=\'broken\'">',
    "{{ 7 * 7 }} & </style> ünï",
)
CONFIG = """
[competition]
name = '''{name}'''
test_size = 300
[data]
train = "raw/train.npz"
classes = "raw/classes.txt"
[folds]
n = 3
[runs.first]
backbone = "plain-cnn"
stages = [{{ train = "all", epochs = 4 }}]
views = ["identity", "flip-lr"]
[runs.second]
extends = "first"
backbone = "residual-cnn"
"""
ROWS, SIDE, EPOCHS = 90, 24, 4


def invent(
    folder: Path, name: str = "invented", classes: tuple[str, ...] = ("cat", "dog", "hen"), file: str = ""
) -> Project:
    """A project in ``folder`` whose two networks are right on about four images in five, scored once.

    Its images are files in folders where ``file`` is given, their names with ``{}`` for the number.
    """
    raw(folder, classes)
    text = CONFIG.format(name=name)
    if file:
        as_files(folder, classes, file)
        text = text.replace("raw/train.npz", "raw/train").replace('classes = "raw/classes.txt"\n', "")
    (folder / "kit.toml").write_text(text, encoding="utf-8")
    project = Project(folder)
    project.folds()
    train(project)
    _submit(project, ensemble(project.layout, project.config, silent))
    return project


def train(project: Project, runs: tuple[str, ...] = ()) -> None:
    """What training leaves behind, for these runs or all."""
    index = load_index(project.layout)
    held_out = load_folds(project.layout, project.config, index).fold
    curve = [(0, "all", e, 1e-3, 1.2 - 0.2 * e, 0.4 + 0.1 * e, 1.1 - 0.15 * e) for e in range(EPOCHS)]
    for number, specs in enumerate(plan_runs(project.layout, project.config, runs).values()):
        logits = np.random.default_rng([7, number]).normal(size=(2, len(index.ids), len(index.classes)))
        logits[:, np.arange(len(index.ids)), index.labels] += 1.6
        for spec in specs:
            rows = np.flatnonzero(held_out == spec.fold)
            write_fold(spec, np.array(index.ids)[rows], logits[:, rows], curve)
    join_runs(project.layout, project.config, runs)


def raw(folder: Path, classes: tuple[str, ...]) -> None:
    """Noisy squares of a colour a class, one of them twice."""
    (folder / "raw").mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = np.arange(ROWS) % len(classes)
    images = rng.integers(0, 120, (ROWS, SIDE, SIDE, 3))
    images[:, 6:18, 6:18] += (np.eye(3, dtype=int)[labels % 3] * 110)[:, None, None]
    images[ROWS - 1] = images[len(classes) - 1]
    labels[ROWS - 1] = labels[len(classes) - 1]
    np.savez(folder / "raw/train.npz", images=images.astype(np.uint8), labels=labels)
    (folder / "raw/classes.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")


def as_files(folder: Path, classes: tuple[str, ...], file: str) -> None:
    """The images of `raw` once more, as PNG in a folder a class."""
    with np.load(folder / "raw/train.npz") as found:
        images, labels = found["images"], found["labels"]
    for n, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        path = folder / "raw/train" / classes[label] / f"{file.replace('{}', str(n))}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def submit_more(project: Project, scores: tuple[float, ...]) -> None:
    """Candidates after the first, each with another cross-validated figure and one of these scores."""
    from kit.store.ledger import add_snapshot, latest

    first, target = latest(project.layout), target_of(project.config)
    assert first is not None
    record = Ensemble.load(first.ensemble)
    for n, score in enumerate(scores, 2):
        paths = project.layout.submission(f"21{n:02d}0101T000000Z-{n:08x}")
        cv = Figure(**{name: value - 0.01 * n for name, value in record.cv})
        record.model_copy(update={"made_from": {"number": str(n)}, "cv": cv}).save(paths.ensemble)
        shutil.copy(first.predictions, paths.predictions)
        for fact in (
            Intent(target=target, sha256=f"{n:064x}", tag=f"kit-{n}"),
            Request(),
            Answer(remote=str(n)),
            Score(score=score),
        ):
            add_event(paths, str(n), fact)
        others = [0.9 - 0.04 * place for place in range(9)]
        rows = [BoardRow(0, f"team {place}", value, False, "") for place, value in enumerate(others)]
        ranked = sorted([*rows, BoardRow(0, "we", score, True, str(n))], key=lambda row: -row.score)
        add_snapshot(project.layout, target, [replace(row, rank=at) for at, row in enumerate(ranked, 1)])


def _submit(project: Project, paths: SubmissionPaths) -> None:
    from kit.store.ledger import add_snapshot

    target = target_of(project.config)
    about = Intent(target=target, sha256="0" * 64, tag="kit-1")
    for fact in (about, Request(), Answer(remote="11"), Score(score=0.71)):
        add_event(paths, "1", fact)
    names = (HOSTILE[0], "we", "baseline")
    rows = [
        BoardRow(n + 1, who, 0.8 - 0.09 * n, who == "we", "11" if who == "we" else "") for n, who in enumerate(names)
    ]
    add_snapshot(project.layout, target, rows)


def stress(project: Project) -> None:
    """What `kit stress` and `kit forecast` write, as far as it is shown; the numbers are made up."""
    for specs in plan_runs(project.layout, project.config, ()).values():
        paths = specs[0].run_paths
        drops = [(family, degree, 30, 0.8, 0.01 * degree) for family in ("noise", "jpeg") for degree in range(1, 6)]
        write_csv(paths.stress_table, ("family", "severity", "rows", "score", "drop"), drops)
        figures = {name: Figure(score=value, low=value - 0.1, high=value + 0.1) for name, value in SCORES.items()}
        record = StressedRun(
            made_from={},
            files=digests_of(paths.root, paths.stress_table),
            metric="accuracy",
            plan=plan_of(project.config.stress),
            scores=StressScores(**figures),
        )
        record.save(paths.stress_manifest)
        ForecastRecord(made_from={}, name=specs[0].run, kind="run", metric="accuracy", **FORECAST).save(paths.forecast)


SCORES = {"clean": 0.81, "stressed": 0.62, "drop": 0.19}
FORECAST = {
    "value": 0.64, "low": 0.5, "high": 0.7, "level": 0.9, "clean": 0.81, "stressed": 0.62, "basis": "mixture",
    "past": 0, "score": 0.71, "error": 0.07,
}  # fmt: skip
