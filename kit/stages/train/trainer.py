"""The networks of one fold, stage by stage, behind `kit.stages.train.fold.Trainer`."""

from typing import Any

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.images.augment.pipeline import Pipeline
from kit.runs.batches import row_seeds
from kit.runs.spec import FoldSpec, seed_of
from kit.runtime import arrays
from kit.runtime.forward import compile_forward, logits
from kit.runtime.lazy import keras
from kit.stages.train.checkpoint import Arrays
from kit.stages.train.features import feature_files, open_features
from kit.stages.train.learner import NetworkLearner
from kit.stages.train.loop import FoldData, TrainingStage
from kit.stages.train.losses import LOSSES
from kit.stages.train.networks import make_network, make_optimizer, set_trainable, training_twin
from kit.store.data import load_images

PREDICT_BATCH = 64


class NetworkTrainer:
    """`kit.stages.train.fold.Trainer` with TensorFlow; raises `TrainingError` without its pretrained weights."""

    def __init__(self, spec: FoldSpec, data: FoldData) -> None:
        keras.utils.set_random_seed(seed_of("weights", spec.settings.seed, spec.fold) % 2**31)
        self._spec, self._data, self._images = spec, data, load_images(spec.layout)
        self._network = make_network(spec)
        self._twin = training_twin(spec, self._network)
        self._forward = compile_forward(self._network.model)
        self._width = data.task.width(spec.classes)
        self._augment = Pipeline(spec.settings.augment, spec.size, self._width) if spec.settings.augment else None

    def stage(self, number: int) -> TrainingStage:
        """The learner of a stage, on images or on cached features."""
        files = [open_features(path) for path in feature_files(self._spec, number)]
        if not files:
            model = self._twin.model
            learner = self._learner(number, model, lambda rows: self.predict(self._images, rows, ("identity",))[0])
            return TrainingStage(learner, lambda epoch: self._images, self._augment)

        def judge(rows: IntArray) -> npt.NDArray[np.float32]:
            self._follow()
            return np.asarray(self._network.head(np.asarray(files[0][rows], dtype=np.float32), training=False))

        learner = self._learner(number, self._twin.head, judge)
        return TrainingStage(learner, lambda epoch: files[epoch % len(files)], None)

    def predict(self, images: Any, rows: IntArray, views: tuple[str, ...]) -> npt.NDArray[np.float32]:
        self._follow()
        return np.asarray(logits(self._forward, images, rows, views, PREDICT_BATCH))

    def predict_augmented(self, rows: IntArray) -> npt.NDArray[np.float32]:
        """Logits (1, N, C) of rows of the data after the run's ``validate_augment``, mixes of labels left out."""
        self._follow()
        settings = self._spec.settings
        pipeline = Pipeline(settings.validate_augment, self._spec.size, self._width, mixing=False)
        seeds = row_seeds(seed_of("validate", settings.seed), rows)
        labels = np.zeros((len(rows), self._width), np.float32)
        blocks = []
        for part in (slice(start, start + PREDICT_BATCH) for start in range(0, len(rows), PREDICT_BATCH)):
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

    def _follow(self) -> None:
        """Give the network that predicts the weights of the one that learns, where they are two."""
        if self._twin is not self._network:
            for target, source in zip(self._network.model.weights, self._twin.model.weights, strict=True):
                target.assign(source)
