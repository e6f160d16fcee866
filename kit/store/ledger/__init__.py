"""What was submitted and what came of it: one small immutable file per fact, so that clones merge without conflict."""

from kit.store.ledger.attempts import Attempt, attempts, attempts_of, of_phase, target_of
from kit.store.ledger.events import Submission, add_event, latest, load_for_tables, load_submission, load_submissions
from kit.store.ledger.facts import Phase, Target
from kit.store.ledger.snapshots import BoardRow, Snapshot, add_snapshot, asked_at, history, note_asked

__all__ = [
    "Attempt", "BoardRow", "Phase", "Snapshot", "Submission", "Target", "add_event", "add_snapshot", "asked_at",
    "attempts", "attempts_of", "history", "latest", "load_for_tables", "load_submission", "load_submissions",
    "note_asked", "of_phase", "target_of",
]  # fmt: skip
