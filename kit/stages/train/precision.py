"""Mixed precision: steps in half the bits, everything that is kept or compared in float32.

Micikevicius et al. 2018: weights stay float32, layers compute in 16 bits, and for float16, whose smallest number is
6e-8, the loss is multiplied by a factor that is lowered when a gradient overflows and raised again while none does.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from kit.errors import TrainingError
from kit.runs.spec import FoldSpec
from kit.runtime.lazy import keras, tf


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Layers that are built inside of the block compute in ``precision``."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def precision_errors(spec: FoldSpec) -> Iterator[None]:
    """Say `TrainingError` where a layer cannot compute in the run's precision on this device."""
    missing = (tf.errors.UnimplementedError, tf.errors.NotFoundError, tf.errors.InvalidArgumentError)
    try:
        yield
    except missing as error:
        if spec.settings.precision == "float32":
            raise
        raise TrainingError(
            f"run `{spec.run}`: {spec.settings.backbone} cannot compute in {spec.settings.precision} here: "
            f"{str(error.message).splitlines()[0][:200]}",
            f'[runs.{spec.run}] precision = "float32"',
        ) from error
