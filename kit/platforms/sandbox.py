"""Run a bundle as a platform would: unzipped into an empty folder, without the kit, without network.

Other versions of the libraries come in throw-away environments, which are kept in the user's cache.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.base.arrays import ImageArray
from kit.errors import BundleError
from kit.store.files import lock

RUNNER = Path(__file__).with_name("sandbox_runner.py")
TIMEOUT_SECONDS = 3600
# What a bundle may see of the environment: enough to find libraries and cards, none of the user's tokens or home.
PASSED = {
    "PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TF_CPP_MIN_LOG_LEVEL",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class BundleRun:
    """What a bundle answered, and how long that took.

    ``network`` says how the network was taken away: by a ``namespace`` of its own or, where the system has none, only
    ``patched``, by replacing Python's sockets. Seen from inside, ``kit_absent`` says that the kit could not be
    imported, and ``elsewhere`` that the working directory was another than the bundle's. What has a default is only
    known with ``inputs``: a later call was ``timed`` when everything was compiled, the ``accepted`` forms of the images
    gave the same answer, and to what cannot be meant, by name in ``refused``, something was said.
    """

    labels: npt.NDArray[Any]  # (N,), of numbers float64; or (N, C) with 0 or 1 for several labels
    proba: npt.NDArray[np.float64]  # (N, C), or (N, 0) where the bundle gives no probabilities
    load_seconds: float
    predict_seconds: float  # of the first call
    peak_mb: float  # resident memory, images included
    versions: dict[str, str]  # of the libraries
    network: str
    kit_absent: bool
    elsewhere: bool
    timed_images: int = 0
    timed_seconds: float = 0.0
    accepted: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Seconds an image takes once everything is compiled."""
        if self.timed_images:
            return self.timed_seconds / self.timed_images
        return self.predict_seconds / max(len(self.labels), 1)

    @property
    def starting_seconds(self) -> float:
        """Loading libraries and weights, and compiling at the first call."""
        return self.load_seconds + max(0.0, self.predict_seconds - self.rate * len(self.labels))

    def seconds_for(self, images: int) -> float:
        """What so many images would have taken here, from start to end."""
        return self.starting_seconds + self.rate * images


def run_bundle(
    bundle: Path, images: ImageArray, *, inputs: bool = False, proba: bool = True, python: Path | None = None
) -> BundleRun:
    """Predict ``images`` (N, H, W, 3) with the zip ``bundle`` in a process that knows nothing of the kit.

    With ``inputs`` the bundle must also take the images in every form that a platform may choose, and refuse what
    cannot be meant. Without ``proba``, which costs a second pass over the images, no probabilities are asked for.
    ``python`` is the interpreter of an environment without the kit; by default this one, with links to all packages
    but the kit. Raises `BundleError`, with its last line, where it fails, takes too long or answers in another shape.
    """
    with tempfile.TemporaryDirectory(prefix="kit-sandbox-") as name:
        folder = Path(name)
        unzipped = folder / "bundle"
        for part in ("bundle", "packages", "elsewhere"):
            (folder / part).mkdir()
        with zipfile.ZipFile(bundle) as archive:
            for member in archive.namelist():  # we wrote them; those that leave the folder are refused all the same
                if not (unzipped / member).resolve().is_relative_to(unzipped.resolve()):
                    raise BundleError(f"{bundle.name} contains {member!r}, which is outside its folder")
            archive.extractall(unzipped)
        if python is None:  # all installed packages but the kit itself
            for site in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
                for entry in Path(site).iterdir():
                    link = folder / "packages" / entry.name
                    if entry.suffix != ".pth" and entry.name != "kit" and not link.exists():
                        link.symlink_to(entry)
        np.save(folder / "images.npy", images)
        flags = [*(["inputs"] if inputs else []), *([] if proba else ["labels"])]
        report = json.loads(_start(folder, python, flags))
        with np.load(folder / "answer.npz", allow_pickle=False) as answer:
            labels, probabilities = answer["labels"], answer["proba"]
    if labels.shape not in ((len(images),), probabilities.shape) or labels.dtype.kind not in "iuf":
        raise BundleError(f"predict gave {labels.dtype} {labels.shape}, expected class indices ({len(images)},)")
    labels = labels if labels.dtype.kind == "f" else labels.astype(np.int64)
    return BundleRun(labels, probabilities.astype(np.float64), **report)


def _start(folder: Path, python: Path | None, flags: list[str]) -> str:
    """What the runner printed at last, which says in JSON how it went."""
    # Without -S another environment finds its own packages; with it this one finds the links alone.
    interpreter = [str(python), "-I"] if python else [sys.executable, "-I", "-S"]
    elsewhere = folder / "elsewhere"
    paths = (str(folder / file) for file in ("packages", "bundle", "images.npy", "answer.npz"))
    command = [*interpreter, str(RUNNER), *paths, *flags]
    # Not every system lets us start a process in a network of its own.
    alone = ["unshare", "-rn"] if shutil.which("unshare") else []
    if alone and subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        alone = []
    try:
        done = subprocess.run(
            [*alone, *command, "namespace" if alone else "patched"],
            cwd=elsewhere,
            env={name: value for name, value in os.environ.items() if name in PASSED} | {"HOME": str(elsewhere)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"the bundle was still running after {TIMEOUT_SECONDS} s") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise BundleError(f"the bundle failed with code {done.returncode}: {lines[-1] if lines else 'no message'}")
    return done.stdout.splitlines()[-1]


def environment(requirements: str) -> Path:
    """The Python of an environment with ``requirements`` (as pip takes them) and nothing else, made on first use.

    It is kept under ``$XDG_CACHE_HOME/kit`` or ``~/.cache/kit``. Raises `BundleError` with pip's last line.
    """
    wanted = " ".join(sorted(requirements.split()))
    name = hashlib.sha256(f"{sys.version_info[:2]} {wanted}".encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "kit" / "environments"
    folder = cache / name
    python = folder / "bin" / "python"
    with lock(cache / f"{name}.lock", f"the environment of {wanted}"):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            create, install = [sys.executable, "-m", "venv"], [str(python), "-m", "pip", "install", "-q"]
            if uv := shutil.which("uv"):
                create = [uv, "venv", "-q", "--python", sys.executable]
                install = [uv, "pip", "install", "-q", "--python", str(python)]
            for command in ([*create, str(folder)], [*install, *wanted.split()]):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    lines = [line for line in done.stderr.splitlines() if line.strip()]
                    raise BundleError(f"cannot install {wanted}: {lines[-1] if lines else 'no message'}")
            (folder / "complete").touch()
    return python
