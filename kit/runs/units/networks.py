"""Trained networks for those that predict with them: in TensorFlow, or in OpenVINO or LiteRT where one is installed.

To these a network becomes bytes, and bytes a function. They compute in float32, are held against TensorFlow before they
are used, and are to be loaded after a fork, which their threads do not survive.
"""

import importlib
import io
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kit import runtime
from kit.errors import KitError, TrainingError
from kit.runs.spec import EngineChoice, FoldSpec
from kit.runs.units.process import processor
from kit.runs.units.worker import BATCH, THREADS, Predict, Report, prepare_tensorflow
from kit.runtime import arrays, forward
from kit.runtime.backbones import Description, build
from kit.runtime.lazy import tf
from kit.runtime.pool import from_logits
from kit.store.data import load_images, load_index
from kit.store.files import sha256_file, sha256_json, write_atomic
from kit.store.predictions import load_predictions
from kit.store.record import digest

TOLERANCE = 1e-5  # of a probability
VERSION = 1  # raised whenever the same network would be converted to something else
DIGEST = 32  # bytes that the file of a conversion begins with: of its key and the rest
ROUNDS = 5  # batches that are timed, after one that compiles
# Left to itself OpenVINO rounds to bfloat16, which moves probabilities by .5, and gives all units the first cores.
SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY", "ENABLE_CPU_PINNING": False}

Forward = Callable[[Any], Any]


def openvino_bytes(traced: Any) -> bytes:
    """A traced network, compiled by OpenVINO."""
    openvino = _openvino()
    whole = openvino.convert_model(traced)
    # Some versions add outputs that gradients would need: with them no layer is fused with the next one.
    only = openvino.Model([whole.outputs[0]], whole.get_parameters())
    return bytes(openvino.Core().compile_model(only, "CPU", SETTINGS).export_model().read())


def openvino_forward(content: bytes, threads: int) -> Forward:
    """What `openvino_bytes` compiled, as a function."""
    settings = {**SETTINGS, "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    network = _openvino().Core().import_model(content, "CPU", settings)
    # Copied, for the next call writes to the same place.
    return lambda inputs: np.array(network(np.ascontiguousarray(inputs, dtype=np.float32))[0])


def _openvino() -> Any:
    # With it OpenVINO reports every import and every conversion to its makers. It appears not to be installed.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


def litert_bytes(traced: Any) -> bytes:
    """A traced network as a model of LiteRT."""
    constants = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    # Left to itself the converter leaves out the weights of Keras 3 without a word.
    frozen = constants.convert_variables_to_constants_v2(traced)
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert())


def litert_forward(content: bytes, threads: int) -> Forward:
    """What `litert_bytes` made, as a function."""
    litert = importlib.import_module("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(model_content=content, num_threads=threads)
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()

    def forward(inputs: Any) -> Any:
        images = np.asarray(inputs, dtype=np.float32)
        interpreter.resize_tensor_input(given["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    return forward


class Engine(NamedTuple):
    """``to_bytes`` of a traced network, and ``forward`` of bytes and a number of threads."""

    title: str
    module: str
    to_bytes: Callable[[Any], bytes]
    forward: Callable[[bytes, int], Forward]


ENGINES = {
    "openvino": Engine("OpenVINO", "openvino", openvino_bytes, openvino_forward),
    "litert": Engine("LiteRT", "ai_edge_litert", litert_bytes, litert_forward),
}


def version_of(name: str) -> str:
    """The version of an engine; raises `ImportError` where it is not installed."""
    if find_spec(ENGINES[name].module) is None:
        raise ImportError(f'{ENGINES[name].title} is not installed (pip install "kit[{name}]")')
    return version(ENGINES[name].module)


def convert(name: str, model: Any) -> bytes:
    """A network with the weights that it has now, for an engine.

    Raises `ImportError` where that is not installed, `ArithmeticError` where it lacks a part of the network.
    """
    version_of(name)
    function = tf.function(lambda images: model(images, training=False), autograph=False)
    try:
        traced = function.get_concrete_function(tf.TensorSpec((None, *model.input_shape[1:]), tf.float32))
        return ENGINES[name].to_bytes(traced)
    except Exception as error:  # of many kinds
        raise ArithmeticError(f"{ENGINES[name].title} cannot run it: {' '.join(str(error).split())[:300]}") from error


def conversion_key(engine: str, number: str, network: object) -> str:
    """The digest of all that a conversion is made from: a network, an engine and its version ``number``, and this kit.

    What OpenVINO compiled is for the processor that it was compiled on.
    """
    code = [sha256_file(path) for path in sorted(Path(runtime.__path__[0]).glob("*.py"))]
    versions = {name: version(name) for name in ("tensorflow", "keras")}
    return sha256_json([VERSION, network, engine, number, versions, code, processor()])


def kept(path: Path, key: str) -> dict[str, Any] | None:
    """What `keep` wrote under this key; None where there is nothing, or it is damaged or of another key."""
    with suppress(OSError):
        found = path.read_bytes()
        if found[:DIGEST] == sha256(key.encode() + found[DIGEST:]).digest():
            return dict(np.load(io.BytesIO(found[DIGEST:]), allow_pickle=False))
    return None


def keep(path: Path, key: str, parts: dict[str, Any]) -> None:
    """Write what was converted, in one step."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=True, **parts)
    write_atomic(path, sha256(key.encode() + content.getvalue()).digest() + content.getvalue())


def fold_predictor(spec: FoldSpec, weights: str, report: Report = lambda line: None) -> Predict:
    """The network of a fold, rebuilt from its description and filled with its weights, whose digest is ``weights``.

    Raises `TrainingError` where the weights are missing, are other ones, or are of another network.
    """

    def filled(description: Description) -> Any:
        prepare_tensorflow()
        model = build(description).model
        arrays.assign(model, str(spec.paths.weights))
        return model

    if spec.resizes:
        prepare_tensorflow()
    try:
        if digest(spec.paths.weights) != weights:
            raise ValueError("they were changed after training wrote them")
        run = engine_forward(spec, weights, filled, report) or forward.compile_forward(filled(spec.network))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        said = f"the weights of run `{spec.run}` fold {spec.fold} cannot be used: {error}"
        raise TrainingError(said, spec.again) from error
    return lambda images, rows, views: forward.logits(run, images, rows, views, BATCH)


def after(prepare: Forward, run: Forward) -> Forward:
    """One function after another."""
    return lambda images: run(prepare(images))


def without_resize(description: Description) -> tuple[Forward, Description]:
    """What TensorFlow does before an engine, and the network that is left: no engine has a smoothed resize."""
    steps, rest = forward.split(description)
    if all(step["op"] != "resize" for step in steps):
        return lambda images: images, description
    prepare = forward.preparation(steps, description["size"])
    return lambda images: prepare(np.asarray(images, dtype=np.float32)), rest


def engine_forward(spec: FoldSpec, weights: str, model: Callable[[Description], Any], report: Report) -> Forward | None:
    """The network of a fold in its engine, if it has one; ``model`` gives it with the weights of this digest.

    What was converted is kept beside the weights. None, which is reported, where the probabilities of the rows of the
    probe are not those of TensorFlow.
    """
    if (name := spec.engine) == "tensorflow":
        return None
    try:
        prepare, rest = without_resize(spec.network)
        key, path = conversion_key(name, version_of(name), [rest, weights]), spec.paths.converted
        if (parts := kept(path, key)) is None:
            parts = {"network": np.frombuffer(convert(name, model(rest)), np.uint8)}
            keep(path, key, parts)
        run = after(prepare, ENGINES[name].forward(parts["network"].tobytes(), THREADS))
        probe, index = load_predictions(spec.paths.probe), load_index(spec.layout)
        found = run(load_images(spec.layout)[index.rows_of(probe.ids)])
        check(name, from_logits(found, spec.several), probe.proba[0])
    except (ImportError, ArithmeticError, KitError) as error:
        report({"event": "told", "message": f"run `{spec.run}` is predicted with TensorFlow: {error}"})
        return None
    return run


def check(engine: str, found: Any, expected: Any) -> None:
    """Raise `ArithmeticError` where the probabilities of an engine are not those of TensorFlow."""
    apart = np.abs(found - expected).max(initial=0.0)
    if not apart <= TOLERANCE:
        raise ArithmeticError(f"the probabilities of {ENGINES[engine].title} differ by {apart:.1g}")


def choose_engine(spec: FoldSpec) -> None:
    """Write down which engine takes the least processor time for the network of a run, if one can run it.

    Neither weights matter for that, nor what else the machine does: the engines take turns.
    """
    images, (prepare, rest) = load_images(spec.layout), without_resize(spec.network)
    left = build(rest).model
    batch = np.resize(images[:BATCH], (BATCH, *images.shape[1:]))

    def seconds(run: Any) -> float:
        before = time.process_time()
        run(batch)
        return time.process_time() - before

    engines = {"tensorflow": forward.compile_forward(build(spec.network).model)}
    for name, engine in ENGINES.items():
        with suppress(ImportError, ArithmeticError):
            engines[name] = after(prepare, engine.forward(convert(name, left), THREADS))
    if len(engines) > 1:
        found = [[seconds(run) for run in engines.values()] for _ in range(1 + ROUNDS)]
        median = dict(zip(engines, np.median(found[1:], axis=0).tolist(), strict=True))
        EngineChoice(engine=min(median, key=median.__getitem__), seconds=median).save(spec.run_paths.engine)
