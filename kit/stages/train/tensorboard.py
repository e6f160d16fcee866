"""Learning curves for TensorBoard, written as they come; neither TensorBoard nor TensorFlow is loaded for it.

The format is a sequence of records (length, its checksum, bytes, their checksum), each an ``Event`` of protocol
buffers; scalars are all that is written, so the few fields are laid out by hand.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

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
        if event.kind == "unit" and event.data["event"] == "epoch" and event.text in self._specs:
            self._write(event.text, event.data)

    def _write(self, name: str, line: dict[str, Any]) -> None:
        spec = self._specs[name]
        if name not in self._files:
            folder = spec.paths.tensorboard
            folder.mkdir(parents=True, exist_ok=True)
            self._files[name] = folder / f"events.out.tfevents.{time.time_ns()}.kit"
            self._append(name, event_bytes(time.time(), version=VERSION))
        before = sum(stage.epochs for stage in spec.settings.stages[: line["stage"]])
        values = {
            key: float(line[key]) for key in line if key in ("lr", "loss") or key.startswith(("inner_", "valid_"))
        }
        self._append(name, event_bytes(time.time(), step=before + line["epoch"] + 1, values=values))

    def _append(self, name: str, event: bytes) -> None:
        with self._files[name].open("ab") as file:
            file.write(record(event))


def record(data: bytes) -> bytes:
    """``data`` as one record of a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))


def event_bytes(
    wall_time: float, *, step: int = 0, version: bytes = b"", values: dict[str, float] | None = None
) -> bytes:
    """An ``Event``: wall_time = 1, step = 2, file_version = 3, summary = 5; of its values tag = 1, simple_value = 2."""
    found = b"\x09" + struct.pack("<d", wall_time) + b"\x10" + _varint(step)
    if version:
        found += b"\x1a" + _varint(len(version)) + version
    scalars = b""
    for tag, value in (values or {}).items():
        name = tag.encode()
        body = b"\x0a" + _varint(len(name)) + name + b"\x15" + struct.pack("<f", value)
        scalars += b"\x0a" + _varint(len(body)) + body
    return found + (b"\x2a" + _varint(len(scalars)) + scalars if scalars else b"")


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _castagnoli() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = _castagnoli()


def masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), turned by 15 bits and shifted as TFRecord wants it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
