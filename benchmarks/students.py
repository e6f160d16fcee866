"""What a student keeps of the gain of its teachers' blend, and what it costs, in a trained and stressed project.

    python benchmarks/students.py PROJECT STUDENT

PROJECT is a folder whose ``kit.toml`` has a run STUDENT with ``teach``; ``kit train`` and ``kit stress`` have ended.
The peer is the blend of the teachers as `kit ensemble` fits it, scored on rows that it was not fitted on. Scores of
runs are of the mean of their views. Megabytes are those of all folds' weights, seconds are for 1,000 images and one
view, as they were measured when the folds ended. Where the project has test images and hidden labels, both are read
for the last column, the mean of the folds' probabilities of one run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from machine import machine

from kit.images.sources import open_source
from kit.judge.score import contrast, score
from kit.project import Project
from kit.runs.costs import megabytes, seconds_per_1000
from kit.runs.results import load_oof, load_test
from kit.runs.spec import plan_runs
from kit.runs.stressed import load_stressed
from kit.stages.ensemble.ensemble import ensemble
from kit.store.data import load_index, unlabelled_record
from kit.store.predictions import load_predictions


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("student")
    options = parser.parse_args()
    print(machine())
    project = Project(options.project, emit=lambda event: None)
    layout, config, index = project.layout, project.config, load_index(project.layout)
    teachers, metric = config.teachers(options.student), config.competition.metric
    runs = plan_runs(layout, config, [*teachers, options.student])
    ensembled = config.ensemble.model_copy(update={"runs": teachers})
    blend = ensemble(layout, config.model_copy(update={"ensemble": ensembled}), lambda event: None)
    said = {name: (load_oof(folds, index), load_stressed(folds, config, index).mixture) for name, folds in runs.items()}
    found = {name: [part.take(index.ids).proba.mean(axis=0) for part in parts] for name, parts in said.items()}
    blended = [load_predictions(path).take(index.ids).first for path in (blend.predictions, blend.stressed_predictions)]
    record = unlabelled_record(layout, "test")
    raw = open_source(config.data, layout.root, "truth") if config.data.truth and record else None
    hidden = raw.truth[raw.labels >= 0] if raw else None
    for name, folds in runs.items():
        paths = [spec.paths for spec in folds]
        cost = f"{megabytes(paths):.1f} MB, {seconds_per_1000(paths) or float('nan'):.2f} s"
        last = ""
        if hidden is not None and record is not None:
            last = f", hidden {score(metric, hidden, load_test(folds, index, record).proba.mean(axis=0)):.4f}"
        clean, stressed = (score(metric, index.labels, proba) for proba in found[name])
        print(f"{name}: clean {clean:.4f}, stressed {stressed:.4f}, {cost}{last}")
    for kind, name in enumerate(("clean", "stressed")):
        scores = {teacher: score(metric, index.labels, found[teacher][kind]) for teacher in teachers}
        best = max(scores, key=scores.__getitem__)
        top, ours = score(metric, index.labels, blended[kind]), found[options.student][kind]
        gain = contrast(metric, index.labels, [ours], [found[best][kind]], seed=0)
        kept = gain.score / (top - scores[best]) if top > scores[best] else np.nan
        print(
            f"{name}: blend {top:.4f}, teacher {best} {scores[best]:.4f}, student {gain.score:+.4f} +- {gain.se:.4f} "
            f"against it, share of the blend's gain {kept:.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
