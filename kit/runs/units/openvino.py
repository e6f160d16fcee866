"""Forward passes in OpenVINO, which runs many networks faster than TensorFlow on a processor."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kit.errors import ConfigError, TrainingError
from kit.runs.units.worker import THREADS
from kit.runtime.lazy import tf

# Of outputs on noise, relative to the largest: rounding differs by 1e-6, or 1e-2 in bfloat16, another network by more.
TOLERANCE = {"f32": 1e-4, "bf16": 0.1}


def compile_openvino(model: Any, threads: int = THREADS, precision: str = "f32") -> Callable[[Any], Any]:
    """As `kit.runtime.forward.compile_forward`, and checked against ``model`` on two images of noise.

    Raises `ConfigError` where the package is missing, and `TrainingError` where it runs another network.
    """
    try:
        import openvino
    except ImportError as error:
        said = "[predict] engine = 'openvino' needs OpenVINO, which is not installed"
        raise ConfigError(said, "pip install 'kit[openvino]'") from error
    shape = model.input_shape[1:]
    signature = [tf.TensorSpec((None, *shape), tf.float32)]
    traced = tf.function(lambda images: model(images, training=False), input_signature=signature, autograph=False)
    whole = openvino.convert_model(traced.get_concrete_function())
    # The other outputs are what gradients of activations would need: with them no layer is fused with the next one.
    only = openvino.Model([whole.outputs[0]], whole.get_parameters())
    # Left to itself it rounds to bfloat16 where the processor can.
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
    compiled = openvino.Core().compile_model(only, "CPU", settings)

    def forward(images: Any) -> Any:
        return compiled(np.ascontiguousarray(images, dtype=np.float32))[0]

    noise = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype(np.float32)
    expected, found = np.asarray(model(noise, training=False)), forward(noise)
    allowed = TOLERANCE[precision] * np.abs(expected).max()
    if found.shape != expected.shape or not np.abs(found - expected).max() <= allowed:
        said = "OpenVINO gives other outputs for this network than TensorFlow"
        raise TrainingError(said, '[predict] engine = "tensorflow"')
    return forward
