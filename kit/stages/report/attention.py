"""Where the strongest network looked, on images that it got right and wrong.

Maps are made in a process of their own (``python -m kit.stages.report.attention JOBS.json OUT.npz``), for TensorFlow
must not be loaded by a report. The method is Grad-CAM (Selvaraju et al. 2017): the map that the pooling sees, its
channels weighted by the mean gradient of the named class, negative parts cut off.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kit.base.arrays import IntArray
from kit.errors import KitError
from kit.runtime.lazy import keras, tf
from kit.stages.report.inputs import Facts, OutOfFold
from kit.stages.report.section import Group, Section, Tile, percent, thumbnail
from kit.store.arrays import UNREADABLE
from kit.store.candidate import Network
from kit.store.encoded import open_images
from kit.store.files import sha256_json, write_atomic
from kit.store.layout import RunPaths
from kit.store.partition import load_folds
from kit.store.record import Part, Record, digest

SHOWN = 8
SECONDS = 600


class Job(Part):
    """A fold's network and weights, and what to ask it: rows of the images, each with a class."""

    network: Network
    weights: str
    looks: tuple[tuple[int, int], ...]


class Jobs(Record):
    """All that a process works off; ``key`` names it in what is written."""

    key: str
    images: str
    jobs: tuple[Job, ...]


def attention(facts: Facts) -> Section | str:
    """Grad-CAM of the member with most weight, each image by the network that did not train on it."""
    missing = "kit ensemble --all" if facts.compute else "kit report"
    evidence, blend = facts.evidence, facts.blend
    if evidence is None or blend is None or evidence.task.several:
        return missing
    member = int(np.argmax(blend.weights))
    name = blend.members[member]
    proba = facts.members.get(name)
    if proba is None:
        return missing
    wrong, right = examples(evidence.y, proba)
    found = _maps(facts, evidence, member, np.concatenate([wrong, right]), proba.argmax(axis=1))
    if not found:
        return missing
    wrong, right = (places[np.isin(evidence.rows[places], list(found))] for places in (wrong, right))
    both = (("incorrectly", wrong), ("correctly", right))
    groups = [Group(f"classified {how} by {name}", _tiles(facts, evidence, proba, at, found)) for how, at in both]
    title = "Where the strongest network looked"
    missed, hit = ([inner_share(found[row]) for row in evidence.rows[at].tolist()] for _, at in both)
    if hit:
        share = percent(float(np.mean(hit)))
        title = f"{share} of the attention lies on the inner half of correctly classified images"
        title += f", {percent(float(np.mean(missed)))} on that of misclassified ones" if missed else ""
    return Section(
        title,
        f"Grad-CAM of {name} for the class that it predicted, from the fold whose network did not train on the image. "
        "Bright regions support the predicted class; a bright background is a warning sign.",
        [group for group in groups if group.tiles],
    )


def examples(y: IntArray, proba: Any) -> tuple[IntArray, IntArray]:
    """Places of the surest errors, and of a typical right image of each class: the one of median confidence."""
    named, sure = proba.argmax(axis=1), proba.max(axis=1)
    errors = np.flatnonzero(named != y)
    wrong = errors[np.argsort(-sure[errors], kind="stable")][:SHOWN]
    right = []
    for label in np.unique(y)[:SHOWN]:
        hits = np.flatnonzero((named == y) & (y == label))
        if len(hits):
            right.append(int(hits[np.argsort(sure[hits], kind="stable")][len(hits) // 2]))
    return wrong, np.array(right, np.int64)


def _maps(facts: Facts, evidence: OutOfFold, member: int, places: IntArray, named: IntArray) -> dict[int, Any]:
    """Maps by row, from the cache beside the candidate or made now; empty where the weights are not here."""
    assert facts.candidate is not None and facts.index is not None and facts.ensemble is not None
    record = facts.ensemble.members[member]
    run = RunPaths(facts.layout.runs / record.folder)
    rows = evidence.rows[places]
    folds = load_folds(facts.layout, facts.config, facts.index).fold[rows]
    jobs = []
    for fold in dict.fromkeys(folds.tolist()):
        weights = run.fold(fold).weights
        if not weights.exists() or digest(weights) != record.weights[fold]:
            return {}
        looks = tuple(zip(rows[folds == fold].tolist(), named[places][folds == fold].tolist(), strict=True))
        jobs.append(Job(network=record.network, weights=str(weights), looks=looks))
    key = sha256_json([record.weights, facts.index.parts["images"], [job.looks for job in jobs]])
    cache = facts.candidate.paths.attention
    found = _cached(cache, key)
    if found is None and facts.compute:
        _compute(Jobs(key=key, images=str(facts.layout.images), jobs=tuple(jobs)), cache)
        found = _cached(cache, key)
    return found or {}


def _cached(path: Path, key: str) -> dict[int, Any] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["key"]) != key:
                return None
            return dict(zip(arrays["rows"].tolist(), arrays["maps"], strict=True))
    except UNREADABLE:
        return None


def _compute(jobs: Jobs, out: Path) -> None:
    """Run `main` in a process; raises `KitError` with the last thing that it said."""
    with tempfile.TemporaryDirectory() as folder:
        path = jobs.save(Path(folder) / "jobs.json")
        command = [sys.executable, "-m", "kit.stages.report.attention", str(path), str(out)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise KitError(f"the attention maps took more than {SECONDS} s", "kit report --no-attention") from None
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise KitError(f"the attention maps could not be computed: {reason}", "kit report --no-attention")


def spotlight(image: Any, heat: Any) -> Any:
    """The image (H, W, 3) as bright as the map (h, w) says; what did not count is dark and grey, never gone."""
    height, width = image.shape[:2]
    shades = Image.fromarray((np.clip(heat, 0, 1) * 255).astype(np.uint8))
    smooth = shades.resize((width, height), Image.Resampling.BICUBIC)
    light = np.asarray(smooth, np.float32)[..., None] / 255
    pixels = np.asarray(image, np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    return np.clip(light * pixels + (1 - light) * 0.32 * grey, 0, 255).astype(np.uint8)


def _tiles(facts: Facts, evidence: OutOfFold, proba: Any, places: IntArray, found: dict[int, Any]) -> list[Tile]:
    tiles = []
    for place in places.tolist():
        row, true, named = int(evidence.rows[place]), int(evidence.y[place]), int(proba[place].argmax())
        called = f", predicted {evidence.classes[named]}" if true != named else ""
        name, note = str(evidence.ids[place]), evidence.classes[true] + called
        image, heat = np.asarray(facts.images[row]), found[row]
        words = f"The same image, bright where the network looked; {percent(inner_share(heat))} on the inner half"
        sure = f"{note}, {percent(float(proba[place, named]))} sure"
        seen = thumbnail(spotlight(image, heat))
        tiles.append(Tile(thumbnail(image), name, sure, f"Image {name}: {note}", seen, words))
    return tiles


def inner_share(heat: Any) -> float:
    """Share of a map (h, w) that lies on the inner half of the area; a map without anything is even."""
    heat = np.asarray(heat, np.float64)
    if heat.sum() <= 0:
        return 0.5
    large = np.asarray(Image.fromarray(heat.astype(np.float32)).resize((64, 64), Image.Resampling.NEAREST))
    edge = round(64 * (1 - 0.5**0.5) / 2)
    # Two sums of the same numbers may differ in the last digit.
    return min(1.0, float(large[edge : 64 - edge, edge : 64 - edge].sum() / large.sum()))


def attention_maps(network: Any, images: Any, classes: Any) -> Any:
    """Maps (N, h, w) float32, 0 to 1, of images (N, S, S, 3) for ``classes`` (N,); None where a network has no map."""
    pools = [layer for layer in network.features.layers if layer.name == "pool"]
    if not pools:
        return None
    before = keras.Model(network.features.input, pools[0].input)
    with tf.GradientTape() as tape:
        seen = before(tf.constant(images, tf.float32), training=False)
        tape.watch(seen)
        logits = network.head(pools[0](seen), training=False)
        chosen = tf.gather(logits, tf.constant(classes), axis=1, batch_dims=1)
    slopes = tf.reduce_mean(tape.gradient(chosen, seen), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(slopes * seen, axis=-1)).numpy()
    top = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, top, out=np.zeros_like(maps), where=top > 0)


def main() -> None:
    """Work off the jobs of a description: a network, its weights, rows of the images, a class for each."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from kit.runtime import arrays
    from kit.runtime.backbones import build

    asked, out = Jobs.load(Path(sys.argv[1])), Path(sys.argv[2])
    images = open_images(Path(asked.images))
    rows: list[int] = []
    found: list[Any] = []
    for job in asked.jobs:
        network = build(job.network)
        arrays.assign(network.model, job.weights)
        here = [row for row, _ in job.looks]
        maps = attention_maps(network, np.asarray(images[here]), [named for _, named in job.looks])
        if maps is not None:
            rows += here
            found += list(maps)
    stack = np.stack(found).astype(np.float32) if found else np.zeros((0, 1, 1), np.float32)
    write_atomic(out, lambda file: np.savez(file, key=asked.key, rows=np.array(rows, np.int64), maps=stack))


if __name__ == "__main__":
    main()
