"""Who we are on a platform: from the environment or the platform's own files, never from the project.

The only file that is written is Codabench's token, readable by its owner alone, outside the project.
"""

import json
import os
import shlex
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from kit.base.events import Emit, Event
from kit.platforms import PUBLIC_SITE, Unreachable

KAGGLE_NOTEBOOK_TOKEN = "KAGGLE_API_V1_TOKEN"


def codabench_token(url: str, emit: Emit) -> str:
    """The token of ``CODABENCH_TOKEN``, or of an earlier login of this ``CODABENCH_USERNAME``; empty without either."""
    from_environment = os.environ.get("CODABENCH_TOKEN", "").strip()
    if from_environment:
        return from_environment
    path = token_file(url)
    if not path.is_file():
        return ""
    _warn_if_open(path, emit)
    token, _, username = path.read_text(encoding="utf-8").strip().partition("\n")
    wanted = os.environ.get("CODABENCH_USERNAME", "").strip()
    return token.strip() if not wanted or username.strip() in ("", wanted) else ""


def codabench_hint(url: str) -> str:
    """What to do when a site does not accept the token, by where it came from."""
    if os.environ.get("CODABENCH_TOKEN", "").strip():
        return "the token comes from CODABENCH_TOKEN; unset it to use a stored token or to log in"
    stored = shlex.quote(str(token_file(url)))
    return f"rm {stored}   # then log in: export CODABENCH_USERNAME=... CODABENCH_PASSWORD=..."


def codabench_login() -> tuple[str, str]:
    """``CODABENCH_USERNAME`` and ``CODABENCH_PASSWORD``; raises `Unreachable` where one of them is not set."""
    username, password = os.environ.get("CODABENCH_USERNAME", ""), os.environ.get("CODABENCH_PASSWORD", "")
    if not username or not password:
        hint = "export CODABENCH_USERNAME=... CODABENCH_PASSWORD=...   # once; the token is kept, the password is not"
        raise Unreachable("no credentials for Codabench: neither CODABENCH_TOKEN nor a stored token", hint)
    return username, password


def token_file(url: str) -> Path:
    """Where the token of a site is kept; empty = the public one."""
    parts = urlsplit(url or PUBLIC_SITE)
    port = f"-{parts.port}" if parts.port else ""
    return _config_home() / "kit" / f"{parts.hostname or 'codabench'}{port}.token"


def store_token(url: str, token: str, username: str) -> Path:
    """Keep a token and whose it is for the next command, readable by its owner alone from the first moment on."""
    path = token_file(url)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Not `write_atomic`, whose files are for everybody; mkstemp's are for their owner.
    descriptor, name = tempfile.mkstemp(prefix=".token-", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{token}\n{username}\n")
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
    return path


def kaggle_folder() -> Path:
    """The folder of ``kaggle.json``, chosen as the official package chooses it."""
    named = os.environ.get("KAGGLE_CONFIG_DIR")
    if named:
        return Path(named)
    home = Path.home() / ".kaggle"
    return home if home.exists() else _config_home() / "kaggle"


def kaggle_files() -> tuple[Path, Path, Path, Path]:
    """Where credentials of Kaggle may be: two files that hold a token, and two of JSON."""
    home = Path.home() / ".kaggle"
    return home / "access_token", home / "access_token.txt", kaggle_folder() / "kaggle.json", home / "credentials.json"


def require_kaggle(emit: Emit) -> None:
    """Look for Kaggle's credentials in its usual places, without a request; raises `Unreachable` without any."""
    ways = (("KAGGLE_API_TOKEN",), (KAGGLE_NOTEBOOK_TOKEN,), ("KAGGLE_USERNAME", "KAGGLE_KEY"))
    in_environment = any(all(map(os.environ.get, way)) for way in ways)
    found = [path for path in kaggle_files() if path.is_file()]
    for path in found:
        _warn_if_open(path, emit)
    if not in_environment and not found:
        raise Unreachable(
            "no credentials for Kaggle: neither KAGGLE_API_TOKEN nor KAGGLE_USERNAME and KAGGLE_KEY are set, "
            f"and there is no {kaggle_files()[0]} and no {kaggle_files()[2]}",
            "make a token on kaggle.com under Settings > API, then: export KAGGLE_API_TOKEN=...",
        )


def kaggle_secrets() -> list[str]:
    """Every secret of Kaggle that this process can see, to keep them out of messages."""
    named = [os.environ.get(name, "") for name in ("KAGGLE_API_TOKEN", KAGGLE_NOTEBOOK_TOKEN, "KAGGLE_KEY")]
    secrets = [value for value in named if value]
    # The variables may hold the token or the name of its file.
    for path in (*kaggle_files()[:2], *map(Path, secrets)):
        if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where a token is too long for a name
            secrets.append(path.read_text(encoding="utf-8").strip())
    for path in kaggle_files()[2:]:
        if path.is_file():
            with suppress(ValueError):
                content = json.loads(path.read_text(encoding="utf-8")).items()
                secrets += [value for name, value in content if name != "username" and isinstance(value, str)]
    return [secret for secret in secrets if len(secret) >= 8]


def _config_home() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def _warn_if_open(path: Path, emit: Emit) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        emit(Event("warn", f"other users can read {path} (mode {mode:o}); to protect it: chmod 600 {path}"))
