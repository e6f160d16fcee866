"""The same probabilities under the versions of the platforms' images, for every backbone, each in its environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kit.bundle import MODEL, PACKAGE
from kit.environments import environment
from kit.files import write_zip
from kit.runtime.backbones import BACKBONES
from kit.sandbox import run_bundle

pytestmark = [pytest.mark.compat, pytest.mark.tf, pytest.mark.timeout(3600)]

VERSIONS = {
    "codabench": "tensorflow-cpu==2.16.2 keras==3.3.3 numpy==1.26.4",
    "between": "tensorflow-cpu==2.18.1 keras==3.9.2 numpy==1.26.4",
    "colab": "tensorflow-cpu==2.20.0 keras==3.13.1 numpy==2.0.2",
    "newest": "tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.6",
}
FILL = """
import json, sys
import numpy as np
from kit.runtime import arrays
from kit.runtime.backbones import build
network = build(json.loads(sys.argv[1]))
rng = np.random.default_rng(0)
found = arrays.of(network.model)
for name, value in found.items():
    # As a trained network's: variances positive, activations neither dead nor without bounds.
    found[name] = (np.abs(value) + 0.1 * rng.random(value.shape)).astype(np.float32) if value.ndim < 2 else value
np.savez(sys.argv[2], **found)
"""


def make_bundle(folder: Path, backbone: str) -> tuple[Path, int]:
    """A bundle of one network with weights of no meaning, and the side of its images."""
    import kit.runtime

    size = max(BACKBONES[backbone].smallest, 32)
    head = {"dropout": 0.0, "units": []}
    network = {"backbone": backbone, "size": size, "classes": 3, "head": head}
    subprocess.run([sys.executable, "-c", FILL, json.dumps(network), str(folder / "w.npz")], check=True)
    part = {"share": 1.0, "temperatures": [1.0], "weights": [1.0], "centre": 1.0, "slopes": [0.0], "bias": [0.0] * 3}
    description = {
        "version": 1,
        "classes": ["a", "b", "c"],
        "size": size,
        "views": ["identity", "rot90"],
        "members": [{"name": "m", "network": network, "weights": ["weights/m-0.npz"]}],
        "blend": {"views": [0.5, 0.5], "parts": [part], "bias": []},
        "batch_size": 4,
    }
    runtime = Path(kit.runtime.__path__[0])
    files: dict[str, Path | bytes] = {f"{PACKAGE}/{path.name}": path for path in runtime.glob("*.py")}
    files |= {"model.py": MODEL["an2dl-2024"].encode(), "bundle.json": json.dumps(description).encode()}
    files["weights/m-0.npz"] = folder / "w.npz"
    return write_zip(folder / "b.zip", files), size


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_same_probabilities_under_every_version(backbone: str, tmp_path: Path) -> None:
    bundle, size = make_bundle(tmp_path, backbone)
    images = np.random.default_rng(1).integers(0, 256, (6, size, size, 3), dtype=np.uint8)
    here = run_bundle(bundle, images)
    assert np.ptp(here.proba, axis=0).max() > 1e-4  # the images matter
    for name, requirements in VERSIONS.items():
        there = run_bundle(bundle, images, python=environment(requirements))
        assert np.abs(there.proba - here.proba).max() <= 1e-5, f"{name}: {there.versions}"
