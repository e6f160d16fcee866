"""A trainer without TensorFlow: softmax regression on mean colours, with momentum and random dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from kit.runs.spec import FoldSpec
from kit.runs.units import Unit, workers
from kit.runtime.forward import softmax
from kit.stages.train.loop import FoldData, TrainingStage
from kit.stages.train.teach import pictures


class StubLearner:
    """A `Learner` whose next step depends on weights, momentum and the state of a generator."""

    def __init__(self, trainer: StubTrainer) -> None:
        self._trainer = trainer
        self._momentum = np.zeros_like(trainer.kernel)
        self._rng = np.random.default_rng(0)

    def begin_epoch(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def step(self, inputs: Any, labels: Any, rate: float) -> float:
        pooled = mean_colours(inputs) * (self._rng.random(4) > 0.1)
        proba = softmax(pooled @ self._trainer.kernel)
        labels = labels[:, : proba.shape[1]]  # those against a label, where an image has several, teach it nothing
        self._momentum = 0.9 * self._momentum + pooled.T @ (proba - labels) / len(labels)
        self._trainer.kernel = self._trainer.kernel - rate * self._momentum
        return float(-(labels * np.log(proba + 1e-9)).sum(axis=1).mean())

    def judge(self, rows: Any) -> Any:
        return self._trainer.predict(self._trainer.images, rows, ("identity",))[0]

    def kept(self) -> dict[str, Any]:
        return {"kernel": self._trainer.kernel.copy()}

    def keep(self, weights: dict[str, Any] | None) -> None:
        self._trainer.kernel = (weights or self.kept())["kernel"]

    def state(self) -> dict[str, Any]:
        state = self._rng.bit_generator.state["state"]
        halves = [value >> shift & (2**64 - 1) for value in (state["state"], state["inc"]) for shift in (0, 64)]
        return {**self.kept(), "momentum": self._momentum, "rng": np.array(halves, np.uint64)}

    def restore(self, state: dict[str, Any]) -> None:
        self._trainer.kernel, self._momentum = state["kernel"], state["momentum"]
        low, high, low_inc, high_inc = (int(value) for value in state["rng"])
        found = self._rng.bit_generator.state
        found["state"] = {"state": low | high << 64, "inc": low_inc | high_inc << 64}
        self._rng.bit_generator.state = found


class StubTrainer:
    """A `kit.stages.train.fold.Trainer`."""

    def __init__(self, spec: FoldSpec, data: FoldData) -> None:
        self.data, self.images = data, pictures(spec)
        self.kernel = np.random.default_rng(spec.fold).normal(size=(4, spec.classes))

    def stage(self, number: int) -> TrainingStage:
        return TrainingStage(StubLearner(self), lambda epoch: self.images, None)

    def predict(self, images: Any, rows: Any, views: tuple[str, ...]) -> Any:
        return said(self.kernel, views, images[rows])

    def predict_augmented(self, rows: Any) -> Any:
        return self.predict(self.images, rows, ("augmented",))

    def weights(self) -> dict[str, Any]:
        return {"kernel": self.kernel}


def predictor(spec: FoldSpec, weights: str, report: Any = None) -> Any:
    """As `kit.runs.units.networks.fold_predictor`."""
    with np.load(spec.paths.weights) as found:
        kernel = found["kernel"]
    return lambda images, rows, views: said(kernel, views, images[rows])


def said(kernel: Any, views: tuple[str, ...], images: Any) -> Any:
    """Logits (V, N, C), alike in all views."""
    logits = mean_colours(np.asarray(images, np.float32)) @ kernel
    return np.stack([logits] * len(views)).astype(np.float32)


def mean_colours(images: Any) -> Any:
    """(N, 4): the mean of each channel as a share of 1, and a constant."""
    return np.concatenate([images.mean(axis=(1, 2)) / 255, np.ones((len(images), 1))], axis=1)


class InProcess:
    """A `kit.runs.units.Launch` that runs units here, with the stub."""

    queues = False

    def __call__(self, unit: Unit, emit: Any) -> None:
        from kit.base.events import Event
        from kit.runs.results import PredictionSpec
        from kit.stages.train.checkpoint import Interrupt
        from kit.stages.train.fold import predict_test, train_fold
        from kit.stages.train.plan import measure

        def report(line: dict[str, Any]) -> None:
            emit(Event("unit", unit.name, {"kind": unit.kind, "run": unit.spec.run, "fold": unit.spec.fold, **line}))

        if unit.kind == "measure":
            measure(unit.spec, StubTrainer, report)
        elif unit.kind == "test":
            told = PredictionSpec.load(unit.description)
            predict_test(told.fold, told.made_from, predictor(told.fold, ""))
        else:
            train_fold(unit.spec, StubTrainer, report, Interrupt(), predictor)

    def places(self, config: Any) -> int:
        return workers(config)

    def end(self) -> None:
        """Nothing runs on."""
