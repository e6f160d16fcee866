"""``kit lb --add-score``: a score that a person read off a platform without an interface."""

import math
import secrets

from kit.config import Config
from kit.errors import StageError
from kit.store.files import sha256_file
from kit.store.layout import Layout, SubmissionPaths
from kit.store.ledger import add_event, load_submissions, target_of
from kit.store.ledger.facts import Answer, Intent, Score


def add_score(layout: Layout, config: Config, score: float, of: str = "") -> SubmissionPaths:
    """Write a score to the ledger, for the newest candidate or the one whose name contains ``of``.

    Raises `StageError` where no candidate, or more than one, is meant, or the score is no finite number.
    """
    if not math.isfinite(score):
        raise StageError(f"{score} is not a finite score", "kit lb --add-score 0.87")
    every = [submission.paths for submission in load_submissions(layout)]
    if not every:
        raise StageError("there is no candidate yet", "kit ensemble")
    found = [paths for paths in every if of in paths.root.name]
    if not found or (of and len(found) > 1):
        names = ", ".join(one.root.name for one in (found or every)[:5])
        said = f"{len(found)} candidates match {of!r}" if found else f"no candidate matches {of!r}"
        newest = (found or every)[-1].root.name
        raise StageError(f"{said}: {names}", f"kit lb --add-score {score:g} --of {newest}")
    paths = found[-1]
    intent = secrets.token_hex(8)
    digest = sha256_file(paths.bundle) if paths.bundle.exists() else ""
    add_event(paths, intent, Intent(tag=paths.root.name, sha256=digest, target=target_of(config), by_hand=True))
    add_event(paths, intent, Answer(remote=""))
    add_event(paths, intent, Score(score=score))
    return paths
