"""What a Codabench competition asks and offers against what we bring: dates, questions, zip, image, time limit."""

import zipfile
from pathlib import Path

from kit.errors import ConfigError, PlatformError
from kit.platforms.base import Refused
from kit.platforms.codabench_answers import Detail, Phase, Quota
from kit.store.candidate import Proof

# The newest TensorFlow that the usual images can have (tags of codalab/codalab-legacy and its successors): None = there
# is none. py37, the default, does not pin it, and 2.11 is the last one for Python 3.7; `gpu` has h5py 2, so no 2.5.
IMAGES: dict[str, str | None] = {"gpu310": "2.16", "py39": "2.9", "py37": "2.11", "gpu": "2.4", "py312": None}
# The bundle's own networks are built with Keras 3.
NEEDED = "2.16"
PUBLIC_QUEUE_SECONDS = 600  # where the public queue ends a task, whatever the phase allows
GIGABYTE = 1e9


def inspect_zip(file: Path) -> None:
    """Raise `PlatformError` where the file is no zip with ``model.py`` at its root.

    Codabench holds a worker for three minutes before it says so itself.
    """
    if not file.is_file():
        raise PlatformError(f"no such bundle: {file}", "kit bundle")
    if not zipfile.is_zipfile(file):
        raise PlatformError(f"{file} is not a zip", Proof.COMMAND)
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        damaged = archive.testzip()
    if damaged is not None:
        raise PlatformError(f"{damaged} in {file} is damaged", Proof.COMMAND)
    if "model.py" not in names:
        raise PlatformError(f"{file} has no model.py at its root", Proof.COMMAND)


def check_dates(phase: Phase) -> None:
    """Raise `Refused` outside the phase's dates: an older site takes and scores what is sent then, for nothing."""
    if phase.status != "Current":
        dates = [f"{date.astimezone():%d %B %Y %H:%M}" if date else "an open end" for date in (phase.start, phase.end)]
        hint = "set competition.phase, or leave it empty for the current one"
        raise Refused(f"phase `{phase.name}` is not open: it runs from {dates[0]} to {dates[1]}", hint)


def check_fact_sheet(detail: Detail, answers: dict[str, str]) -> None:
    """Raise `ConfigError` where the competition asks what the configuration does not answer."""
    sheet = detail.fact_sheet or {}
    missing = [key for key, q in sheet.items() if str(q.is_required).lower() == "true" and key not in answers]
    if missing:
        hint = f'[competition] fact_sheet = {{ {missing[0]} = "..." }}'
        raise ConfigError(f"the competition asks for {', '.join(missing)} with every submission", hint)


def check_space(quota: Quota, file: Path, url: str) -> None:
    """Raise `Refused` where the account has no room for the file."""
    free, size = quota.quota * GIGABYTE - quota.storage_used, file.stat().st_size
    if size > free:
        hint = f"delete old submissions at {url}/datasets/"
        raise Refused(f"{file.name} is {size / GIGABYTE:.2f} GB, your account has {free / GIGABYTE:.2f} GB left", hint)


def image_notes(image: str, file: Path) -> list[str]:
    """Warnings about the competition's container image; `Refused` where the bundle cannot run in it."""
    with zipfile.ZipFile(file) as archive:
        if "bundle.json" not in archive.namelist():  # it needs no TensorFlow
            return []
    tag = image.rpartition(":")[2]
    if tag not in IMAGES:
        return [f"the competition runs `{image}`: its TensorFlow version is unknown"] if image else []
    offered = IMAGES[tag]
    if offered is None:
        raise Refused(f"the competition runs `{image}`, which has no TensorFlow, but the bundle needs it")
    if tuple(map(int, offered.split("."))) < tuple(map(int, NEEDED.split("."))):
        return [f"the competition runs `{image}` with TensorFlow {offered} at most; the bundle needs {NEEDED} or newer"]
    return []


def time_limit(phase: int | None, queue: object) -> int | None:
    """Seconds that a submission may run: the phase's, cut on the public queue; a queue of their own has no other."""
    return phase if queue or not phase else min(phase, PUBLIC_QUEUE_SECONDS)


def time_notes(limit: int | None, proof: Path, test_size: int) -> list[str]:
    """A warning where the time that the proof took says that the limit is near."""
    if not limit or not proof.exists():
        return []
    timed = Proof.load(proof)
    if not timed.images:
        return []
    rate = timed.predict_seconds / timed.images
    if not test_size:
        fits = int((limit - timed.load_seconds) / max(rate, 1e-9))
        return [f"the time limit is {limit} s, which is enough for {fits} images at the speed of this machine"]
    expected = timed.load_seconds + rate * test_size
    if expected < limit / 2:
        return []
    return [f"the time limit is {limit} s; {test_size} images take {expected:.0f} s on this machine"]
