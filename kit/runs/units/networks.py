"""Trained networks for those that predict with them, in TensorFlow or in OpenVINO, which is held against it first."""

import importlib
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from kit.errors import DataError, KitError, TrainingError
from kit.runs.spec import EngineChoice, FoldSpec
from kit.runs.units.worker import BATCH, THREADS, Predict, Report
from kit.runtime import arrays, forward
from kit.runtime.backbones import build
from kit.runtime.lazy import tf
from kit.runtime.pool import from_logits
from kit.store.arrays import read_arrays
from kit.store.data import load_images, load_index
from kit.store.files import sha256_json, write_atomic
from kit.store.predictions import load_predictions
from kit.store.record import digest

TOLERANCE = 1e-5  # of a probability
ROUNDS = 5  # batches that are timed, after one that compiles
# Left to itself OpenVINO rounds to bfloat16, which moves probabilities by .5, and gives all units the first cores.
SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY", "NUM_STREAMS": 1,
    "INFERENCE_NUM_THREADS": THREADS, "ENABLE_CPU_PINNING": False,
}  # fmt: skip

Forward = Callable[[Any], Any]


def fold_predictor(spec: FoldSpec, weights: str, report: Report = lambda line: None) -> Predict:
    """The network of a fold, rebuilt from its description and filled with its weights, whose digest is ``weights``.

    Raises `TrainingError` where the weights are missing, are other ones, or are of another network.
    """

    def filled() -> Any:
        model = build(spec.network).model
        arrays.assign(model, str(spec.paths.weights))
        return model

    try:
        if digest(spec.paths.weights) != weights:
            raise ValueError("they were changed after training wrote them")
        run = openvino_forward(spec, weights, filled, report) or forward.compile_forward(filled())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        said = f"the weights of run `{spec.run}` fold {spec.fold} cannot be used: {error}"
        raise TrainingError(said, spec.again) from error
    return lambda images, rows, views: forward.logits(run, images, rows, views, BATCH)


def openvino_forward(spec: FoldSpec, weights: str, model: Callable[[], Any], report: Report) -> Forward | None:
    """The network of a fold in OpenVINO, if that is its engine; ``model`` gives it with the weights of this digest.

    What was converted is kept beside the weights. None, which is reported, where the probabilities of the rows of the
    probe are not those of TensorFlow.
    """
    if spec.engine != "openvino":
        return None
    try:
        key, kept = sha256_json([spec.network, weights, package().__version__, tf.__version__]), {}
        with suppress(DataError):  # where it is missing, damaged, or of other weights, it is made again
            kept = read_arrays(spec.paths.converted)
        if str(kept.get("key")) != key:
            kept = {"key": np.array(key), "network": np.frombuffer(convert(model()).export_model().read(), np.uint8)}
            write_atomic(spec.paths.converted, lambda file: np.savez(file, allow_pickle=True, **kept))
        network = package().Core().import_model(kept["network"].tobytes(), "CPU", SETTINGS)
        probe, index = load_predictions(spec.paths.probe), load_index(spec.layout)
        found = outputs(network, load_images(spec.layout)[index.rows_of(probe.ids)])
        apart = np.abs(from_logits(found, spec.several) - probe.proba[0]).max()
        if not apart <= TOLERANCE:
            raise ArithmeticError(f"the probabilities of OpenVINO differ by {apart:.1g}")
    except (ImportError, ArithmeticError, KitError) as error:
        report({"event": "told", "message": f"run `{spec.run}` is predicted with TensorFlow: {error}"})
        return None
    return partial(outputs, network)


def package() -> Any:
    """OpenVINO, to be loaded after a fork, which its threads do not survive; raises `ImportError` without it."""
    if find_spec("openvino") is None:
        raise ImportError('OpenVINO is not installed (pip install "kit[openvino]")')
    # With it OpenVINO reports every import and every conversion to its makers. It appears not to be installed.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


def convert(model: Any) -> Any:
    """A network with the weights that it has now, compiled; raises `ArithmeticError` where OpenVINO lacks a part."""
    openvino = package()
    function = tf.function(lambda images: model(images, training=False), autograph=False)
    traced = function.get_concrete_function(tf.TensorSpec((None, *model.input_shape[1:]), tf.float32))
    try:
        whole = openvino.convert_model(traced)
    except Exception as error:  # of many kinds
        raise ArithmeticError(f"OpenVINO cannot run it: {' '.join(str(error).split())[:300]}") from error
    # Some versions add outputs that gradients would need: with them no layer is fused with the next one.
    only = openvino.Model([whole.outputs[0]], whole.get_parameters())
    return openvino.Core().compile_model(only, "CPU", SETTINGS)


def outputs(network: Any, inputs: Any) -> Any:
    """As `forward.compile_forward`, of a network in OpenVINO; copied, for the next call writes to the same place."""
    return np.array(network(np.ascontiguousarray(inputs, dtype=np.float32))[0])


def choose_engine(spec: FoldSpec) -> None:
    """Write down which engine takes less processor time for the network of a run, if OpenVINO can run it.

    Neither weights matter for that, nor what else the machine does: the engines take turns.
    """
    model, images = build(spec.network).model, load_images(spec.layout)
    batch = np.resize(images[:BATCH], (BATCH, *images.shape[1:]))

    def seconds(run: Any) -> float:
        before = time.process_time()
        run(batch)
        return time.process_time() - before

    with suppress(ImportError, ArithmeticError):
        engines = {"openvino": partial(outputs, convert(model)), "tensorflow": forward.compile_forward(model)}
        found = [[seconds(run) for run in engines.values()] for _ in range(1 + ROUNDS)]
        median = dict(zip(engines, np.median(found[1:], axis=0).tolist(), strict=True))
        EngineChoice(engine=min(median, key=median.__getitem__), seconds=median).save(spec.run_paths.engine)
