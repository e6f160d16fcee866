"""What hides parts of an image, so that a network looks at the others too; by keras-cv."""

from kit.images.augment.ops import ImageOp, Share, layer_op


def cutout(factor: Share = 0.4) -> ImageOp:
    """A black rectangle of up to the share ``factor`` of each side (DeVries & Taylor 2017; ``RandomCutout``)."""
    return layer_op("RandomCutout", (0.0, factor), (0.0, factor))


def gridmask(ratio: Share = 0.5, rotation: Share = 0.15) -> ImageOp:
    """A turned grid of black squares, up to ``ratio`` of a cell's side (Chen et al. 2020; ``GridMask``)."""
    return layer_op("GridMask", ratio_factor=(0.0, ratio), rotation_factor=rotation)
