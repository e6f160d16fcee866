"""The process of a unit without TensorFlow: ``stub_worker fold SPEC.json``; what a run is called says what happens."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from stub import StubLearner, StubTrainer

from kit.errors import KitError, OutOfMemoryError
from kit.runs.spec import FoldSpec
from kit.runs.units.worker import Reporter, end_with_parent
from kit.stages.train.checkpoint import Interrupt, Interrupted
from kit.stages.train.fold import train_fold
from kit.stages.train.loop import TrainingStage

SECONDS = 0.03
# While this file is there, no unit begins its third epoch: what a test breaks is broken before the training is over.
GATE = Path(os.environ.get("STUB_GATE", "/nonexistent"))


class SlowTrainer(StubTrainer):
    """Takes its time for every step, and waits at the gate."""

    begun = 0

    def stage(self, number: int) -> TrainingStage:
        trainer = self

        class Learner(StubLearner):
            def begin_epoch(self, seed: int) -> None:
                trainer.begun += 1
                while trainer.begun > 2 and GATE.exists():
                    time.sleep(0.02)
                super().begin_epoch(seed)

            def step(self, inputs: Any, labels: Any, rate: float) -> float:
                time.sleep(SECONDS)
                return super().step(inputs, labels, rate)

        return TrainingStage(Learner(trainer), lambda epoch: trainer.images, None)


class Fragile(Reporter):
    """Dies of a lack of memory after the second epoch, unless it goes on from a checkpoint."""

    def __call__(self, line: dict[str, Any]) -> None:
        super().__call__(line)
        self.resumed = getattr(self, "resumed", False) or line["event"] == "resumed"
        if line["event"] == "epoch" and line["epoch"] == 1 and not self.resumed:
            time.sleep(0.5)  # the system kills at its leisure too
            os.kill(os.getpid(), signal.SIGKILL)


def main(kind: str, path: str) -> int:
    end_with_parent()
    spec = FoldSpec.load(Path(path))
    report = Fragile() if spec.run == "fragile" else Reporter()
    try:
        if spec.run == "doomed":
            raise OutOfMemoryError("run `doomed` does not fit into memory")
        if spec.run == "wrong":
            raise KitError("a mistake of the user", "what mends it")
        train_fold(spec, SlowTrainer, report, Interrupt().listen())
    except KitError as error:
        report({"event": "error", "type": type(error).__name__, "message": error.message, "hint": error.hint})
        return 1
    except Interrupted as ended:
        return ended.code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
