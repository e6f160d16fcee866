"""``kit doctor``: what is here, what is missing, and what mends it; nothing is sent and no secret is shown."""

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from kit.base.events import Emit, Event, silent
from kit.config import Config, load
from kit.errors import KitError, PlatformError
from kit.images.sources import BUILT_IN, training_classes
from kit.images.sources.folder import image_files
from kit.platforms.credentials import codabench_token, require_kaggle
from kit.store.layout import Layout, find_project

SETS = ("train", "validation", "test", "unlabelled", "external")
PARTS = (*SETS, "truth", "sample_submission", "classes", "images", "test_images")
SIDE = 224  # of images whose size is not known before they are read
RUN_BYTES = 150e6  # weights, checkpoints and predictions of one fold of a middle-sized backbone


@dataclass(frozen=True)
class Check:
    """One line of the report; ``hint`` says what mends a `missing` or a `wrong`."""

    what: str
    state: Literal["ok", "missing", "wrong"]
    detail: str
    hint: str = ""


def doctor(folder: Path, emit: Emit, *, config: Path | None = None) -> list[Check]:
    """Look at the machine, the packages, the project, its data, the disk and the credentials.

    Of the returned checks a `wrong` one will stop a command, a `missing` one is what some command may want.
    """
    checks = [*_machine(), *_packages()]
    try:
        layout = find_project(folder, config)
        settings = load(layout.config)
    except KitError as error:
        checks.append(Check("project", "wrong", error.message, error.hint))
    else:
        checks.append(Check("project", "ok", f"{layout.config}, runs {', '.join(settings.runs)}"))
        checks += [*_data(layout, settings), *_weights(layout, settings)]
        checks += [_disk(layout, settings), *_credentials(settings)]
    rows = [(check.what, check.state, check.detail) for check in checks]
    emit(Event("table", "doctor", {"header": ("", "state", "found"), "rows": rows}))
    for check in checks:
        if check.state == "wrong" and check.hint:
            emit(Event("warn", f"{check.what}: {check.hint}"))
    return checks


def _machine() -> Iterator[Check]:
    supported = sys.platform in ("linux", "darwin")
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    hint = "" if supported else "use WSL: the kit locks files and sends signals as Unix does"
    yield Check("python", "ok" if supported and sys.version_info >= (3, 11) else "wrong", detail, hint)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Check("processor", "ok", f"{os.cpu_count()} cores, {memory / 1e9:.0f} GB memory")
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    told = shutil.which(query[0]) and subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
    gpus = told.stdout.strip().splitlines() if told and told.returncode == 0 else []
    yield Check("GPU", "ok" if gpus else "missing", ", ".join(gpus) or "none; training runs on the processor")
    # Where a hosted notebook keeps its files.
    if Path("/kaggle/working").is_dir():
        yield Check("notebook", "ok", "Kaggle: inputs in /kaggle/input are read-only, work in /kaggle/working")
    elif "COLAB_RELEASE_TAG" in os.environ:
        yield Check("notebook", "ok", "Colab: /content is lost with the session, keep the project on /content/drive")


def _packages() -> Iterator[Check]:
    """Every dependency that the kit declares, in the range that it declares."""
    from packaging.requirements import Requirement

    try:
        declared = [Requirement(line) for line in requires("kit") or ()]
    except PackageNotFoundError:
        yield Check("kit", "missing", "not installed, run from its source", "pip install -e .")
        return
    for need in declared:
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(need.name)
            fits = need.specifier.contains(found, prereleases=True)
        except PackageNotFoundError:
            found, fits = "not installed", False
        yield Check(need.name, "ok" if fits else "wrong", found, "" if fits else f"pip install '{need}'")


def _data(layout: Layout, config: Config) -> Iterator[Check]:
    for part in PARTS:
        spec = str(getattr(config.data, part))
        if spec in BUILT_IN:
            yield Check(f"data.{part}", "ok", f"{spec}, built in")
        elif spec:
            path = layout.named(spec)
            if path.is_dir():
                yield Check(f"data.{part}", "ok", f"{path}: {sum(1 for _ in image_files(path))} image files")
            elif path.exists():
                yield Check(f"data.{part}", "ok", f"{path}: {path.stat().st_size / 1e6:.1f} MB")
            else:
                hint = f'[data] {part} = "where it is"'
                if config.competition.platform != "local":
                    hint = f"kit download   # or {hint}"
                yield Check(f"data.{part}", "wrong", f"no such file or folder: {path}", hint)
    if config.data.train not in BUILT_IN and layout.named(config.data.train).exists():
        try:  # this finds the columns of a table and reads no image
            names = training_classes(config.data, layout.root)
            yield Check("classes", "ok", f"{len(names)}: {', '.join(names[:6])}{' ...' if len(names) > 6 else ''}")
        except KitError as error:
            yield Check("classes", "wrong", error.message, error.hint)


def _weights(layout: Layout, config: Config) -> Iterator[Check]:
    for name, run in config.runs.items():
        if run.weights == "imagenet":
            yield Check(f"weights of {name}", "ok", "ImageNet, downloaded if they are not in the Keras cache")
        elif run.weights != "none":
            path = layout.named(run.weights)
            state: Literal["ok", "wrong"] = "ok" if path.is_file() else "wrong"
            yield Check(f"weights of {name}", state, str(path), f'weights = "imagenet" in [runs.{name}]')


def _disk(layout: Layout, config: Config) -> Check:
    """Free space against what cleaning and training will write, estimated generously."""
    image, images = 3.0 * (config.data.image_size or SIDE) ** 2, 0.0
    for spec in [getattr(config.data, part) for part in SETS]:
        path = layout.named(spec)
        if not spec or spec in BUILT_IN:
            continue
        if path.is_dir():
            images += image * sum(1 for _ in image_files(path))
        elif path.suffix.lower() == ".csv" and path.exists():
            images += image * path.read_bytes().count(b"\n")
        elif path.suffix.lower() == ".npz" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                images += sum(member.file_size for member in archive.infolist())
    need = (2 / 3 if config.data.is_encoded(images) else 2) * images + RUN_BYTES * config.folds.n * len(config.runs)
    free = shutil.disk_usage(layout.root).free
    detail = f"{free / 1e9:.1f} GB free, about {need / 1e9:.1f} GB needed"
    return Check("disk", "ok" if free > need else "wrong", detail, "free some space: df -h .")


def _credentials(config: Config) -> Iterator[Check]:
    """Whether each platform's credentials are here; only those of the configured one can be wrong."""
    competition = config.competition
    login = bool(os.environ.get("CODABENCH_USERNAME") and os.environ.get("CODABENCH_PASSWORD"))
    codabench, kaggle = bool(codabench_token(competition.url, silent)) or login, False
    with suppress(PlatformError):
        require_kaggle(silent)
        kaggle = True
    for name, present, hint in (
        ("codabench", codabench, "export CODABENCH_USERNAME=... CODABENCH_PASSWORD=..."),
        ("kaggle", kaggle, "export KAGGLE_API_TOKEN=..."),
    ):
        state: Literal["missing", "wrong"] = "wrong" if competition.platform == name else "missing"
        yield Check(f"credentials {name}", "ok" if present else state, "present" if present else "none", hint)
