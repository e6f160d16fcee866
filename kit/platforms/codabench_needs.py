"""What a Codabench competition asks and offers against what we bring: dates, questions, image, time limit."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import validate_call

from kit.base.text import nearest
from kit.errors import ConfigError
from kit.platforms import Refused
from kit.platforms.codabench_answers import Entry, Phase
from kit.platforms.http import Shape
from kit.store.candidate import Proof

# The newest TensorFlow that the usual images can have (tags of codalab/codalab-legacy and its successors): None = there
# is none. py37, the default, does not pin it, and 2.11 is the last one for Python 3.7; `gpu` has h5py 2, so no 2.5.
IMAGES: dict[str, str | None] = {"gpu310": "2.16", "py39": "2.9", "py37": "2.11", "gpu": "2.4", "py312": None}
# The bundle's own networks are built with Keras 3.
NEEDED = "2.16"
PUBLIC_QUEUE_SECONDS = 600  # where the public queue ends a task, whatever the phase allows
GIGABYTE = 1e9
LARGE = 50e6  # bytes: uploads of more than 50 to 150 MB fail for some users (codabench issue 2101)


class Quota(Shape):
    """Space of the account: gigabytes in all, bytes in use."""

    quota: float
    storage_used: float


@validate_call
def check_participation(detail: Entry, url: str) -> None:
    """Raise `Refused` where the organisers have not let us in, with what can be done about it."""
    said, page = detail.participant_status or "not registered", f"{url}/competitions/{detail.id}/"
    if said != "approved":
        hints = {"pending": "wait until the organisers approve it", "denied": f"ask the organisers: {page}"}
        hint = hints.get(said, f"register at {page}")
        raise Refused(f"your registration for competition {detail.id} is: {said}", hint)


def check_dates(phase: Phase, phases: Sequence[Phase]) -> None:
    """Raise `Refused` outside the phase's dates: an older site takes and scores what is sent then, for nothing."""
    if phase.status != "Current":
        dates = [f"{date.astimezone():%d %B %Y %H:%M}" if date else "an open end" for date in (phase.start, phase.end)]
        hint = f"set competition.phase; phases: {', '.join(f'{one.name} ({one.status})' for one in phases)}"
        raise Refused(f"phase `{phase.name}` is not open: it runs from {dates[0]} to {dates[1]}", hint)


@validate_call
def check_fact_sheet(detail: Entry, answers: Mapping[str, bool | str]) -> dict[str, bool | str]:
    """The answers to send: to every question or, where nothing has to be said and nothing is, to none.

    Raises `ConfigError` where the site would refuse them: a question that it does not ask, one without an answer that
    needs one, or an answer that is not among its choices.
    """
    sheet = detail.fact_sheet or {}
    if not sheet or not (answers or any(question.required for question in sheet.values())):
        return {}
    for key in answers.keys() - sheet.keys():
        raise ConfigError(f"the competition does not ask for {key!r} with a submission", nearest(key, sheet))
    whole = {key: answers.get(key, question.empty) for key, question in sheet.items()}
    for key, question in sheet.items():
        choices = " or ".join(map(_as_toml, question.selection))
        hint = f"[competition] fact_sheet = {{ {key} = {_as_toml(next(iter(question.selection), '...'))} }}"
        if whole[key] is None or (question.required and not whole[key]):
            wanted = f": {choices}" if choices else ""
            raise ConfigError(f"the competition asks for {key} with every submission{wanted}", hint)
        if question.selection and whole[key] not in question.selection:
            raise ConfigError(f"fact_sheet.{key} = {whole[key]!r} is none of the choices: {choices}", hint)
    return {key: value for key, value in whole.items() if value is not None}


def _as_toml(value: bool | str) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'


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
    timed = Proof.load(proof) if limit and proof.exists() else None
    if not limit or timed is None or not timed.images:
        return []
    rate = timed.predict_seconds / timed.images
    if not test_size:
        fits = int((limit - timed.load_seconds) / max(rate, 1e-9))
        return [f"the time limit is {limit} s, which is enough for {fits} images at the speed of this machine"]
    expected = timed.load_seconds + rate * test_size
    if expected < limit / 2:
        return []
    return [f"the time limit is {limit} s; {test_size} images take {expected:.0f} s on this machine"]


def size_notes(file: Path) -> list[str]:
    """A warning about a file whose upload fails for some."""
    size = file.stat().st_size
    if size <= LARGE:
        return []
    smaller = f"[bundle] max_mb = {LARGE / 1e6:.0f} makes a smaller one"
    return [f"{file.name} is {size / 1e6:.0f} MB: uploads above {LARGE / 1e6:.0f} MB fail for some users; {smaller}"]
