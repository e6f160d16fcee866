"""Learning curves of every run and fold, as small multiples."""

from functools import partial

import numpy as np

from kit.runs.results import histories
from kit.show.figures.curves import curves as drawn
from kit.show.figures.curves import learning_curves
from kit.stages.report.inputs import Facts
from kit.stages.report.section import Section, listed


def curves(facts: Facts) -> Section | str:
    """Accuracy and log loss on held-out rows after every epoch, a line a fold."""
    runs, losses = [], {}
    for run in facts.runs:
        name, config = run.record.run, run.record.config
        about = f"{config.backbone}, {'from scratch' if config.weights == 'none' else config.weights}"
        folds = facts.attempt(partial(histories, run.paths, run.record))
        if folds:
            runs.append({"name": name, "note": about, "panels": learning_curves(name, folds, config)})
            losses[name] = [value for _, value in drawn(folds, "valid_nll").mean]
    if not runs:
        return "kit train"
    return Section(
        _title(losses),
        "Measured on the held-out images of each fold. Thin lines are folds, the thick one their mean; the dashed one "
        "is the loss on training images, which augmentation makes harder. Dots mark the epochs whose weights were "
        "kept.",
        runs,
    )


def _title(losses: dict[str, list[float]]) -> str:
    lowest = [(name, mean, int(np.argmin(mean))) for name, mean in losses.items() if len(mean) > 2]
    rising = [name for name, mean, at in lowest if at < len(mean) - 2 and mean[-1] > 1.05 * mean[at]]
    if rising:
        return f"Use fewer epochs or stronger augmentation: held-out loss rises again in {listed(rising)}"
    falling = [name for name, mean, at in lowest if at == len(mean) - 1 and mean[-1] < 0.97 * mean[-2]]
    if falling:
        return f"More epochs may help: the loss was still falling in the last epoch of {listed(falling)}"
    return "Training had converged when it ended"
