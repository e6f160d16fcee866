"""A token is in the environment, or in the one file for it, and nowhere else, whatever a command does."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from servers.base import Answer
from servers.codabench import Codabench
from servers.kaggle import Kaggle
from servers.project import make_candidate, make_project

pytestmark = pytest.mark.matrix

CANARY = "canary0123456789abcdef0123456789abcdef01"
SCRIPT = """
import sys
import traceback
from pathlib import Path
from kit.config import load
from kit.errors import KitError
from kit.store.layout import Layout
from kit.store.ledger import latest
from kit.stages.lb import leaderboard
from kit.platforms import Waits
from kit.stages.submit import Choice, submit

def say(event):
    print(event)

waits = Waits(first=0, longest=0, connect=1, read=1, tries=2, sleep=lambda seconds: None)
for folder, command in ((folder, command) for folder in sys.argv[1:] for command in ("dry", "go", "loud", "lb")):
    layout = Layout(Path(folder))
    try:
        if command == "lb":
            print(leaderboard(layout, load(layout.config), say, waits=waits))
        else:
            submit(layout, load(layout.config), latest(layout), say, Choice(dry_run=command == "dry"), waits)
    except KitError as error:
        if command == "loud":
            traceback.print_exc()
        print(error.message, error.hint)
    except Exception:
        traceback.print_exc()
    print("ended", command)
"""


def run(folders: list[Path], home: Path, **environment: str) -> bytes:
    """What a dry run, a submission, one that shows its traceback and the leaderboard of each project say."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, folders)],
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "VERBOSE": "1", **environment},
        capture_output=True,
        check=False,
    )
    assert done.stdout.count(b"ended lb\n") == len(folders), done.stderr
    return done.stdout + done.stderr


def holders(*folders: Path) -> list[str]:
    """Files that hold the canary."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if CANARY.encode() in path.read_bytes()]


@pytest.mark.parametrize("where", ["environment", "file"])
def test_codabench_tokens_stay_where_they_are(tmp_path: Path, home: Path, where: str) -> None:
    with ExitStack() as stack:
        sites, folders = [], []
        for phase in ("", "competition", "slot", "create", "status"):
            site = stack.enter_context(Codabench(later=True))
            site.token = CANARY
            layout, _ = make_project(tmp_path / f"project-{phase}", platform="codabench", url=site.url, id="7")
            make_candidate(layout)
            if phase:
                # The worst of sites: its error page repeats the token.
                site.fault_body = lambda status: Answer(status, {"detail": f"no {CANARY}"})
                site.faults[phase] = ("403", -1)
            sites.append(site)
            folders.append(layout.root)
        environment = {"CODABENCH_TOKEN": CANARY}
        if where == "file":
            environment = {"CODABENCH_USERNAME": site.username, "CODABENCH_PASSWORD": site.password}
        said = run(folders, home, **environment)
        assert CANARY.encode() not in said
        assert site.password.encode() not in said
        files = {f"127.0.0.1-{site.url.rpartition(':')[2]}.token" for site in sites}
        assert set(holders(*folders, home)) == (set() if where == "environment" else files)
        assert all(site.password.encode() not in path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_kaggle_tokens_stay_where_they_are(tmp_path: Path, home: Path) -> None:
    with ExitStack() as stack:
        folders = []
        for phase in ("", "login", "competition", "slot", "create", "status"):
            site = stack.enter_context(Kaggle())
            site.token = CANARY
            layout, _ = make_project(tmp_path / f"project-{phase}", platform="kaggle", url=site.url, id="cells")
            make_candidate(layout).table.write_text("id,label\na,0\n")
            if phase:
                site.fault_body = lambda status: Answer(status, {"code": status, "message": f"no {CANARY}"})
                site.faults[phase] = ("403", -1)
            folders.append(layout.root)
        said = run(folders, home, KAGGLE_API_TOKEN=CANARY)
        assert CANARY.encode() not in said
        assert holders(*folders, home) == []
