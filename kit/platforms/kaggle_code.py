"""Code competitions: the bundle as a private data set, a notebook without internet that runs it."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from kit.base.events import Event
from kit.config import Config
from kit.errors import PlatformError
from kit.platforms import Setting
from kit.platforms.uploads import explain
from kit.store.files import sha256_json
from kit.store.ledger import Attempt
from kit.store.ledger.facts import Kernel


class NotebookFailed(PlatformError):
    """A notebook ended without output."""


def prepare(site: Any, setting: Setting, bundle: Path, tag: str, journal: Attempt) -> tuple[str, int]:
    """Put up data set and notebook and wait until it has run; returns the notebook and its version.

    Nothing of this spends a submission, so after a crash it is done again, except a notebook that was pushed already,
    with the same settings, and did not fail. Raises `PlatformError` where Kaggle refuses the data set or the notebook,
    or the notebook fails.
    """
    # A name for data set and notebook: 6 to 50 letters, digits and dashes, its own title's slug.
    name = re.sub(r"[^a-z0-9]+", "-", f"kit {setting.config.competition.id}".lower()).strip("-")
    kernel = f"{site.username}/{name[:50].rstrip('-').ljust(6, '0')}"
    meta, text = _metadata(setting.config, kernel), script(setting.config, kernel.partition("/")[2], tag)
    known, digest = journal.last(Kernel), sha256_json([meta, text])
    if known is not None and known.version and known.digest == digest:
        version = known.version
    else:
        _put_dataset(site, kernel, bundle, tag, setting)
        if setting.config.notebook.accelerator != "none":
            _tell_quota(site, setting)
        version = _push_kernel(site, meta, text)
        journal.note(Kernel(version=version, digest=digest))

    try:
        _wait(lambda: _kernel_done(site, f"{kernel}/{version}"), f"notebook {kernel}", setting)
    except NotebookFailed:
        journal.note(Kernel(version=0))  # it has no output: the next try needs another one
        raise
    return kernel, version


def _kernel_done(site: Any, ref: str) -> bool:
    """Whether a version of a notebook, ``owner/slug/version``, has run; raises `NotebookFailed` where it failed."""
    answer = site.ask(lambda: site.api.kernels_status(ref))
    state = answer.status.name
    if state in ("ERROR", "CANCEL_REQUESTED", "CANCEL_ACKNOWLEDGED"):
        told = [answer.failure_message or ""]
        with suppress(PlatformError):
            told.append(explain({"log": _text(site.ask(lambda: site.api.kernels_logs(ref)))}))
        reason = "\n".join(filter(None, told)) or "it gives no reason"
        notebook = "/".join(ref.split("/")[:2])
        hint = f"see https://www.kaggle.com/code/{notebook}"
        raise NotebookFailed(f"the notebook {notebook} ended with {state}: {reason}", hint)
    return bool(state == "COMPLETE")


def _text(log: str) -> str:
    """A log as a person reads it: Kaggle keeps a list of pieces, each with its stream and time."""
    with suppress(ValueError, TypeError, KeyError):
        return "".join(str(piece["data"]) for piece in json.loads(log))
    return log


def _put_dataset(site: Any, ref: str, bundle: Path, tag: str, setting: Setting) -> None:
    setting.emit(Event("say", f"uploading the bundle as the private data set {ref}"))
    with tempfile.TemporaryDirectory(prefix="kit-kaggle-") as name:
        folder = Path(name)
        shutil.copyfile(bundle, folder / "bundle.zip")
        (folder / "tag.txt").write_text(tag, encoding="utf-8")
        meta = {"id": ref, "title": ref.partition("/")[2], "licenses": [{"name": "other"}]}
        (folder / "dataset-metadata.json").write_text(json.dumps(meta), encoding="utf-8")
        if _dataset_status(site, ref) is None:
            answer = site.ask(lambda: site.api.dataset_create_new(name, quiet=True))
        else:
            answer = site.ask(lambda: site.api.dataset_create_version(name, tag, quiet=True))
    if answer.error or (answer.status or "ok").lower() != "ok":
        raise PlatformError(f"Kaggle refused the data set {ref}: {answer.error or answer.status}")
    _wait(lambda: _dataset_status(site, ref) == "ready", f"data set {ref}", setting)


def _dataset_status(site: Any, ref: str) -> str | None:
    """None where there is no such data set: Kaggle says 403 or 404."""
    try:
        status: str = site.ask(lambda: site.api.dataset_status(ref))
    except PlatformError as error:
        if error.message.startswith(("Kaggle answered 403", "Kaggle answered 404")):
            return None
        raise
    if status in ("failed", "deleted"):
        raise PlatformError(f"the data set {ref} is {status}", f"see https://www.kaggle.com/datasets/{ref}")
    return status


def _tell_quota(site: Any, setting: Setting) -> None:
    """Say what is left of the week's hours with a GPU; a site that does not tell is no reason to stop."""
    with suppress(PlatformError):
        quota = site.ask(lambda: site.api.quota_view()).gpu_quota
        if quota is not None and quota.total_time_allowed:
            spans = (quota.time_used or timedelta(), quota.total_time_allowed)
            used, allowed = (span.total_seconds() / 3600 for span in spans)
            text = f"GPU quota of this week: {used:.1f} of {allowed:.0f} hours are used"
            setting.emit(Event("say" if used < allowed else "warn", text))


def _metadata(config: Config, ref: str) -> dict[str, Any]:
    """What Kaggle is to know of the notebook ``ref``."""
    notebook, pinned = config.notebook, config.notebook.image in ("original", "latest")
    return {
        "id": ref,
        "title": ref.partition("/")[2],
        "code_file": "run.py",
        "language": "python",
        "kernel_type": "script",
        "is_private": True,
        "enable_gpu": notebook.accelerator != "none",
        "machine_shape": notebook.accelerator.removeprefix("none") or None,
        "docker_image_pinning_type": notebook.image if pinned else None,
        "docker_image": None if pinned else notebook.image or None,
        # Said aloud: left out, the package turns it on.
        "enable_internet": False,
        "dataset_sources": [ref, *notebook.datasets],
        "model_sources": list(notebook.models),
        "competition_sources": [config.competition.id],
    }


def _push_kernel(site: Any, meta: dict[str, Any], text: str) -> int:
    with tempfile.TemporaryDirectory(prefix="kit-kaggle-") as name:
        Path(name, "run.py").write_text(text, encoding="utf-8")
        Path(name, "kernel-metadata.json").write_text(json.dumps(meta), encoding="utf-8")
        answer = site.ask(lambda: site.api.kernels_push(name))
    kinds = ("dataset", "competition", "kernel", "model")
    unknown = [source for kind in kinds for source in getattr(answer, f"invalid_{kind}_sources", None) or ()]
    if unknown:
        hint = "[notebook] datasets, models; accept the licence of a model on its page"
        raise PlatformError(f"Kaggle does not let the notebook use {', '.join(map(str, unknown))}", hint)
    if answer.error or not answer.version_number:
        raise PlatformError(f"Kaggle refused the notebook {meta['id']}: {answer.error or 'no version number'}")
    return int(answer.version_number)


def script(config: Config, dataset: str, tag: str) -> str:
    """What the notebook runs: the template with our names in it."""
    text = (files("kit.platforms") / "kaggle_kernel.py.tmpl").read_text(encoding="utf-8")
    values = {
        "@TAG@": tag,
        "@DATASET@": dataset,
        "@COMPETITION@": config.competition.id,
        "@SAMPLE@": Path(config.data.sample_submission or "sample_submission.csv").name,
        # One column is a label, unless the metric is of probabilities: the rule of `kit table`.
        "@METRIC@": config.competition.metric_of_proba,
        "@EVALUATION@": config.notebook.evaluation,
        "@OUTPUT@": config.notebook.output,
    }
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def _wait(done: Callable[[], bool], what: str, setting: Setting) -> None:
    waits, waited = setting.waits, 0.0
    for pause in waits.pauses():
        if done():
            return
        if waited > waits.end:
            raise PlatformError(f"{what} is not ready after {waits.end / 3600:.0f} hours", "kit submit")
        setting.emit(Event("progress", f"submit: waiting for {what}", {"stage": "submit"}))
        waits.sleep(pause)
        waited += pause
