"""A `Launch` on a Ray cluster: a task for every unit, started anew from its last checkpoint where it was lost."""

from __future__ import annotations

import json
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from kit.base.events import Emit, Event
from kit.config import Config
from kit.config.sections import EngineConfig
from kit.errors import OutOfMemoryError, TrainingError
from kit.runs.engine.cluster import check_installed, connected, hang_bell, machines, places, ray, resources
from kit.runs.engine.sending import Store, TaskSpec, Warehouse, store_of, task_spec, versions, write_pieces
from kit.runs.engine.task import perform
from kit.runs.units import Unit
from kit.runs.units.process import WORKERS, failure
from kit.store.files import append_log

# The code of a process that SIGTERM has ended.
ENDED = 143
Message = dict[str, Any]


class NodeLost(Exception):
    """A machine or a process was lost, through no fault of the unit."""


@dataclass
class Start:
    """One start of a unit: its number from 1 on, nodes that lost it before, and where it runs."""

    unit: Unit
    number: int
    avoided: set[str]
    node: str = ""


class RayTasks(ExitStack):
    """`Launch` of a Ray task for every unit; a context that connects to the cluster when it is first needed.

    ``root`` is the project's folder, ``modules`` the module to run by kind of unit.
    """

    queues: bool = True

    def __init__(self, config: EngineConfig, root: Path, modules: Mapping[str, str] = WORKERS) -> None:
        super().__init__()
        check_installed()
        self._config, self._modules = config, modules
        self._store: Store = store_of(config.storage, root)
        self._warehouse = Warehouse(self._store)
        self._lock = threading.Lock()
        self._wanted: dict[str, float] = {}
        self._task: Any = None
        self._bell: Any = None
        self._ending = False
        self._waiting: dict[int, Any] = {}
        self._known: set[str] = set()

    def places(self, config: Config) -> int:
        self._connect()
        return places(self._wanted, machines())

    def end(self) -> None:
        with self._lock:
            first, self._ending = not self._ending, True
            waiting = list(self._waiting.values())
        if first and self._bell is not None:
            self._bell.ring.remote()
        for stream in waiting:  # what has not been started has nothing to save
            ray.cancel(stream)

    def __call__(self, unit: Unit, emit: Emit) -> None:
        self._connect()
        unit.spec.paths.root.mkdir(parents=True, exist_ok=True)
        avoided: set[str] = set()
        for number in count(1):
            attempt = Start(unit, number, avoided)
            try:
                self._attempt(attempt, emit)
                emit(unit.event({"event": "done"}))
                return
            except NodeLost as lost:
                avoided.add(attempt.node)
                self._note(unit, {"event": "lost", "attempt": number, "node": attempt.node, "why": str(lost)})
                if self._ending:
                    raise failure(unit.name, unit.spec.run, ENDED, {}, unit.spec.paths.errors) from lost
                if number == self._config.attempts:
                    hint = f"cat {shlex.quote(str(unit.spec.paths.log))}"
                    raise TrainingError(f"{unit.name} was lost {number} times; the last reason: {lost}", hint) from lost
                emit(Event("warn", f"{unit.name} is started again from its last checkpoint: {lost}"))

    def _connect(self) -> None:
        with self._lock:
            if self._bell is None:
                self.enter_context(connected(self._config))
                self._wanted = resources(self._config)
                # Not retried by Ray: only the driver has the checkpoint that the next attempt starts from.
                self._task = ray.remote(max_retries=0)(on_node)
                self._bell = hang_bell()

    def _attempt(self, attempt: Start, emit: Emit) -> None:
        unit = attempt.unit

        def placed(message: Message) -> None:
            attempt.node, theirs = message["node"], message["versions"]
            with self._lock:
                self._waiting.pop(id(attempt), None)
                known = attempt.node in self._known
                self._known.add(attempt.node)
            self._note(unit, {"event": "placed", "engine": "ray", "attempt": attempt.number, **message})
            # Once per machine: what it trains is not what others would.
            differing = [(name, own) for name, own in versions().items() if theirs.get(name) != own]
            other = [f"{name} {theirs.get(name)} instead of {own}" for name, own in differing]
            if other and not known:
                emit(Event("warn", f"{message['host']} has {', '.join(other)}: results may differ between versions"))

        module, cards = self._modules[unit.kind], self._wanted.get("GPU", 0)
        told = task_spec(unit, module, self._warehouse, cards)
        amounts = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
        options = {amounts[name]: amount for name, amount in self._wanted.items()}
        place = strategy(attempt.avoided, self._wanted)
        with self._lock:
            if self._ending:
                raise TrainingError(f"{unit.name} was not started", f"kit train {unit.spec.run}")
            task = self._task.options(name=unit.name, scheduling_strategy=place, **options)
            stream = self._waiting[id(attempt)] = task.remote(told, self._store, self._bell)
        try:
            root = unit.spec.layout.root
            ended = receive(values(stream), root, self._store, lambda report: emit(unit.event(report)), placed)
        finally:
            with self._lock:
                self._waiting.pop(id(attempt), None)
        if not ended:
            raise NodeLost("the task ended without a report")
        if ended["code"] != 0:
            why = failure(unit.name, unit.spec.run, ended["code"], ended["said"], unit.spec.paths.errors)
            if ended["code"] < 0 or ended["said"].get("type") == OutOfMemoryError.__name__:
                raise NodeLost(why.message)
            raise why

    def _note(self, unit: Unit, line: Message) -> None:
        line = {name: value for name, value in line.items() if name != "what"}
        append_log(unit.spec.paths.log, {**line, "unit": unit.kind, "time": time.time()})


def values(stream: Any) -> Iterator[Any]:
    """What a task gives, as it comes; raises `NodeLost` where it ends through no fault of its own."""
    from ray.exceptions import RayError, RayTaskError

    try:
        for reference in stream:
            yield ray.get(reference)
    except RayError as error:
        cause: BaseException = error.cause if isinstance(error, RayTaskError) else error
        if not isinstance(cause, OSError | MemoryError | RayError):
            raise
        line = next((line for line in str(cause).splitlines() if line.strip()), "no message")
        raise NodeLost(f"{type(cause).__name__}: {line}") from error


def on_node(told: TaskSpec, store: Store, bell: Any) -> Iterator[Any]:
    """The task as Ray runs it."""
    yield from perform(told, store, rung(bell).done, ray.get_runtime_context().get_node_id())


@cache
def rung(bell: Any) -> Any:
    """A future that is done when the bell was rung; one for all tasks that a worker of Ray runs one after the other.

    A future, because a task that waits in Ray gives its processor away meanwhile, and gets a neighbour for good.
    """
    return bell.wait.remote().future()


def strategy(avoided: set[str], wanted: Mapping[str, float]) -> Any:
    """Where a task should run: anywhere, after a loss rather on a node that has not lost it."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = machines() if avoided else {}
    others = {name: node for name, node in nodes.items() if name not in avoided and places(wanted, {name: node})}
    if not others:
        return "SPREAD"
    largest = max(others, key=lambda name: places(wanted, {name: others[name]}))
    return NodeAffinitySchedulingStrategy(largest, soft=True, _spill_on_unavailable=True)


def receive(
    stream: Iterator[Any], root: Path, store: Store, hear: Callable[[Message], None], placed: Callable[[Message], None]
) -> Message:
    """Take the messages of one attempt at a unit into the project at ``root``.

    ``hear`` gets every report of the unit, ``placed`` the message that says where the task runs. Returns the message of
    how the unit ended, empty where there was none.
    """
    ended: Message = {}
    for message in stream:
        match message["what"]:
            case "placed":
                placed(message)
            case "reports":
                for report in message["reports"]:
                    hear(report)
            case "file":
                handle = message["handle"]
                pieces = _of_size(stream, message["size"]) if handle is None else store.pieces(handle)
                write_pieces(inside(root, message["path"]), pieces, message["sha256"])
                if handle is not None:
                    store.drop(handle)
            case "log":
                path = inside(root, message["path"])
                path.parent.mkdir(parents=True, exist_ok=True)
                for line in message["text"].splitlines():
                    with suppress(ValueError):  # a line that a kill left unfinished
                        append_log(path, json.loads(line))
            case "gone":
                for name in message["paths"]:
                    inside(root, name).unlink(missing_ok=True)
            case "ended":
                ended = message
    return ended


def inside(root: Path, name: str) -> Path:
    """The file that a task names; raises ValueError where that is outside the project."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"a task named a file outside the project: {name}")
    return root / name


def _of_size(stream: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Pieces from the stream until they make up ``size`` bytes."""
    while size > 0:
        piece = next(stream)
        size -= len(piece)
        yield piece
