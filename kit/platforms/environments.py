"""Throw-away environments with other versions of the libraries, kept in the user's cache."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from kit.errors import BundleError
from kit.store.locks import lock


def environment(requirements: str) -> Path:
    """The Python of an environment with ``requirements`` (as pip takes them, separated by spaces) and nothing else.

    Built on first use, under ``$XDG_CACHE_HOME/kit`` or ``~/.cache/kit``; a half-built one is built again.

    Raises `BundleError` where the packages cannot be installed; pip's last line is named.
    """
    wanted = " ".join(sorted(requirements.split()))
    name = hashlib.sha256(f"{sys.version_info[:2]} {wanted}".encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "kit" / "environments"
    folder = cache / name
    python = folder / "bin" / "python"
    with lock(cache / f"{name}.lock", f"the environment of {wanted}"):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            create, install = [sys.executable, "-m", "venv"], [str(python), "-m", "pip", "install", "-q"]
            if uv := shutil.which("uv"):
                create = [uv, "venv", "-q", "--python", sys.executable]
                install = [uv, "pip", "install", "-q", "--python", str(python)]
            for command in ([*create, str(folder)], [*install, *wanted.split()]):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    lines = [line for line in done.stderr.splitlines() if line.strip()]
                    raise BundleError(f"cannot install {wanted}: {lines[-1] if lines else 'no message'}")
            (folder / "complete").touch()
    return python
