"""``kit train --max-hours``: end before a hosted notebook is taken away, and lose nothing."""

import threading

from kit.base.events import Emit, Event
from kit.config import Config
from kit.errors import TrainingError
from kit.runs.units import Launch, Processes, Unit

# A process that was being started at the very moment is asked the next time.
ASK_AGAIN_SECONDS = 2.0


class TimeLimit:
    """A `Launch` that at its limit asks what runs to save its state and end, and starts nothing afterwards.

    Units that are left are no failure: the same command goes on from their checkpoints. Used as a context, in which
    the time runs; ``launch`` runs the units, by default a process for each.
    """

    def __init__(self, hours: float, launch: Launch | None = None) -> None:
        self._hours, self._launch = hours, launch or Processes()
        self._over, self._finished = threading.Event(), threading.Event()
        self._watch = threading.Thread(target=self._wait, daemon=True)
        self.left: list[str] = []

    def __enter__(self) -> "TimeLimit":
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._watch.join()

    def __call__(self, unit: Unit, emit: Emit) -> None:
        if self._over.is_set():
            self.left.append(unit.name)
            return
        try:
            self._launch(unit, emit)
        except TrainingError:
            if not self._over.is_set():
                raise
            self.left.append(unit.name)

    @property
    def queues(self) -> bool:
        return self._launch.queues

    def places(self, config: Config) -> int:
        return self._launch.places(config)

    def end(self) -> None:
        self._launch.end()

    def tell(self, emit: Emit) -> None:
        """Say what is left, if anything is."""
        if self.left:
            names = ", ".join(sorted(self.left))
            emit(Event("warn", f"the limit of {self._hours:g} h was reached with {len(self.left)} units left: {names}"))
            emit(Event("say", "run the same command to continue where they stopped"))

    def _wait(self) -> None:
        if self._finished.wait(self._hours * 3600):
            return
        self._over.set()
        self._launch.end()
        while not self._finished.wait(ASK_AGAIN_SECONDS):
            self._launch.end()
