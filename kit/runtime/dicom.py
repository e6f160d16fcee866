"""Radiographs and slices in DICOM files, as a viewer shows them first; needs pydicom."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# Its pixels and its header are one stream of zlib, whose size nothing says before it is unpacked.
DEFLATED = b"1.2.840.10008.1.2.1.99"
# Decompresses what pydicom and Pillow cannot, such as lossless JPEG.
PLUGINS = "pylibjpeg"


def size(data: bytes) -> tuple[int, int]:
    """Height and width from the header; errors as `pixels`, and an `ImportError` named `PLUGINS` without these."""
    with _damage():
        from pydicom.pixels import get_decoder

        header = _header(data)
        syntax = header.file_meta.TransferSyntaxUID
        if not get_decoder(syntax).is_available:
            raise ImportError(syntax.name, name=PLUGINS)
        return int(header.Rows), int(header.Columns)


def pixels(data: bytes) -> Any:
    """The first frame as uint8 (H, W, 3).

    Grey values are rescaled (units of Hounsfield, for instance) and brought to 0..255 by the first window of the file,
    or by their own range where it has none; MONOCHROME1, which is white where values are low, is inverted (DICOM PS3.3,
    C.7.6.3 and C.11.2). Raises `ImportError` without pydicom, and `ValueError` and others where the file is damaged.
    """
    with _damage():
        from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

        header = _header(data)
        kind, bits = str(header.PhotometricInterpretation), int(header.BitsStored)
        values = np.asarray(pixel_array(io.BytesIO(data), index=0))
        if kind == "PALETTE COLOR":
            values = np.asarray(apply_color_lut(values, header))
            bits = 8 * values.itemsize
        if values.ndim == 3:
            return np.rint(values[..., :3] * (255.0 / (2**bits - 1))).clip(0, 255).astype(np.uint8)
        share = _windowed(np.asarray(apply_modality_lut(values, header), np.float64), header).clip(0, 1)
        grey = np.rint(255 * (1 - share if kind == "MONOCHROME1" else share)).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)


def _windowed(values: Any, header: Any) -> Any:
    """Values as shares of white: by the window's function (C.11.2.1.2 and C.11.2.1.3), or from lowest to highest."""
    centre, width = (_first(header.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or not width > 0:
        low, high = values.min(), values.max()
        return (values - low) / max(high - low, np.finfo(float).tiny)
    function = str(header.get("VOILUTFunction", "LINEAR"))
    if function == "SIGMOID":
        return 1 / (1 + np.exp((-4 * (values - centre) / width).clip(-500, 500)))
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    return (values - (centre - 0.5)) / max(width - 1, np.finfo(float).tiny) + 0.5


def _first(value: Any) -> float | None:
    """A number, or the first of several: a file may have a window for bones and one for soft tissue."""
    several = value if isinstance(value, str) or not hasattr(value, "__len__") else next(iter(value), None)
    return None if several is None or several == "" else float(several)


def _header(data: bytes) -> Any:
    from pydicom import dcmread

    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # it logs what it raises, and every oddity
    if DEFLATED in data[:4096]:
        raise ValueError("its transfer syntax, Deflated Explicit VR, is not supported")
    return dcmread(io.BytesIO(data), stop_before_pixels=True)


@contextmanager
def _damage() -> Iterator[None]:
    """Errors that derive from nothing but `Exception` as `ValueError`."""
    from pydicom.errors import BytesLengthException, InvalidDicomError

    try:
        yield
    except (BytesLengthException, InvalidDicomError) as error:
        raise ValueError(str(error)) from error
