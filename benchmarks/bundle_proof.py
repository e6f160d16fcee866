"""The proof of a bundle against that of an earlier commit, and against one prediction of the same zip.

    python benchmarks/bundle_proof.py [--data DIR] [--before COMMIT] [--rounds 3] [--folds 5] [--backbone mobilenetv2]

The peers take turns. ``before`` is the kit as of COMMIT (default: the last one whose proof handed over all images in
every form), with the runtime of that commit in the zip; ``one prediction`` starts the same process as the proof, which
asks the bundle for the labels of the 32 images once: less than that no proof can take. Seconds are processor time of
the process and all that it starts. The zip is that of `predict_bundle.py`; DIR (default: ``$KIT_SHARED``) may hold
``weights/`` with published weights.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine
from predict_bundle import make_bundle

ROOT = Path(__file__).resolve().parent.parent
PROVE = """
import json, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy as np
from kit.platforms.sandbox import run_bundle
whole = sys.argv[4] == "whole"
run = run_bundle(Path(sys.argv[2]), np.load(sys.argv[3]), inputs=whole, proba=whole)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, run.labels.tolist()]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("KIT_SHARED", "."))
    parser.add_argument("--before", default="1107eb7", help="an earlier commit of the kit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--backbone", default="mobilenetv2")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--views", nargs="+", default=["identity", "flip-lr", "flip-ud", "rot180"])
    options = parser.parse_args()
    what = f"{options.backbone} of {options.size} px, {options.folds} folds, {len(options.views)} views"
    print(machine(), what, flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "before").mkdir()
        extract(options.before, folder / "before")
        make_bundle(folder / "weights.zip", options)
        pictures = np.random.default_rng(0).integers(0, 256, (32, options.size, options.size, 3), dtype=np.uint8)
        np.save(folder / "images.npy", pictures)
        peers: dict[str, tuple[Path, str]] = {
            f"before ({options.before})": (folder / "before", "whole"),
            "proof": (ROOT, "whole"),
            "one prediction": (ROOT, "once"),
        }
        bundles = {kit: with_runtime(folder, kit) for kit, _ in peers.values()}
        found: dict[str, list[float]] = {peer: [] for peer in peers}
        answers = set()
        for _ in range(options.rounds):
            for peer, (kit, how) in peers.items():
                seconds, labels = run(kit, bundles[kit], folder / "images.npy", how)
                found[peer].append(seconds)
                answers.add(tuple(labels))
        if len(answers) > 1:
            sys.exit("they do not give the same labels")
        proof = found["proof"]
        for peer, times in found.items():
            ratios = sorted(time / own for time, own in zip(times, proof, strict=True))
            spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f})"
            print(f"{peer}: {statistics.median(times):.1f} s of processor time, {spread} times the proof", flush=True)


def extract(commit: str, folder: Path) -> None:
    """Write the package as of a commit; ends where this is no clone with that commit."""
    done = subprocess.run(["git", "archive", commit, "kit"], cwd=ROOT, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"no commit {commit} here: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def with_runtime(folder: Path, kit: Path) -> Path:
    """The zip with the runtime of the kit in another folder."""
    path = folder / f"{kit.name}-bundle.zip"
    path.write_bytes((folder / "weights.zip").read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model.py", "from kit_runtime.contracts import Model\n")
        for file in sorted((kit / "kit" / "runtime").glob("*.py")):
            archive.write(file, f"kit_runtime/{file.name}")
    return path


def run(kit: Path, bundle: Path, images: Path, how: str) -> Any:
    """Processor seconds and labels of what the kit in a folder does with a zip."""
    command = [sys.executable, "-c", PROVE, str(kit), str(bundle), str(images), how]
    done = subprocess.run(command, capture_output=True, text=True, cwd=bundle.parent)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
