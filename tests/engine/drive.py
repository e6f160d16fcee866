"""Train a project of stubs and write down what is heard: ``drive.py PROJECT EVENTS KEYS``, those of `[engine]`."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path

from kit.base.events import Event
from kit.config import load
from kit.config.sections import EngineConfig
from kit.errors import KitError
from kit.runs.engine.tasks import RayTasks
from kit.runs.units import Processes
from kit.stages.train.train import train
from kit.store.layout import Layout

MODULES = {"fold": "stub_worker", "measure": "stub_worker"}


def main(project: str, events: str, engine: str) -> int:
    layout, keys = Layout(Path(project)), json.loads(engine)
    end_after = keys.pop("end_after", 0)
    counts = {"epochs": 0}
    launch = RayTasks(EngineConfig.model_validate(keys), layout.root, MODULES) if keys["name"] == "ray" else None

    def hear(event: Event) -> None:
        counts["epochs"] += event.kind == "unit" and event.data["event"] == "epoch"
        if launch is not None and end_after and counts["epochs"] == end_after:
            launch.end()
        with Path(events).open("a") as file:
            file.write(json.dumps([event.kind, event.text, event.data], default=str) + "\n")

    config = load(layout.config)
    try:
        with launch or nullcontext(Processes(MODULES)) as units:
            train(layout, config, hear, launch=units, pictures=False)
    except KitError as error:
        print(f"error: {error.message}\nhint: {error.hint}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
