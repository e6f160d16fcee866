"""The example notebook in a real kernel, under the versions that Colab and Kaggle have installed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from kit.platforms.sandbox import environment

pytestmark = [pytest.mark.compat, pytest.mark.tf, pytest.mark.timeout(3600)]

REPOSITORY = Path(__file__).parent.parent
SHARED = (
    "tensorflow==2.20.0 keras==3.13.1 scikit-learn==1.6.1 keras-cv==0.9.0 kaggle>=2.2 requests six rich typer "
    "pydantic pillow jinja2 ipykernel nbclient nbformat"
)
VERSIONS = {"colab": f"{SHARED} numpy==2.0.2", "kaggle": f"{SHARED} numpy==2.1.3"}
RUN = """
import json, sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=1800, kernel_name="python3").execute()
json.dump(notebook, open(sys.argv[2], "w"))
"""


@pytest.mark.parametrize("name", VERSIONS)
def test_the_example_runs_in_a_kernel_of(name: str, tmp_path: Path) -> None:
    python = environment(VERSIONS[name])
    done = subprocess.run(
        [python, "-c", RUN, REPOSITORY / "examples" / "practice.ipynb", "done.ipynb"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PATH": f"{python.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    executed = json.loads((tmp_path / "done.ipynb").read_text(encoding="utf-8"))
    outputs = [output for cell in executed["cells"] for output in cell.get("outputs", [])]
    kinds = {kind for out in outputs for kind in out.get("data", {})}
    assert {"text/html", "image/png"} <= kinds
    assert (tmp_path / "practice" / "report.html").exists()
