"""Networks with published weights: which files of them are here, one filled with them, and what `kit probe` found."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from kit.errors import TrainingError
from kit.runs.spec import FoldSpec
from kit.runtime.backbones import BACKBONES, Network, build, reset_input_scale, resolve
from kit.store.record import Made


class ProbeRecord(Made):
    """``runs/probe/<backbone>.json``: scores of a ridge head on features of held-out ``rows``, with standard errors."""

    backbone: str
    rows: int
    metric: str
    clean: tuple[float, float]
    stressed: tuple[float, float]
    milliseconds: float  # of all cores together, for the features of an image
    megabytes: float  # of the weights in 32 bits

    @property
    def order(self) -> float:
        """What the best has the least of."""
        return (self.clean[0] + self.stressed[0]) * (1 if self.metric == "rmse" else -1)


def cached() -> dict[str, Path]:
    """By backbone the weights without a head that Keras has downloaded before."""
    return by_backbone((Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models").glob("*no*top*.h5"))


def by_backbone(files: Iterable[Path]) -> dict[str, Path]:
    """By backbone the first file that is called after it: the longest name that is in that of the file is meant."""
    plain = {re.sub("[^a-z0-9]", "", name): name for name, entry in BACKBONES.items() if entry.pretrained}
    found: dict[str, Path] = {}
    for file in sorted(files):
        squeezed = re.sub("[^a-z0-9]", "", file.name.lower())
        if name := max((name for name in plain if name in squeezed), key=len, default=""):
            found.setdefault(plain[name], file)
    return found


def make_network(spec: FoldSpec, size: int) -> Network:
    """Build the network of ``spec`` for an input ``size`` and fill its backbone with the weights that the run asks for.

    Raises `TrainingError` where ImageNet weights cannot be downloaded or a file does not fit.
    """
    network = build(spec.network_at(size))
    settings = spec.settings
    if settings.weights == "imagenet":
        entry, shape = BACKBONES[settings.backbone], network.backbone.input_shape[1:]
        try:
            keywords = {"include_top": False, "weights": "imagenet", **entry.options}
            donor = resolve(entry.builder)(input_shape=shape, **keywords)
        except Exception as error:
            # Keras raises a bare Exception for every failed download.
            if type(error) is not Exception and not isinstance(error, OSError):
                raise
            raise TrainingError(
                f"the ImageNet weights of {settings.backbone} cannot be downloaded: is there a network connection?",
                'weights = "path/to/weights.h5", or weights = "none" to start from scratch',
            ) from error
        network.backbone.set_weights(donor.get_weights())
    elif settings.weights != "none":
        path = spec.layout.named(settings.weights)
        try:
            network.backbone.load_weights(str(path))
        except (ValueError, OSError, KeyError) as error:
            line = str(error).splitlines()[0]
            raise TrainingError(f"{path.name} does not fit {settings.backbone} without its top: {line}") from error
    if BACKBONES[settings.backbone].learns_input_scale:
        reset_input_scale(network.backbone)
    return network
