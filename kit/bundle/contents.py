"""What is in the zip: the runtime, three lines for the platform, a description and the weights that are used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from kit import runtime
from kit.config import Config
from kit.errors import BundleError
from kit.files import sha256_file
from kit.layout import FoldPaths, Layout, RunPaths
from kit.runtime.pool import Params

VERSION = 1
PACKAGE = "kit_runtime"

MODEL = {
    "an2dl-2024": f"from {PACKAGE}.contracts import Model\n",
    "codalab-legacy": f"from {PACKAGE}.contracts import Legacy as model\n",
}
# Codabench copies a submission without this file into its outputs, weights included.
METADATA = b"description: predictor with its weights\n"


def zip_members(config: Config, record: dict[str, Any], weights: Mapping[str, Path]) -> dict[str, Path | bytes]:
    """Name in the zip and content of every file; ``weights`` are those of `weights_of`, perhaps with fewer bits."""
    files: dict[str, Path | bytes] = {f"{PACKAGE}/{path.name}": path for path in runtime_files()}
    files["model.py"] = MODEL[config.bundle.contract].encode()
    files["metadata"] = METADATA
    files |= weights
    files["bundle.json"] = (json.dumps(_description(config, record), indent=1, sort_keys=True) + "\n").encode()
    files["SHA256SUMS"] = _checksums(files)
    return files


def runtime_files() -> list[Path]:
    """The modules that travel."""
    return sorted(Path(runtime.__path__[0]).glob("*.py"))


def used(params: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Positions of the members and of the views that a blend uses at all."""
    parts = params["parts"]
    members = [
        m for m in range(len(parts[0]["weights"])) if any(part["weights"][m] or part["slopes"][m] for part in parts)
    ]
    return members, [v for v, weight in enumerate(params["views"] or ()) if weight]


def used_members(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The members of ``record`` that the blend uses."""
    return [record["members"][position] for position in used(record["blend"]["params"])[0]]


def used_views(record: dict[str, Any]) -> list[str]:
    """The views that the blend uses."""
    return [record["views"][view] for view in used(record["blend"]["params"])[1]]


def used_params(record: dict[str, Any]) -> Params:
    """The blend for `used_members` and `used_views`."""
    return cast("Params", narrowed(record["blend"]["params"], *used(record["blend"]["params"])))


def narrowed(params: dict[str, Any], members: Sequence[int], views: Sequence[int]) -> dict[str, Any]:
    """The same blend for a selection of members and views that leaves out only what it does not use."""
    per_member = ("temperatures", "weights", "slopes", "ranks")
    parts = [
        {key: [value[m] for m in members] if key in per_member else value for key, value in part.items()}
        for part in params["parts"]
    ]
    return {**params, "views": [params["views"][view] for view in views], "parts": parts}


def fold_paths(layout: Layout, member: dict[str, Any]) -> list[FoldPaths]:
    """The files of a member's folds."""
    run = RunPaths(layout.runs / member["folder"])
    return [run.fold(fold) for fold in range(member["folds"])]


def weights_name(member: dict[str, Any], fold: int) -> str:
    """Where the weights of a fold are in the zip."""
    return f"weights/{member['run']}-{fold}.npz"


def weights_of(layout: Layout, record: dict[str, Any]) -> dict[str, Path]:
    """Name in the zip and file of the weights that the blend uses.

    Raises
    ------
    BundleError
        Where some are not here, as in a clone of a team mate's project.
    """
    found = {}
    for member in used_members(record):
        for fold, paths in enumerate(fold_paths(layout, member)):
            if not paths.weights.exists():
                what = f"the weights of run `{member['run']}` fold {fold} are not here"
                raise BundleError(what, f"kit train {member['run']} --fold {fold} --force")
            found[weights_name(member, fold)] = paths.weights
    return found


def _description(config: Config, record: dict[str, Any]) -> dict[str, Any]:
    members = [
        {
            "name": member["run"],
            "network": member["network"],
            "weights": [weights_name(member, fold) for fold in range(member["folds"])],
        }
        for member in used_members(record)
    ]
    return {
        "version": VERSION,
        "classes": record["classes"],
        "size": record["members"][0]["network"]["size"],
        "views": used_views(record),
        "members": members,
        "blend": used_params(record),
        "resize": config.data.resize,
        "batch_size": config.bundle.batch_size,
    }


def _checksums(files: dict[str, Path | bytes]) -> bytes:
    """What `sha256sum --check SHA256SUMS` reads."""
    digests = {
        name: hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else sha256_file(content)
        for name, content in files.items()
    }
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(files)).encode()
