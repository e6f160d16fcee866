"""The networks of one fold, stage by stage: what `kit.stages.train.fold` and `kit.stages.train.loop` ask for.

A learner is a network in one stage: compiled steps, moving averages, and all the state that the next step depends on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.images.augment.pipeline import Pipeline
from kit.runs.batches import row_seeds
from kit.runs.pretrained import make_network
from kit.runs.spec import FoldSpec, seed_of
from kit.runs.units.worker import BATCH
from kit.runtime import arrays
from kit.runtime.forward import compile_forward, logits
from kit.runtime.lazy import keras, tf
from kit.stages.train.checkpoint import Arrays
from kit.stages.train.features import feature_files, open_features
from kit.stages.train.loop import FoldData, TrainingStage
from kit.stages.train.networks import LOSSES, Loss, layers_inside, make_optimizer, set_trainable, twin_of
from kit.stages.train.teach import pictures


class NetworkLearner:
    """`kit.stages.train.loop.Learner` of a Keras network.

    The weights of ``model`` are kept; ``learning`` is the part that is trained: the network, or its head on cached
    features. ``optimizer`` is built for its trainable variables; ``judge`` gives logits of rows of the data;
    ``width`` are the columns of the labels.
    """

    def __init__(
        self,
        model: Any,
        learning: Any,
        optimizer: Any,
        loss: Loss,
        judge: Callable[[IntArray], npt.NDArray[Any]],
        width: int,
    ) -> None:
        self._model, self._learning, self._optimizer, self._judge = model, learning, optimizer, judge
        self._step = compile_step(learning, optimizer, loss, width)

    def begin_epoch(self, seed: int) -> None:
        """Start the dropout of every layer from ``seed``: an epoch depends on its number and not on the past."""
        for number, state in enumerate(self._dropout_states()):
            state.assign([(seed + number) % 2**31, 0])

    def step(self, inputs: Any, labels: Any, rate: float) -> Any:
        return self._step(inputs, labels, np.float32(rate))

    def judge(self, rows: IntArray) -> npt.NDArray[np.float32]:
        with self._averaged():
            return self._judge(rows)

    def kept(self) -> Arrays:
        with self._averaged():
            return _numbered(self._model.weights)

    def keep(self, weights: Arrays | None) -> None:
        _fill(self._model.weights, weights or self.kept())

    def state(self) -> Arrays:
        return {f"{group}/{k}": v for group, values in self._groups().items() for k, v in _numbered(values).items()}

    def restore(self, state: Arrays) -> None:
        for group, variables in self._groups().items():
            _fill(variables, {f"{n:04d}": state[f"{group}/{n:04d}"] for n in range(len(variables))})

    def _groups(self) -> dict[str, list[Any]]:
        return {"model": self._model.weights, "optimizer": self._optimizer.variables, "drop": self._dropout_states()}

    def _dropout_states(self) -> list[Any]:
        generators = [getattr(layer, "seed_generator", None) for layer in layers_inside(self._learning)]
        return [generator.state for generator in generators if generator is not None]

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The moving average of the weights in their place, where the optimiser keeps one."""
        variables = self._learning.trainable_variables
        # The one that scales the loss says nothing of the average that the one inside of it keeps.
        if not getattr(self._optimizer, "inner_optimizer", self._optimizer).use_ema:
            yield
            return
        trained = _numbered(variables)
        self._optimizer.finalize_variable_values(variables)
        try:
            yield
        finally:
            _fill(variables, trained)


def compile_step(model: Any, optimizer: Any, loss: Loss, width: int) -> Callable[..., Any]:
    """One compiled optimiser step: ``(inputs, labels, learning rate) -> loss`` without the penalties on weights."""
    variables = model.trainable_variables
    signature = [
        tf.TensorSpec(model.input_shape, tf.float32),
        tf.TensorSpec((None, width), tf.float32),
        tf.TensorSpec((), tf.float32),
    ]

    @tf.function(input_signature=signature, autograph=False)
    def step(inputs: Any, labels: Any, rate: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(labels, model(inputs, training=True))
            total = value + sum(model.losses) if model.losses else value
            total = optimizer.scale_loss(total)  # of itself but for float16, see `kit.stages.train.networks`
        gradients = tape.gradient(total, variables)
        optimizer.learning_rate.assign(rate)
        optimizer.apply(gradients, variables)
        return value

    return step  # type: ignore[no-any-return]


def _numbered(variables: list[Any]) -> Arrays:
    # Copied: on the CPU the array would be a view of memory that the next step writes to.
    return {f"{number:04d}": np.array(variable.numpy()) for number, variable in enumerate(variables)}


def _fill(variables: list[Any], arrays: Arrays) -> None:
    for number, variable in enumerate(variables):
        variable.assign(arrays[f"{number:04d}"])


class NetworkTrainer:
    """`kit.stages.train.fold.Trainer` with TensorFlow; raises `TrainingError` without its pretrained weights."""

    def __init__(self, spec: FoldSpec, data: FoldData) -> None:
        keras.utils.set_random_seed(seed_of("weights", spec.settings.seed, spec.fold) % 2**31)
        self._spec, self._data, self._images = spec, data, pictures(spec)
        self._size = spec.sizes[-1]
        # What predicts; what is judged after an epoch, at the size of its stage; and what learns, in its precision.
        self._network = self._judged = make_network(spec, self._size)
        self._twin = twin_of(self._network, spec, self._size, spec.settings.precision)
        self._forward = self._judging = compile_forward(self._network.model)
        self._width = data.task.width(spec.classes)
        self._augment = Pipeline(spec.settings.augment, spec.size, self._width) if spec.settings.augment else None

    def stage(self, number: int) -> TrainingStage:
        """The learner of a stage, on images or on cached features."""
        self._resize(self._spec.sizes[number])
        files = [open_features(path) for path in feature_files(self._spec, number)]
        if not files:

            def judge_images(rows: IntArray) -> npt.NDArray[np.float32]:
                self._follow()
                return np.asarray(logits(self._judging, self._images, rows, ("identity",), BATCH)[0])

            learner = self._learner(number, self._twin.model, judge_images)
            return TrainingStage(learner, lambda epoch: self._images, self._augment)

        def judge(rows: IntArray) -> npt.NDArray[np.float32]:
            self._follow()
            return np.asarray(self._judged.head(np.asarray(files[0][rows], dtype=np.float32), training=False))

        learner = self._learner(number, self._twin.head, judge)
        return TrainingStage(learner, lambda epoch: files[epoch % len(files)], None)

    def predict(self, images: Any, rows: IntArray, views: tuple[str, ...]) -> npt.NDArray[np.float32]:
        self._follow()
        return np.asarray(logits(self._forward, images, rows, views, BATCH))

    def predict_augmented(self, rows: IntArray) -> npt.NDArray[np.float32]:
        """Logits (1, N, C) of rows of the data after the run's ``validate_augment``, mixes of labels left out."""
        self._follow()
        settings = self._spec.settings
        pipeline = Pipeline(settings.validate_augment, self._spec.size, self._width, mixing=False)
        seeds = row_seeds(seed_of("validate", settings.seed), rows)
        labels = np.zeros((len(rows), self._width), np.float32)
        blocks = []
        for part in (slice(start, start + BATCH) for start in range(0, len(rows), BATCH)):
            images = np.asarray(self._images[rows[part]], np.float32)
            blocks.append(self._forward(pipeline(images, labels[part], seeds[part])[0]))
        return np.concatenate(blocks)[None]

    def weights(self) -> Arrays:
        """Weights in the order of the network, as the bundle takes them."""
        return arrays.of(self._twin.model)

    def _learner(self, number: int, learning: Any, judge: Any) -> NetworkLearner:
        settings, stage = self._spec.settings, self._spec.settings.stages[number]
        set_trainable(self._twin, stage, settings.backbone, settings.weights != "none")
        optimizer = make_optimizer(stage, learning.trainable_variables, settings.precision)
        loss = LOSSES[settings.loss](settings)
        return NetworkLearner(self._twin.model, learning, optimizer, loss, judge, self._width)

    def _resize(self, size: int) -> None:
        """Go on with networks of another input size, with the weights so far."""
        if size != self._size:
            self._follow()
            self._judged = twin_of(self._network, self._spec, size, "float32")
            whole = self._judged is self._network
            self._judging = self._forward if whole else compile_forward(self._judged.model)
            mixed = (precision := self._spec.settings.precision) != "float32"
            self._twin = twin_of(self._network, self._spec, size, precision) if mixed else self._judged
            self._size = size

    def _follow(self) -> None:
        """Give the networks that predict and are judged the weights of the one that learns, where they are others."""
        for network in {id(one): one for one in (self._network, self._judged) if one is not self._twin}.values():
            for target, source in zip(network.model.weights, self._twin.model.weights, strict=True):
                target.assign(source)
