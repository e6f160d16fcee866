"""What a training will take: steps counted from the folds, seconds of a step measured, on this machine."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kit.base.arrays import IntArray
from kit.base.events import Event
from kit.runs.batches import EpochRows, batch_maker, epoch_order, prefetched, steps_per_epoch
from kit.runs.spec import FoldSpec
from kit.runs.units import Unit, unit_name
from kit.runs.units.worker import Report
from kit.stages.train.fold import MakeTrainer, load_fold_data
from kit.stages.train.loop import FoldData, TrainingStage, weighted_labels
from kit.stages.train.teach import pictures
from kit.store.data import load_images
from kit.store.files import append_log, read_log

# Below so many steps a measurement would take longer than it is worth: it builds the network once more.
WORTH_MEASURING = 1000
# Steps of a stage that are timed: so many, or as many as fit into the seconds.
STEPS, SECONDS = 20, 3.0
JUDGED = 128  # held-out rows that are predicted, under one view, to time judging


@dataclass(frozen=True)
class RunPlan:
    """The missing folds of one run, and the ``steps`` of an epoch.

    ``step`` and ``judge`` are (S,) seconds of each stage, of a step and of judging after an epoch, empty where they are
    not known; ``around`` are seconds of a fold beside its epochs: building, compiling, predicting.
    """

    folds: Sequence[FoldSpec]
    steps: int
    step: tuple[float, ...] = ()
    judge: tuple[float, ...] = ()
    around: float = 0.0

    @property
    def epochs(self) -> tuple[int, ...]:
        """(S,) epochs of each stage, at most."""
        return tuple(stage.epochs for stage in self.folds[0].settings.stages)

    @property
    def worth_measuring(self) -> bool:
        """Whether nothing is known of its speed and it is long enough to ask."""
        return not self.step and len(self.folds) * sum(self.epochs) * self.steps >= WORTH_MEASURING

    @property
    def epoch_seconds(self) -> tuple[float, ...]:
        """(S,) seconds of an epoch of each stage, empty where they are not known."""
        return tuple(self.steps * step + judge for step, judge in zip(self.step, self.judge, strict=True))

    @property
    def fold_seconds(self) -> float:
        """Seconds of one fold, where they are known."""
        epochs = sum(n * seconds for n, seconds in zip(self.epochs, self.epoch_seconds, strict=True))
        return self.around + epochs


def plan_run(folds: Sequence[FoldSpec]) -> RunPlan:
    """Count the steps of a run's missing folds; folds are so alike in size that the first stands for all."""
    data, settings = load_fold_data(folds[0]), folds[0].settings
    rows = len(epoch_order(data.labels, data.train_rows, settings.sampling, 0))
    rows += len(pictures(folds[0])) - len(data.truth)  # test images, at most
    return with_timings(RunPlan(folds, steps_per_epoch(rows, settings.batch_size)))


def with_timings(plan: RunPlan) -> RunPlan:
    """The plan with the seconds that were measured or that earlier folds of the run took, if all stages have some."""
    known = timings(plan.folds[0])
    stages = range(len(plan.epochs))
    if not known.keys() >= set(stages):
        return plan
    step, judge = (tuple(known[number][name] for number in stages) for name in ("step", "judge"))
    return replace(plan, step=step, judge=judge, around=max(known[number]["around"] for number in stages))


def timings(spec: FoldSpec) -> dict[int, dict[str, float]]:
    """By stage the newest seconds of a step, of judging and ``around`` the epochs, from the logs of the run."""
    found: dict[int, dict[str, float]] = {}
    for log in (spec.run_paths.log, *sorted(spec.run_paths.root.glob("fold-*/log.jsonl"))):
        for entry in read_log(log):
            for number, seconds in entry.get("stages", {}).items():
                found[int(number)] = {"around": float(entry["around"]), **seconds}
    return found


def ordered(units: Sequence[Unit], plans: Sequence[RunPlan]) -> list[Unit]:
    """Folds longest first, by seconds where all plans were measured, else by steps.

    The last one then ends at most a third after the shortest possible time (Graham 1969), measured 7 % with 64 places.
    """
    # Packing into equal capacities (MULTIFIT) made that 2 %, but 22 % where the plan is 30 % off: docs/cluster.md.
    measured = all(plan.step for plan in plans)
    cost = {plan.folds[0].run: plan.fold_seconds if measured else sum(plan.epochs) * plan.steps for plan in plans}
    return sorted(units, key=lambda unit: -cost[unit.spec.run])


def plan_event(plans: Sequence[RunPlan], workers: int) -> Event:
    """The `plan` event: by unit the epochs of its stages and what each takes, and a row a run where it was measured."""
    units: dict[str, Any] = {}
    measured = all(plan.step for plan in plans)
    for plan in plans:
        # Where not everything is measured, a step is the unit of time.
        seconds = plan.epoch_seconds if measured else (float(plan.steps),) * len(plan.epochs)
        unit = {"epochs": list(plan.epochs), "seconds": list(seconds), "around": plan.around if measured else 0.0}
        units |= {unit_name(fold): unit for fold in plan.folds}
    epochs = {name: sum(unit["epochs"]) for name, unit in units.items()}
    rows = []  # run, folds, epochs and steps of an epoch of a fold, seconds of a step, of a fold, of all folds
    for plan in plans if measured else ():
        n, folds, fold = sum(plan.epochs), len(plan.folds), plan.fold_seconds
        step = sum(epochs * seconds for epochs, seconds in zip(plan.epochs, plan.step, strict=True)) / n
        rows.append([plan.folds[0].run, folds, n, plan.steps, step, fold, fold * folds])
    return Event("plan", "", {"epochs": epochs, "units": units, "measured": measured, "workers": workers, "rows": rows})


def measure(spec: FoldSpec, make_trainer: MakeTrainer, report: Report) -> None:
    """Append the seconds of a step, of judging and of the rest of a fold to the run's log; nothing else is kept."""
    report({"event": "measuring"})
    starting = time.process_time()  # a process of its own: what it has used so far was its imports
    data = load_fold_data(spec)
    started = time.perf_counter()
    trainer = make_trainer(spec, data)
    building = time.perf_counter() - started
    images, first, stages = load_images(spec.layout), 0.0, {}
    for number in range(len(spec.settings.stages)):
        stage = trainer.stage(number)
        compiling, step = time_steps(spec, data, stage)
        stages[number] = {"step": step, "judge": time_judging(stage.learner.judge, data)}
        first += compiling
    predict = time_judging(lambda rows: trainer.predict(images, rows, ("identity",)), data)
    around = starting + building + first + predict * len(spec.settings.views)
    append_log(spec.run_paths.log, {"event": "measured", "stages": stages, "around": around, "time": time.time()})
    report({"event": "measured"})


def time_judging(judge: Callable[[IntArray], Any], data: FoldData) -> float:
    """Seconds to predict the rows that are judged, under one view, from some of those that are held out."""
    rows = data.valid_rows[:JUDGED]
    judge(rows)  # compiles
    before = time.perf_counter()
    judge(rows)
    return (time.perf_counter() - before) / len(rows) * (len(data.inner_rows) + len(data.valid_rows))


def time_steps(spec: FoldSpec, data: FoldData, stage: TrainingStage) -> tuple[float, float]:
    """Seconds of the first step, which compiles, and of those after it; batches are prepared beside, as in training."""
    settings = spec.settings
    order = epoch_order(data.labels, data.train_rows, settings.sampling, 0)
    rows = EpochRows(stage.inputs(0), weighted_labels(settings, data), order)
    make = batch_maker(rows, settings.batch_size, 0, stage.augment)
    whole = steps_per_epoch(len(order), settings.batch_size)
    steps, marks = range(max(2, min(STEPS + 1, whole))), [time.perf_counter()]
    for inputs, labels in prefetched(lambda step: make(step % whole), steps, depth=rows.depth(settings.batch_size)):
        float(stage.learner.step(inputs, labels, 0.0))
        marks.append(time.perf_counter())
        if marks[-1] - marks[1] > SECONDS and len(marks) > 2:
            break
    return marks[1] - marks[0], (marks[-1] - marks[1]) / (len(marks) - 2)
