"""What the Ray engine adds to its units: stubs of one second on two nodes of one processor, then stubs of no length.

    python benchmarks/engine_overhead.py            # needs pip install 'kit[ray]'

A unit is a real process that sleeps, started and heard as a fold is. The ideal is the units' own seconds in equal
parts. The peer is the kit's local engine, with the same processes and as many side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NODES = 2
CONFIG = """
[data]
train = "digits"
[train]
workers = 2
[folds]
n = {n}
[runs.stub]
backbone = "plain-cnn"
stages = [{{ train = "all", epochs = 1 }}]
"""
# The unit's process: it imports next to nothing, so that what is timed is the engine.
UNIT = """
import time
time.sleep({seconds})
print('{{"event": "epoch", "stage": 0, "epoch": 0, "valid_accuracy": 0.5}}')
"""


def units(folder: Path, number: int) -> list[Any]:
    """That many units of a small project, their descriptions written."""
    from kit.project import Project
    from kit.runs.spec import plan_runs
    from kit.runs.units import Unit

    (folder / "kit.toml").write_text(CONFIG.format(n=5))
    project = Project(folder)
    project.folds()
    spec = plan_runs(project.layout, project.config, ["stub"])["stub"][0]
    made = [Unit("fold", spec.model_copy(update={"fold": fold})) for fold in range(number)]
    for unit in made:
        unit.spec.save(unit.description)
    return made


def seconds(launch: Any, todo: list[Any]) -> float:
    """Wall time of all units."""
    from kit.config import load
    from kit.runs.units import run_units

    layout = todo[0].spec.layout
    config = load(layout.config)
    start = time.perf_counter()
    run_units(todo, config, lambda event: None, launch)
    return time.perf_counter() - start


def with_module(folder: Path, length: float) -> dict[str, str]:
    """A module of that unit where every process finds it."""
    name = f"sleeping_unit_{int(length * 1000)}"
    (folder / f"{name}.py").write_text(UNIT.format(seconds=length))
    return {"fold": name}


def cluster() -> Any:
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 100 << 20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **memory})
    for _ in range(NODES):
        made.add_node(num_cpus=1, object_store_memory=100 << 20)
    return made


def ray_launch(address: str, folder: Path, modules: dict[str, str]) -> Any:
    from kit.config.sections import EngineConfig
    from kit.runs.engine.tasks import RayTasks

    return RayTasks(EngineConfig(name="ray", address=address), folder, modules)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, default=50)
    parser.add_argument("--empty", type=int, default=1000)
    args = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        modules = folder / "modules"
        modules.mkdir()
        os.environ["PYTHONPATH"] = os.pathsep.join([str(modules), *sys.path])
        measure(folder, args, lambda length: with_module(modules, length))


def measure(folder: Path, args: argparse.Namespace, make: Callable[[float], dict[str, str]]) -> None:
    from machine import machine

    from kit.config import load
    from kit.runs.units import Processes

    print(machine())
    second, empty = make(1.0), make(0.0)
    made = cluster()
    try:
        todo = units(folder, max(args.units, args.empty))
        found: dict[str, float] = {}
        with ray_launch(made.address, folder, second) as launch:
            start = time.perf_counter()
            launch.places(load(folder / "kit.toml"))
            found["connect"] = time.perf_counter() - start
            found["ray"] = seconds(launch, todo[: args.units])
            found["ray, workers there"] = seconds(launch, todo[: args.units])
        found["local"] = seconds(Processes(second), todo[: args.units])
        with ray_launch(made.address, folder, empty) as launch:
            found["ray, empty"] = seconds(launch, todo[: args.empty])
        found["local, empty"] = seconds(Processes(empty), todo[: args.empty])
    finally:
        made.shutdown()
    tell(found, args)


def tell(found: dict[str, float], args: argparse.Namespace) -> None:
    ideal = args.units / NODES
    print(f"connecting: {found['connect']:.1f} s")
    for name in ("ray", "ray, workers there", "local"):
        ratio = f"{found[name]:.1f} s = {found[name] / ideal:.3f} x ideal"
        print(f"{args.units} units of 1 s, {NODES} places, {name}: {ratio}")
    for name in ("ray, empty", "local, empty"):
        each = found[name] / args.empty * 1000
        print(f"{args.empty} units of 0 s, {name.split(',')[0]}: {found[name]:.1f} s, {each:.1f} ms each")
    print(f"ray / local, empty: {found['ray, empty'] / found['local, empty']:.2f}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
