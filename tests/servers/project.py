"""A project on disk with one proven candidate, made by hand: no training, no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.config import Config, load
from kit.files import sha256_file, write_zip
from kit.layout import Layout, SubmissionPaths
from kit.store.candidate import Ensemble, Limits, Member, Pool, PoolPart, Proof, StoredBlend
from kit.store.record import Figure

MODEL = b"""
import numpy as np

class Model:
    def predict(self, X):
        return (np.asarray(X).reshape(len(X), -1).mean(axis=1) > 127).astype(np.int64)
"""
METADATA = b"description: a stand-in\n"


def make_project(root: Path, **competition: Any) -> tuple[Layout, Config]:
    """Write ``kit.toml`` with a ``[competition]`` of these keys."""
    root.mkdir(parents=True, exist_ok=True)
    lines = [f"{key} = {_toml(value)}" for key, value in competition.items()]
    (root / "kit.toml").write_text("\n".join(["[competition]", *lines, "[data]", 'train = "raw.npz"', ""]))
    layout = Layout(root)
    return layout, load(layout.config)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int) else '"' + str(value) + '"'


def make_candidate(
    layout: Layout, name: str = "20261121T054000Z-3f9c2ab1", cv: float = 0.88, salt: bytes = b""
) -> SubmissionPaths:
    """Write a candidate with a bundle that runs on NumPy alone."""
    paths = layout.submission(name)
    ensemble_record(cv).save(paths.ensemble)
    write_zip(paths.bundle, {"model.py": MODEL, "metadata": METADATA, "salt.txt": salt})
    proof_record(sha256_file(paths.bundle)).save(paths.proof)
    return paths


def ensemble_record(cv: float, classes: tuple[str, ...] = ("0", "1")) -> Ensemble:
    """The record of a blend of one network that nobody has trained."""
    figure = Figure(score=cv, low=cv - 0.02, high=cv + 0.02)
    one = (1.0,)
    part = PoolPart(share=1.0, temperatures=one, weights=one, slopes=(0.0,), centre=1.0, bias=(0.0,) * len(classes))
    blend = StoredBlend(
        members=("a",),
        view_names=("identity",),
        classes=classes,
        metric="nll",
        method="temperature-mean",
        weights=one,
        views=one,
        temperatures=one,
        gap=0.0,
        bound=0.0,
        nested=figure,
        optimism=0.0,
        candidates={},
        member_worth=((0.0, 0.0),),
        view_worth=((0.0, 0.0),),
        notes=(),
        params=Pool(views=one, parts=(part,)),
    )
    member = Member(run="a", folder="a-00000000", folds=1, network={"backbone": "plain-cnn"}, oof="0" * 64)
    return Ensemble(
        made_from={},
        metric="accuracy",
        cv=figure,
        rows=1000,
        classes=classes,
        views=("identity",),
        members=(member,),
        blend=blend,
    )


def proof_record(sha256: str, images: int = 32, predict_seconds: float = 0.1, load_seconds: float = 0.0) -> Proof:
    """The proof of a zip that ran without trouble."""
    limits = Limits(images=1000, seconds=1.0, max_seconds=None, max_memory_mb=None, max_mb=None)
    return Proof(
        made_from={},
        sha256=sha256,
        kit_absent=True,
        network="namespace",
        network_removed=True,
        other_working_directory=True,
        probe_images=32,
        difference=0.0,
        difference_allowed=1e-4,
        accepted=(),
        refused={},
        load_seconds=load_seconds,
        images=images,
        predict_seconds=predict_seconds,
        peak_mb=100.0,
        zip_mb=0.1,
        limits=limits,
        float16=None,
        versions={},
    )
