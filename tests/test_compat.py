"""The same probabilities under the versions of the platforms' images, for every backbone, each in its environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from kit.base.arrays import ImageArray
from kit.platforms.sandbox import BundleRun, environment, run_bundle
from kit.runtime.backbones import BACKBONES
from kit.stages.bundle.contents import MODEL, PACKAGE
from kit.store.files import write_zip

pytestmark = [pytest.mark.compat, pytest.mark.tf, pytest.mark.timeout(3600)]

VERSIONS = {
    "codabench": "tensorflow-cpu==2.16.2 keras==3.3.3 numpy==1.26.4",
    "between": "tensorflow-cpu==2.18.1 keras==3.9.2 numpy==1.26.4",
    "colab": "tensorflow-cpu==2.20.0 keras==3.13.1 numpy==2.0.2",
    "newest": "tensorflow-cpu==2.21.0 keras==3.15.1 numpy==2.4.6",
}
PREPROCESSED = "plain-cnn preprocessed"
STEPS = [{"op": op} for op in ("illumination", "bilateral", "clahe", "segmentation")] + [{"op": "resize", "size": 24}]
FILL = """
import json, sys
import keras
import numpy as np
from kit.runtime import arrays
from kit.runtime.backbones import build
keras.utils.set_random_seed(0)
network = build(json.loads(sys.argv[1]))
rng = np.random.default_rng(0)
for weight in network.model.weights:
    if len(weight.shape) == 1 and "moving" not in weight.path:
        weight.assign(weight + 0.1 * rng.random(weight.shape))
# As a trained network's: statistics of what each layer sees, or the images would vanish on the way down.
for layer in network.model._flatten_layers():
    if type(layer).__name__ == "BatchNormalization":
        layer.momentum = 0.0
network.model(np.load(sys.argv[3]).astype(np.float32), training=True)
np.savez(sys.argv[2], **arrays.of(network.model))
"""


class Made(NamedTuple):
    """A bundle, images, and what it says about them here."""

    bundle: Path
    images: ImageArray
    here: BundleRun


def coarse_images(n: int, size: int, seed: int) -> ImageArray:
    """Images (n, size, size, 3) with large patches and noise, so that they differ for a network."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 200, (n, 4, 4, 3)).repeat(-(-size // 4), axis=1).repeat(-(-size // 4), axis=2)
    return (patches[:, :size, :size] + rng.integers(0, 56, (n, size, size, 3))).astype(np.uint8)


def make_bundle(folder: Path, case: str) -> tuple[Path, int]:
    """A bundle of one network with weights of no meaning, and the side of its images."""
    backbone = case.split()[0]
    import kit.runtime

    size = max(BACKBONES[backbone].smallest, 32)
    head = {"dropout": 0.0, "units": []}
    network: dict[str, Any] = {"backbone": backbone, "size": size, "classes": 3, "head": head}
    network |= {"preprocess": STEPS} if case == PREPROCESSED else {}
    np.save(folder / "images.npy", coarse_images(128, size, seed=2))
    files = [str(folder / name) for name in ("w.npz", "images.npy")]
    subprocess.run([sys.executable, "-c", FILL, json.dumps(network), *files], check=True)
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
    content: dict[str, Path | bytes] = {f"{PACKAGE}/{path.name}": path for path in runtime.glob("*.py")}
    content |= {"model.py": MODEL["an2dl-2024"].encode(), "bundle.json": json.dumps(description).encode()}
    content["weights/m-0.npz"] = folder / "w.npz"
    return write_zip(folder / "b.zip", content), size


@pytest.fixture(scope="module", params=[*BACKBONES, PREPROCESSED])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A bundle of each backbone and its answer under the installed versions, once for all other versions."""
    bundle, size = make_bundle(tmp_path_factory.mktemp("bundle"), request.param)
    images = coarse_images(6, size, seed=1)
    here = run_bundle(bundle, images)
    assert np.ptp(here.proba, axis=0).max() > 1e-4  # the images matter
    return Made(bundle, images, here)


@pytest.mark.parametrize("versions", VERSIONS)
def test_the_same_probabilities_under_other_versions(made: Made, versions: str) -> None:
    there = run_bundle(made.bundle, made.images, python=environment(VERSIONS[versions]))
    for name, number in (word.split("==") for word in VERSIONS[versions].split()):
        assert there.versions[name.removesuffix("-cpu")] == number
    assert np.abs(there.proba - made.here.proba).max() <= 1e-5
