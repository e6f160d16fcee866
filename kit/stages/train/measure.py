"""Time some steps of every stage of a run before it is trained, and write down what they took."""

import time
from typing import Any

from kit.runs.batches import EpochRows, batch_maker, epoch_order, prefetched, steps_per_epoch
from kit.runs.spec import FoldSpec
from kit.runs.units.worker import Report
from kit.stages.train.fold import MakeTrainer, load_fold_data
from kit.stages.train.loop import FoldData, TrainingStage, weighted_labels
from kit.store.data import load_images
from kit.store.files import append_log

# Steps of a stage that are timed: so many, or as many as fit into the seconds.
STEPS, SECONDS = 20, 3.0
JUDGED = 128  # held-out rows that are predicted, under one view, to time judging


def measure(spec: FoldSpec, make_trainer: MakeTrainer, report: Report) -> None:
    """Append the seconds of a step, of judging and of the rest of a fold to the run's log; nothing else is kept."""
    report({"event": "measuring"})
    starting = time.process_time()  # a process of its own: what it has used so far was its imports
    data = load_fold_data(spec)
    started = time.perf_counter()
    trainer = make_trainer(spec, data)
    building = time.perf_counter() - started
    found = [time_steps(spec, data, trainer.stage(number)) for number in range(len(spec.settings.stages))]
    images: Any = load_images(spec.layout)
    rows = data.valid_rows[:JUDGED]
    trainer.predict(images, rows, ("identity",))  # compiles
    before = time.perf_counter()
    trainer.predict(images, rows, ("identity",))
    judge = (time.perf_counter() - before) / len(rows) * (len(data.inner_rows) + len(data.valid_rows))
    around = starting + building + sum(first for first, _ in found) + judge * len(spec.settings.views)
    stages = {number: {"step": step, "judge": judge} for number, (_, step) in enumerate(found)}
    append_log(spec.run_paths.log, {"event": "measured", "stages": stages, "around": around, "time": time.time()})
    report({"event": "measured"})


def time_steps(spec: FoldSpec, data: FoldData, stage: TrainingStage) -> tuple[float, float]:
    """Seconds of the first step, which compiles, and of those after it; batches are prepared beside, as in training."""
    settings = spec.settings
    order = epoch_order(data.labels, data.train_rows, settings.sampling, 0)
    rows = EpochRows(stage.inputs(0), weighted_labels(settings, data), order)
    make = batch_maker(rows, settings.batch_size, 0, stage.augment)
    steps = max(2, min(STEPS + 1, steps_per_epoch(len(order), settings.batch_size)))
    marks = [time.perf_counter()]
    for inputs, labels in prefetched(make, range(steps)):
        float(stage.learner.step(inputs, labels, 0.0))
        marks.append(time.perf_counter())
        if marks[-1] - marks[1] > SECONDS and len(marks) > 2:
            break
    return marks[1] - marks[0], (marks[-1] - marks[1]) / (len(marks) - 2)
