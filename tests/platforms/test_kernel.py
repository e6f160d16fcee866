"""The notebook of a code competition gives the bundle the pixels that training saw."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from competitions import picture

from kit import platforms, runtime
from kit.config import parse
from kit.sources import open_source

TEMPLATE = Path(platforms.__path__[0]) / "kaggle_kernel.py.tmpl"
MODEL = """
from pathlib import Path
import numpy as np

class Model:
    def predict(self, x):
        np.save(Path(__file__).with_name("seen.npy"), x)
        return np.arange(len(x)) % 2
"""


def test_the_notebook_reads_images_as_training_did(tmp_path: Path) -> None:
    test, dataset = tmp_path / "input/cells/test", tmp_path / "input/weights/bundle"
    (dataset / "kit_runtime").mkdir(parents=True)
    test.mkdir(parents=True)
    picture("cat", 1, size=40).crop((0, 0, 40, 30)).save(test / "a.png")
    picture("dog", 2, size=64).save(test / "b.tif")
    picture("hen", 3, size=24).convert("L").save(test / "c.jpg")
    (test / "d.png").write_bytes(b"")
    (dataset / "model.py").write_text(MODEL)
    (dataset / "kit_runtime/__init__.py").touch()
    shutil.copy(Path(runtime.__path__[0]) / "decode.py", dataset / "kit_runtime")
    (dataset / "bundle.json").write_text(json.dumps({"size": 32, "classes": ["x", "y"], "resize": "crop"}))
    (dataset / "tag.txt").write_text("kit-1\n")
    (tmp_path / "input/cells/sample.csv").write_text("id,label\nc,x\na,x\nd,x\nb,x\n")
    (tmp_path / "working").mkdir()
    text = TEMPLATE.read_text().replace("/kaggle", str(tmp_path))
    for name, value in {"DATASET": "weights", "COMPETITION": "cells", "TAG": "kit-1", "SAMPLE": "sample.csv"}.items():
        text = text.replace(f"@{name}@", value)
    subprocess.run([sys.executable, "-I", "-c", text], check=True, capture_output=True)

    data = parse(f'[data]\ntrain = "unused"\ntest = "{test}"\nimage_size = 32\nresize = "crop"').data
    expected = open_source(data, tmp_path, "test").read(0, 4)[0]  # a, b, c, d
    np.testing.assert_array_equal(np.load(dataset / "seen.npy"), expected[[2, 0, 3, 1]])
    with (tmp_path / "working/submission.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["id", "label"], ["c", "x"], ["a", "y"], ["d", "x"], ["b", "y"]]
