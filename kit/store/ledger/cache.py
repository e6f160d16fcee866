"""The ledger read fast: events of folders that did not change come from one file instead of ten thousand.

For tables only, which also do without events that cannot be read. What decides whether something is sent reads every
event itself.
"""

import time

from pydantic import TypeAdapter

from kit.base.events import Emit, Event, silent
from kit.store.layout import Layout
from kit.store.ledger.events import Submission, candidates, load_submission
from kit.store.ledger.facts import AnyFact
from kit.store.ledger.reading import read_cache, write_cache

# A folder that changed a moment ago may change again within the same tick of the file system's clock.
SETTLED = 10.0
WORTH_IT = 200  # events read anew; fewer take some hundredths of a second
# By candidate: the time of its folder of events, and the events.
Known = dict[str, tuple[int, tuple[AnyFact, ...]]]
CACHE: TypeAdapter[Known] = TypeAdapter(Known)


def load_for_tables(layout: Layout, emit: Emit = silent) -> list[Submission]:
    """What `load_submissions` returns, from the cache where the folder of events has the same time as then.

    An event that cannot be read is a warning, and left out.
    """
    cached, kept = read_cache(layout.ledger_cache, CACHE.validate_json) or {}, Known()
    found, fresh = [], 0
    for name in candidates(layout):
        paths = layout.submission(name)
        stamp = paths.events.stat().st_mtime_ns if paths.events.is_dir() else 0
        damaged: list[str] = []
        if name in cached and cached[name][0] == stamp:
            submission = Submission(name, cached[name][1], paths)
        else:
            submission = load_submission(paths, damaged)
            fresh += len(submission.events)
        found.append(submission)
        for message in damaged:
            emit(Event("warn", f"{message}; it is skipped"))
        if stamp < (time.time() - SETTLED) * 1e9 and not damaged:
            kept[name] = (stamp, submission.events)
    if fresh >= WORTH_IT:
        write_cache(layout.ledger_cache, CACHE.dump_json(kept))
    return found
