"""A small competition, and what every stage of a project is made from: for the tests of lineage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from competitions import names, picture, write_csv
from in_process import InProcess, drawn

from kit.base.events import silent
from kit.config import Config, load
from kit.errors import StageError
from kit.images.sources import open_source
from kit.runs import results, stressed
from kit.runs.spec import FoldSpec, plan_runs, weights_hash
from kit.runs.spec import lineage as run_lineage
from kit.stages.bundle import bundle as bundle_stage
from kit.stages.clean import clean as clean_stage
from kit.stages.clean.lineage import lineage, lineage_of_unlabelled
from kit.stages.ensemble import ensemble as ensemble_stage
from kit.stages.folds import lineage as folds_lineage
from kit.stages.folds import make_folds
from kit.stages.forecast import forecast as forecast_stage
from kit.stages.forecast import testset
from kit.stages.forecast.entries import Gathered, gather
from kit.stages.stress.stress import stress
from kit.stages.table import table
from kit.stages.train.features import feature_lineage
from kit.stages.train.train import train
from kit.store.candidate import Ensemble
from kit.store.data import load_index, unlabelled_record
from kit.store.layout import Layout, SubmissionPaths
from kit.store.ledger import add_event, target_of
from kit.store.ledger.facts import Answer, Intent, Request, Score
from kit.store.partition import load_folds
from kit.store.record import Digests

T = TypeVar("T")

ROWS, TESTS = 36, 4  # with five test images the comparison of `kit forecast` takes seconds
COLUMNS = ["image_id", "file", "patient", "site", "trust", "doubt", "label", "second"]
CONFIG = """
[data]
train = "raw/train.csv"
test = "raw/test.csv"
classes = "raw/classes.txt"
label = "label"
group = "patient"
weight = "trust"
images = "raw/train"
test_images = "raw/test"
image_size = 24
[folds]
n = 2
[runs.net]
backbone = "plain-cnn"
weights = "raw/pretrained.weights.h5"
batch_size = 16
views = ["identity", "flip-lr"]
augment = [{ op = "dihedral" }]
preprocess = [{ op = "bilateral", radius = 1 }]
validate_augment = [{ op = "dihedral" }]
stages = [{ train = "head", epochs = 1, schedule = { kind = "cosine" }, early_stopping = { patience = 3 } }]
[runs.other]
backbone = "residual-cnn"
stages = [{ train = "all", epochs = 1 }]
views = ["identity", "flip-lr"]
[stress]
families = ["noise", "jpeg"]
rows = 4
[ensemble]
max_bundle_mb = 100
"""


def write_raw(root: Path) -> None:
    """The files of the competition, and another one of each that a key of ``[data]`` can name."""
    for folder in ("raw/train", "raw/test", "raw/more/cat"):
        (root / folder).mkdir(parents=True)
    rows: list[list[object]] = []
    for row, name in enumerate(names(ROWS)):
        picture(name, row).save(root / f"raw/train/{row:02d}.png")
        about = [f"p{row // 2}", f"s{row // 4}", 1 + row % 2, 1 + row % 3, name, names(ROWS)[(row + row % 5) % ROWS]]
        rows.append([f"{row:02d}", f"{row:02d}.png", *about])
    write_csv(root / "raw/train.csv", COLUMNS, rows)
    write_csv(root / "raw/fewer.csv", COLUMNS, rows[:-1])
    for row in range(TESTS):
        picture(names(TESTS)[row], 5000 + row).save(root / f"raw/test/t{row}.png")
    write_csv(root / "raw/test.csv", ["image_id", "file"], [[f"t{row}", f"t{row}.png"] for row in range(TESTS)])
    write_csv(root / "raw/fewer-tests.csv", ["image_id"], [[f"t{row}"] for row in range(1, TESTS)])
    write_csv(root / "raw/sample.csv", ["image_id", "label"], [[f"t{row}", "cat"] for row in reversed(range(TESTS))])
    for folder, change in (("raw/train", "00.png"), ("raw/test", "t0.png")):
        shutil.copytree(root / folder, root / f"{folder}-again")
        picture("hen", 77).save(root / f"{folder}-again" / change)
    picture("cat", 99).save(root / "raw/more/cat/a.png")
    (root / "raw/classes.txt").write_text("cat\ndog\nhen\n")
    (root / "raw/renamed.txt").write_text("dog\ncat\nhen\n")
    (root / "raw/pretrained.weights.h5").write_bytes(b"weights")
    (root / "raw/others.weights.h5").write_bytes(b"other weights")


def make(root: Path, text: str = CONFIG, prepare: Callable[[Path], None] = lambda root: None) -> tuple[Layout, Config]:
    """The competition cleaned, split, trained, stressed, blended, scored once and forecast, by `drawn`.

    ``prepare`` may change the raw files in the project's folder before anything is made.
    """
    write_raw(root)
    prepare(root)
    (root / "kit.toml").write_text(text)
    layout = Layout(root)
    config = load(layout.config)
    clean_stage.clean(layout, config, silent)
    make_folds(layout, config, silent)
    train(layout, config, silent, launch=InProcess(drawn), pictures=False)
    stress(layout, config, silent, launch=InProcess(drawn))
    scored(ensemble_stage.ensemble(layout, config, silent), config, 0.7)
    if config.competition.task in ("multiclass", "binary", "ordinal"):
        forecast_stage.forecast(layout, config, silent)
    return layout, config


def scored(paths: SubmissionPaths, config: Config, score: float) -> None:
    """The platform gives a candidate a score."""
    sent = Intent(target=target_of(config), sha256="0" * 64, tag=f"kit-{score}")
    for fact in (sent, Request(), Answer(remote="1"), Score(score=score)):
        add_event(paths, f"{score}", fact)


def lineages(layout: Layout, config: Config) -> dict[str, Digests | None]:
    """By stage what it is made from, computed anew; None where what it reads is not there, so that it is redone.

    A run and its folds are those of ``net``; the table has no record, its text stands for one.
    """
    index = load_index(layout)

    def specs() -> list[FoldSpec]:
        return plan_runs(layout, config, ["net"])["net"]

    def run() -> Digests:
        settings = config.runs["net"]
        return run_lineage(settings, weights_hash(settings, layout), index, load_folds(layout, config, index).digest)

    def test() -> Digests:
        return lineage_of_unlabelled(layout, config, open_source(config.data, layout.root, "test"))

    def features() -> Digests:
        settings = config.runs["net"]
        described = {"settings": settings, "classes": len(index.classes), "size": index.shape[0]}
        told = {"root": str(layout.root), "run": "net", "weights": weights_hash(settings, layout)}
        return feature_lineage(FoldSpec(**described, **told, key="", fold=0, n=1, folds="", data="", table=""))

    def predicted() -> Digests:
        record = unlabelled_record(layout, "test")
        return results.lineage_of_test(specs()[0], results.require(specs()[0]), required(record))

    @cache
    def blended() -> Digests:
        runs = plan_runs(layout, config, config.ensemble_runs())
        return ensemble_stage.lineage(layout, config, runs, ensemble_stage.costs(config, runs))

    @cache
    def candidate() -> SubmissionPaths:
        return required(ensemble_stage.find_submission(layout, blended(), silent))

    @cache
    def gathered() -> Gathered:
        return gather(layout, config)

    plan = stressed.plan_of(config.stress)
    computed: dict[str, Callable[[], Digests | None]] = {
        "data": lambda: lineage(layout, config, clean_stage.open_labelled(layout, config)[0]),
        "test": test,
        "folds": lambda: folds_lineage(config, index),
        "run": run,
        "features": features,
        "predicted": predicted,
        "joined": lambda: results.run_lineage(specs(), index),
        "joined test": lambda: results.run_lineage_of_test(specs(), index, required(unlabelled_record(layout, "test"))),
        "stressed": lambda: stressed.fold_lineage(specs()[0], plan, index),
        "joined stressed": lambda: stressed.run_lineage(specs(), plan, index, config.competition.metric),
        "ensemble": blended,
        "bundle": lambda: bundle_stage.lineage(layout, config, Ensemble.load(candidate().ensemble)),
        "forecast": lambda: forecast_stage.lineage(gathered(), forecast_stage.test_size(layout, config, gathered())),
        "shift": lambda: testset.lineage(layout, gathered(), config.stress.seed),
        "table": lambda: {"text": table(layout, config, candidate(), silent).read_text()},
    }
    found: dict[str, Digests | None] = {}
    for stage, compute in computed.items():
        try:
            found[stage] = compute()
        except StageError:
            found[stage] = None
    return found


def required(value: T | None) -> T:
    if value is None:
        raise StageError("not there")
    return value


def changed(before: dict[str, Digests | None], after: dict[str, Digests | None]) -> set[str]:
    """The stages that are redone."""
    return {stage for stage in before if before[stage] != after[stage]}


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first ``old`` in a text file; fails where there is none."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
