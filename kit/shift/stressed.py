"""What `kit stress` wrote of a run, as later stages read it, and whether it is still true."""

from __future__ import annotations

from dataclasses import dataclass

from kit.config import Config
from kit.corrupt.plan import Plan, plan_of
from kit.errors import StageError
from kit.files import is_fresh, read_json, sha256_file, sha256_json
from kit.records import Predictions, load_predictions
from kit.runs import FoldSpec

# Raised whenever the same plan would give other pictures or files.
VERSION = 1


@dataclass(frozen=True, eq=False)
class Stressed:
    """The predictions of a run under stress, all out of fold.

    Parameters
    ----------
    plan : Plan
    mixture : Predictions
        Every held-out row once, under the mixture, with the run's views.
    grid : Predictions
        A sample of the rows under every family and severity, one view; ids as `kit.corrupt.plan.grid_ids` has them.
    """

    plan: Plan
    mixture: Predictions
    grid: Predictions


def fold_key(spec: FoldSpec, plan: Plan) -> str:
    """Hash of what a fold's files under stress depend on: its network, by what it predicted, and the plan."""
    return sha256_json(
        {"version": VERSION, "run": spec.key, "valid": sha256_file(spec.paths.valid), "plan": plan.to_json()}
    )


def is_fold_stressed(spec: FoldSpec, plan: Plan) -> bool:
    """Whether a fold's files under stress are there and those of this plan and of its network."""
    paths = spec.paths
    if not (paths.valid.exists() and paths.stress_spec.exists()):
        return False
    return is_fresh(paths.stress_spec, fold_key(spec, plan), [paths.stress, paths.stress_grid])


def run_key(folds: list[FoldSpec], plan: Plan, metric: str) -> str:
    """Hash of what a run's files under stress depend on."""
    return sha256_json({"folds": [fold_key(spec, plan) for spec in folds], "metric": metric})


def is_stressed(folds: list[FoldSpec], config: Config) -> bool:
    """Whether the run's files under stress are there and those of the present configuration."""
    paths = folds[0].run_paths
    if not (paths.stress_manifest.exists() and all(spec.paths.valid.exists() for spec in folds)):
        return False
    key = run_key(folds, plan_of(config.stress), config.competition.metric)
    return bool(read_json(paths.stress_manifest).get("key") == key) and paths.stress.exists()


def load_stressed(folds: list[FoldSpec], config: Config) -> Stressed:
    """Read them.

    Raises
    ------
    StageError
        Where the run was not stressed, or its networks or the configuration changed since.
    """
    paths = folds[0].run_paths
    if not is_stressed(folds, config):
        raise StageError(f"run `{folds[0].run}` was not stressed as [stress] says", f"kit stress {folds[0].run}")
    return Stressed(plan_of(config.stress), load_predictions(paths.stress), load_predictions(paths.stress_grid))
