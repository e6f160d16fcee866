"""The recipes are what their teams describe: networks to the last parameter, every method a key, all of it runs."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.base.events import silent
from kit.config import Config, parse
from kit.errors import ConfigError
from kit.project import Project
from kit.runs.checks import check_run
from kit.runtime.backbones import BACKBONES
from kit.stages.init import init, known_recipes, recipe_text
from kit.store.data import DataRows, Index
from kit.store.predictions import load_predictions

pytestmark = pytest.mark.stage

REPOSITORY = Path(__file__).parent.parent
PAGE = REPOSITORY / "docs" / "recipes.md"
NAMES = ("annalyzers", "lionia", "madapenguins", "overfitting-exorcists", "riconvoluzione")
TEAMS = {name[0].upper(): name for name in NAMES}
# What is trained outside of the slow tier; `overfitting-exorcists` has no small network.
FAST = {"annalyzers": "heavy", "lionia": "plain", "madapenguins": "five-block", "riconvoluzione": "feed-forward"}
# Those that become a bundle, which runs where the kit is not: preprocessing, several stages, all views.
BUNDLED = ("plain", "mobilenetv2", "mobilenetv3-small")


@cache
def recipe(name: str) -> Config:
    return parse(recipe_text(name), f"{name}.toml")


SLOW = [(name, run) for name in NAMES for run in recipe(name).runs if FAST.get(name) != run]


def index(side: int) -> Index:
    nothing = DataRows((), np.zeros(0, np.int64), (), np.zeros(0, np.float32))
    labels, weights = np.arange(2), np.ones(2, np.float32)
    parts = dict.fromkeys(("images", "labels", "groups", "weights", "classes"), "")
    return Index(("a", "b"), labels, ("a", "b"), weights, nothing, (), ("x", "y"), (side, side, 3), parts)


def test_they_are_five_and_each_says_what_it_is() -> None:
    assert tuple(known_recipes()) == NAMES
    assert all(20 < len(line) < 120 for line in known_recipes().values())


@pytest.mark.parametrize("name", NAMES)
def test_every_run_of_a_recipe_can_be_trained_on_the_challenges_images(name: str) -> None:
    config = recipe(name)
    for run, settings in config.runs.items():
        check_run(run, settings, index(config.data.image_size))
    assert all(settings.weights in ("none", "imagenet") for settings in config.runs.values())


def test_the_two_faults_are_named_where_they_are_left_out() -> None:
    comment = "".join(line for line in recipe_text("riconvoluzione").splitlines() if line.startswith("#"))
    assert "faults" in comment and "255" in comment and "before the split" in comment


def test_a_project_begins_with_a_recipe(tmp_path: Path) -> None:
    init(tmp_path / "own", 'raw/a "b".npz', silent, "lionia", hours=1)
    own = Project(tmp_path / "own").config
    assert own.data.train == 'raw/a "b".npz'
    assert own.runs == recipe("lionia").runs
    init(tmp_path / "practice", "practice", silent, "lionia", hours=1)
    assert Project(tmp_path / "practice").config.data.truth == "practice"
    with pytest.raises(ConfigError, match="no recipe 'lonia'") as caught:
        init(tmp_path / "other", "practice", silent, "lonia", hours=1)
    assert caught.value.hint == "did you mean `lionia`?"
    assert not (tmp_path / "other").exists()


# --- the table of methods


def rows() -> list[tuple[str, str, str, str]]:
    """(method, teams, keys, test) of every line of the table."""
    cells = [line.strip("|").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    found = [tuple(cell.strip() for cell in line) for line in cells]
    assert all(len(line) == 4 for line in found)
    return [line for line in found if line[0] != "method"]  # type: ignore[misc]


def reference_keys() -> set[str]:
    """Dotted keys of the reference, those of a run without `runs.NAME`."""
    text = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    keys = set()
    for section, table in re.findall(r"^### \[([\w.]+)\]\n(.*?)(?=^##|\Z)", text, flags=re.M | re.S):
        prefix = "" if section == "runs.NAME" else f"{section}."
        keys |= {prefix + key for key in re.findall(r"^\| `([\w.]+)` \|", table, flags=re.M)}
    return keys


def paths(value: Any, prefix: str = "") -> set[str]:
    """Dotted keys of a fragment's ends; what an augmentation or a network has beside `op` is its own affair."""
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return set().union(*(paths(item, prefix) for item in value))
    if not isinstance(value, dict) or prefix == "options.":
        return {prefix.rstrip(".")}
    own = {"op": ""} if "op" in value else value
    return set().union(*(paths(inner, f"{prefix}{key}.") for key, inner in own.items()))


def holds(config: Any, fragment: Any) -> bool:
    """Whether ``fragment`` stands in ``config``: of tables some keys, of lists some items, of nested `ops` too."""
    if isinstance(fragment, dict):
        return isinstance(config, dict) and all(key in config and holds(config[key], fragment[key]) for key in fragment)
    if isinstance(fragment, list):
        items = everything(config) if isinstance(config, list) else []
        return all(any(holds(item, wanted) for item in items) for wanted in fragment)
    return bool(config == fragment)


def everything(items: Any) -> list[Any]:
    """The items of a list, and those inside of the `ops` of its items."""
    inner = [item["ops"] for item in items if isinstance(item, dict) and isinstance(item.get("ops"), list)]
    return [*items, *(found for ops in inner for found in everything(ops))]


def test_every_method_has_a_key_in_its_recipes_and_a_test() -> None:
    reference, known, wrong = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8"), reference_keys(), []
    for method, teams, cell, test in rows():
        keys = re.findall(r"`([^`]+)`", cell)
        commands = [key for key in keys if key.startswith("kit ")]
        wrong += [] if keys else [f"{method}: no key"]
        wrong += [f"{method}: no command {key}" for key in commands if f"### {key}\n" not in reference]
        for fragment in (tomllib.loads(key) for key in keys if key not in commands):
            wrong += [f"{method}: no key {path}" for path in paths(fragment) - known]
            for team in re.sub(r"\(.*?\)", "", teams).split():  # in brackets: tried or said, not in the file
                config = recipe(TEAMS[team]).model_dump(mode="json")
                places = [config] if next(iter(fragment)) in config else list(config["runs"].values())
                if not any(holds(place, fragment) for place in places):
                    wrong.append(f"{method}: {TEAMS[team]} does not have {fragment}")
        file, name = test.strip("`").split("::")
        if f"def {name}(" not in (REPOSITORY / "tests" / file).read_text(encoding="utf-8"):
            wrong.append(f"{method}: no test {test}")
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_every_ingredient_of_a_recipe_has_a_row_that_names_its_team(name: str) -> None:
    team = next(letter for letter, owner in TEAMS.items() if owner == name)
    told = " ".join(keys for _, teams, keys, _ in rows() if team in teams.split())
    for settings in recipe(name).runs.values():
        run = settings.model_dump(mode="json")
        entries = everything([*run["augment"], *run["validate_augment"], *run["preprocess"]])
        words = {entry["op"] for entry in entries} | {run["backbone"], run["loss"], *run["views"][1:]}
        words |= {stage["optimizer"] for stage in run["stages"]} | {stage["train"] for stage in run["stages"]}
        words |= {stage["schedule"]["kind"] for stage in run["stages"]} | {run["sampling"], run["class_weights"]}
        assert {word for word in words - {"none", "constant", "all"} if f'"{word}"' not in told} == set()


# --- their networks


@pytest.mark.tf
@pytest.mark.usefixtures("here")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    ("run", "parameters"),
    [
        ("efficientnet-b4", 18_142_055),
        ("efficientnetv2-s-a", 20_666_472),
        ("efficientnetv2-s-b", 20_666_472),
        ("mobilenetv3-small", 1_092_216),
        ("mobilenetv3-small-oversampled", 1_092_216),
        ("vgg19", 20_158_792),
    ],
)
def test_networks_have_the_numbers_of_parameters_that_were_printed(run: str, parameters: int) -> None:
    from kit.runtime.backbones import build

    settings = recipe("overfitting-exorcists").runs[run]
    described = {"backbone": settings.backbone, "size": 96, "classes": 8, "head": settings.head.model_dump(mode="json")}
    network = build(described)
    assert network.model.count_params() == parameters
    assert all(stage.from_layer < len(network.backbone.layers) for stage in settings.stages)


# --- they run


def shrunk(name: str, runs: list[str]) -> str:
    """The recipe as TOML, made small and nothing else.

    Only ``runs`` and their blend stay; images have the smallest legal side; two folds instead of five; one epoch a
    stage, batches of eight, one picture under every corruption, no published weights, so that the first stage trains
    all layers.
    """
    raw = recipe(name).model_dump(mode="json", exclude_none=True)
    side = max(16, *(BACKBONES[raw["runs"][run]["backbone"]].smallest for run in runs))
    raw["data"] |= {"train": "small.npz", "image_size": side}
    raw["folds"]["n"] = 2
    raw["train"]["workers"] = 1
    raw["ensemble"], raw["stress"] = {"runs": runs}, {"rows": 1}
    raw["runs"] = {run: raw["runs"][run] for run in runs}
    for run in raw["runs"].values():
        run |= {"weights": "none", "batch_size": 8}
        run["stages"] = [{**stage, "epochs": 1} for stage in run["stages"]]
        run["stages"][0]["train"] = "all"
        run["preprocess"] = [{**step, "size": side} if step["op"] == "resize" else step for step in run["preprocess"]]
    tables = {**{key: raw[key] for key in ("competition", "data", "clean", "folds", "train", "stress", "ensemble")}}
    tables |= {f"runs.{run}": settings for run, settings in raw["runs"].items()}
    return "\n".join(
        f"[{table}]\n" + "\n".join(f"{key} = {inline(value)}" for key, value in keys.items())
        for table, keys in tables.items()
    )


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {inline(inner)}" for key, inner in value.items()) + " }"
    return "[" + ", ".join(map(inline, value)) + "]" if isinstance(value, list) else json.dumps(value)


def write_cells(path: Path) -> None:
    """60 noisy squares of three kinds, each of its own, twelve copies of a foreign picture, two copies of a square."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 100, (74, 32, 32, 3), dtype=np.uint8), np.arange(74) % 3
    for row, label in enumerate(labels):
        top, left = rng.integers(2, 14, 2)
        images[row, top : top + 16, left : left + 16, label] += 150
    images[60:72], images[72:] = images[60], images[[3, 4]]
    labels[72:] = labels[[3, 4]]
    np.savez(path, images=images, labels=labels)


def small_project(folder: Path, name: str, run: str) -> Project:
    (folder / "kit.toml").write_text(shrunk(name, [run]), encoding="utf-8")
    write_cells(folder / "small.npz")
    return Project(folder)


def check_trained(project: Project, name: str, run: str) -> None:
    (folder,) = project.layout.runs.glob(f"{run}-*")
    found, settings = load_predictions(folder / "oof.npz"), recipe(name).runs[run]
    assert found.views == settings.views
    assert 25 <= len(found.ids) <= 35  # half of what cleaning left
    history = (folder / "fold-0" / "history.csv").read_text().splitlines()
    assert len(history) == 1 + len(settings.stages)
    assert (folder / "fold-0" / "valid-augmented.npz").exists() is bool(settings.validate_augment)


def train_and_check(folder: Path, name: str, run: str) -> None:
    project = small_project(folder, name, run)
    project.train()
    check_trained(project, name, run)
    assert project.ensemble().ensemble.exists()
    if run in BUNDLED:
        assert project.bundle().proof.exists()


@pytest.mark.tf
@pytest.mark.usefixtures("here")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", FAST)
def test_a_recipe_goes_from_images_to_a_blend(tmp_path: Path, name: str) -> None:
    train_and_check(tmp_path, name, FAST[name])


@pytest.mark.slow
@pytest.mark.tf
@pytest.mark.usefixtures("here")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(("name", "run"), SLOW)
def test_every_other_run_of_a_recipe_goes_as_far(tmp_path: Path, name: str, run: str) -> None:
    train_and_check(tmp_path, name, run)
