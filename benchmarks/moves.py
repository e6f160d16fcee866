"""Which flips and turns keep a class: what thumbnails say of sets of images, beside what a person would say.

    python benchmarks/moves.py practice digits FILE.npz FOLDER TABLE.csv ...

An argument is what ``[data] train`` may be; one after ``NAME=`` has that name, and a name that is known has the answer
of a person beside it: ``python benchmarks/moves.py mnist=/data/mnist.npz``. Each set is judged with several seeds, so
that it can be seen how far the answer depends on the draw. ``error`` is the standard error that `kit init` sees.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from kit.images.moves import MOVES, ROWS, allowed, judge
from kit.images.sources import BUILT_IN
from kit.stages.init.look import opened, sample

# May it be mirrored, stand on its head, be turned by a quarter?
PERSON = {
    "mnist": "no no no",
    "fashion": "yes no no",
    "cifar10": "yes no no",
    "digits": "no no no",
    "practice": "yes yes yes",
    "blood": "yes yes yes",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for argument in options.sets:
        name, _, spec = argument.rpartition("=")
        name = name or Path(spec).stem
        images, labels = sample(opened(Path(), spec if spec in BUILT_IN else str(Path(spec).resolve())), 2 * ROWS)
        print(f"{name}: {len(images)} images; a person: {PERSON.get(name, 'not asked')}")
        for seed in range(options.seeds):
            started = time.process_time()
            gains = judge(images, labels, seed)
            seconds = time.process_time() - started
            told = "  ".join(f"{move} {gains[move]}" for move in MOVES)
            print(f"  seed {seed}: {told}  -> {allowed(gains).augment or 'none'}, {seconds:.1f} s of a core")
        print(f"  classes {len(np.unique(labels))}")


if __name__ == "__main__":
    main()
