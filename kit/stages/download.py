"""``kit download``: the competition's files into ``raw/``, unpacked."""

import lzma
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
from pydantic import TypeAdapter

from kit.base.events import Emit, Event, silent
from kit.config import Config
from kit.errors import ConfigError, DataError, PlatformError, required
from kit.platforms import Waits
from kit.platforms.credentials import codabench_token, require_kaggle
from kit.platforms.http import Api, checked_url, plain_session, reason
from kit.store.files import is_litter, sha256_file, write_atomic, write_json
from kit.store.layout import Layout
from kit.store.record import read

RECORD, FETCHED = ".download.json", TypeAdapter(dict[str, str])
INNER = 3  # archives in archives in archives
PIECE = 1 << 20
SEVEN_ZIP = ("py7zr", "an archive of 7-Zip", "'kit[7z]'")
REDIRECTS = 5  # a site sends us to its storage in one or two


class Offered(NamedTuple):
    """A file of the competition: ``name`` in ``raw/``, ``key`` that changes with its content, ``fetch`` to a path."""

    name: str
    key: str
    fetch: Callable[[Path], None]


def download(layout: Layout, config: Config, emit: Emit, *, force: bool = False) -> None:
    """Fetch what the competition hands out, unpack its zips, and say what ``[data]`` could name.

    Files that were fetched before are kept, unless ``force``; an archive is unpacked and then removed. Raises
    `ConfigError` where the platform hands out no files, `competition.id` is not set or a library lacks, `PlatformError`
    where the platform refuses or cannot be reached, and `DataError` where an archive is damaged, leaves its folder, or
    needs more space than there is.
    """
    competition = config.competition
    if competition.platform not in SOURCES:
        hint = f'[competition] platform = "{next(iter(SOURCES))}"'
        raise ConfigError(f"competition.platform = {competition.platform!r} has nothing to download", hint)
    if not competition.id:
        raise ConfigError("competition.id is not set", '[competition] id = "1234", or the name in the address')
    folder = layout.root / "raw"
    record = read(folder / RECORD, FETCHED.validate_json) if (folder / RECORD).exists() else {}
    for remote in SOURCES[competition.platform](config, emit):
        if record.get(remote.name) == remote.key and not force:
            emit(Event("say", f"{remote.name}: already downloaded"))
            continue
        path = folder / remote.name
        folder.mkdir(parents=True, exist_ok=True)
        if force or record.get(remote.name) != f"packed {remote.key}" or not path.exists():
            emit(Event("progress", f"download: {remote.name}", {"stage": "download"}))
            remote.fetch(path)
            emit(Event("say", f"{remote.name}: {path.stat().st_size / 1e6:.1f} MB, sha256 {sha256_file(path)[:16]}"))
            # Where it cannot be unpacked now, for want of a library or of space, it need not be fetched again.
            record[remote.name] = f"packed {remote.key}"
            write_json(folder / RECORD, record)
        if _is_packed(path) and (path.suffix != ".zip" or zipfile.is_zipfile(path)):
            files = unpack(path, folder, emit)
            path.unlink()
            emit(Event("say", f"unpacked {files} files into {folder.name}/"))
        record[remote.name] = remote.key
        write_json(folder / RECORD, record)
    for line in suggest(layout.root, folder):
        emit(Event("say", line))


def unpack(path: Path, folder: Path, emit: Emit = silent, depth: int = 0) -> int:
    """Unpack a ``.zip`` or ``.7z`` into ``folder``, and the archives in it beside themselves; how many files it had.

    What systems leave behind (``__MACOSX``) stays packed, and so does an archive in it that cannot be opened, or where
    a file has the name of its folder: another download would bring the same. Raises `DataError` where a name leaves
    the folder, the archive is damaged or encrypted, or the disk is too small, and `ConfigError` where a library lacks.
    """
    with _opened(path) as (found, extract):
        members = [member for member in found if not is_litter(member.name)]
        for member in members:
            if not (folder / member.name).resolve().is_relative_to(folder.resolve()):
                raise DataError(f"{path.name} contains {member.name!r}, which is outside its folder")
            if member.is_link:
                raise DataError(f"{path.name} contains the link {member.name!r}")
        need, free = sum(member.size for member in members), shutil.disk_usage(folder).free
        if need > free:
            raise DataError(f"{path.name} unpacks to {need / 1e6:.1f} MB, {free / 1e6:.1f} MB are free", "df -h .")
        inner = [folder / member.name for member in members if _is_packed(folder / member.name) and depth < INNER]
        if any(other.suffix.lower() == ".7z" for other in inner):
            required(*SEVEN_ZIP)  # before anything is written
        extract([member.name for member in members], folder)
    files = len(members) - len(inner)
    for other in inner:
        try:
            target = _target(other)
        except DataError as error:
            emit(Event("warn", f"{error.message}; it stays packed"))
            files += 1
            continue
        target.mkdir(exist_ok=True)
        files += unpack(other, target, emit, depth + 1)
        other.unlink()
    return files


def _target(path: Path) -> Path:
    """Where an archive is unpacked to: its own folder unless it is all in one, or is one file, of the archive's name.

    Raises `DataError` where it cannot be opened, or a file lies where its folder would be.
    """
    with _opened(path) as (members, _):
        names = {member.name.replace("\\", "/") for member in members if not is_litter(member.name)}
    folder = path.with_suffix("")
    if folder.is_file() and names != {path.stem}:
        raise DataError(f"{path.name} cannot be unpacked: there is a file {folder.name}")
    # As `train.zip` with the folder `train/` in it, and `train.csv.zip` with the file `train.csv`.
    return path.parent if {name.split("/")[0] for name in names} == {path.stem} else folder


class Member(NamedTuple):
    """A file in an archive, and how many bytes it unpacks to."""

    name: str
    size: int
    is_link: bool


Extract = Callable[[list[str], Path], object]  # writes the files of some names into a folder


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() in (".zip", ".7z")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[Member], Extract]]:
    """The files of an archive, and what extracts them; what goes wrong with it in the block is a `DataError`."""
    seven = required(*SEVEN_ZIP) if path.suffix.lower() == ".7z" else None
    damages: tuple[type[Exception], ...] = (
        zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError, zlib.error, lzma.LZMAError,
    )  # fmt: skip
    if seven is not None:
        damages = (*damages, seven.exceptions.ArchiveError, seven.exceptions.PasswordRequired)
    try:
        if seven is None:
            with zipfile.ZipFile(path) as file:
                infos = [info for info in file.infolist() if not info.is_dir()]
                if any(info.flag_bits & 1 for info in infos):
                    raise RuntimeError("it is encrypted")
                links = [stat.S_ISLNK(info.external_attr >> 16) for info in infos]
                members = [Member(info.filename, info.file_size, link) for info, link in zip(infos, links, strict=True)]
                yield members, lambda names, folder: file.extractall(folder, names)
        else:
            with seven.SevenZipFile(path) as packed:
                if packed.needs_password():
                    raise RuntimeError("it is encrypted")
                found = [entry for entry in packed.files if not entry.is_directory]
                members = [Member(entry.filename, entry.uncompressed, entry.is_symlink) for entry in found]
                yield members, lambda names, folder: packed.extract(folder, names)
    except damages as error:
        said = " ".join(str(error).split())[:200]
        raise DataError(f"{path.name} cannot be unpacked: {said}", "kit download --force") from error


def suggest(root: Path, folder: Path) -> list[str]:
    """Lines of ``[data]`` for what lies in ``folder``, by the names that competitions use."""
    found = {
        "train": ("train.csv", "**/train.csv", "**/train*.npz", "**/training*.npz", "**/train"),
        "validation": ("**/val", "**/valid", "**/validation"),
        "test": ("test.csv", "**/test.csv", "**/test*.npz", "**/test"),
        "sample_submission": ("**/sample_submission*.csv", "**/sampleSubmission*.csv"),
    }
    lines = []
    for key, patterns in found.items():
        paths = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
        if paths:
            lines.append(f'{key} = "{paths[0].relative_to(root).as_posix()}"')
    return ["for [data] in kit.toml:", *lines] if lines else []


def codabench_files(config: Config, emit: Emit) -> Iterator[Offered]:
    """Starting kits and public data of every phase; most competitions hand them out to participants only."""
    base = checked_url(config.competition.url)
    token = codabench_token(base, emit)
    detail = Api(base, token, Waits()).json("GET", f"/api/competitions/{config.competition.id}/")
    found: dict[str, tuple[str, Any]] = {}
    for phase in detail.get("phases") or ():
        for kind in ("starting_kit", "public_data"):
            data = phase.get(kind)
            if data:
                found.setdefault(str(data["key"] if isinstance(data, dict) else data), (kind, data))
    if not found:
        hint = f"see the tab Get Started: {base}/competitions/{config.competition.id}/"
        raise PlatformError(f"competition {config.competition.id} provides no public data and no starting kit", hint)
    for key, (kind, data) in found.items():
        # A file name that is one, whatever the organisers called their data set.
        named = (data.get("file_name") or data.get("name") or "") if isinstance(data, dict) else ""
        plain = re.sub(r"[^\w.-]+", "-", PurePosixPath(named).name).strip(".-") or f"{kind}-{key[:8]}"
        name = plain if "." in plain else f"{plain}.zip"
        yield Offered(name, key, partial(fetch, f"{base}/datasets/download/{key}/", token))


def fetch(address: str, token: str, path: Path) -> None:
    """Stream a file to ``path``, in one step; the token goes to the first host only, not to where it sends us.

    Raises `PlatformError` where the host refuses, sends us round in circles, or breaks off.
    """
    host, where = urlsplit(address), address
    try:
        for _ in range(REDIRECTS):
            own = token if urlsplit(where).netloc == host.netloc else ""
            answer = plain_session(Waits(), own).get(where, stream=True, allow_redirects=False)
            if not answer.is_redirect:
                break
            where = urljoin(where, answer.headers["Location"])
            answer.close()
        with answer:
            if not answer.ok or answer.is_redirect:
                hint = "register for the competition on its page, then: kit download"
                raise PlatformError(f"{host.hostname} answered {answer.status_code} for {path.name}", hint)
            write_atomic(path, lambda file: _stream(answer, file))
    except requests.RequestException as error:
        raise PlatformError(f"{path.name} could not be fetched: {reason(error)}", "kit download") from None


def _stream(answer: requests.Response, file: IO[bytes]) -> None:
    got = 0
    for piece in answer.iter_content(PIECE):
        file.write(piece)
        got += len(piece)
    expected = answer.headers.get("Content-Length")
    if expected and "Content-Encoding" not in answer.headers and got != int(expected):
        raise requests.exceptions.ChunkedEncodingError(f"{got} of {expected} bytes")


def kaggle_files(config: Config, emit: Emit) -> Iterator[Offered]:
    """The competition's one zip, through the official package."""
    slug = config.competition.id.rstrip("/").rsplit("/", 1)[-1]
    require_kaggle(emit)

    def fetch_zip(path: Path) -> None:
        from kit.platforms.kaggle_api import Site

        site = Site(config.competition.url, Waits())
        with tempfile.TemporaryDirectory(prefix=".download-", dir=path.parent) as folder:
            site.ask(lambda: site.api.competition_download_files(slug, path=folder, force=True, quiet=True))
            files = [found for found in Path(folder).iterdir() if found.name.startswith(slug)]
            if not files:
                raise PlatformError(f"Kaggle sent no files for {slug!r}", "kit download")
            max(files, key=lambda file: file.stat().st_size).replace(path)

    yield Offered(f"{slug}.zip", slug, fetch_zip)


SOURCES: dict[str, Callable[[Config, Emit], Iterator[Offered]]] = {"codabench": codabench_files, "kaggle": kaggle_files}
