"""Every hint that stands in the source of the kit, and a project in which hints are pasted into the real commands."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import typer
from in_process import InProcess, drawn
from servers.codabench import Codabench
from servers.kaggle import Kaggle
from train.stub import mean_colours

from kit.base.events import Event
from kit.cli import app, spread
from kit.config import Config, load
from kit.errors import KitError
from kit.platforms import Waits
from kit.platforms.sandbox import BundleRun
from kit.runtime import forward, pool
from kit.store.files import mendable
from kit.store.layout import Layout, SubmissionPaths

KIT = Path(__file__).parent.parent / "kit"
# "the kit reads" is prose, and so is "this kit"; what follows a comment sign or a closing quote is not pasted.
COMMAND = re.compile(r"(?<!the )(?<!this )\bkit [a-z][^`#]*")
SHELL = re.compile(r"(?:^|: )(mv|iconv|rm|cat|sed|ls|df|ulimit|pip|git|export|ray|cd|make folds) .+")
UsageError: Any = typer.BadParameter.__base__  # of the click that comes with typer, or of the other one
RUNS = ("net", "other")
# What may stand in a hint where the source has an expression, by the end of that expression; `net` everywhere else.
PLAUSIBLE = {"fold": "0", "limit": "", "score": "0.5", "example": "0.5", "newest": "20260101", "others[0]": "other"}


@dataclass(frozen=True)
class Place:
    """A string of the source that names a command: the file, its lines, the function or constant, the text.

    Expressions of an f-string are in braces, as in the source.
    """

    file: Path
    first: int
    last: int
    scope: str
    text: str
    is_run: bool  # its line is executed when it is shown, and not when its module is imported
    number: int = 1  # of this text in this scope

    @property
    def name(self) -> str:
        return f"{self.scope}: {self.text}" + (f" ({self.number})" if self.number > 1 else "")

    @property
    def pattern(self) -> re.Pattern[str]:
        """What it looks like when it is shown."""
        parts = re.split(r"\{[^{}]*\}", self.text)
        text = ".*?".join(re.escape(" ".join(f"<{part}>".split())[1:-1]) for part in parts)
        return re.compile(text + r"\s*(?:$|[`#])")

    def commands(self) -> list[str]:
        """Its commands of the kit, with plausible values."""

        def value(found: re.Match[str]) -> str:
            name = re.sub(r"\)*$", "", found[1]).rpartition(".")[2]
            return PLAUSIBLE.get(name, "net")

        return COMMAND.findall(re.sub(r"\{([^{}]*)\}", value, self.text))


@cache
def places() -> tuple[Place, ...]:
    """Every place in the order of the files; what is in `kit/cli` are help texts, which belong to no failure.

    It takes a second, so nothing may ask for it while tests are collected.
    """
    files = [path for path in sorted(KIT.rglob("*.py")) if "cli" not in path.relative_to(KIT).parts]
    seen = Counter[str]()
    found = []
    for place in (place for path in files for place in _places(path)):
        seen[place.name] += 1
        found.append(replace(place, number=seen[place.name]))
    return tuple(found)


def _places(path: Path) -> Iterator[Place]:
    def visit(node: ast.AST, scope: tuple[str, ...], is_run: bool) -> Iterator[Place]:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            scope, is_run = (*scope, node.name), is_run or isinstance(node, ast.FunctionDef)
        if not is_run and isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            scope = (*scope, ast.unparse(target))
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else _braced(part) for part in node.values]
            text = "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            for child in ast.iter_child_nodes(node):
                yield from visit(child, scope, is_run)
            return
        if COMMAND.search(text) or SHELL.search(text):
            lines = node.lineno, node.end_lineno or node.lineno
            yield Place(path, *lines, ".".join(scope), text, is_run)

    return visit(ast.parse(path.read_text(encoding="utf-8")), (), False)


def _braced(part: ast.expr) -> str:
    assert isinstance(part, ast.FormattedValue)
    return "{" + re.sub(r"[{}]", "", ast.unparse(part.value)) + "}"


def parse(line: str) -> None:
    """Parse a command as the application would, without running it; raises `UsageError`."""
    program, *words = shlex.split(line, comments=True)
    assert program == "kit"
    name, *rest = spread(words)
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    if name not in commands:
        raise UsageError(f"no command {name!r}")
    with commands[name].make_context(name, rest) as parsed:
        named = [parsed.params.get(key) or [] for key in ("runs", "run")]
        for run in [run for value in named for run in ([value] if isinstance(value, str) else value)]:
            if run not in RUNS:
                raise UsageError(f"{run!r} is not a run")


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def sleep(self, seconds: float) -> None:
        self.ahead += seconds

    def time(self) -> float:
        return time.time() + self.ahead


def impatient(clock: Clock) -> dict[str, Any]:
    """Defaults of `Waits`, by name, with which nobody waits."""
    return {
        "first": 1,
        "longest": 8,
        "connect": 2,
        "read": 2,
        "tries": 3,
        "end": 300,
        "sleep": clock.sleep,
        "clock": clock.time,
    }


def drawn_bundle(
    bundle: Path, images: Any, *, inputs: bool = False, proba: bool = True, python: Path | None = None
) -> BundleRun:
    """What a zip of the networks of `drawn` says, as `kit.platforms.sandbox.run_bundle` would tell it."""
    with zipfile.ZipFile(bundle) as archive:
        about = json.loads(archive.read("bundle.json"))
        pooled = mean_colours(np.asarray(images, np.float32))
        logits = []
        for member in about["members"]:
            kernels = [np.load(io.BytesIO(archive.read(name)))["kernel"] for name in member["weights"]]
            folds = [np.stack([pooled @ kernel] * len(about["views"])) for kernel in kernels]
            logits.append(forward.mean_of_folds(np.stack(folds).astype(np.float32)))
    found = pool.apply(about["blend"], pool.from_logits(np.stack(logits)))
    return BundleRun(found.argmax(axis=1), found, 0.1, 0.1, 100.0, {}, "namespace", True, True)


def set_waits(patch: Any, waits: dict[str, Any]) -> None:
    """Other defaults of `Waits`."""
    before = {name: one.default for name, one in Waits.__dataclass_fields__.items()}
    patch.setattr(Waits.__init__, "__defaults__", tuple({**before, **waits}.values()))


@dataclass
class Shown:
    """What a command told: the lines of its talk, and its error where it failed."""

    talk: list[str] = field(default_factory=list)
    error: KitError | None = None

    @property
    def lines(self) -> list[str]:
        told = self.talk if self.error is None else [*self.talk, self.error.message, self.error.hint]
        return [" ".join(line.split()) for line in told]


Wanted = str | Callable[["World"], object]


class World:
    """A project whose networks are drawn, its commands, and the platforms that it submits to."""

    def __init__(self, root: Path, clock: Clock, patch: Any) -> None:
        self.root, self.clock, self.patch = root, clock, patch
        self.stack = ExitStack()
        self.site: Any = None
        self.other: Any = None
        self.talk: list[str] = []

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    @property
    def config(self) -> Config:
        return load(self.layout.config)

    @property
    def newest(self) -> SubmissionPaths:
        return self.layout.submission(max(path.parent.name for path in self.root.glob("submissions/*/ensemble.json")))

    def emit(self, event: Event) -> None:
        self.talk.append(event.text)

    def path(self, pattern: str) -> Path:
        return min(self.root.glob(pattern))

    def edit(self, old: str, new: str, name: str = "kit.toml") -> None:
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        (self.root / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    def codabench(self, **keys: Any) -> Codabench:
        """Send to a Codabench on loopback from now on."""
        site = self.stack.enter_context(Codabench(later=True))
        self.patch.setenv("CODABENCH_TOKEN", site.token)
        return self.compete(site, platform="codabench", id="7", url=site.url, **keys)

    def kaggle(self, code: bool = False) -> Kaggle:
        """Send to a Kaggle on loopback from now on."""
        site = self.stack.enter_context(Kaggle(code=code))
        self.patch.setenv("KAGGLE_API_TOKEN", site.token)
        return self.compete(site, platform="kaggle", id="cells", url=site.url, code=code)

    def compete(self, site: Any, **keys: Any) -> Any:
        """The competition is the one of this site from now on."""
        self.site = site
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        self.edit("[data]", "\n".join(["[competition]", *lines, "[data]"]))
        return site

    def say(self, line: str) -> None:
        """Run a command of the kit here; raises `KitError` where a user would read an error."""
        program, *words = shlex.split(line, comments=True)
        assert program == "kit", line
        out, talk = io.StringIO(), io.StringIO()
        try:
            with chdir(self.root), redirect_stdout(out), redirect_stderr(talk):
                app(spread(words), prog_name="kit", standalone_mode=False)
        except UsageError as error:
            raise AssertionError(f"{line}: {error.format_message()}") from error
        except Exception as error:
            known = mendable(error)
            if known is None:
                raise
            raise known from error
        finally:
            self.talk += talk.getvalue().splitlines()

    def paste(self, line: str) -> None:
        """Do what a hint says: a command of the kit, or one of the shell."""
        shell, found = SHELL.search(line), COMMAND.search(line)
        if shell:
            subprocess.run(["bash", "-c", line[shell.start(1) :]], cwd=self.root, check=True, capture_output=True)
        else:
            assert found, line
            self.say(found[0])

    def limit_waits(self, **changes: float) -> None:
        set_waits(self.patch, {**impatient(self.clock), **changes})

    def shown(self, wanted: Wanted) -> Shown:
        """What the command, or the call, tells."""
        self.talk = []
        try:
            if isinstance(wanted, str):
                self.say(wanted)
            else:
                wanted(self)
        except KitError as error:
            return Shown(self.talk, error)
        return Shown(self.talk)


@contextmanager
def executed(files: set[Path]) -> Iterator[set[tuple[Path, int]]]:
    """The lines of some files that are run in the block, by whatever thread."""
    lines: set[tuple[Path, int]] = set()
    known = {str(file): file for file in files}

    def trace(frame: Any, event: str, _: Any) -> Any:
        file = known.get(frame.f_code.co_filename)
        if file is None:
            return None
        lines.add((file, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    threading.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)
        threading.settrace(before)  # type: ignore[arg-type]


@contextmanager
def without_tensorflow(patch: Any, clock: Clock) -> Iterator[None]:
    """Units of training are drawn in this process, and so is what a zip answers; nobody waits for a platform."""

    @contextmanager
    def opened(layout: Layout, config: Config, given: Any = None) -> Iterator[Any]:
        yield given or InProcess(drawn)

    for name in ("kit.runs.engine.opened", "kit.stages.stress.stress.opened"):
        patch.setattr(name, opened)
    for name in ("kit.stages.bundle.proof.run_bundle", "kit.platforms.local.run_bundle"):
        patch.setattr(name, drawn_bundle)
    set_waits(patch, impatient(clock))
    patch.setenv("COLUMNS", "4000")
    for name in [name for name in os.environ if name.startswith(("CODABENCH_", "KAGGLE_", "XDG_CONFIG"))]:
        patch.delenv(name)
    yield
