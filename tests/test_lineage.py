"""What feeds what: a key of ``kit.toml`` or an input of a stage, changed, redoes exactly what depends on it.

The keys are those of the types of the configuration, so that a new one has to be entered in `KEYS`; the inputs of the
stages are those that the code names in ``made_from``, and one that nothing ever changes fails too.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import lineage
import numpy as np
import pytest
from competitions import picture
from lineage import changed, edit, lineages, required
from pydantic import BaseModel, ValidationError

from kit.base.events import silent
from kit.config import Config, load
from kit.errors import StageError
from kit.runs.results import PredictedRecord, RunRecord, fold_lineage, require
from kit.runs.spec import plan_runs
from kit.runs.stressed import StressedFold, StressedRun, plan_of
from kit.runtime.backbones import BACKBONES
from kit.stages.clean import clean as clean_stage
from kit.stages.ensemble.ensemble import ensemble
from kit.stages.folds import make_folds
from kit.stages.probe import lineage as probe_lineage
from kit.store.candidate import Ensemble, ForecastRecord
from kit.store.data import DataRecord, DataRows, UnlabelledRecord, load_index
from kit.store.files import append_log
from kit.store.layout import Layout
from kit.store.ledger import latest
from kit.store.partition import FoldsRecord
from kit.store.record import Digests, Made, digests_of

pytestmark = pytest.mark.stage

DESIGN = Path(__file__).parent.parent / "docs" / "design.md"
Lineages = dict[str, Digests | None]

CANDIDATE = {"ensemble", "bundle", "table"}
BLENDED = CANDIDATE | {"forecast", "shift"}
STRESSED = BLENDED | {"stressed", "joined stressed"}
RUN = STRESSED | {"run", "predicted", "joined", "joined test"}

# The stages that are redone at once when a key changes. What is below a stage whose result is another one follows from
# there; a result that cannot be found under the changed key counts as redone, and what reads it does too.
REACHES: tuple[tuple[set[str], str], ...] = (
    (set(), "competition.name competition.task competition.code competition.fact_sheet"),
    ({"forecast"}, "competition.platform competition.url competition.id competition.test_size"),
    (set(), "competition.costs competition.weights"),  # only of metrics whose names say them
    (set(), "competition.phase"),  # scores of the local platform are of no phase
    ({"joined stressed", *BLENDED}, "competition.metric"),
    ({"data"}, "data.train data.external data.validation data.classes data.label data.group data.weight"),
    ({"data"}, "data.images"),
    ({"test"}, "data.test data.test_images"),
    ({"data", "test"}, "data.id data.image_size data.practice.n data.practice.size data.practice.seed"),
    ({"data", "test", "bundle"}, "data.resize"),
    (set(), "data.unlabelled"),  # read by students alone; see `tests/train/test_teach.py`
    (set(), "data.store data.quality"),  # a small set is an array either way; see `tests/test_encoded.py`
    ({"table"}, "data.sample_submission"),
    (set(), "data.truth"),  # read by the local platform alone
    ({"data"}, "clean.exact clean.near clean.conflicting clean.contamination clean.background clean.quality"),
    ({"data"}, "clean.outliers clean.outlier_share clean.drop_outliers"),
    ({"folds", *RUN}, "folds.name folds.method folds.n"),
    ({"folds"}, "folds.repeats folds.seed"),  # the table stays as it is until `kit folds --reset`
    (set(), "train.workers train.tensorboard engine.name engine.address engine.num_cpus engine.num_gpus"),
    (set(), "engine.memory engine.storage engine.attempts"),
    ({"features", *RUN}, "runs.backbone runs.weights runs.options runs.seed runs.head.pooling"),
    ({"features", *RUN}, "runs.preprocess.op runs.augment.op runs.size runs.stages.size"),
    # Of a student that was not trained before either.
    ({"run"}, "runs.teach.by runs.teach.soft runs.teach.power runs.teach.pseudo runs.teach.min_confidence"),
    (RUN, "runs"),  # every key of a run that has no place of its own
    (STRESSED | {"predicted", "joined test"}, "predict.engine"),
    (STRESSED, "stress.families stress.severities stress.clean stress.rows stress.seed"),
    (CANDIDATE, "ensemble.runs ensemble.metric ensemble.unknown ensemble.fit_on ensemble.seed ensemble.max_members"),
    (CANDIDATE, "ensemble.max_views ensemble.max_seconds_per_1000 ensemble.max_bundle_mb"),
    (CANDIDATE, "bundle.max_mb bundle.max_seconds"),
    ({"bundle"}, "bundle.contract bundle.batch_size bundle.half_precision bundle.images bundle.max_memory_mb"),
    ({"bundle"}, "bundle.model_license bundle.data_license"),
    (
        set(),
        "notebook.accelerator notebook.image notebook.datasets notebook.models notebook.evaluation notebook.output",
    ),
)
KEYS = {key: stages for stages, words in REACHES for key in words.split()}
# Other values of the keys whose type does not tell one.
OTHERS: dict[str, object] = {
    "competition.url": "https://other.example",
    "competition.metric": "nll",
    "competition.costs": [[0, 1], [1, 0]],
    "competition.weights": [1, 2],
    "competition.fact_sheet": {"question": "answer"},
    "data.train": "raw/fewer.csv",
    "data.test": "raw/fewer-tests.csv",
    "data.truth": "raw/train.csv",
    "data.unlabelled": "raw/more",
    "data.external": "raw/more",
    "data.validation": "raw/more",
    "data.sample_submission": "raw/sample.csv",
    "data.classes": "raw/renamed.txt",
    "data.id": "file",
    "data.label": "second",
    "data.group": "site",
    "data.weight": "doubt",
    "data.images": "raw/train-again",
    "data.test_images": "raw/test-again",
    "predict.engine": "openvino",
    "runs.backbone": "residual-cnn",
    "runs.weights": "raw/others.weights.h5",
    "runs.options": {"dropout": 0.1},
    "runs.preprocess.op": "segmentation",
    "runs.augment.op": "quarter-turn",
    "runs.validate_augment.op": "quarter-turn",
    "runs.views": ["identity", "flip-ud"],
    "runs.size": 32,
    "runs.stages.size": 32,
    "runs.head.batch_norm": ["features"],
    "runs.head.units": [8],
    "runs.teach.by": ["ensemble"],
    "runs.stages.kinds": ["conv"],
    "runs.stages.early_stopping.metric": "accuracy",
    "runs.stages.schedule.metric": "accuracy",
    "stress.families": ["noise"],
    "stress.severities": [1, 2, 1, 1, 1],
    "ensemble.runs": ["net"],
    "ensemble.metric": "brier",
    "ensemble.unknown": "cat",
    "notebook.datasets": ["someone/images"],
    "notebook.models": ["someone/net/keras/small/1"],
}
PRACTICE = {"train": "practice", "test": "practice", "practice": {"n": 200, "size": 16}}


def keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name and type of every key of ``kit.toml``; names of runs and positions in lists are left out."""
    for name, field in model.model_fields.items():
        inner = table_of(field.annotation)
        if inner is None:
            yield prefix + name, field.annotation
        else:
            yield from keys(inner, f"{prefix}{name}.")


def table_of(annotation: Any) -> type[BaseModel] | None:
    """The table of keys that a type is, or holds, like a list of stages."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((table for one in get_args(annotation) if (table := table_of(one)) is not None), None)


TYPES = dict(keys())


def other_values(annotation: Any, value: Any) -> list[Any]:
    """Values that the type may allow, of which one is another one than ``value``."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if parts and get_origin(annotation) is not tuple:
        return [found for part in parts for found in other_values(part, value)]
    if annotation is str:
        return [f"{value}x", "x"]
    numbers = [value + 1, value - 1, value / 2, value + 0.1] if isinstance(value, int | float) else [1, 50.0]
    return {bool: [not value], int: [int(number) for number in numbers]}.get(annotation, [*map(float, numbers)])


def at(tree: Any, path: tuple[str, ...]) -> Any:
    """The value at a path of a configuration; of a table of runs that of ``net``, of a list the first."""
    for name in path:
        tree = tree[0] if isinstance(tree, list | tuple) else tree
        tree = tree[name] if isinstance(tree, dict) else getattr(tree, name)
    return tree


def with_other(key: str) -> tuple[Config, Config]:
    """The configuration before and after a key has another value."""
    path = tuple(key.replace("runs.", "runs.net.").split("."))

    def raw() -> dict[str, Any]:
        found = tomllib.loads(lineage.CONFIG)
        if key.startswith("runs.teach."):
            found["runs"]["net"]["teach"] = {"by": ["other"]}
        return {**found, "data": PRACTICE} if key.startswith("data.practice") else found

    before = Config.model_validate(raw())
    value = at(before, path)
    for other in [OTHERS[key]] if key in OTHERS else other_values(TYPES[key], value):
        tree: Any = (changed_tree := raw())
        for name in path[:-1]:
            tree = tree[0] if isinstance(tree, list) else tree
            tree = tree.setdefault(name, {})
        (tree[0] if isinstance(tree, list) else tree)[path[-1]] = other
        try:
            after = Config.model_validate(changed_tree)
        except ValidationError:
            continue
        if at(after, path) != value:
            return before, after
    raise AssertionError(f"enter another value of {key} in OTHERS")


def expected(key: str) -> set[str]:
    assert key in KEYS or key.startswith("runs."), f"enter in REACHES what {key} reaches"
    return KEYS.get(key, KEYS["runs"])


@pytest.fixture(scope="module")
def before(drawn_project: tuple[Layout, Config]) -> Lineages:
    """What the stages of the project are made from."""
    return lineages(*drawn_project)


@pytest.fixture(scope="module")
def by_key(drawn_project: tuple[Layout, Config]) -> dict[str, tuple[Lineages, Lineages]]:
    """Before and after, for every key; the files on the disk are the same."""
    layout, _ = drawn_project
    known: dict[str, Lineages] = {}

    def of(config: Config) -> Lineages:
        return known.setdefault(config.model_dump_json(), lineages(layout, config))

    first = lineages(layout, with_other("train.workers")[0])
    return {
        key: (of(before) if key.startswith(("data.practice", "runs.teach.")) else first, lineages(layout, after))
        for key, (before, after) in ((key, with_other(key)) for key in TYPES)
    }


@pytest.mark.matrix
@pytest.mark.parametrize("key", TYPES)
def test_a_key_redoes_exactly_the_stages_that_depend_on_it(
    key: str, by_key: dict[str, tuple[Lineages, Lineages]]
) -> None:
    assert changed(*by_key[key]) == expected(key)


def test_every_line_of_the_table_is_a_key() -> None:
    assert {*KEYS, *OTHERS} - {*TYPES, "runs"} == set()


def test_a_run_does_not_depend_on_another(drawn_project: tuple[Layout, Config]) -> None:
    layout, config = drawn_project
    for key in TYPES:
        if key.startswith("runs."):
            assert plan_runs(layout, with_other(key)[1], ["other"]) == plan_runs(layout, config, ["other"])


@pytest.fixture
def copied(drawn_project: tuple[Layout, Config], tmp_path: Path) -> Layout:
    """The project in another folder, with its lineage as it was."""
    shutil.copytree(drawn_project[0].root, tmp_path / "copy")
    return Layout(tmp_path / "copy")


def nothing(layout: Layout) -> None:
    """A copy of a project is the project."""


def cleaned(layout: Layout) -> None:
    clean_stage.clean(layout, load(layout.config), silent)


def edit_table(layout: Layout, old: str, new: str) -> None:
    edit(layout.root / "raw/train.csv", old, new)
    cleaned(layout)


def one_label(layout: Layout) -> None:
    edit_table(layout, "00,00.png,p0,s0,1,1,cat", "00,00.png,p0,s0,1,1,dog")


def one_group(layout: Layout) -> None:
    edit_table(layout, "00,00.png,p0", "00,00.png,p99")


def one_weight(layout: Layout) -> None:
    edit_table(layout, "00,00.png,p0,s0,1", "00,00.png,p0,s0,3")


def one_pixel(layout: Layout) -> None:
    picture("cat", 12345).save(layout.root / "raw/train/00.png")
    cleaned(layout)


def one_class_name(layout: Layout) -> None:
    for name in ("train.csv", "classes.txt"):
        path = layout.root / "raw" / name
        path.write_text(path.read_text().replace("hen", "duck"))
    cleaned(layout)


def one_test_image(layout: Layout) -> None:
    picture("hen", 12345).save(layout.root / "raw/test/t0.png")
    cleaned(layout)


def one_test_id(layout: Layout) -> None:
    (layout.root / "raw/test/t0.png").rename(layout.root / "raw/test/u0.png")
    edit(layout.root / "raw/test.csv", "t0,t0.png", "u0,u0.png")
    cleaned(layout)


def one_override(layout: Layout) -> None:
    layout.overrides.write_text("id,action\n00,drop\n")
    cleaned(layout)


def other_folds(layout: Layout) -> None:
    edit(layout.config, "n = 2", "n = 2\nseed = 1")
    make_folds(layout, load(layout.config), silent, reset=True)


def pretrained_weights(layout: Layout) -> None:
    (layout.root / "raw/pretrained.weights.h5").write_bytes(b"other")


def moved_weights(layout: Layout) -> None:
    (layout.root / "raw/pretrained.weights.h5").rename(layout.root / "raw/elsewhere.h5")
    edit(layout.config, "raw/pretrained.weights.h5", "raw/elsewhere.h5")


def other_weights(layout: Layout) -> None:
    come_out_otherwise(layout, "weights.npz", "kernel")


def other_predictions(layout: Layout) -> None:
    come_out_otherwise(layout, "valid.npz", "logits")


def come_out_otherwise(layout: Layout, name: str, array: str) -> None:
    """A file of the first fold is another one, as from a machine with other arithmetic."""
    spec = plan_runs(layout, load(layout.config), ["net"])["net"][0]
    record, path = require(spec), spec.paths.root / name
    with np.load(path) as found:
        arrays = dict(found)
    np.savez(path, **{**arrays, array: arrays[array] * arrays[array].dtype.type(0.5)})
    record.model_copy(update={"files": {**record.files, **digests_of(spec.paths.root, path)}}).save(spec.paths.record)


def one_timing(layout: Layout) -> None:
    spec = plan_runs(layout, load(layout.config), ["net"])["net"][0]
    append_log(spec.paths.log, {"event": "done", "seconds_per_1000": 99.0})


def one_score(layout: Layout) -> None:
    lineage.scored(required(latest(layout)), load(layout.config), 0.5)


def one_candidate(layout: Layout) -> None:
    other = layout.submission("20000101T000000Z-00000000")
    shutil.copytree(required(latest(layout)).root, other.root)
    Ensemble.load(other.ensemble).model_copy(update={"rows": 1}).save(other.ensemble)


FROM_LABELS = {"data", "folds", *RUN}
# Everything else that a stage reads, and the stages that are redone when it changes, cleaning and splitting done.
CHANGES: dict[Callable[[Layout], None], set[str]] = {
    nothing: set(),
    one_label: FROM_LABELS,
    one_group: {"data", "folds", "joined stressed", *BLENDED},  # intervals are over groups
    one_weight: {"data", *RUN},
    one_pixel: {"data", "features", *RUN},
    one_override: {*FROM_LABELS, "features"},
    one_class_name: {"data", "folds", "joined", "joined test", "joined stressed", *BLENDED},
    one_test_image: {"test", "predicted", "joined test", "table", "forecast", "shift"},
    one_test_id: {"test", "predicted", "joined test", "table", "forecast", "shift"},
    other_folds: {"folds", *RUN},
    pretrained_weights: {"features", *RUN},
    moved_weights: set(),
    other_weights: {"predicted", "joined test", *STRESSED},
    other_predictions: {"joined", "joined stressed", *BLENDED},
    one_timing: CANDIDATE,  # there is a limit, and what members cost decides who stays
    one_score: {"forecast"},
    one_candidate: {"forecast"},
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_an_input_redoes_exactly_the_stages_that_depend_on_it(
    change: Callable[[Layout], None], copied: Layout, before: Lineages
) -> None:
    change(copied)
    assert changed(before, lineages(copied, load(copied.config))) == CHANGES[change]


def configured(layout: Layout, ensemble: str) -> Config:
    """The project's configuration with this section ``[ensemble]``."""
    layout.config.write_text(lineage.CONFIG.split("[ensemble]")[0] + "[ensemble]\n" + ensemble)
    return load(layout.config)


def test_a_blend_asks_for_weights_only_where_their_size_is_limited(copied: Layout) -> None:
    for weights in copied.runs.rglob("weights.npz"):
        weights.unlink()
    blended = ensemble(copied, configured(copied, ""), silent)
    assert Ensemble.load(blended.ensemble).rows == lineage.ROWS
    with pytest.raises(StageError, match=r"weights.npz is missing"):
        ensemble(copied, configured(copied, "max_bundle_mb = 50"), silent)


def test_a_blend_of_clean_rows_is_not_the_one_of_stressed_rows_that_was_asked_for(copied: Layout) -> None:
    for record in copied.runs.glob("*/stress.json"):
        record.unlink()
    by_itself, asked = (lineages(copied, configured(copied, text)) for text in ("", 'fit_on = "mixture"'))
    assert changed(by_itself, asked) >= {"ensemble"}


def test_the_order_of_the_runs_is_an_input_of_the_blend(copied: Layout) -> None:
    orders = ('runs = ["net", "other"]', 'runs = ["other", "net"]')
    one, other = (lineages(copied, configured(copied, text))["ensemble"] for text in orders)
    assert one != other


def test_groups_reach_training_where_rows_are_never_held_out(drawn_project: tuple[Layout, Config]) -> None:
    index = load_index(drawn_project[0])
    regrouped = {**index.parts, "groups": "others"}
    assert replace(index, parts=regrouped).training == index.training
    joined = replace(index, extra=DataRows(("external/a",), np.array([0]), ("a",), np.ones(1, np.float32)))
    assert replace(joined, parts=regrouped).training != joined.training


# The versions of the code: where each constant is used, and what is redone when it is raised.
VERSIONS: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "decode": (("kit.runtime.decode.VERSION",), {"data", "test"}),
    "clean": (("kit.stages.clean.lineage.VERSION",), {"data", "test"}),
    "folds": (("kit.stages.folds.VERSION",), {"folds"}),
    "train": (("kit.runs.spec.VERSION", "kit.stages.train.features.VERSION"), {"features", *RUN}),
    "predict": (("kit.runs.results.PREDICT_VERSION",), {"predicted", "joined test", *STRESSED}),
    "join": (("kit.runs.results.JOIN_VERSION",), {"joined", "joined test", "joined stressed", *BLENDED}),
    "stress": (("kit.runs.stressed.VERSION",), STRESSED),
    "ensemble": (("kit.stages.ensemble.ensemble.VERSION",), CANDIDATE),
    "bundle": (("kit.stages.bundle.bundle.VERSION",), {"bundle"}),
    "forecast": (("kit.stages.forecast.forecast.VERSION",), {"forecast"}),
    "shift": (("kit.stages.forecast.testset.VERSION",), {"shift"}),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_a_version_redoes_exactly_the_stages_of_its_code(
    name: str, before: Lineages, drawn_project: tuple[Layout, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    for constant in VERSIONS[name][0]:
        monkeypatch.setattr(constant, 99)
    assert changed(before, lineages(*drawn_project)) == VERSIONS[name][1]


def test_what_travels_in_a_zip_reaches_the_zip_alone(
    before: Lineages, drawn_project: tuple[Layout, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.stages.bundle.bundle.runtime_files", lambda: [DESIGN])
    assert changed(before, lineages(*drawn_project)) == {"bundle"}


def test_another_row_of_the_backbone_trains_its_runs_again(
    before: Lineages, drawn_project: tuple[Layout, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKBONES, "plain-cnn", replace(BACKBONES["plain-cnn"], contract="raw"))
    assert changed(before, lineages(*drawn_project)) == {"features", *RUN}


def test_the_records_on_the_disk_say_what_is_computed_anew(drawn_project: tuple[Layout, Config]) -> None:
    layout, config = drawn_project
    fold = plan_runs(layout, config, ["net"])["net"][0]
    run, candidate = fold.run_paths, required(latest(layout))
    records: dict[str, tuple[type[Made], Path]] = {
        "data": (DataRecord, layout.data_manifest),
        "test": (UnlabelledRecord, layout.manifest_of("test")),
        "folds": (FoldsRecord, layout.folds_manifest(config.folds.name)),
        "predicted": (PredictedRecord, fold.paths.test_record),
        "joined": (RunRecord, run.manifest),
        "joined test": (PredictedRecord, run.test_record),
        "stressed": (StressedFold, fold.paths.stress_record),
        "joined stressed": (StressedRun, run.stress_manifest),
        "ensemble": (Ensemble, candidate.ensemble),
        "forecast": (ForecastRecord, run.forecast),
    }
    found = lineages(layout, config)
    assert {stage: record.load(path).made_from for stage, (record, path) in records.items()} == {
        stage: found[stage] for stage in records
    }


EVERYTHING = (
    ("image_size = 24", "image_size = 20"),
    ("raw/pretrained", "raw/others"),
    ("raw/classes.txt", "raw/renamed.txt"),
    ("flip-lr", "flip-ud"),
    ("n = 2", "n = 2\nseed = 1"),
    ("rows = 4", "rows = 5\nseed = 1"),
    ("[data]", '[competition]\nmetric = "macro_f1"\n[clean]\nquality = false\n[bundle]\nbatch_size = 16\n[data]'),
    ("max_bundle_mb = 100", "max_bundle_mb = 90"),
)


@pytest.mark.matrix
def test_no_input_is_dead(
    drawn_project: tuple[Layout, Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where everything is another, every value of every ``made_from`` is too."""
    before = named(lineages(*drawn_project))
    for constants, _ in VERSIONS.values():
        for constant in constants:
            monkeypatch.setattr(constant, 99)
    for name in ("plain-cnn", "residual-cnn"):
        monkeypatch.setitem(BACKBONES, name, replace(BACKBONES[name], contract="raw"))
    monkeypatch.setattr("kit.stages.bundle.bundle.runtime_files", lambda: [DESIGN])
    text = lineage.CONFIG
    for old, new in EVERYTHING:
        assert old in text
        text = text.replace(old, new)
    after = named(lineages(*lineage.make(tmp_path / "other", text, other_raw)))
    assert {stage: list(values) for stage, values in before.items()} == {
        stage: list(values) for stage, values in after.items()
    }
    same = [(stage, name) for stage in before for name in before[stage] if before[stage][name] == after[stage][name]]
    assert same == []


def other_raw(root: Path) -> None:
    edit(root / "raw/train.csv", "00,00.png,p0", "00,00.png,p1")
    edit(root / "raw/train.csv", "06,06.png,p3,s1,1,1,cat", "06,06.png,p3,s1,1,1,dog")
    edit(root / "raw/test.csv", "\nt3,t3.png", "")
    (root / "clean_overrides.csv").write_text("id,action\n03,drop\n")


def named(found: Lineages) -> dict[str, dict[str, list[str]]]:
    """The inputs of every stage, those of many runs or candidates under one name."""
    result: dict[str, dict[str, list[str]]] = {}
    for stage, made_from in found.items():
        for name, value in required(made_from).items():
            result.setdefault(stage, {}).setdefault(re.sub(r" .*", " NAME", name), []).append(value)
    return result


def test_the_design_says_what_feeds_what(drawn_project: tuple[Layout, Config]) -> None:
    text = DESIGN.read_text(encoding="utf-8").split("## What feeds what")[1].split("\n## ")[0]
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")][1:]
    quoted = {row[1].strip(): re.findall(r"`([^`]+)`", row[3]) for row in rows}
    said = {stage: {name for name in names if not name.startswith("[")} for stage, names in quoted.items()}
    found = {stage: set(values) for stage, values in named(lineages(*drawn_project)).items()}
    layout, config = drawn_project
    (spec, *_) = plan_runs(layout, config, ["net"])["net"]
    found["fold"] = set(fold_lineage(spec))
    found["probe"] = set(probe_lineage(spec, plan_of(config.stress), load_index(layout)))
    del found["table"]  # is compared with what it would be, and has no record
    assert said == found
