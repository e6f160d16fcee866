"""What the system, the terminal and other people do to a command: links, devices, limits, signals, hostile text."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import run, save

from kit.base.events import Event
from kit.base.process import ENDING, take, terminable
from kit.base.text import LONGEST, guarded, plain, redacted, unguarded
from kit.config import load, parse
from kit.errors import ConfigError, KitError, PlatformError
from kit.runs.units.process import failure
from kit.show.console import Console, Notebook, print_error, print_lines
from kit.stages.export.mlflow import send
from kit.stages.init import render
from kit.store.files import read_csv, refusal, write_atomic, write_csv
from kit.store.ledger import Target

pytestmark = pytest.mark.stage

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31mred\r\u202eder"
SECRET = "S3CR3T"
PROJECT = '[data]\ntrain = "train.npz"\n[folds]\nn = 2\n[runs.a]\nbackbone = "plain-cnn"\n'
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def kit(folder: Path, command: str, shell: str = "") -> subprocess.CompletedProcess[str]:
    """A command in a process of its own; ``shell`` is done before in the same shell."""
    script = f'{shell} exec "$0" -m kit {command}'
    return subprocess.run(
        ["bash", "-c", script, sys.executable], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    save(folder, "train.npz")
    (folder / "kit.toml").write_text(PROJECT)
    return folder


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts something on a folder until the test ends."""
    folders: list[Path] = []

    def mount(*options: str) -> Path:
        folder = tmp_path / f"mount-{len(folders)}"
        folder.mkdir()
        done = subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False)
        if done.returncode != 0:
            pytest.skip("nothing can be mounted here")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", "-l", str(folder)], check=True)


# Files


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_file_has_the_mode_that_umask_leaves(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        path = write_atomic(tmp_path / "a.txt", "new")
        assert stat.S_IMODE(write_atomic(path, "newer").stat().st_mode) == 0o666 & ~mask
    finally:
        os.umask(before)


@pytest.mark.parametrize("existing", [True, False])
def test_a_link_is_followed_and_stays(existing: bool, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "a.txt"
    if existing:
        target.write_text("old")
    link = tmp_path / "link"
    link.symlink_to("there/a.txt")
    write_atomic(link, "new")
    assert link.is_symlink() and target.read_text() == "new"
    assert sorted(entry.name for entry in target.parent.iterdir()) == ["a.txt"]


def test_a_pipe_gets_the_content_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    # An archive is sought in while it is written, which a pipe does not allow.
    write_atomic(pipe, lambda file: np.savez(file, a=np.arange(3)))
    reader.join(10)
    assert got[0].startswith(b"PK") and pipe.is_fifo()


@ROOT
def test_a_device_stays_a_device_and_a_full_one_is_an_error(tmp_path: Path) -> None:
    for name, minor in (("null", 3), ("full", 7)):
        try:
            os.mknod(tmp_path / name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
            (tmp_path / name).open("wb").close()
        except PermissionError:
            pytest.skip("no devices can be made here")
    write_atomic(tmp_path / "null", "content")
    with pytest.raises(KitError, match="No space left"):
        write_atomic(tmp_path / "full", "content")
    assert all((tmp_path / name).is_char_device() for name in ("null", "full"))


def test_what_cannot_be_written_is_one_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path, tmp_path / "file" / "a.txt", tmp_path / ("n" * 300), tmp_path / "loop" / "a.txt"):
        with pytest.raises(KitError, match="cannot write") as caught:
            write_atomic(path, "new")
        assert "\n" not in caught.value.message
    long = write_atomic(tmp_path / ("n" * 250), "new")
    assert long.read_text() == "new"


def test_a_path_that_leads_nowhere_is_told_with_what_stands_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "a.txt")
    for path, said, hint in (
        (tmp_path / "link", f"it is a link to {tmp_path}/gone/a.txt, which does not exist", f"ls -l {tmp_path}"),
        (tmp_path / "file" / "a.txt", f"{tmp_path}/file is not a folder", f"ls -l {tmp_path}/file"),
    ):
        with pytest.raises(KitError) as caught:
            write_atomic(path, "new")
        assert (caught.value.message, caught.value.hint) == (f"cannot write {path}: {said}", hint)


def test_the_hint_to_a_refusal_names_the_first_folder_that_cannot_be_entered(tmp_path: Path) -> None:
    path = tmp_path / "closed" / "deeper" / "a.txt"  # of one that is not there the system says the same
    told = refusal(PermissionError(errno.EACCES, "Permission denied"), "cannot read it", path)
    assert told.hint == f"ls -ld {tmp_path}/closed"


def test_a_full_disk_says_how_much_is_needed_and_how_much_there_is(tmp_path: Path) -> None:
    def full(file: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(KitError, match=r"12\.5 MB are needed, [\d.]+ MB are free") as caught:
        write_atomic(tmp_path / "a.npy", full, need=12_500_000)
    assert caught.value.hint == f"free some space: df -h {tmp_path}"


BOOKKEEPING = {".lock", ".folds.lock", ".digests.json"}


@pytest.mark.matrix
@ROOT
def test_cleaning_without_room_says_what_it_needs_leaves_nothing_and_then_goes_on(
    mounted: Callable[..., Path],
) -> None:
    folder = mounted("-t", "tmpfs", "-o", "size=8m", "tmpfs")
    (folder / "kit.toml").write_text(PROJECT)
    save(folder, "train.npz", (600, 32, 32, 3))
    (folder / "data").mkdir()
    for left in (".decoded.killed.tmp", ".images.npy.1a2b3c4d.tmp"):
        (folder / "data" / left).write_text("left by a process that was killed")
    ballast = folder / "ballast"
    ballast.write_bytes(b"\0" * (shutil.disk_usage(folder).free - 1_000_000))
    done = kit(folder, "clean")
    assert done.returncode == 1
    assert "cannot decode 600 images" in done.stderr and "1.8 MB are needed, 1.0 MB are free" in done.stderr
    assert {path.name for path in (folder / "data").iterdir()} <= BOOKKEEPING
    ballast.unlink()
    assert kit(folder, "clean").returncode == 0
    assert {path.name for path in (folder / "data").glob(".*")} <= BOOKKEEPING


@pytest.mark.matrix
@ROOT
def test_a_project_that_cannot_be_written_is_read_or_refused_on_one_line(
    project: Path, mounted: Callable[..., Path]
) -> None:
    assert run(project, "folds").returncode == 0
    folder = mounted("--bind", str(project))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
    assert run(folder, "folds").stderr.splitlines() == ["clean: fresh", "folds: fresh"]
    for command in (["clean", "--force"], ["folds", "--force"], ["train"], ["lb"], ["report"], ["init", "new"]):
        done = run(folder, *command)
        assert done.returncode == 0 or "Read-only file system" in done.stderr, command


# Limits, signals, streams


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("limit", "hint"),
    [("ulimit -v 300000;", "ulimit -v unlimited"), ("ulimit -f 8; rm -rf data;", "ulimit -f unlimited")],
)
def test_a_limit_of_the_shell_is_an_error_on_one_line(limit: str, hint: str, project: Path) -> None:
    done = kit(project, "clean", limit)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if not line.startswith("clean: ")][-1] == f"hint: {hint}"
    assert "Traceback" not in done.stderr
    assert kit(project, "clean").returncode == 0


@pytest.mark.matrix
@pytest.mark.parametrize("streams", ["| true", "2>&1 | true", ">&-", ">&- 2>&-", "<&-"])
def test_a_stream_that_ends_stops_nothing(streams: str, project: Path) -> None:
    done = kit(project, f"clean {streams}; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert (project / "data" / "manifest.json").exists()


@pytest.mark.matrix
def test_a_full_disk_behind_standard_output_is_an_error(project: Path) -> None:
    done = kit(project, "recipes > /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the command cannot continue: No space left on device")


@pytest.mark.parametrize("number", ENDING[1:])
def test_a_signal_removes_what_was_half_written_and_gives_its_code(number: signal.Signals, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from kit.store.files import write_atomic\n"
        "from kit.base.process import terminable\n"
        "signal.signal(int(sys.argv[1]), signal.SIG_DFL)\n"  # under nohup the tests ignore SIGHUP, and so would it
        "with terminable():\n"
        "    write_atomic(Path('a.txt'), lambda file: os.kill(os.getpid(), int(sys.argv[1])))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(int(number))], cwd=tmp_path, check=False)
    assert done.returncode == 128 + number
    assert not list(tmp_path.iterdir())


def test_a_signal_that_the_caller_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        take([signal.SIGHUP], lambda number, frame: None)
        with terminable():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", ENDING)
def test_a_unit_that_was_asked_to_end_is_told_as_such(number: signal.Signals, tmp_path: Path) -> None:
    error = failure("a fold 0", "a", 128 + number, {}, tmp_path / "stderr.txt")
    assert error.message == "a fold 0 was stopped and has saved its state"


# Text of others


@given(text)
def test_shown_text_moves_no_cursor(value: str) -> None:
    shown = plain(value + HOSTILE)
    assert all(letter.isprintable() or letter in "\t\n" or letter == "\xad" or not letter.isascii() for letter in shown)
    assert not set("\x1b\x07\x9b\r\u202e") & set(shown)
    assert plain(shown) == shown


def test_no_event_brings_control_characters_to_the_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = [(HOSTILE, 0.5), (tmp_path / HOSTILE, 1)]
    events = [
        *(Event(kind, f"{HOSTILE} https://me:{SECRET}@host") for kind in ("say", "warn", "progress")),
        Event("fresh", "", {"stage": "clean"}),
        Event("number", HOSTILE, {"value": 0.5}),
        Event("table", HOSTILE, {"header": (HOSTILE, "b"), "rows": rows}),
    ]
    with Console() as console:
        for event in [*events, Event("wrote", "", {"paths": [tmp_path / HOSTILE]})]:
            console.emit(event)
    pages: list[str] = []
    notebook = Notebook(lambda shown: pages.append(shown["text/html"]))
    for event in events:
        notebook.emit(event)
    print_error(f"{HOSTILE}\nhint: rm -rf", f"https://me:{SECRET}@host")
    print_lines([HOSTILE])
    out, talk = capsys.readouterr()
    for shown in (out, talk, *pages):
        assert not set("\x1b\x07\x9b\r\u202e") & set(shown)
        assert "red" in shown and SECRET not in shown
    assert "error: " in talk and "\nhint: rm" not in talk


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12), st.sampled_from(["https", "ray"]))
def test_no_password_of_an_address_is_shown(rest: str, scheme: str) -> None:
    error = KitError(f"{scheme}://me:{SECRET}{rest}@host:80/a failed", f"url = '{scheme}://me:{SECRET}{rest}@host'")
    assert SECRET not in f"{error} {error.message} {error.hint}"
    assert redacted(f"{scheme}://me:{SECRET}@host:80/a?x=1&token={SECRET}") == f"{scheme}://host:80/a?x=1&token=***"


@given(st.sampled_from(["https://host:80/a@b", "see host/a:b@c", "a:b@c", "https://host/?page=2", "me@host"]))
def test_an_address_without_a_password_stays_as_it_is(address: str) -> None:
    assert redacted(address) == address


@given(st.integers(0, 30_000), st.text("ab \x27\n", max_size=50), st.text("ab \x27", max_size=50))
def test_an_error_has_a_bound_and_keeps_what_stands_before_and_after_a_long_value(n: int, head: str, tail: str) -> None:
    text = f"{head}{'x' * n}{tail}"
    error = KitError(text, text)
    assert error.message == str(error) and len(error.message) <= LONGEST
    assert error.hint == (text if len(text) <= LONGEST else "")  # with a gap it could not be pasted
    assert (error.message == text) == (len(text) <= LONGEST)
    assert error.message.startswith(head) and error.message.endswith(tail)
    assert KitError(error.message).message == error.message


def test_a_target_is_stored_without_its_password() -> None:
    target = Target("codabench", f"https://me:{SECRET}@host", "1", "")
    assert target == Target("codabench", "https://host", "1", "")
    assert SECRET not in repr(vars(target))


def test_a_tracker_that_refuses_does_not_tell_the_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class MlflowException(Exception):
        pass

    class Client:
        def __init__(self, tracking_uri: str) -> None:
            raise MlflowException(f"request to {tracking_uri}/api failed")

    package = SimpleNamespace(exceptions=SimpleNamespace(MlflowException=MlflowException), MlflowClient=Client)
    monkeypatch.setitem(sys.modules, "mlflow", package)  # type: ignore[arg-type]
    with pytest.raises(PlatformError, match="MLflow at https://host: request to https://host/api failed"):
        send([], "e", f"https://me:{SECRET}@host", tmp_path)


@given(text)
def test_a_guarded_cell_is_no_formula_and_comes_back(cell: str) -> None:
    shown = str(guarded(cell))
    assert unguarded(shown) == cell
    assert not shown.startswith(("=", "@", "\t", "\r"))
    if shown.startswith(("+", "-")):
        float(shown)


def test_tables_for_people_are_guarded_and_those_for_programs_are_exact(tmp_path: Path) -> None:
    cells = ["=1+1", "@a", "-x", "-0.5", "'=x", "a"]
    for people in (True, False):
        path = write_csv(tmp_path / "t.csv", ["id"], [[cell] for cell in cells], for_people=people)
        assert [row["id"] for row in read_csv(path, for_people=people)] == cells
        assert ("\n=1+1\n" in path.read_text()) is not people


# Names and files of the configuration


@given(text.filter(lambda name: "\0" not in name and not name.startswith("~")))
def test_any_path_can_be_the_training_set_of_a_new_project(name: str) -> None:
    if name not in ("practice", "digits"):
        assert parse(render("kit.toml.tmpl", name)).data.train == name


@pytest.mark.parametrize(
    "lines",
    [
        '[folds]\nname = "../a"',
        '[folds]\nname = "-a"',
        f'[folds]\nname = "{"n" * 300}"',
        '[folds]\nname = "a\\u0000b"',
        '[competition]\nname = "a\\u0000b"',
        f'[competition]\nurl = "me:{SECRET}@host"',
        f'[competition]\nurl = "https://me:{SECRET}@host:port"',
        '[runs."-x"]\nbackbone = "plain-cnn"',
        f'[runs.{"r" * 300}]\nbackbone = "plain-cnn"',
        '[runs.a]\nbackbone = "plain-cnn"\nextends = []',
        '[runs.a]\nextends = "b"\n[runs]\nb = 3',
        '[runs.a]\nbackbone = "plain-cnn"\nweights = "~nobody-at-all/w.h5"',
        '[runs.a]\nbackbone = "plain-cnn"\nstages = [{ train = "all", epochs = 1, lr = inf }]',
        f"[runs.a]\nbackbone = {'[' * 3000}{']' * 3000}",
        f"[folds]\nn = {'9' * 5000}",
        "[folds",
    ],
)
def test_what_cannot_be_is_refused_on_one_short_line_without_secrets(lines: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f'{lines}\n[data]\ntrain = "digits"\n')
    said = caught.value.message
    assert said.startswith("kit.toml") and "\n" not in said and len(said) < 400 and SECRET not in said


def test_a_configuration_is_read_with_a_byte_order_mark_and_refused_without_one(tmp_path: Path) -> None:
    path = tmp_path / "kit.toml"
    content = '[competition]\nname = "Fu\u00df"\n[data]\ntrain = "digits"\n'
    path.write_text(content, encoding="utf-8-sig")
    assert load(path).competition.name == "Fu\u00df"
    for encoding in ("utf-16", "utf-32"):
        path.write_text(content.replace("\n", "\r\n"), encoding=encoding)
        assert load(path).competition.name == "Fu\u00df"
    path.write_text(content, encoding="windows-1252")
    with pytest.raises(ConfigError, match="is not UTF-8") as caught:
        load(path)
    subprocess.run(caught.value.hint, shell=True, cwd=tmp_path, check=True)
    assert load(path).competition.name == "Fu\u00df"
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)


def test_the_configuration_is_asked_before_an_argument_with_a_dash_is_refused(project: Path) -> None:
    assert run(project, "train", "--forse").returncode == 2
    (project / "kit.toml").write_text(f'{PROJECT}[runs."-x"]\nbackbone = "plain-cnn"\n')
    done = run(project, "train", "-x")
    assert done.returncode == 1 and "a name has at most" in done.stderr


def test_a_folder_that_was_deleted_is_an_error_on_one_line(tmp_path: Path) -> None:
    done = kit(tmp_path, "clean", "mkdir gone; cd gone; rmdir ../gone;")
    assert done.stderr.splitlines() == ["error: the current folder was deleted", "", "hint: cd ~"]


@pytest.mark.slow
def test_make_setup_goes_on_after_a_folder_without_python(tmp_path: Path) -> None:
    checkout = Path(__file__).parent.parent
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(checkout / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    environment = {"PATH": "/usr/bin:/bin", "PIP_NO_INDEX": "1"}
    command = ["make", "setup", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "No such file" not in done.stderr
    assert (tmp_path / ".venv" / "bin" / "python").exists()
