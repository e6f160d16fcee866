"""What is in the zip: the runtime, three lines for the platform, a description and the weights that are used."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from kit import runtime
from kit.config import Config
from kit.errors import BundleError
from kit.runs.results import FoldRecord
from kit.runs.spec import train_again
from kit.store.candidate import Ensemble, Member
from kit.store.files import sha256_file
from kit.store.layout import FoldPaths, Layout, RunPaths
from kit.store.predictions import Predictions, load_predictions
from kit.store.record import digest

VERSION = 3
PACKAGE = "kit_runtime"

MODEL = {
    "an2dl-2024": f"from {PACKAGE}.contracts import Model\n",
    "codalab-legacy": f"from {PACKAGE}.contracts import Legacy as model\n",
}
# Codabench copies a submission without this file into its outputs, weights included.
METADATA = b"description: predictor with its weights\n"


def zip_members(config: Config, record: Ensemble, weights: Mapping[str, Path]) -> dict[str, Path | bytes]:
    """Name in the zip and content of every file; ``weights`` are those of `weights_of`, perhaps with fewer bits."""
    files: dict[str, Path | bytes] = {f"{PACKAGE}/{path.name}": path for path in runtime_files()}
    files["model.py"] = MODEL[config.bundle.contract].encode()
    files["metadata"] = METADATA
    files |= weights
    description = {
        **record.blend.described(),
        "version": VERSION,
        "size": record.members[0].network["size"],
        "views": record.used_views,
        "members": [
            {
                "name": member.run,
                "network": member.network,
                "weights": [weights_name(member, fold) for fold in range(member.folds)],
            }
            for member in record.used_members
        ],
        "blend": record.blend.params.narrowed().plain(),
        "resize": config.data.resize,
        "batch_size": config.bundle.batch_size,
    }
    files["bundle.json"] = (json.dumps(description, indent=1, sort_keys=True) + "\n").encode()
    digests = {
        name: hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else sha256_file(content)
        for name, content in files.items()
    }
    # As `sha256sum --check SHA256SUMS` reads it.
    files["SHA256SUMS"] = "".join(f"{digests[name]}  {name}\n" for name in sorted(files)).encode()
    return files


def runtime_files() -> list[Path]:
    """The modules that travel."""
    return sorted(Path(runtime.__path__[0]).glob("*.py"))


def fold_paths(layout: Layout, member: Member) -> list[FoldPaths]:
    """The files of a member's folds."""
    run = RunPaths(layout.runs / member.folder)
    return [run.fold(fold) for fold in range(member.folds)]


def fold_predictions(layout: Layout, member: Member, kind: str, views: Sequence[str]) -> list[Predictions]:
    """What each fold predicted of images of a kind, `valid` or `probe`; raises `StageError` if that was changed."""
    found = []
    for fold, paths in enumerate(fold_paths(layout, member)):
        again, path = train_again(member.run, fold), getattr(paths, kind)
        FoldRecord.load(paths.record, again).check(paths.root, again, path.name)
        found.append(load_predictions(path).select(views))
    return found


def weights_name(member: Member, fold: int) -> str:
    """Where the weights of a fold are in the zip."""
    return f"weights/{member.run}-{fold}.npz"


def weights_of(layout: Layout, record: Ensemble) -> dict[str, Path]:
    """Name in the zip and file of the weights that the blend uses; `BundleError` where one is missing or another."""
    found = {}
    for member in record.used_members:
        for fold, paths in enumerate(fold_paths(layout, member)):
            what = f"the weights of run `{member.run}` fold {fold}"
            again = train_again(member.run, fold)
            if not paths.weights.exists():
                raise BundleError(f"{what} are missing", again)
            if digest(paths.weights) != member.weights[fold]:
                raise BundleError(f"{what} differ from those that the ensemble was made with", again)
            found[weights_name(member, fold)] = paths.weights
    return found
