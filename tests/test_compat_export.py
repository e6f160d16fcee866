"""The tests of the exporters with the packages that they export to, which the kit's own environment does not have."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kit.platforms.sandbox import environment

pytestmark = [pytest.mark.compat, pytest.mark.timeout(1800)]

REPOSITORY = Path(__file__).parent.parent
VERSIONS = "mlflow-skinny numpy scipy scikit-learn pydantic typer rich pillow jinja2 pytest pytest-timeout hypothesis"


def test_mlflow_takes_what_is_exported() -> None:
    done = subprocess.run(
        [environment(VERSIONS), "-m", "pytest", "-p", "no:cacheprovider", "tests/test_export.py"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "skipped" not in done.stdout
