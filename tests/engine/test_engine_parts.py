"""The parts of the engine that need no Ray: a task's body, what travels, where it is kept, in which order."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crashes import fingerprint
from hypothesis import given
from hypothesis import strategies as st

from kit.base.events import Event
from kit.config import load, on_engine
from kit.config.sections import EngineConfig
from kit.errors import ConfigError, KitError, TrainingError
from kit.runs.engine import cluster, opened, sending, task
from kit.runs.engine.sending import Folder, Store, UrlStore, Warehouse, store_of, task_spec
from kit.runs.engine.task import perform
from kit.runs.engine.tasks import receive
from kit.runs.spec import FoldSpec, plan_runs
from kit.runs.units import Processes, Unit
from kit.runs.units.process import failure
from kit.stages.train.plan import RunPlan, ordered
from kit.stages.train.train import train
from kit.store.files import lock
from kit.store.layout import Layout

pytestmark = pytest.mark.stage

MODULES = {"fold": "stub_worker", "measure": "stub_worker"}


class InMemory(Store):
    """A store that streams, as Ray's does, and counts what is put in."""

    streams = True

    def __init__(self) -> None:
        self.names: list[str] = []

    def put(self, path: Path, name: str) -> Any:
        self.names.append(name)
        return list(sending.read_pieces(path))

    def pieces(self, handle: Any) -> Iterator[bytes]:
        return iter(handle)


class Bodies:
    """A `kit.runs.units.Launch` that runs the bodies of tasks here, one after the other."""

    queues = False

    def __init__(self, store: Any, asked: Callable[[], bool] = lambda: False) -> None:
        self.store, self.asked = store, asked
        self.warehouse = Warehouse(store)
        self.placed: list[dict[str, Any]] = []

    def __call__(self, unit: Unit, emit: Any) -> None:
        unit.spec.paths.root.mkdir(parents=True, exist_ok=True)
        told = task_spec(unit, MODULES[unit.kind], self.warehouse, 0.0)
        stream, hear = perform(told, self.store, self.asked, "here"), lambda report: emit(unit.event(report))
        ended = receive(stream, unit.spec.layout.root, self.store, hear, self.placed.append)
        if ended["code"] != 0:
            raise failure(unit.name, unit.spec.run, ended["code"], ended["said"], unit.spec.paths.errors)

    def places(self, config: Any) -> int:
        return 1

    def end(self) -> None:
        """Nothing runs on."""


@pytest.fixture(autouse=True)
def machine(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's own folder of files, and stubs that are found."""
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"kit-{os.getuid()}"


def trained(folder: Path, launch: Any, hear: Any = lambda event: None) -> dict[str, str]:
    layout = Layout(folder)
    train(layout, load(layout.config), hear, launch=launch, pictures=False)
    return fingerprint(folder)


@pytest.fixture(scope="module")
def by_processes() -> dict[str, Path]:
    return {}


@pytest.fixture
def here(project: Any, by_processes: dict[str, Path]) -> Path:
    """A project that processes have trained, once for all tests."""
    if not by_processes:
        by_processes["here"] = project("here", epochs=4)
        trained(by_processes["here"], Processes(MODULES))
    return by_processes["here"]


@pytest.mark.matrix
@pytest.mark.parametrize("kind", ["stream", "folder", pytest.param("url", marks=pytest.mark.slow)])
def test_a_body_leaves_what_a_process_leaves(
    here: Path, project: Any, tmp_path: Path, kind: str, machine: Path
) -> None:
    store = {
        "stream": InMemory(),
        "folder": Folder(tmp_path / "storage"),
        "url": UrlStore(f"file://{tmp_path / 'storage'}"),
    }[kind]
    launch = Bodies(store)
    assert trained(project("there", epochs=4), launch) == fingerprint(here)
    assert len(launch.placed) == 2 and launch.placed[0]["versions"]["numpy"]
    assert not list((machine / "units").iterdir())
    assert not [path for path in (tmp_path / "storage" / "outputs").rglob("*") if path.is_file()]


@pytest.mark.matrix
def test_a_machine_writes_an_input_once_and_holds_no_more_than_its_units_need(project: Any, machine: Path) -> None:
    folder, store = project(), InMemory()
    (folder / "data" / "sheets.bin").write_bytes(b"nobody asks for this")
    trained(folder, Bodies(store))
    assert len(store.names) == len(set(store.names))
    held = {path.name for path in (machine / "inputs").iterdir() if not path.name.endswith(".lock")}
    needed = [folder / "data" / name for name in ("manifest.json", "index.csv", "images.npy")]
    needed.append(folder / "folds" / "folds.csv")
    assert held == {hashlib.sha256(path.read_bytes()).hexdigest() for path in needed}


@pytest.mark.matrix
def test_a_body_that_is_asked_to_end_sends_its_checkpoint_and_another_goes_on(here: Path, project: Any) -> None:
    there = project("there", epochs=4)
    heard: list[Event] = []

    def epochs() -> int:
        return sum(event.kind == "unit" and event.data["event"] == "epoch" for event in heard)

    with pytest.raises(TrainingError, match="was stopped and has saved its state"):
        trained(there, Bodies(InMemory(), asked=lambda: epochs() >= 2), heard.append)
    assert list(there.glob("runs/*/fold-*/checkpoint-*.npz"))
    assert trained(there, Bodies(InMemory()), heard.append) == fingerprint(here)
    assert epochs() == sum(len(path.read_text().splitlines()) - 1 for path in here.glob("runs/*/fold-*/history.csv"))
    assert not list(there.glob("runs/*/fold-*/checkpoint-*"))


def test_a_weights_file_from_anywhere_travels_under_a_name_of_its_own(project: Any, tmp_path: Path) -> None:
    own = tmp_path / "elsewhere" / "backbone.weights.h5"
    own.parent.mkdir()
    own.write_bytes(b"weights")
    folder = project()
    text = (
        (folder / "kit.toml")
        .read_text()
        .replace('backbone = "plain-cnn"', f'backbone = "plain-cnn"\nweights = "{own}"')
    )
    (folder / "kit.toml").write_text(text)
    layout = Layout(folder)
    spec = plan_runs(layout, load(layout.config), ["a"])["a"][0]
    spec.save(spec.paths.spec)
    order = task_spec(Unit("fold", spec), "stub_worker", Warehouse(InMemory()), 0.0)
    assert order.description.settings.weights == "pretrained/backbone.weights.h5"
    assert order.inputs["pretrained/backbone.weights.h5"].size == len(b"weights")
    with task.task_folder(order, InMemory()) as place:
        assert (place / "pretrained" / "backbone.weights.h5").read_bytes() == b"weights"
        told = FoldSpec.load(place / order.at)
        assert told.root == str(place) and told.settings.weights == "pretrained/backbone.weights.h5"


@given(content=st.binary(max_size=200), piece=st.integers(1, 64))
def test_a_file_arrives_whole_in_pieces_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, piece: int
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    (folder / "a").write_bytes(content)
    before, sending.PIECE = sending.PIECE, piece
    try:
        message = {"what": "file", "path": "b", "handle": None, "size": len(content)}
        message["sha256"] = hashlib.sha256(content).hexdigest()
        stream = iter([message, *sending.read_pieces(folder / "a"), {"what": "ended", "code": 0, "said": {}}])
        assert receive(stream, folder, InMemory(), print, print)["code"] == 0
    finally:
        sending.PIECE = before
    assert (folder / "b").read_bytes() == content


def test_a_damaged_file_is_refused_and_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"old")
    message = {"what": "file", "path": "b", "handle": None, "size": 3, "sha256": hashlib.sha256(b"new").hexdigest()}
    with pytest.raises(KitError, match="b is corrupted on"):
        receive(iter([message, b"nEw"]), tmp_path, InMemory(), print, print)
    assert (tmp_path / "b").read_bytes() == b"old"
    for outside in ("../b", str(tmp_path.parent / "b")):
        with pytest.raises(ValueError, match="outside the project"):
            receive(iter([{**message, "path": outside}, b"new"]), tmp_path, InMemory(), print, print)


def test_what_dead_tasks_left_is_removed_and_what_living_ones_have_is_not(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for process in (dead.pid, os.getpid()):
        (tmp_path / "units" / f"{process}-x").mkdir(parents=True)
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    for name, age in (("old", 8 * 86400), ("new", 0)):
        (inputs / name).touch()
        os.utime(inputs / name, (time.time() - age,) * 2)
    task.tidy(tmp_path / "units", inputs)
    assert [path.name for path in (tmp_path / "units").iterdir()] == [f"{os.getpid()}-x"]
    assert [path.name for path in inputs.iterdir()] == ["new"]


def test_a_lock_that_is_waited_for_is_had_when_the_other_lets_go(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with lock(tmp_path / "lock", "a file", wait=True):
            order.append("second")

    thread = threading.Thread(target=second)
    with lock(tmp_path / "lock", "a file"):
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_process_dies_with_the_one_that_started_it() -> None:
    child = (
        "import time; from kit.runs.units.worker import end_with_parent; end_with_parent(); "
        "print('on', flush=True); time.sleep(60)"
    )
    parent = (
        "import os, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE,"
        " env={**os.environ, 'KIT_PARENT': '1'})\n"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        number = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    end = time.monotonic() + 30
    while time.monotonic() < end and Path(f"/proc/{number}").exists() and " Z " not in status(number):
        time.sleep(0.05)
    assert not Path(f"/proc/{number}").exists() or " Z " in status(number)


def status(number: int) -> str:
    try:
        return Path(f"/proc/{number}/stat").read_text()
    except FileNotFoundError:
        return ""


@given(
    nodes=st.lists(st.tuples(st.integers(0, 16), st.integers(0, 4)), max_size=5),
    cpus=st.integers(1, 4),
    gpus=st.integers(0, 2),
)
def test_places_are_what_fits_on_each_node(nodes: list[tuple[int, int]], cpus: int, gpus: int) -> None:
    def by_hand(cpu: int, gpu: int) -> int:
        count = 0
        while cpu >= cpus and gpu >= gpus:
            cpu, gpu, count = cpu - cpus, gpu - gpus, count + 1
        return count

    wanted = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
    found = cluster.places(wanted, {str(n): {"CPU": cpu, "GPU": gpu} for n, (cpu, gpu) in enumerate(nodes)})
    assert found == sum(by_hand(cpu, gpu) for cpu, gpu in nodes)


def test_the_longest_folds_come_first_and_those_of_a_run_stay_in_order(project: Any) -> None:
    folder = project(runs=("a", "b", "c"))
    layout = Layout(folder)
    specs = plan_runs(layout, load(layout.config), ())
    seconds = {"a": 1.0, "b": 3.0, "c": 2.0}
    for measured in (True, False):
        plans = [
            RunPlan(folds, int(10 * seconds[run]), *(((seconds[run],) * 2, (0.0,) * 2) if measured else ()))
            for run, folds in specs.items()
        ]
        units = [Unit("fold", spec) for folds in specs.values() for spec in folds]
        found = [unit.name for unit in ordered(units, plans)]
        assert found == ["b fold 0", "b fold 1", "c fold 0", "c fold 1", "a fold 0", "a fold 1"]


def test_the_engine_of_the_configuration_can_be_another_once(make_project: Callable[..., Path]) -> None:
    folder = make_project('[data]\ntrain = "digits"\n[engine]\naddress = "local"')
    config = load(folder / "kit.toml")
    assert config.engine.name == "local" and on_engine(config, "") is config
    assert on_engine(config, "ray").engine == EngineConfig(name="ray", address="local")
    with pytest.raises(ConfigError, match="no engine 'slurm'") as caught:
        on_engine(config, "slurm")
    assert caught.value.hint == "known: local, ray"
    with opened(Layout(folder), config) as launch:
        assert isinstance(launch, Processes)


@pytest.mark.matrix
def test_without_ray_the_error_is_the_line_that_installs_it(make_project: Callable[..., Path]) -> None:
    folder = make_project('[data]\ntrain = "digits"')
    program = (
        "import sys; sys.modules['ray'] = None; sys.argv = ['kit', 'train', '--engine', 'ray']; "
        "from kit.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    assert "error: the engine `ray` needs ray, which is not installed" in done.stderr
    assert "hint: pip install 'kit[ray]'" in done.stderr


def test_a_storage_is_a_folder_a_url_or_nothing(tmp_path: Path) -> None:
    assert store_of("", tmp_path).streams
    assert store_of("shared", tmp_path) == Folder(tmp_path / "shared")
    assert store_of("/mnt/kit", tmp_path) == Folder(Path("/mnt/kit"))
    assert store_of("s3://bucket/kit", tmp_path) == UrlStore("s3://bucket/kit")
    (tmp_path / "a").write_bytes(b"a")
    with pytest.raises(ConfigError, match=r"storage = 'nowhere://x'"):
        UrlStore("nowhere://x").put(tmp_path / "a", "inputs/a")
