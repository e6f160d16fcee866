"""Learning curves for TensorBoard, written as they come; neither TensorBoard nor TensorFlow is loaded for it.

The format is a sequence of records (length, its checksum, bytes, their checksum), each an ``Event`` of protocol
buffers; scalars are all that is written, so the few fields are laid out by hand.
"""

import struct
import time
from pathlib import Path

from kit.base.events import Emit, Event
from kit.runs.spec import FoldSpec

VERSION = b"brain.Event:2"


class Curves:
    """An `Emit` that also writes what every epoch measured, one file a fold and command."""

    def __init__(self, emit: Emit, specs: dict[str, FoldSpec]) -> None:
        self._emit = emit
        self._specs = specs
        self._files: dict[str, Path] = {}

    def __call__(self, event: Event) -> None:
        self._emit(event)
        name, line = event.text, event.data
        if event.kind != "unit" or line["event"] != "epoch" or name not in self._specs:
            return
        spec, written = self._specs[name], b""
        if name not in self._files:
            spec.paths.tensorboard.mkdir(parents=True, exist_ok=True)
            self._files[name] = spec.paths.tensorboard / f"events.out.tfevents.{time.time_ns()}.kit"
            written = record(event_bytes(time.time(), version=VERSION))
        before = sum(stage.epochs for stage in spec.settings.stages[: line["stage"]])
        shown = [key for key in line if key in ("lr", "loss") or key.startswith(("inner_", "valid_"))]
        values = {key: float(line[key]) for key in shown}
        with self._files[name].open("ab") as file:
            file.write(written + record(event_bytes(time.time(), step=before + line["epoch"] + 1, values=values)))


def record(data: bytes) -> bytes:
    """``data`` as one record of a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))


def event_bytes(
    wall_time: float, *, step: int = 0, version: bytes = b"", values: dict[str, float] | None = None
) -> bytes:
    """An ``Event``: wall_time = 1, step = 2, file_version = 3, summary = 5; of its values tag = 1, simple_value = 2."""
    found = b"\x09" + struct.pack("<d", wall_time) + b"\x10" + _varint(step) + _field(b"\x1a", version)
    scalars = b""
    for tag, value in (values or {}).items():
        scalars += _field(b"\x0a", _field(b"\x0a", tag.encode()) + b"\x15" + struct.pack("<f", value))
    return found + _field(b"\x2a", scalars)


def _field(key: bytes, content: bytes) -> bytes:
    return key + _varint(len(content)) + content if content else b""


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), turned by 15 bits and shifted as TFRecord wants it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):  # without the usual table: an epoch writes about a hundred bytes
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
