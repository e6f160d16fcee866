"""Duplicates planted among real blood cells: what the kit and CleanVision find, and how long both take.

    python benchmarks/clean_blood.py --data DIR --cleanvision-python /tmp/venv/bin/python --sheet pairs.png

DIR (default: ``$KIT_SHARED/blood``) holds ``train.zip``, ``train.csv`` and ``truth.csv``; the Python given has
CleanVision 0.3.7. Both read the same JPEG files from a folder; the decoding is part of both times, imports are of
neither.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from kit.config.sections import CleanConfig
from kit.show.figures.sheets import Tile, sheet
from kit.stages.clean import near
from kit.stages.clean.draft import Draft, Finding
from kit.stages.clean.plan import STEPS, plan

DUPLICATES = ("contamination", "exact copies", "near copies")
COPIES = {"exact", "exact-conflicting-label"}
CLEANVISION = """
import json, sys, time
from cleanvision import Imagelab
start = time.perf_counter()
lab = Imagelab(data_path=sys.argv[1], verbose=False)
lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, n_jobs=int(sys.argv[2]), verbose=False)
seconds = time.perf_counter() - start
sets = [lab.info[kind]["sets"] for kind in ("exact_duplicates", "near_duplicates")]
print(json.dumps({"seconds": seconds, "sets": sets}))
"""


def decode(paths: list[Path]) -> np.ndarray:
    def read(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))

    with ThreadPoolExecutor(2) as pool:
        first = read(paths[0])
        images = np.empty((len(paths), *first.shape), np.uint8)
        for row, image in enumerate(pool.map(read, paths, chunksize=64)):
            images[row] = image
    return images


def kit_duplicates(paths: list[Path], labels: np.ndarray) -> tuple[float, float]:
    """Seconds of the decoding and of the whole duplicate stage."""
    start = time.perf_counter()
    images = decode(paths)
    decoded = time.perf_counter() - start
    draft = Draft(images, labels, CleanConfig(), {})
    for name in DUPLICATES:
        STEPS[name](draft)
    return decoded, time.perf_counter() - start


def cleanvision(python: str, folder: Path) -> tuple[float, list[set[str]]]:
    done = subprocess.run([python, "-c", CLEANVISION, str(folder), "2"], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["seconds"], [{Path(path).name for path in one} for kind in answer["sets"] for one in kind]


def pairs_within(sets: list[set[str]], pairs: list[tuple[str, str]]) -> int:
    place = {name: number for number, one in enumerate(sets) for name in one}
    together = {name: {n for n, one in enumerate(sets) if name in one} for name in place}
    return sum(bool(together.get(a, set()) & together.get(b, set())) for a, b in pairs)


def kit_found(kind: str, pairs: list[tuple[int, int]], kept: dict[int, int], dropped: dict[int, Finding]) -> int:
    if kind == "foreign":
        return sum(row in dropped and dropped[row].reason == "contamination" for row, _ in pairs)
    if kind in COPIES:
        return sum((row in kept) != (of in kept) for row, of in pairs)
    return sum(kept.get(row, -1) == kept.get(of, -2) for row, of in pairs)


def own_copies(images: np.ndarray, originals: np.ndarray) -> list[tuple[int, int]]:
    seen: dict[bytes, int] = {}
    found = []
    for row in originals.tolist():
        first = seen.setdefault(images[row].tobytes(), row)
        if first != row:
            found.append((first, row))
    return found


def unplanned_pairs(kept: dict[int, int], originals: np.ndarray) -> list[tuple[int, int]]:
    """Original cells in one group: each is to be looked at."""
    groups: dict[int, list[int]] = {}
    for row in originals.tolist():
        if row in kept:
            groups.setdefault(kept[row], []).append(row)
    return [(rows[0], other) for rows in groups.values() for other in rows[1:]]


def gaps(images: np.ndarray, rows: np.ndarray, truth: dict[tuple[int, int], str]) -> None:
    """How far the thresholds are from the worst planted copy and from the best other pair."""
    near.OVERALL = near.DETAIL = -1.0
    found = near.near_copies(images, rows)
    kinds = np.array([truth.get(tuple(pair), "not planted") for pair in found.pairs.tolist()])
    print("\nkind           pairs  overall: lowest, 3 highest         detail: lowest, 3 highest")
    for kind in sorted(set(kinds)):
        one, two = (np.sort(score[kinds == kind]) for score in (found.overall, found.detail))
        print(f"{kind:14} {len(one):5}  {one[0]:.3f} {np.round(one[-3:], 3)}   {two[0]:.3f} {np.round(two[-3:], 3)}")
    for place in np.flatnonzero(kinds == "not planted")[np.argsort(-found.overall[kinds == "not planted"])][:8]:
        print(found.pairs[place].tolist(), found.told(place))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("KIT_SHARED", "../shared")) / "blood")
    parser.add_argument("--cleanvision-python")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--gaps", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder))


def measure(args: argparse.Namespace, folder: Path) -> None:
    with zipfile.ZipFile(args.data / "train.zip") as archive:
        archive.extractall(folder)
    lines, truth = ([*csv.DictReader((args.data / name).open(newline=""))] for name in ("train.csv", "truth.csv"))
    names = [line["file"] for line in lines]
    paths, labels = [folder / name for name in names], np.array([int(line["label"]) for line in lines])
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {len(names)} images")
    sets = timings(args, paths, labels)
    images = decode(paths)
    start = time.perf_counter()
    result = plan(images, labels, CleanConfig())
    print(f"the whole plan from arrays: {time.perf_counter() - start:.1f} s")
    kept = dict(zip(result.keep.tolist(), result.group.tolist(), strict=True))
    dropped = {finding.row: finding for finding in result.dropped}
    together = table(images, names, truth, (kept, dropped, sets))
    if args.sheet and together:
        tiles = [[Tile(images[row], f"{row}, class {labels[row]}") for row in pair] for pair in together]
        sheet(tiles, "Original cells in one group").save(args.sheet)
    if args.gaps:
        row_of = {name: row for row, name in enumerate(names)}
        known = [(row_of[line["file"]], row_of.get(line["of"], -1), line["kind"]) for line in truth]
        gaps(images, result.keep, {(min(a, b), max(a, b)): kind for a, b, kind in known})


def timings(args: argparse.Namespace, paths: list[Path], labels: np.ndarray) -> list[set[str]]:
    """Time both in turn; returns what CleanVision found together."""
    ours, theirs, sets = [], [], []
    for _ in range(args.repeat):
        decoded, seconds = kit_duplicates(paths, labels)
        ours.append(seconds)
        print(f"kit {seconds:.1f} s, of it {decoded:.1f} s decoding", flush=True)
        if args.cleanvision_python:
            seconds, sets = cleanvision(args.cleanvision_python, paths[0].parent)
            theirs.append(seconds)
            print(f"CleanVision {seconds:.1f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    if theirs:
        print(f"median {np.median(ours):.1f} / {np.median(theirs):.1f} s = {np.median(ours) / np.median(theirs):.2f}")
    return sets


def table(images: np.ndarray, names: list[str], truth: list[dict[str, str]], found: tuple) -> list[tuple[int, int]]:
    """Print what was found of what was planted; returns the pairs of original cells that were grouped."""
    kept, dropped, sets = found
    row_of = {name: row for row, name in enumerate(names)}
    originals = np.setdiff1d(np.arange(len(names)), [row_of[line["file"]] for line in truth])
    planted: dict[str, list[tuple[int, int]]] = {}
    for line in truth:
        planted.setdefault(line["kind"], []).append((row_of[line["file"]], row_of.get(line["of"], -1)))
    print("\nplanted                        pairs   kit  CleanVision")
    for kind, pairs in {**planted, "copies among the originals": own_copies(images, originals)}.items():
        named = [(Path(names[a]).name, Path(names[b]).name) for a, b in pairs]
        other = str(pairs_within(sets, named)) if sets and kind != "foreign" else "-"
        how = "exact" if kind.startswith("copies") else kind
        print(f"{kind:30} {len(pairs):5} {kit_found(how, pairs, kept, dropped):5} {other:>6}")
    lost = [row for row in originals.tolist() if row in dropped and dropped[row].twin not in kept]
    gone = [a for kind, pairs in planted.items() if kind != "foreign" for a, b in pairs if not {a, b} & set(kept)]
    print(f"original cells dropped without a copy that stays: {len(lost)}")
    print(f"planted pairs of which no image stays: {len(gone)}")
    together = unplanned_pairs(kept, originals)
    print(f"original cells grouped though not identical (look at each): {together}")
    return together


if __name__ == "__main__":
    main()
