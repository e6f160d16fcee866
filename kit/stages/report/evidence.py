"""Folds and learning curves, and what blend and members say out of fold: confusions, classes, worth, calibration."""

from functools import partial
from typing import Any

import numpy as np

from kit.judge import score
from kit.judge.blend.tables import per_class, reliability
from kit.judge.metrics import confusion as count_confusion
from kit.judge.seen import seen
from kit.runs.pretrained import ProbeRecord
from kit.runs.results import histories
from kit.show.figures import curves as lines
from kit.show.figures import heat, strips
from kit.stages.report.inputs import Facts, OutOfFold
from kit.stages.report.section import Group, Section, Tile, count, listed, percent, thumbnail
from kit.store.candidate import StoredBlend
from kit.store.partition import FoldsRecord
from kit.store.record import aside


def balance(facts: Facts) -> Section | str:
    """The table of images by class and fold, tinted by the distance from an even share."""
    record = facts.read(FoldsRecord, facts.layout.folds_manifest(facts.config.folds.name))
    if record is None:
        return "kit folds"
    table = np.array(record.balance, np.float64).T  # classes, folds
    folds, size = table.shape[1], int(table.sum())
    groups = len(set(facts.index.groups)) if facts.index else 0
    together = f" {size:,} images in {groups:,} groups; no group is split across folds." if groups else ""
    return Section(
        _named_fold(record.classes, table),
        f"{count(folds, 'fold')}, seed {record.seed}.{together}",
        heat.balance(record.classes, record.balance),
    )


def _named_fold(classes: tuple[str, ...], table: Any) -> str:
    if table.shape[1] < 2:
        return "One part of the images is held out"
    even = table.mean(axis=1, keepdims=True)
    if np.abs(table - even).max() <= 1:
        return "Every fold holds the same share of every class, to within one image"
    away = (table - even) / np.maximum(even, 1e-9)
    c, fold = np.unravel_index(int(np.abs(away).argmax()), away.shape)
    more = "more" if away[c, fold] > 0 else "fewer"
    return f"Fold {fold} has {percent(abs(float(away[c, fold])))} {more} images of {classes[int(c)]} than an even share"


def curves(facts: Facts) -> Section | str:
    """Accuracy and log loss on held-out rows after every epoch, a line a fold, and what was probed before."""
    runs, losses = [], {}
    for run in facts.runs:
        name, config = run.record.run, run.record.config
        about = f"{config.backbone}, {'from scratch' if config.weights == 'none' else config.weights}"
        stored = facts.index.shape[0] if facts.index else 0
        if stored and (sizes := {*config.sizes(stored)}) != {stored}:
            about += f", images of {' and '.join(map(str, sorted(sizes)))} pixels"
        folds = facts.attempt(partial(histories, run.paths, run.record))
        if folds:
            runs.append({"name": name, "note": about, "panels": lines.learning_curves(name, folds, config)})
            losses[name] = [value for _, value in lines.curves(folds, "valid_nll").mean]
    if not runs:
        return "kit train"
    found = [facts.read(ProbeRecord, path, aside(path)) for path in facts.layout.probe("").parent.glob("*.json")]
    probes = [one for one in found if one and facts.index and one.made_from["data"] == facts.index.training]
    return Section(
        _advice(losses),
        "Measured on the held-out images of each fold. Thin lines are folds, the thick one their mean; the dashed one "
        "is the loss on training images, which augmentation makes harder. Dots mark the epochs whose weights were "
        "kept.",
        {"runs": runs, "probes": sorted(probes, key=lambda one: one.order)},
    )


def _advice(losses: dict[str, list[float]]) -> str:
    lowest = [(name, mean, int(np.argmin(mean))) for name, mean in losses.items() if len(mean) > 2]
    rising = [name for name, mean, at in lowest if at < len(mean) - 2 and mean[-1] > 1.05 * mean[at]]
    if rising:
        return f"Use fewer epochs or stronger augmentation: held-out loss rises again in {listed(rising)}"
    falling = [name for name, mean, at in lowest if at == len(mean) - 1 and mean[-1] < 0.97 * mean[-2]]
    if falling:
        return f"More epochs may help: the loss was still falling in the last epoch of {listed(falling)}"
    return "Training had converged when it ended"


PAIRS, SHOWN = 5, 8
TABLE = 60


def confusion(facts: Facts) -> Section | str:
    """The confusion matrix out of fold and the images of the pairs that are confused most."""
    evidence = facts.evidence
    if evidence is None or evidence.task.several:
        return "kit ensemble"
    table = count_confusion(evidence.y, evidence.answers, len(evidence.classes))
    errors = table - np.diag(np.diag(table))
    frequent = np.argsort(-errors, axis=None, kind="stable")[:PAIRS]
    pairs = [divmod(n, len(table)) for n in frequent.tolist() if errors.flat[n] > 0]
    title = "No image is misclassified out of fold"
    if pairs:
        true, given = pairs[0]
        share = percent(errors[true, given] / table[true].sum())
        title = f"{share} of {evidence.classes[true]} are classified as {evidence.classes[given]}"
    cut = f" Of {len(table)} classes the {heat.MOST_CLASSES} with the most errors are shown."
    wrong = count(int(errors.sum()), "error")
    return Section(
        title,
        f"{wrong} in {int(table.sum()):,} images out of fold. A row is a true class, a cell the share of "
        f"its images that were predicted as the column's class.{cut if len(table) > heat.MOST_CLASSES else ''}",
        {
            "picture": heat.confusion(table, evidence.classes, "blend"),
            "pairs": [_pair(facts, evidence, *pair) for pair in pairs],
        },
    )


def _pair(facts: Facts, evidence: OutOfFold, true: int, given: int) -> Group:
    """Images of ``true`` that were called ``given``, the surest first."""
    found = np.flatnonzero((evidence.y == true) & (evidence.answers == given))
    tiles = []
    for place in found[np.argsort(-evidence.proba[found, given], kind="stable")][:SHOWN]:
        name, sure = str(evidence.ids[place]), percent(float(evidence.proba[place, given]))
        said = f"Image {name}, {evidence.classes[true]}, predicted as {evidence.classes[given]} with {sure}"
        tiles.append(Tile(thumbnail(facts.images[evidence.rows[place]]), name, f"{sure} sure", said))
    of = int((evidence.y == true).sum())
    title = f"{evidence.classes[true]} predicted as {evidence.classes[given]}"
    return Group(title, tiles, f"{len(found)} of {of}, {percent(len(found) / of)}")


def classes(facts: Facts) -> Section | str:
    """Precision, recall, F1 and support of every class."""
    evidence = facts.evidence
    if evidence is None:
        return "kit ensemble"
    rows = per_class(evidence.task, evidence.truth, evidence.answers, evidence.classes)
    ordered = sorted(rows, key=lambda row: row.f1)[:TABLE]
    worst, best = ordered[0], max(rows, key=lambda row: row.f1)
    ends = [f"{row.name}, F1 {row.f1:.2f}" for row in (worst, best)]
    cut = f" Only the {len(ordered)} weakest of {len(rows)} classes." if len(ordered) < len(rows) else ""
    return Section(
        f"Weakest class: {ends[0]}; strongest: {ends[1]}",
        "Precision: of the images predicted as a class, the share that belongs to it. Recall: of the images of a "
        f"class, the share that was found. Weakest first.{cut}",
        {"rows": ordered, "macro": float(np.mean([row.f1 for row in rows])), "all": len(evidence.y)},
    )


def worth(facts: Facts) -> Section | str:
    """Scores of members, plain mean and blend; gains of members and views with their standard errors."""
    blend = facts.blend
    if blend is None:
        return "kit ensemble"
    metric, dots, panels = facts.config.competition.metric, [], strips.worth(blend)
    if facts.members and facts.evidence is not None:
        mean = np.mean(list(facts.members.values()), axis=0)
        evidence, seed = facts.evidence, facts.config.ensemble.seed
        every = seen(metric, evidence.task, evidence.truth, evidence.classes, evidence.groups)
        said = {name: every.of(proba) for name, proba in [*facts.members.items(), ("plain mean", mean)]}
        said["blend"] = every.said(evidence.proba, blend.answer(evidence.proba))
        for name, proba in said.items():
            found = score.interval(metric, every.y, proba, seed=seed, groups=every.groups)
            kind = "accent" if name == "blend" else ""
            dots.append(strips.Dot(name, found.score, found.low, found.high, kind=kind))
        panels.insert(0, strips.strip(f"{metric} out of fold", dots))
    decided = [blend.worth_of_decision] if blend.worth_of_decision else []
    notes = (f"made of {blend.method}", *decided, *blend.notes)
    return Section(
        _title(blend),
        "Every figure is out-of-fold, including the blend's: no row is scored by weights fitted on it. Worth is log "
        "loss without a part minus log loss with it: right of zero it helps; if its standard error crosses zero, it "
        "is noise.",
        {"panels": panels, "notes": notes},
    )


def _title(blend: StoredBlend) -> str:
    if len(blend.members) == 1:
        return f"One network, {blend.members[0]}: there is nothing to blend"
    idle = [name for name, (gain, error) in zip(blend.members, blend.member_worth, strict=True) if gain <= error]
    if idle and len(idle) < len(blend.members):
        return f"No gain beyond noise from {listed(idle)}"
    if idle:
        return "No network adds more than noise to the others"
    first = max(range(len(blend.members)), key=lambda m: blend.weights[m])
    return f"Each of {count(len(blend.members), 'network')} adds something; {blend.members[first]} has the most weight"


def calibration(facts: Facts) -> Section | str:
    """Reliability of the members' plain mean and of the blend, in bins of equal mass."""
    evidence = facts.evidence
    if evidence is None or facts.blend is None:
        return "kit ensemble"
    flat = evidence.flat
    after = reliability(flat.y, flat.spread(evidence.proba))
    members = list(facts.members.values())
    before = reliability(flat.y, flat.spread(np.mean(members, axis=0))) if members else None
    pairs = zip(facts.blend.members, facts.blend.temperatures, strict=True)
    temperatures = ", ".join(f"{name} {value:.2f}" for name, value in pairs)
    title = f"Confidence and accuracy of the blend differ by {100 * after.ece:.1f} points on average"
    if before is not None:
        verb = f"{'falls' if after.ece < before.ece else 'goes'} from {100 * before.ece:.1f} to {100 * after.ece:.1f}"
        title = f"The calibration error {verb} points in the blend"
    panels = strips.reliability(({"plain mean": before} if before else {}) | {"blend": after})
    gap = float(np.average(after.accuracy - after.confidence, weights=after.count))
    verdict = "is well calibrated"
    if abs(gap) > 0.01:
        verdict = f"is {'underconfident: right more' if gap > 0 else 'overconfident: right less'} often than it says"
    lead = (
        "Images in bins of equal size by the confidence of the predicted class; on the diagonal, confidence and "
        f"accuracy agree. On the whole the blend {verdict}."
    )
    return Section(title, lead, {"panels": panels, "temperatures": f"{temperatures}."})
