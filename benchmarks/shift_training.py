"""Which training closes the gap between clean and corrupted pictures? Recipes of equal length, paired, several seeds.

    python benchmarks/shift_training.py blood --data $KIT_SHARED --work build/shift     (goes on where it was stopped)
    python benchmarks/shift_training.py practice --work build/shift

Every recipe is a run of the kit, trained on one fold and judged on the held-out rows: clean, and under an even mixture
of the standard corruption families (a fifth stays clean), with one view and with four; and under the families of
another laboratory, one by one. `like` are the standard families that an augmentation of the table imitates, `other`
those that none does. The peer is the recipe `student`: flips alone.
The hidden test sets are not read.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from machine import machine

from kit.store.files import write_json

LIGHT = (
    '{ op = "dihedral" }, { op = "maybe", rate = 0.8, ops = [{ op = "some-of", k = 2, ops = ['
    '{ op = "blur", sigma = 2.0 }, { op = "noise", deviation = 25.0 }, { op = "brightness", factor = 0.25 }, '
    '{ op = "contrast", factor = 0.5 }, { op = "saturation", factor = 0.4 }, { op = "channel-shift", factor = 0.25 }, '
    '{ op = "hue", factor = 0.05 }] }] }'
)
STRONG = (
    '{ op = "dihedral" }, { op = "maybe", rate = 0.9, ops = [{ op = "some-of", k = 3, ops = ['
    '{ op = "blur", sigma = 3.0 }, { op = "noise", deviation = 40.0 }, { op = "brightness", factor = 0.4 }, '
    '{ op = "contrast", factor = 0.7 }, { op = "saturation", factor = 0.5 }, { op = "channel-shift", factor = 0.4 }, '
    '{ op = "hue", factor = 0.1 }, { op = "jpeg" }, { op = "cutout" }] }] }'
)
FLIPS = '{ op = "dihedral" }'
# What another laboratory changes together, before the camera of `LIGHT`: `degrade` with `laboratory = true`.
LABORATORY = {"scale": ("zoom", 0.25), "stain": ("stain", 0.3), "gradient": ("gradient", 0.25)}


def laboratory(without: str = "", share: float = 1) -> str:
    kept = [pair for name, pair in LABORATORY.items() if name != without]
    ops = ", ".join(f'{{ op = "{op}", factor = {round(share * factor, 4)} }}' for op, factor in kept)
    return f'{{ op = "maybe", rate = 0.8, ops = [{ops}] }}, {LIGHT}'


# name: augmentation, and what the last stage is told beside it
RECIPES: dict[str, tuple[str, str]] = {
    "student": (FLIPS, ""),
    "student-bn": (FLIPS, 'batch_norm = "trained", '),
    "randaugment": (FLIPS + ', { op = "randaugment", ops = 3, magnitude = 0.5 }', ""),
    "randaugment-mild": (FLIPS + ', { op = "randaugment", ops = 1, magnitude = 0.3 }', ""),
    "augmix": (FLIPS + ', { op = "augmix" }', ""),
    "degrade": (LIGHT, ""),
    "laboratory": (laboratory(), ""),
    "laboratory-mild": (laboratory(share=0.6), ""),
    **{f"without-{name}": (laboratory(name), "") for name in LABORATORY},
    "degrade-strong": (STRONG, ""),
    "degrade-bn": (LIGHT, 'batch_norm = "trained", '),
    "degrade-ema": (LIGHT, "ema = 0.99, "),
    "degrade-cutmix": (LIGHT + ', { op = "maybe", rate = 0.5, ops = [{ op = "cutmix" }] }', ""),
    "degrade-last-block": (LIGHT, ""),
    "degrade-all": (LIGHT, ""),
}
# Other depths of fine-tuning than `STAGES`, of networks that were trained before.
DEPTHS = {
    "degrade-last-block": 'stages = [{ train = "head", epochs = 10, lr = 1e-3 }, '
    '{ train = "last-block", epochs = 8, lr = 1e-4 }]',
    "degrade-all": 'stages = [{ train = "head", epochs = 3, lr = 1e-3 }, '
    '{ train = "all", epochs = 5, lr = 3e-4, schedule = { kind = "cosine", warmup = 0.5 } }]',
}
LIKE = (
    "gaussian-blur",
    "noise",
    "brightness-up",
    "brightness-down",
    "contrast-up",
    "contrast-down",
    "saturation",
    "colour-cast",
)
MIXTURE_SEED = 2026


def configuration(problem: str, seeds: list[int]) -> str:
    """``kit.toml`` with one run a recipe and seed."""
    train = {"blood": "raw/subset.npz", "practice": "practice"}[problem]
    lines = [f'[competition]\nname = "{problem}"\n[data]\ntrain = "{train}"\n[folds]\nn = 3\n[train]\nworkers = 1\n']
    for name, (augment, last) in RECIPES.items():
        if problem == "practice" and (last.startswith("batch_norm") or name in DEPTHS):
            continue  # it is always trained from scratch
        stages = DEPTHS.get(name, STAGES[problem])
        for seed in seeds:
            lines.append(f"[runs.{name}-{seed}]\nseed = {seed}\naugment = [{augment}]\n{NETWORK[problem]}")
            lines.append(stages.replace("LAST", last) + "\n")
    return "\n".join(lines)


NETWORK = {
    "blood": 'backbone = "mobilenetv2"\nweights = "weights/mobilenetv2_imagenet_notop.weights.h5"\nbatch_size = 64\n'
    "label_smoothing = 0.05\nhead = { dropout = 0.3 }",
    "practice": 'backbone = "plain-cnn"',
}
STAGES = {
    "blood": 'stages = [{ train = "head", epochs = 3, lr = 1e-3 }, '
    '{ train = "layers", from_layer = 27, epochs = 5, lr = 3e-4, LASTschedule = { kind = "cosine", warmup = 0.5 } }]',
    "practice": 'stages = [{ train = "all", epochs = 12, LASTlr = 2e-3 }]',
}


def prepare(problem: str, options: argparse.Namespace) -> Path:
    """The project's folder: configuration, and for `blood` every third cell of the set."""
    folder = Path(options.work) / problem
    (folder / "raw").mkdir(parents=True, exist_ok=True)
    if problem == "blood" and not (folder / "raw" / "subset.npz").exists():
        data = Path(options.data)
        subprocess.run([sys.executable, str(data / "blood" / "make_npz.py"), str(folder / "raw")], check=True)
        (folder / "raw" / "dev_test.npz").unlink()  # not for this
        with np.load(folder / "raw" / "training_set.npz") as file:
            rows = np.arange(0, len(file["labels"]), options.every)
            np.savez(folder / "raw" / "subset.npz", images=file["images"][rows], labels=file["labels"][rows])
        (folder / "weights").symlink_to((data / "weights").resolve())
    (folder / "kit.toml").write_text(configuration(problem, sorted({0, 1, *options.seeds})), encoding="utf-8")
    return folder


def judged(folder: Path, run: str) -> dict[str, float]:
    """Accuracy of fold 0 on its held-out rows, clean and corrupted; kept in a file beside the fold."""
    from kit.config import load
    from kit.images.corrupt import FAMILIES, STANDARD
    from kit.images.corrupt.plan import Mixture, assign
    from kit.images.corrupt.plan import apply as corrupted
    from kit.runs.spec import plan_runs
    from kit.runtime import arrays
    from kit.runtime.backbones import build
    from kit.runtime.forward import compile_forward, logits
    from kit.store.data import load_images, load_index
    from kit.store.layout import find_project
    from kit.store.partition import held_out, read_table

    layout = find_project(folder, None)
    spec = plan_runs(layout, load(layout.config), [run])[run][0]
    file = spec.paths.root / "judged.json"
    if file.exists():
        found: dict[str, float] = json.loads(file.read_text())
        return found
    index, images = load_index(layout), load_images(layout)
    rows = np.flatnonzero(held_out(read_table(layout.folds_table(spec.folds), index.ids), 0))
    ids = [index.ids[row] for row in rows.tolist()]
    model = build(spec.network).model
    arrays.assign(model, str(spec.paths.weights))
    forward = compile_forward(model)
    clean, mixture = np.asarray(images[rows]), Mixture()
    hurt = corrupted(mixture, clean, ids, MIXTURE_SEED)
    fate = assign(mixture, ids, MIXTURE_SEED)
    like = np.isin(fate.family, LIKE)
    other = ~like & (fate.severity > 0)
    y = index.labels[rows]
    found = {"rows": float(len(rows))}
    for name, pictures in (("clean", clean), ("stressed", hurt)):
        out = logits(forward, pictures, np.arange(len(rows)), ("identity", "flip-lr", "flip-ud", "rot180"), 64)
        right = out[0].argmax(axis=1) == y
        exps = np.exp(out - out.max(axis=-1, keepdims=True))
        views = (exps / exps.sum(axis=-1, keepdims=True)).mean(axis=0).argmax(axis=1) == y
        found |= {name: float(right.mean()), f"{name} 4 views": float(views.mean())}
        if name == "stressed":
            found |= {"like": float(right[like].mean()), "other": float(right[other].mean())}
    for family in (name for name in FAMILIES if name not in STANDARD):  # of another laboratory, at all severities
        pictures = corrupted(Mixture((family,), clean=0), clean, ids, MIXTURE_SEED)
        out = logits(forward, pictures, np.arange(len(rows)), ("identity",), 64)
        found[family] = float((out[0].argmax(axis=1) == y).mean())
    write_json(file, found)
    return found


def seconds_of(folder: Path, run: str) -> float:
    """Seconds of all epochs of fold 0, as its log says."""
    logs = list(folder.glob(f"runs/{run}-*/fold-0/log.jsonl"))
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    return float(max((line.get("seconds", 0.0) for line in lines), default=0.0))


def show(results: dict[str, list[dict[str, float]]]) -> None:
    """Means over the seeds, and the paired difference of the stressed score to the student's, with its seed noise."""
    columns = ("clean", "clean 4 views", "stressed", "stressed 4 views", "like", "other")
    columns += ("scale", "stain", "gradient", "tilted-focus", "seconds")
    print("".join(f"{name:>18}" for name in ("recipe", *columns, "gain +- error")))
    base = results.get("student", [])
    for name, seeds in results.items():
        means = [np.mean([one[column] for one in seeds]) for column in columns]
        gains = [one["stressed"] - peer["stressed"] for one, peer in zip(seeds, base, strict=False)]
        noise = np.std(gains, ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
        cells = [f"{mean:18.4f}" for mean in means[:-1]] + [f"{means[-1]:18.0f}"]
        print(f"{name:>18}" + "".join(cells) + f"   {np.mean(gains):+.4f} +- {noise:.4f}", flush=True)


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("problem", choices=tuple(NETWORK))
    parser.add_argument("--data", default=os.environ.get("KIT_SHARED", ""))
    parser.add_argument("--work", default="build/shift")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--every", type=int, default=2, help="blood: train on every second cell, or fewer")
    parser.add_argument("--recipes", nargs="+", choices=tuple(RECIPES), default=list(RECIPES))
    options = parser.parse_args()
    print(machine())
    folder = prepare(options.problem, options).resolve()
    results: dict[str, list[dict[str, Any]]] = {}
    for seed in options.seeds:
        for name in options.recipes:
            run = f"{name}-{seed}"
            if f"[runs.{run}]" not in (folder / "kit.toml").read_text():
                continue
            command = [sys.executable, "-m", "kit", "train", run, "--fold", "0"]
            subprocess.run(command, cwd=folder, check=True, stderr=subprocess.DEVNULL)
            found = judged(folder, run) | {"seconds": seconds_of(folder, run)}
            results.setdefault(name, []).append(found)
            print(run, json.dumps({key: round(value, 4) for key, value in found.items()}), flush=True)
    show(results)


if __name__ == "__main__":
    main()
