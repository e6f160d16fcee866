"""Sets that do not fit: disk, memory and processor time of cleaning and training on many JPEG files.

    python benchmarks/large.py 5000[,20000...] 512 [--source 640 480] [--train] [--all] [--store encoded] [--to 500000]

Generates N pictures of SIZE x SIZE pixels (or of another ``--source`` width and height, resized to SIZE in cleaning) in
ten classes: coloured noise of every scale, as photographs have it. Memory is anonymous memory (Pss_Anon) of the command
and all of its processes together at its largest, asked ten times a second: a page that forks share counts once, and
pages of mapped files belong to the system, which takes them back. Time is processor time, because machines are shared.
The peer of cleaning is decoding alone: the same files through the same decoder, as many threads, and nothing else.
``--train`` trains a network of 128 px at most for an epoch on one fold (MobileNetV2 with ``--backbone mobilenetv2``);
its peer is the same on ``--store array``. ``--all`` goes on to the local platform and `kit predict`, with all pictures
as test images and as hidden ones too. Several numbers N also give the curve of memory, drawn on as a straight line
through the last two.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from machine import machine
from PIL import Image
from train_memory import family, kilobytes

from kit.runtime import decode

CONFIG = """
[data]
train = "raw"{more}
image_size = {size}
store = "{store}"
[folds]
method = "hold-out"
[stress]
rows = 10
[runs.net]
backbone = "{backbone}"
preprocess = [{{ op = "resize", size = {input} }}]
views = ["identity"]
batch_size = 64
augment = [{{ op = "dihedral" }}]
stages = [{{ train = "all", epochs = 1 }}]
"""


MORE = '\ntest = "raw"\ntruth = "raw"'
LAST = (["ensemble"], ["bundle"], ["submit", "--yes"], ["predict", "--bundle", "{bundle}", "--input", "raw"])


def write_pictures(folder: Path, n: int, width: int, height: int) -> None:
    """JPEG files of quality 85 with noise of every scale."""

    def write(row: int) -> None:
        rng = np.random.default_rng(row)
        pixels = np.full((height, width, 3), 128.0, np.float32)
        for scale, strength in ((4, 40), (16, 24), (64, 12), (256, 6)):
            small = Image.fromarray(rng.integers(0, 256, (scale, scale, 3), np.uint8))
            pixels += (
                (np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float32) - 128) * strength / 74
            )
        path = folder / f"class-{row % 10}" / f"{row:06d}.jpg"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=85)

    for number in range(10):
        (folder / f"class-{number}").mkdir(parents=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, range(n)))


def decoding_alone(paths: list[Path], size: int) -> tuple[float, float]:
    """Seconds of the processor and of the clock."""
    started, processor = time.perf_counter(), time.process_time()
    with decode.quiet(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda path: decode.decode(path.read_bytes(), size).shape, paths, chunksize=16):
            pass
    return time.process_time() - processor, time.perf_counter() - started


def watched(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Seconds of the processor and of the clock, and GB of anonymous memory at most."""
    before, started, most = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen([sys.executable, "-m", "kit", *command], cwd=folder, stdout=log, stderr=log)
        while process.poll() is None:
            most = max(most, sum(kilobytes(pid, "Pss_Anon:", "smaps_rollup") for pid in family(process.pid)))
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit((folder / "log.txt").read_text()[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return processor, time.perf_counter() - started, most / 1e6


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measured(n: int, args: argparse.Namespace) -> dict[str, float]:
    """Print what each command takes on ``n`` pictures; returns the GB of memory of each."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_pictures(folder / "raw", n, *(args.source or (args.size, args.size)))
        paths = sorted((folder / "raw").rglob("*.jpg"))
        told = {"size": args.size, "store": args.store, "backbone": args.backbone, "input": min(args.size, 128)}
        text = CONFIG.format(**told, more=MORE if args.all else "")
        (folder / "kit.toml").write_text(text)
        alone, wall = decoding_alone(paths, args.size)
        print(f"{n:,} pictures, {args.size} px, {args.store}; decoding alone {n / alone:,.0f} per second of")
        print(f"a processor ({alone:.1f} s, {wall:.1f} s by the clock)")
        print("command  processor  per second  / decoding    clock  anonymous memory")
        training = [["train"]] if args.train or args.all else []
        for command in (["clean"], ["folds"], *training, *(LAST if args.all else ())):
            bundle = max((folder / "submissions").glob("*/bundle.zip"), default=folder)
            processor, clock, most = watched([part.format(bundle=bundle) for part in command], folder)
            rate, ratio, found[command[0]] = n / processor, processor / alone, most
            print(
                f"{command[0]:8} {processor:7.1f} s  {rate:10,.0f}  {ratio:10.2f}  {clock:6.1f} s  {most:.2f} GB",
                flush=True,
            )
        source, kept = size_of(folder / "raw"), size_of(folder / "data")
        array = 3 * args.size**2 * n
        print(f"disk: source {source / 1e9:.2f} GB, data/ {kept / 1e9:.2f} GB = {kept / source:.2f} of it; ", end="")
        print(f"the array alone would be {array / 1e9:.2f} GB")
    return found


def curve(found: dict[int, dict[str, float]], to: int) -> None:
    """Print memory by number of pictures, what one more takes between the last two, and what ``to`` would take."""
    sizes = sorted(found)
    print("\nGB of anonymous memory at most")
    print("command ", *(f"{n:>9,}" for n in sizes), "  bytes a picture", f"at {to:,}")
    for command in found[sizes[-1]]:
        values = [found[n][command] for n in sizes]
        each = (values[-1] - values[-2]) / (sizes[-1] - sizes[-2])
        row = " ".join(f"{value:9.2f}" for value in values)
        print(f"{command:8} {row}  {each * 1e9:15,.0f} {values[-1] + each * (to - sizes[-1]):10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("n", help="one number, or several with commas")
    parser.add_argument("size", type=int)
    parser.add_argument("--source", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--store", default="encoded", choices=("array", "encoded", "files"))
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--backbone", default="two-conv-cnn")
    parser.add_argument("--to", type=int, default=500_000)
    args = parser.parse_args()
    print(machine())
    found = {n: measured(n, args) for n in map(int, args.n.split(","))}
    if len(found) > 1:
        curve(found, args.to)


if __name__ == "__main__":
    main()
