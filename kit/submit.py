"""``kit submit``: spend a submission once, when it will count."""

from __future__ import annotations

import time

from kit.config import Config
from kit.errors import StageError
from kit.files import lock, read_json, sha256_file
from kit.layout import Layout, SubmissionPaths
from kit.ledger import add_event, load_submission
from kit.platforms import Platform, Status, open_platform
from kit.records import Emit, Event

POLL_SECONDS = (1.0, 60.0)


def submit(layout: Layout, config: Config, paths: SubmissionPaths, emit: Emit, *, dry_run: bool = False) -> None:
    """Send a proven bundle to the platform and wait for its score.

    Raises
    ------
    StageError
        Where the bundle has no proof, or is not the file that was proven.
    PlatformError
        Where the platform refuses or fails.
    """
    digest = _proven(paths)
    platform = open_platform(layout, config)
    platform.check(paths.bundle)
    if dry_run:
        emit(Event("say", f"would send {paths.bundle} ({digest[:8]}) to {config.competition.platform}"))
        return
    with lock(paths.root / ".lock", f"submission {paths.root.name}"):
        known = load_submission(paths).last("score")
        if known is not None:
            emit(Event("fresh", "submit", {"stage": "submit", "submission": paths.root.name}))
            _tell(emit, config, paths, Status("scored", known["score"]))
            return
        remote = _send_once(platform, paths, digest)
        status = _wait(platform, remote, emit)
        if status.state == "failed":
            add_event(paths, "failure", remote=remote, message=status.message)
            raise StageError(f"{config.competition.platform} failed the submission: {status.message}", "kit lb")
        add_event(paths, "score", remote=remote, score=status.score)
    _tell(emit, config, paths, status)


def _proven(paths: SubmissionPaths) -> str:
    if not paths.proof.exists():
        raise StageError(f"{paths.root.name} has no proven bundle", "kit bundle")
    digest = sha256_file(paths.bundle)
    if digest != read_json(paths.proof)["sha256"]:
        raise StageError(f"{paths.bundle} is not the file that was proven", "kit bundle --force")
    return digest


def _send_once(platform: Platform, paths: SubmissionPaths, digest: str) -> str:
    """The platform's id: of an earlier attempt that arrived, whatever became of us then, or of a new one."""
    tag = paths.root.name
    answered = load_submission(paths).last("answer")
    if answered is not None:
        return str(answered["remote"])
    if load_submission(paths).last("intent") is not None:
        remote = platform.find(tag)
        if remote is not None:
            add_event(paths, "answer", remote=remote, found=True)
            return remote
    add_event(paths, "intent", tag=tag, sha256=digest)
    remote = platform.submit(paths.bundle, tag)
    add_event(paths, "answer", remote=remote)
    return remote


def _wait(platform: Platform, remote: str, emit: Emit) -> Status:
    pause, longest = POLL_SECONDS
    while (status := platform.status(remote)).state == "waiting":
        emit(Event("progress", "submit: waiting for the score", {"stage": "submit"}))
        time.sleep(pause)
        pause = min(pause * 1.5, longest)
    return status


def _tell(emit: Emit, config: Config, paths: SubmissionPaths, status: Status) -> None:
    record = read_json(paths.ensemble)
    cv = record["cv"]
    text = f"{config.competition.metric} on {config.competition.platform}"
    emit(Event("number", text, {"value": status.score, "cv": cv["score"], "low": cv["low"], "high": cv["high"]}))
