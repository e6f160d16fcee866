"""Every command of the command line, working and failing, quiet and loud: a token stays where it was put.

The commands are those of the application itself, so that a new one is in here from its first day.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from servers.base import Answer
from servers.codabench import Codabench
from servers.kaggle import Kaggle

from kit.cli import app

pytestmark = pytest.mark.matrix

CANARY = "canary0123456789abcdef0123456789abcdef01"
# With tracebacks of every error, and every library's own talk.
LOUD = """
import http.client, logging, sys
logging.basicConfig(level=logging.DEBUG)
from kit.cli import app, spread
app(spread(sys.argv[1:]), prog_name="kit")
"""
# Commands one after the other in a process, each as if it were alone; a traceback is printed as Python would.
EACH = """
import http.client, json, sys, traceback
{imports}
for line in json.loads(sys.argv[1]):
    sys.argv[1:] = line
    try:
        {call}
    except SystemExit:
        pass
    except Exception:
        traceback.print_exc()
    print("ended", line[0], flush=True)
"""
FAILING = {
    True: EACH.format(
        imports="import logging; logging.basicConfig(level=logging.DEBUG); from kit.cli import app, spread",
        call="app(spread(line), prog_name='kit')",
    ),
    False: EACH.format(imports="from kit.__main__ import main", call="main()"),
}
COMMANDS = [str(command.name or command.callback.__name__) for command in app.registered_commands if command.callback]
# In the order of a competition; a command that is not here runs without arguments, after these.
WORKING: dict[str, list[list[str]]] = {
    "init": [["elsewhere"]],
    "backbones": [[]],
    "doctor": [[], ["--json"]],
    "clean": [[]],
    "folds": [[]],
    "augment": [["plain"]],
    "train": [[]],
    "ensemble": [[]],
    "bundle": [[]],
    "predict": [["--bundle", "BUNDLE", "--input", "test.npz"]],
    "table": [[]],
    "submit": [["--dry-run"], ["--yes"], ["--yes"], ["--yes", "--again", "--json"]],
    "lb": [[], ["--json"], ["--csv"], ["--pictures"], ["--add-score", "0.5"]],
}
# What a command needs before it can fail at anything but its own arguments.
ASKED: dict[str, list[str]] = {
    "predict": ["--bundle", "none.zip", "--input", "none.npz"],
    "augment": ["none"],
    "init": [".", "--train", "none"],
}
CONFIG = """
[competition]
platform = "{platform}"
id = "{id}"
url = "{url}"
[data]
train = "{train}"
test = "test.npz"
image_size = 32
[folds]
n = 2
[runs.plain]
backbone = "plain-cnn"
augment = [{{ op = "dihedral" }}]
stages = [{{ train = "all", epochs = 1 }}]
views = ["identity"]
"""


@dataclass
class Place:
    """A project, a home with every file of credentials, and a folder for scratch files."""

    project: Path
    home: Path
    scratch: Path

    def run(self, *arguments: str, code: str, environment: bool = True) -> subprocess.CompletedProcess[bytes]:
        """Run Python code with arguments."""
        names = ("CODABENCH_TOKEN", "CODABENCH_PASSWORD", "KAGGLE_API_TOKEN", "KAGGLE_KEY")
        secrets = dict.fromkeys(names, CANARY) if environment else {}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=self.project,
            env={
                "PATH": os.environ["PATH"], "HOME": str(self.home), "TMPDIR": str(self.scratch), "COLUMNS": "80",
                "VERBOSE": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONFAULTHANDLER": "1", **secrets,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )  # fmt: skip

    def holders(self) -> set[str]:
        """Files that hold the canary, packed or not, by their place."""
        places = (self.project, self.home, self.scratch)
        files = [path for place in places for path in place.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.project.parent)) for path in files if holds(path.read_bytes())}


def holds(content: bytes) -> bool:
    """Whether bytes hold the canary: as they are, or in a member of the zip (or ``.npz``) that they are."""
    if CANARY.encode() in content:
        return True
    if not content.startswith(b"PK"):
        return False
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return any(CANARY in name or holds(archive.read(name)) for name in archive.namelist())


def test_the_search_looks_into_packed_files(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", text=np.frombuffer(CANARY.encode(), np.uint8))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.npz", "a.npz")
    content = (tmp_path / "b.zip").read_bytes()
    assert CANARY.encode() not in content and holds(content)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "project", tmp_path / "home", tmp_path / "scratch")
    made.project.mkdir()
    made.scratch.mkdir()
    return made


@pytest.fixture
def codabench() -> Iterator[Codabench]:
    with Codabench(later=True) as site:
        site.token = CANARY
        site.walk = ["Finished"]
        yield site


def fill(place: Place, url: str, platform: str = "codabench", number: str = "7", train: str = "train.npz") -> set[str]:
    """Write configuration, images and credentials; returns the files that may hold the canary."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (48, 32, 32, 3), dtype=np.uint8)
    np.savez(place.project / "train.npz", images=images, labels=np.arange(48) % 2)
    np.savez(place.project / "test.npz", images=images[::-1].copy()[:8] // 2)
    text = CONFIG.format(platform=platform, id=number, url=url, train=train)
    (place.project / "kit.toml").write_text(text)
    port = url.rpartition(":")[2]
    secrets = {
        f".config/kit/127.0.0.1-{port}.token": CANARY,
        ".kaggle/access_token": CANARY,
        ".kaggle/kaggle.json": json.dumps({"username": "student", "key": CANARY}),
        ".netrc": f"machine 127.0.0.1 login student password {CANARY}\n",
    }
    for name, content in secrets.items():
        path = place.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o600)
    return {f"home/{name}" for name in secrets}


def watch(place: Place, allowed: set[str], done: subprocess.CompletedProcess[bytes], what: str) -> None:
    assert not holds(done.stdout + done.stderr), what
    assert place.holders() == allowed, what


@pytest.mark.parametrize(
    ("platform", "environment", "loud"),
    [
        pytest.param(*case, marks=[pytest.mark.slow] * (case != ("codabench", True, True)))
        for case in product(("codabench", "kaggle"), (True, False), (True, False))
    ],
)
def test_a_command_that_fails_shows_no_token(place: Place, platform: str, environment: bool, loud: bool) -> None:
    site = Kaggle() if platform == "kaggle" else Codabench(later=True)
    with site:
        site.token = CANARY
        # The worst of sites: its error page repeats the token.
        site.fault_body = lambda status: Answer(status, {"detail": f"no {CANARY}", "message": f"no {CANARY}"})
        site.faults = dict.fromkeys(("competition", "login"), ("403", -1))
        allowed = fill(place, site.url, platform, "cells" if platform == "kaggle" else "7", train="none.npz")
        lines = [[name, *ASKED.get(name, [])] for name in COMMANDS]
        done = place.run(json.dumps(lines), code=FAILING[loud], environment=environment)
        assert [line for line in done.stdout.decode().splitlines() if line.startswith("ended ")] == [
            f"ended {name}" for name in COMMANDS
        ]
        watch(place, allowed, done, done.stdout.decode())


@pytest.mark.slow
@pytest.mark.tf
@pytest.mark.timeout(3600)
def test_every_command_that_works_shows_no_token_and_writes_none(place: Place, codabench: Codabench) -> None:
    allowed = fill(place, codabench.url)
    for name in sorted(COMMANDS, key=[*WORKING, *COMMANDS].index):
        for arguments in WORKING.get(name, [[]]):
            bundle = next((place.project / "submissions").glob("*/bundle.zip"), None)
            given = [str(bundle) if argument == "BUNDLE" else argument for argument in arguments]
            done = place.run(name, *given, code=LOUD)
            assert done.returncode == 0 or name not in WORKING, done.stderr.decode()[-2000:]
            watch(place, allowed, done, f"{name} {' '.join(given)}")
    assert codabench.created() == 2
