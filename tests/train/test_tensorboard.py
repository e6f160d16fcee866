"""Event files are read by TensorFlow's own reader, and hold what was reported."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from kit.base.events import Event
from kit.config import StageConfig
from kit.stages.train.tensorboard import Curves, masked_crc32c


def test_the_checksum_is_that_of_the_standard() -> None:
    # RFC 3720, B.4: 32 bytes of zeros.
    crc = 0x8A9136AA
    assert masked_crc32c(bytes(32)) == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def spec(folder: Path) -> SimpleNamespace:
    stages = (StageConfig(train="head", epochs=300), StageConfig(train="all", epochs=2))
    return SimpleNamespace(paths=SimpleNamespace(tensorboard=folder), settings=SimpleNamespace(stages=stages))


@pytest.mark.tf
def test_tensorflow_reads_every_epoch(tmp_path: Path) -> None:
    import tensorflow as tf
    from tensorflow.core.util.event_pb2 import Event as Written

    heard: list[Event] = []
    curves = Curves(heard.append, {"a fold 0": spec(tmp_path)})  # type: ignore[dict-item]
    for stage, epoch, loss in ((0, 0, 2.5), (0, 299, 0.25), (1, 1, 0.125)):
        line = {"event": "epoch", "stage": stage, "train": "all", "epoch": epoch, "loss": loss, "valid_accuracy": 0.5}
        curves(Event("unit", "a fold 0", {"kind": "fold", **line}))
    curves(Event("unit", "a fold 0", {"event": "step"}))
    curves(Event("unit", "another", {"event": "epoch"}))
    assert len(heard) == 5
    (path,) = tmp_path.iterdir()
    found = [Written.FromString(bytes(record.numpy())) for record in tf.data.TFRecordDataset(str(path))]
    assert found[0].file_version == "brain.Event:2"
    assert [event.step for event in found[1:]] == [1, 300, 302]
    values = [{value.tag: value.simple_value for value in event.summary.value} for event in found[1:]]
    assert values == [{"loss": loss, "valid_accuracy": 0.5} for loss in (2.5, 0.25, 0.125)]
    assert all(event.wall_time > 1e9 for event in found)
