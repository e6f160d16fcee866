"""What `kit stress` wrote of a run, as later stages read it, and whether it is still true."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from kit.config import Config
from kit.errors import StageError
from kit.images.corrupt.plan import StressPlan, plan_of
from kit.runs.results import forward_lineage, require, require_joined, trained
from kit.runs.spec import FoldSpec
from kit.store.data import Index
from kit.store.files import sha256_json
from kit.store.predictions import Predictions, load_predictions
from kit.store.record import Digests, Figure, Made, Part

# Raised whenever the same plan would give other pictures or files.
VERSION = 2


class StressedFold(Made):
    """``stress.json`` of a fold, written last."""


class StressScores(Part):
    """Scores of a run; ``drop`` is how much worse the stressed one is, in pairs over the rows."""

    clean: Figure
    stressed: Figure
    drop: Figure


class StressedRun(Made):
    """``stress.json`` of a run: its folds' predictions under stress, joined and scored."""

    VERSION: ClassVar[int] = 2
    OLDER: ClassVar[tuple[int | None, ...]] = (None,)
    COMMAND: ClassVar[str] = "kit stress"

    metric: str
    plan: StressPlan
    scores: StressScores


@dataclass(frozen=True, eq=False)
class Stressed:
    """The predictions of a run under stress, all out of fold: every held-out row under the mixture, with its views.

    ``grid`` is a sample of the rows under every family and severity, one view; ids as in
    `kit.images.corrupt.plan.grid_ids`.
    """

    plan: StressPlan
    mixture: Predictions
    grid: Predictions
    record: StressedRun


def fold_lineage(spec: FoldSpec, plan: StressPlan, index: Index) -> Digests:
    """What a fold's files under stress are made from; raises `StageError` where the fold is not trained."""
    return {
        "stress": str(VERSION),
        **forward_lineage(spec, require(spec)),
        "images": index.parts["images"],
        "folds": spec.table,
        "plan": plan.key,
    }


def stressed_fold(spec: FoldSpec, plan: StressPlan, index: Index) -> StressedFold | None:
    """The record of a fold's files under stress; None where they have to be made."""
    if trained(spec) is None:
        return None
    return StressedFold.fresh(spec.paths.stress_record, fold_lineage(spec, plan, index), f"kit stress {spec.run}")


def run_lineage(folds: Sequence[FoldSpec], plan: StressPlan, index: Index, metric: str) -> Digests | None:
    """What a run's files under stress are made from; None where a fold lacks its own."""
    found = [stressed_fold(spec, plan, index) for spec in folds]
    files = [record.files for record in found if record is not None]
    if len(files) < len(folds):
        return None
    return {
        "stress": str(VERSION),
        "folds": sha256_json(files),
        "oof": sha256_json(require_joined(folds, index).files),
        "labels": index.parts["labels"],
        "metric": metric,
        # Intervals are over groups; where every row is alone they are what they were before that.
        **({"groups": index.parts["groups"]} if len(set(index.groups)) < len(index.groups) else {}),
    }


def stressed_run(folds: Sequence[FoldSpec], config: Config, index: Index) -> StressedRun | None:
    """The record of a run's files under stress as ``[stress]`` has it now; None where they have to be made."""
    made_from = run_lineage(folds, plan_of(config.stress), index, config.competition.metric)
    if made_from is None:
        return None
    return StressedRun.fresh(folds[0].run_paths.stress_manifest, made_from, f"kit stress {folds[0].run}")


def load_stressed(folds: Sequence[FoldSpec], config: Config, index: Index) -> Stressed:
    """Read them.

    Raises `StageError` where the run has no predictions for the present ``[stress]`` settings and its present networks.
    """
    record, paths = stressed_run(folds, config, index), folds[0].run_paths
    if record is None:
        what = f"run `{folds[0].run}` has no predictions for the current [stress] settings"
        raise StageError(what, f"kit stress {folds[0].run}")
    return Stressed(record.plan, load_predictions(paths.stress), load_predictions(paths.stress_grid), record)
