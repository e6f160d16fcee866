"""Units of training and stress run in the process of the test: TensorFlow is loaded once, or not at all.

`InProcess(networks)` does what the worker processes do, with the real networks; a fold of a toy takes a second.
`InProcess(drawn)` writes the same files by the same code without TensorFlow, from a softmax regression on mean colours.
`in_this_process()` lets whole projects and commands run so. What only a process of its own can show is tested with
processes: equal bytes, kills, crashes, signals, memory (`test_train.py`, `train/test_kills.py` and `test_memory.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from train.stub import StubTrainer, predictor

from kit.base.events import Emit
from kit.config import Config
from kit.errors import TrainingError
from kit.runs import engine
from kit.runs.results import PredictionSpec
from kit.runs.spec import FoldSpec
from kit.runs.units import Unit
from kit.stages.train.checkpoint import Interrupt
from kit.store.files import mendable, sha256_file, sha256_json

Report = Callable[[dict[str, Any]], None]
Work = Callable[[str, Path, Report], None]


class InProcess:
    """`kit.runs.units.Launch` of units in this process, one after the other; ``done`` names them in order."""

    queues = False

    def __init__(self, work: Work) -> None:
        self._work = work
        self.done: list[str] = []

    def __call__(self, unit: Unit, emit: Emit) -> None:
        unit.spec.paths.root.mkdir(parents=True, exist_ok=True)
        self.done.append(f"{unit.kind} {unit.spec.run} {unit.spec.fold}")
        try:
            self._work(unit.kind, unit.description, lambda line: emit(unit.event(line)))
        except Exception as error:
            known = mendable(error)
            if known is None:
                raise
            raise TrainingError(known.message, known.hint) from error
        emit(unit.event({"event": "done"}))

    def places(self, config: Config) -> int:
        return 1

    def end(self) -> None:
        """Nothing runs on."""


@contextmanager
def in_this_process(work: Work | None = None) -> Iterator[InProcess]:
    """Whatever opens the local engine gets this launch, by default with real networks, instead of processes."""
    launch = InProcess(work or networks)
    with mock.patch.object(engine, "Processes", lambda: launch):
        yield launch


def networks(kind: str, path: Path, report: Report, interrupt: Interrupt | None = None) -> None:
    """What the worker processes do."""
    import keras

    from kit.stages.stress.worker import stress_unit
    from kit.stages.train.worker import work

    keras.backend.clear_session()
    if kind == "stress":
        stress_unit(path, report)
    else:
        work(kind, path, report, interrupt or Interrupt())


def drawn(kind: str, path: Path, report: Report) -> None:
    """The same units with `StubTrainer` instead of a network."""
    from kit.stages.stress.worker import stress_fold
    from kit.stages.train.fold import predict_test, train_fold

    if kind == "fold":
        train_fold(FoldSpec.load(path), StubTrainer, report, Interrupt(), predictor)
    if kind not in ("stress", "test"):
        return
    told = PredictionSpec.load(path)
    predict = predictor(told.fold, "")
    if told.plan is None:
        predict_test(told.fold, told.made_from, predict)
    else:
        stress_fold(told.fold, told.plan, told.made_from, predict, report)


class Remembering:
    """Work that is done once for the same bytes: of the description, the data, the split and the weights.

    Its keys are not the kit's: they are the content of the files that a unit may read, whatever the kit makes of it.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._known: dict[str, dict[str, bytes]] = {}

    def __call__(self, kind: str, path: Path, report: Report) -> None:
        content = json.loads(path.read_text())
        told = content.get("fold") if isinstance(content.get("fold"), dict) else content
        spec = FoldSpec.model_validate({name: told[name] for name in FoldSpec.model_fields})
        told["root"], content["digest"] = "", ""
        read = [path for path in spec.layout.root.rglob("*") if path.suffix in (".npy", ".csv", ".h5")]
        read = [path for path in read if "runs" not in path.parts and "submissions" not in path.parts]
        if kind != "fold":
            read.append(spec.paths.weights)
        told_files = {str(file.relative_to(spec.layout.root)): sha256_file(file) for file in read}
        key = sha256_json([kind, content, told_files])
        if key not in self._known:
            before = contents(spec.paths.root)
            self._work(kind, path, report)
            self._known[key] = dict(contents(spec.paths.root).items() - before.items())
        for name, content in self._known[key].items():
            (spec.paths.root / name).write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
