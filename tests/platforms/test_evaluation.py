"""The notebook of a competition with an evaluation API, against a gateway written from the published interface.

What Kaggle publishes: a package among the files of the competition, whose server calls a function named
`predict` with the batches of a gateway, either the local one or, in the hidden run, one in another process.
"""

from __future__ import annotations

import csv
import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_kernel import NAMES, TAG, make_tree

from kit.config import Config, parse
from kit.platforms.kaggle_code import script

pytestmark = pytest.mark.stage

RELAY = """
import io, os, threading
from multiprocessing.connection import Client, Listener
import pandas as pd

def serialize(data):
    if isinstance(data, pd.DataFrame):
        buffer = io.BytesIO()
        data.to_parquet(buffer, index=False)
        return ("frame", buffer.getvalue())
    if isinstance(data, io.BytesIO):
        return ("bytes", data.getvalue())
    if data is None or type(data) in (str, bool, int, float):
        return ("plain", data)
    raise TypeError(f"Type {type(data)} not supported for KaggleEvaluation.")

def deserialize(pair):
    kind, data = pair
    return pd.read_parquet(io.BytesIO(data)) if kind == "frame" else io.BytesIO(data) if kind == "bytes" else data

class Server:
    def __init__(self, listeners):
        self.listeners = {one.__name__: one for one in listeners}
        self.thread = threading.Thread(target=self.listen, daemon=True)

    def start(self):
        self.listener = Listener(("127.0.0.1", int(os.environ["GATEWAY_PORT"])))
        self.thread.start()

    def listen(self):
        with self.listener.accept() as connection:
            while (message := connection.recv()) is not None:
                name, args = message
                try:
                    connection.send(serialize(self.listeners[name](*map(deserialize, args))))
                except Exception as error:
                    connection.send(("error", repr(error)))

    def wait_for_termination(self):
        self.thread.join()

    def stop(self, grace):
        self.listener.close()

def send(connection, name, *args):
    connection.send((name, [serialize(one) for one in args]))
    kind, data = answer = connection.recv()
    if kind == "error":
        raise RuntimeError(data)
    return deserialize(answer)
"""
TEMPLATES = """
import abc, os
import kaggle_evaluation.core.relay

class InferenceServer(abc.ABC):
    def __init__(self, *endpoint_listeners):
        self.server = kaggle_evaluation.core.relay.Server(endpoint_listeners)

    def serve(self):
        self.server.start()
        if os.getenv("KAGGLE_IS_COMPETITION_RERUN") is not None:
            self.server.wait_for_termination()

    @abc.abstractmethod
    def _get_gateway_for_test(self, data_paths, file_share_dir=None): ...

    def run_local_gateway(self, data_paths=None, file_share_dir=None, *args, **kwargs):
        self.server.start()
        try:
            self.gateway = self._get_gateway_for_test(data_paths, file_share_dir)
            self.gateway.run()
        finally:
            self.server.stop(0)
"""
SERVER = """
import os, sys
import kaggle_evaluation.core.templates
sys.path.append(os.path.dirname(os.path.realpath(__file__)))
import cells_gateway

class CellsInferenceServer(kaggle_evaluation.core.templates.InferenceServer):
    def _get_gateway_for_test(self, data_paths=None, file_share_dir=None):
        return cells_gateway.CellsGateway(data_paths)
"""
GATEWAY = """
import io, os
from multiprocessing.connection import Client
from pathlib import Path
import pandas as pd
import kaggle_evaluation.core.relay as relay

class CellsGateway:
    def __init__(self, data_paths=None):
        self.root = Path(data_paths[0]) if data_paths else Path(__file__).parents[1]

    def batches(self):
        for name in ["c", "a", "b"]:
            (file,) = (self.root / "test").glob(f"{name}.*")
            if KIND == "frame":
                row = pd.DataFrame({"id": [name], "age": [7]})
                yield name, (row, pd.DataFrame({"id": [name], "label": [0]}))
            else:
                yield name, (str(file) if KIND == "path" else io.BytesIO(file.read_bytes()),)

    def run(self):
        found = []
        with Client(("127.0.0.1", int(os.environ["GATEWAY_PORT"]))) as connection:
            for name, batch in self.batches():
                answer = relay.send(connection, "predict", *batch)
                if not isinstance(answer, pd.DataFrame):
                    answer = pd.DataFrame({"label": [answer]})
                found.append(answer if "id" in answer else answer.assign(id=name))
            connection.send(None)
        if WRITES:
            pd.concat(found).to_parquet("submission.parquet", index=False)
"""


def config_of(output: str = "submission.csv", evaluation: str = "cells", metric: str = "accuracy") -> Config:
    competition = f'platform = "kaggle"\nid = "cells"\ncode = true\nmetric = "{metric}"'
    notebook = f'evaluation = "{evaluation}"\noutput = "{output}"'
    data = 'train = "unused"\nsample_submission = "raw/sample.csv"'
    return parse(f"[competition]\n{competition}\n[notebook]\n{notebook}\n[data]\n{data}\n")


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "kaggle")


def add_gateway(root: Path, kind: str = "frame", writes: bool = False) -> None:
    package = root / "input/cells/kaggle_evaluation"
    (package / "core").mkdir(parents=True)
    settings = f"KIND, WRITES = {kind!r}, {writes!r}\n"
    for name, text in {
        "__init__.py": "",
        "core/__init__.py": "",
        "core/relay.py": RELAY,
        "core/templates.py": TEMPLATES,
        "cells_inference_server.py": SERVER,
        "cells_gateway.py": settings + GATEWAY,
    }.items():
        (package / name).write_text(text)


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start(root: Path, config: Config, number: int, **more: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "KIT_KAGGLE": str(root), "GATEWAY_PORT": str(number), **more}
    command = [sys.executable, "-I", "-c", script(config, "kit-cells", TAG)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(root: Path, config: Config) -> str:
    process = start(root, config, port())
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    return out


def bright(root: Path) -> dict[str, str]:
    """The class of each image, by the rule of the bundle's network."""
    from kit.runtime import decode

    found = {}
    for name in ("c", "a", "b"):
        (file,) = (root / "input/cells/test").glob(f"{name}.*")
        found[name] = "xy"[int(decode.decode(file.read_bytes(), 32, "crop").mean() > 127.5)]
    return found


@pytest.mark.parametrize("kind", ["frame", "path", "bytes"])
def test_the_local_gateway_gets_the_class_of_every_image(kaggle: Path, kind: str) -> None:
    add_gateway(kaggle, kind, writes=True)
    run(kaggle, config_of("submission.parquet"))
    found = pd.read_parquet(kaggle / "working/submission.parquet")
    assert dict(zip(found["id"], found["label"], strict=True)) == bright(kaggle)


@pytest.mark.parametrize("output", ["submission.csv", "submission.parquet"])
def test_where_the_local_gateway_writes_nothing_the_notebook_does(kaggle: Path, output: str) -> None:
    add_gateway(kaggle)
    run(kaggle, config_of(output))
    path = kaggle / "working" / output
    if output.endswith("parquet"):
        found = pd.read_parquet(path)
        rows = [list(found.columns), *found.to_numpy().tolist()]
    else:
        rows = [*csv.reader(io.StringIO(path.read_text()))]
    assert rows == [["id", "label"], *map(list, bright(kaggle).items())]


def test_without_an_evaluation_the_table_can_be_parquet_too(kaggle: Path) -> None:
    (kaggle / "input/cells/sample.csv").write_text("id,x,y\n" + "".join(f"{name},0.5,0.5\n" for name in NAMES))
    run(kaggle, config_of("submission.parquet", evaluation="", metric="nll"))
    found = pd.read_parquet(kaggle / "working/submission.parquet")
    assert list(found["id"]) == NAMES and found["x"].dtype == np.float64
    np.testing.assert_allclose(found["x"] + found["y"], 1, atol=1e-6)


@pytest.mark.parametrize("ids", [["30", "1", "4", "2"], ["30", "01", "4", "2"]])
def test_ids_in_parquet_are_numbers_only_where_all_are_written_as_such(kaggle: Path, ids: list[str]) -> None:
    for name, number in zip(NAMES, ids, strict=True):
        (file,) = (kaggle / "input/cells/test").glob(f"{name}.*")
        file.rename(file.with_stem(number))
    (kaggle / "input/cells/sample.csv").write_text("id,label\n" + "".join(f"{number},x\n" for number in ids))
    run(kaggle, config_of("submission.parquet", evaluation=""))
    found = pd.read_parquet(kaggle / "working/submission.parquet")
    assert found["id"].tolist() == (ids if "01" in ids else [30, 1, 4, 2])


@pytest.fixture
def served(kaggle: Path) -> Iterator[tuple[Path, subprocess.Popen[str], Connection[Any, Any]]]:
    """The hidden run: the notebook serves in a process of its own, and the gateway has connected to it."""
    add_gateway(kaggle, "path")
    model = kaggle / "input/kit-cells/bundle/model.py"
    loaded = '    def __init__(self):\n        Path(__file__).with_name("loaded").touch()\n\n    def predict_proba'
    model.write_text(model.read_text().replace("    def predict_proba", loaded))
    number = port()
    process = start(kaggle, config_of(), number, KAGGLE_IS_COMPETITION_RERUN="1")
    connection = None
    for _ in range(600):
        assert process.poll() is None, process.communicate()
        try:
            connection = Client(("127.0.0.1", number))
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    assert connection is not None
    yield kaggle, process, connection
    connection.close()
    process.kill()
    process.communicate()


def test_the_hidden_run_is_served_until_its_gateway_ends_it_and_the_networks_are_loaded_afterwards(
    served: tuple[Path, subprocess.Popen[str], Any],
) -> None:
    root, process, connection = served
    assert not (root / "input/kit-cells/bundle/loaded").exists()
    relay: dict[str, Any] = {}
    exec(RELAY, relay)
    expected = bright(root)
    for name, label in expected.items():
        (file,) = (root / "input/cells/test").glob(f"{name}.*")
        assert relay["send"](connection, "predict", str(file)) == label
    with pytest.raises(RuntimeError, match="no test image"):
        relay["send"](connection, "predict", "nobody")
    assert relay["send"](connection, "predict", "a") == expected["a"]
    connection.send(None)
    assert process.wait(60) == 0


@pytest.mark.parametrize("name", ["other", "core.templates"])
def test_an_evaluation_that_the_competition_does_not_have_is_named(kaggle: Path, name: str) -> None:
    add_gateway(kaggle)
    process = start(kaggle, config_of(evaluation=name), port())
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and err.splitlines()[-1].startswith("kit: notebook.evaluation")
