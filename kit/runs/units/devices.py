"""Graphics cards: one process each, and no process on a card that another has."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> tuple[str, ...]:
    """Cards that may be used: those of ``CUDA_VISIBLE_DEVICES`` where it is set, else all that nvidia-smi lists.

    TensorFlow is not asked: it would take the memory of every card for the process that only starts the others.
    """
    if VARIABLE in os.environ:
        named = [name.strip() for name in os.environ[VARIABLE].split(",")]
        return tuple(name for name in named if name and name != "-1")
    if shutil.which("nvidia-smi") is None:
        return ()
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    listed = subprocess.run(query, capture_output=True, text=True, check=False)
    return tuple(listed.stdout.split()) if listed.returncode == 0 else ()


class Cards:
    """Hands the card with the fewest processes to each process, and takes it back."""

    def __init__(self, gpus: Sequence[str]) -> None:
        self._used = dict.fromkeys(gpus, 0)
        self._lock = threading.Lock()

    @contextmanager
    def environment(self) -> Iterator[dict[str, str]]:
        """Variables of a process that sees one card only, or this process's own where there are none."""
        if not self._used:
            yield dict(os.environ)
            return
        with self._lock:
            card = min(self._used, key=self._used.__getitem__)
            self._used[card] += 1
        try:
            yield {**os.environ, VARIABLE: card}
        finally:
            with self._lock:
                self._used[card] -= 1
