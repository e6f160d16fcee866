"""Five systems and the kit's default on one problem: MobileNetV2 in each one's place, equal time, one split, in pairs.

    python benchmarks/recipes_blood.py --data $KIT_SHARED --work build/recipes       (goes on where it was stopped)
    python benchmarks/recipes_blood.py --data $KIT_SHARED --work build/recipes --look       (afterwards, once)

What is compared is what each team sent last (`[ensemble]` of its recipe): its augmentation, preprocessing, head, loss,
class weights, optimisers, schedules, frozen layers, views and mean; on one backbone, on rows cleaned and split by the
kit for all, because other rows cannot be compared in pairs. Epochs are multiplied so that each system trains for
`--minutes`, patience and decay with them. The clean score, the score under stress and the forecast are out of fold;
the peer is the kit's default. `--look` scores the networks on the test pictures, which nothing here reads before, and
keeps the date.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from machine import machine

from kit.base.events import Event
from kit.config import Config, RunConfig, parse
from kit.images.corrupt.plan import assign, plan_of, split
from kit.judge.shift.evidence import Evidence
from kit.judge.shift.forecast import believe, summarise
from kit.runs.spec import FoldSpec, plan_runs
from kit.runtime.pool import softmax
from kit.stages.clean.clean import clean
from kit.stages.compare.effects import Recipe, SeedNoise, effect
from kit.stages.folds import make_folds
from kit.stages.init import known_recipes, recipe_text
from kit.stages.stress.stress import stress
from kit.stages.train.train import train
from kit.store.data import load_index
from kit.store.files import write_json
from kit.store.layout import Layout
from kit.store.predictions import Predictions, load_predictions

DEFAULT = "default"
WEIGHTS = "weights/mobilenetv2_imagenet_notop.weights.h5"
PROBE_ROWS = 1200
UNKNOWN = SeedNoise(None, 0)
# One picture under every family and severity, so that a forecast of few rows lacks none; the mixture tells the rest.
BASE = """
[competition]
name = "blood"
[data]
train = "raw/train.npz"
[folds]
n = 5
method = "hold-out"
[train]
workers = 1
[stress]
rows = 1
"""


def systems() -> dict[str, dict[str, RunConfig]]:
    """By system, what it trains: the runs of its blend with MobileNetV2 in them."""
    found = {}
    for name in known_recipes():
        config = parse(recipe_text(name), f"{name}.toml")
        found[name] = {f"{name}-{n}": replaced(config.runs[run]) for n, run in enumerate(config.ensemble.runs)}
    default = parse('[data]\ntrain = "raw/training_set.npz"\n', "kit.toml").runs["mobilenetv2"]
    return {DEFAULT: {f"{DEFAULT}-0": replaced(default)}, **found}


def replaced(settings: RunConfig) -> RunConfig:
    """The run with MobileNetV2; a stage that begins at a layer of another network begins at the last block."""
    raw = settings.model_dump(mode="json") | {"backbone": "mobilenetv2", "weights": WEIGHTS, "options": {}}
    for stage in raw["stages"]:
        if stage["train"] == "layers" and stage["from_layer"] != 150:  # 150 is of MobileNetV2 itself
            stage |= {"train": "last-block", "from_layer": 0, "kinds": []}
    return RunConfig.model_validate(raw)


def lengthened(settings: RunConfig, factor: float) -> RunConfig:
    """The run with its epochs multiplied, and patience and decay so that they mean the same share of it."""
    raw = settings.model_dump(mode="json")
    for stage in raw["stages"]:
        stage["epochs"] = max(1, round(factor * stage["epochs"]))
        schedule, stopping = stage["schedule"], stage["early_stopping"]
        schedule["patience"] = max(1, round(factor * schedule["patience"]))
        if schedule["kind"] == "exponential":
            schedule["decay"] = min(0.99, schedule["decay"] ** (1 / factor))
        if stopping:
            stopping["patience"] = max(2, round(factor * stopping["patience"]))
    return RunConfig.model_validate(raw)


def prepare(folder: Path, data: Path, rows: int) -> Layout:
    """A project without a file of its own: the training pictures (at most ``rows``), cleaned and split."""
    (folder / "raw").mkdir(parents=True, exist_ok=True)
    target = folder / "raw" / "train.npz"
    if not target.exists():
        subprocess.run([sys.executable, str(data / "blood" / "make_npz.py"), str(folder / "raw")], check=True)
        (folder / "raw" / "dev_test.npz").unlink()  # not for this
        with np.load(folder / "raw" / "training_set.npz") as file:
            chosen = np.sort(np.random.default_rng(0).permutation(len(file["labels"]))[: rows or None])
            images, labels = file["images"][chosen], file["labels"][chosen]
        np.savez(folder / "raw" / "unfinished.npz", images=images, labels=labels)
        (folder / "raw" / "training_set.npz").unlink()
        (folder / "raw" / "unfinished.npz").rename(target)
    if not (folder / "weights").exists():
        (folder / "weights").symlink_to((data / "weights").resolve())
    layout, config = Layout(folder.resolve()), configuration({})
    clean(layout, config, quiet)
    make_folds(layout, config, quiet)
    return layout


def configuration(runs: dict[str, RunConfig]) -> Config:
    """The configuration of the project with these runs."""
    return parse(BASE).model_copy(update={"runs": runs})


def quiet(event: Event) -> None:
    """Show warnings alone."""
    if event.kind == "warn":
        print(f"  {event.text}", flush=True)


def seconds_per_row(work: Path, data: Path, runs: dict[str, RunConfig]) -> dict[str, list[float]]:
    """By run the seconds of a training row in each stage, from the second of two epochs on few rows; kept in a file."""
    file = work / "seconds.json"
    known: dict[str, list[float]] = json.loads(file.read_text()) if file.exists() else {}
    for name, settings in runs.items():
        if name in known:
            continue
        layout = prepare(work / "probe", data, PROBE_ROWS)
        stages = tuple(stage.model_copy(update={"epochs": 2, "early_stopping": None}) for stage in settings.stages)
        probe = settings.model_copy(update={"stages": stages})
        took: dict[int, float] = {}

        def hear(event: Event, took: dict[int, float] = took) -> None:
            if event.kind == "unit" and event.data.get("event") == "epoch":
                took[event.data["stage"]] = event.data["seconds"]

        train(layout, configuration({name: probe}), hear, runs=[name], force=True)
        rows = 0.8 * len(load_index(layout).ids)
        known[name] = [took[number] / rows for number in range(len(stages))]
        write_json(file, known)
        print(f"{name}: {1e3 * sum(known[name]):.1f} ms a row in all stages, one epoch each", flush=True)
    return known


def planned(layout: Layout, runs: dict[str, RunConfig], speed: dict[str, list[float]], seconds: float) -> Config:
    """The configuration in which every run trains for ``seconds`` over its members' number."""
    rows, found = 0.8 * len(load_index(layout).ids), {}
    for name, settings in runs.items():
        members = sum(other.rsplit("-", 1)[0] == name.rsplit("-", 1)[0] for other in runs)
        cost = sum(stage.epochs * one * rows for stage, one in zip(settings.stages, speed[name], strict=True))
        found[name] = lengthened(settings, seconds / members / cost)
    return configuration(found)


def proba(found: list[Predictions]) -> Any:
    """(N, C) mean over members and views."""
    return np.mean([softmax(one.logits.astype(np.float64)).mean(axis=0) for one in found], axis=0)


def judged(layout: Layout, config: Config, members: dict[str, list[FoldSpec]]) -> dict[str, dict[str, Any]]:
    """By system its probabilities of the held-out rows, clean and stressed, and the seconds it trained."""
    found: dict[str, dict[str, Any]] = {}
    for name, folds in members.items():
        found.setdefault(name.rsplit("-", 1)[0], {}).setdefault("specs", []).append(folds[0])
    for one in found.values():
        one["clean"] = proba([load_predictions(spec.paths.valid) for spec in one["specs"]])
        one["stressed"] = proba([load_predictions(spec.paths.stress) for spec in one["specs"]])
        one["grid"] = proba([load_predictions(spec.paths.stress_grid) for spec in one["specs"]])
        one["ids"] = load_predictions(one["specs"][0].paths.valid).ids
        one["grid_ids"] = load_predictions(one["specs"][0].paths.stress_grid).ids
        one["seconds"] = sum(seconds_of(spec) for spec in one["specs"])
    return found


def seconds_of(spec: FoldSpec) -> float:
    """Seconds of a fold's process, prediction included; of the last one where it was stopped in between."""
    lines = [json.loads(line) for line in spec.paths.log.read_text().splitlines()]
    return float(sum(line["seconds"] for line in lines if line.get("event") == "done"))


def forecasts(config: Config, found: dict[str, dict[str, Any]], y: Any) -> dict[str, Any]:
    """By system the forecast of the mixture: an accuracy with a 90 % interval on a test of 1,180 pictures."""
    plan, ids = plan_of(config.stress), next(iter(found.values()))["ids"].tolist()
    names, families, degrees = split(next(iter(found.values()))["grid_ids"])
    fate = assign(plan, ids, plan.seed)
    family, degree = fate.family, fate.severity
    rows = np.r_[np.flatnonzero(degree > 0), [ids.index(name) for name in names]].astype(np.int64)
    hurt = np.stack([np.concatenate([one["stressed"][degree > 0], one["grid"]]) for one in found.values()])
    cleaned = np.stack([one["clean"] for one in found.values()])
    kinds, degrees = np.r_[family[degree > 0], families], np.r_[degree[degree > 0], degrees]
    evidence = Evidence(tuple(found), y, cleaned, rows, kinds, degrees, hurt)
    return {line.name: line for line in summarise(evidence, believe(evidence, plan), 1180, {}, 0.9)}


def show(found: dict[str, dict[str, Any]], y: Any, lines: dict[str, Any]) -> None:
    """Scores, forecasts, and each system against the default and against the next one of the ranking, in pairs."""
    right = {name: {kind: float((one[kind].argmax(1) == y).mean()) for kind in KINDS} for name, one in found.items()}
    header = ("system", "clean", "stressed", "forecast", "90 % interval", "seconds")
    print(f"\n{len(y)} held-out rows\n" + "".join(f"{cell:>22}" for cell in header))
    for name, one in found.items():
        line = lines[name]
        span = f"{line.low:.3f} - {line.high:.3f}"
        cells = (right[name]["clean"], right[name]["stressed"], line.value)
        print(f"{name:>22}" + "".join(f"{cell:22.4f}" for cell in cells) + f"{span:>22}{one['seconds']:22.0f}")
    for kind in KINDS:
        order = sorted(found, key=lambda name: -right[name][kind])
        print(
            f"\n{kind}: rank, and by how many points a system is better than the default and than the next one (95 %)"
        )
        for rank, name in enumerate(order, start=1):
            after = order[rank] if rank < len(order) else ""
            print(
                f"{rank:>3} {name:>22}  {paired(found, y, kind, name, DEFAULT)}  {paired(found, y, kind, name, after)}"
            )


KINDS = ("clean", "stressed")


def paired(found: dict[str, dict[str, Any]], y: Any, kind: str, name: str, other: str) -> str:
    """The difference of two systems in points with its interval, or blanks."""
    if name == other or other not in found:
        return " " * 26
    sides = [Recipe(one, (one,), (found[one][kind],)) for one in (name, other)]
    gain = effect("accuracy", y, sides[0], sides[1], UNKNOWN)
    return f"{100 * gain.gain:+6.2f} ({100 * gain.low:+6.2f} to {100 * gain.high:+6.2f})"


def look(work: Path, data: Path, found: dict[str, dict[str, Any]], lines: dict[str, Any]) -> None:
    """Score every system on the test pictures; the first look is dated, later ones show it again."""
    file = work / "look.json"
    if not file.exists():
        scores = dev_scores(work, data, found)
        write_json(file, {"looked": datetime.now(UTC).isoformat(timespec="seconds"), "scores": scores})
    kept = json.loads(file.read_text())
    print(f"\ntest pictures, looked at on {kept['looked']}")
    for name, score in sorted(kept["scores"].items(), key=lambda item: -item[1]):
        print(f"{name:>22} {score:8.4f}   forecast off by {100 * (lines[name].value - score):+6.2f} points")
    from scipy.stats import spearmanr

    names = list(kept["scores"])
    truth = [kept["scores"][name] for name in names]
    for what in ("clean", "stressed", "value"):
        guess = [getattr(lines[name], what) for name in names]
        print(
            f"rank correlation with {'forecast' if what == 'value' else what}: {spearmanr(guess, truth).statistic:.2f}"
        )


def dev_scores(work: Path, data: Path, found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """By system the accuracy on the test pictures: mean over members and views."""
    from kit.runs.results import require_weights
    from kit.runs.units.networks import fold_predictor

    folder = work / "looked"
    subprocess.run([sys.executable, str(data / "blood" / "make_npz.py"), str(folder)], check=True)
    with np.load(folder / "dev_test.npz") as file:
        images, labels = file["images"], file["labels"].ravel()
    scores = {}
    for name, one in found.items():
        views = one["specs"][0].settings.views
        weights = [require_weights(spec).files[spec.paths.weights.name] for spec in one["specs"]]
        predictors = [fold_predictor(spec, digest) for spec, digest in zip(one["specs"], weights, strict=True)]
        logits = [predict(images, np.arange(len(images)), views) for predict in predictors]
        mean = np.mean([softmax(member.astype(np.float64)).mean(axis=0) for member in logits], axis=0)
        scores[name] = float((mean.argmax(1) == labels).mean())
    return scores


def main() -> None:
    """Measure, train, stress, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("KIT_SHARED", ""))
    parser.add_argument("--work", default="build/recipes")
    parser.add_argument("--minutes", type=float, default=9.0, help="training time of each system")
    parser.add_argument("--rows", type=int, default=0, help="training pictures; 0 = all")
    parser.add_argument("--systems", nargs="+", help="only these, and the default")
    parser.add_argument("--look", action="store_true", help="score on the test pictures as well")
    options = parser.parse_args()
    started = time.perf_counter()
    work, data = Path(options.work), Path(options.data)
    chosen = {name: runs for name, runs in systems().items() if name in (options.systems or [name]) or name == DEFAULT}
    runs = {name: settings for one in chosen.values() for name, settings in one.items()}
    print(machine(), flush=True)
    layout = prepare(work / "project", data, options.rows)
    config = planned(layout, runs, seconds_per_row(work, data, runs), 60 * options.minutes)
    for name, settings in config.runs.items():
        print(name, "epochs", [stage.epochs for stage in settings.stages], f"{time.perf_counter() - started:.0f} s")
        train(layout, config, quiet, runs=[name])
        stress(layout, config, quiet, runs=[name])
    found = judged(layout, config, plan_runs(layout, config, ()))
    index = load_index(layout)
    labels = dict(zip(index.ids, index.labels.tolist(), strict=True))
    y = np.array([labels[name] for name in next(iter(found.values()))["ids"].tolist()])
    lines = forecasts(config, found, y)
    show(found, y, lines)
    if options.look:
        look(work, data, found, lines)
    print(f"{time.perf_counter() - started:.0f} s this time")


if __name__ == "__main__":
    main()
