"""What a competition offers against what a bundle needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded import write_proof
from servers.project import MODEL

from kit.errors import PlatformError
from kit.platforms import Refused
from kit.platforms.codabench_needs import image_notes, time_limit, time_notes
from kit.platforms.uploads import inspect_zip
from kit.store.files import write_zip
from kit.store.layout import SubmissionPaths


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "bundle.zip", {"model.py": MODEL, "bundle.json": b"{}"})


def test_an_image_without_tensorflow_is_refused_for_a_bundle_that_needs_it(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no TensorFlow"):
        image_notes("codalab/codalab-legacy:py312", bundle)
    plain = write_zip(tmp_path / "plain.zip", {"model.py": MODEL})
    assert image_notes("codalab/codalab-legacy:py312", plain) == []


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("codalab/codalab-legacy:gpu310", []),
        ("codalab/codalab-legacy:py39", ["2.9"]),
        ("codalab/codalab-legacy:py37", ["2.11"]),
        ("ours:new", ["is unknown"]),
        ("", []),
    ],
)
def test_an_old_or_unknown_image_is_a_warning(bundle: Path, image: str, words: list[str]) -> None:
    notes = image_notes(image, bundle)
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes, strict=True))


@pytest.mark.parametrize(("size", "warned"), [(100, False), (2000, True), (0, True)])
def test_the_time_limit_is_compared_with_the_speed_of_the_proof(tmp_path: Path, size: int, warned: bool) -> None:
    paths = SubmissionPaths(tmp_path)
    write_zip(paths.bundle, {"model.py": MODEL})
    write_proof(paths, images=100, predict_seconds=10, load_seconds=5)
    assert bool(time_notes(300, paths.proof, size)) == warned
    assert time_notes(None, paths.proof, size) == []


def test_the_public_queue_cuts_the_time_limit_and_a_private_one_does_not() -> None:
    assert time_limit(3600, None) == 600
    assert time_limit(60, None) == 60
    assert time_limit(3600, {"id": 3, "name": "ours"}) == 3600
    assert time_limit(None, None) is None


@pytest.mark.parametrize("content", [b"not a zip", b""])
def test_what_is_no_zip_is_refused_before_it_holds_a_worker(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(content)
    with pytest.raises(PlatformError, match="is not a zip"):
        inspect_zip(path)


def test_a_model_that_is_not_at_the_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"no model\.py at its root"):
        inspect_zip(write_zip(tmp_path / "bundle.zip", {"submission/model.py": MODEL}))


def test_a_damaged_zip_is_refused(bundle: Path) -> None:
    content = bytearray(bundle.read_bytes())
    at = content.find(b"import numpy")
    content[at : at + 6] = b"export"
    bundle.write_bytes(bytes(content))
    with pytest.raises(PlatformError, match="damaged"):
        inspect_zip(bundle)
