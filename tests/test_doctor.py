"""``kit doctor`` tells what is here and what is missing, and never a secret."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest
from competitions import kaggle_competition

from kit.base.events import silent
from kit.stages.doctor import doctor

pytestmark = pytest.mark.stage

SECRET = "s3cr3t-0123456789abcdef"
NAMES = (
    "KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "XDG_CONFIG_HOME", "CODABENCH_TOKEN",
    "CODABENCH_USERNAME", "CODABENCH_PASSWORD",
)  # fmt: skip


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """A home without credentials."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def report(folder, **options):
    return {check.what: check for check in doctor(folder, silent, **options)}


def test_a_sound_project_has_nothing_wrong(tmp_path):
    kaggle_competition(tmp_path)
    (tmp_path / "kit.toml").write_text('[data]\ntrain = "raw/train.csv"\ntest = "raw/test"\nimage_size = 32')
    checks = report(tmp_path)
    assert not [check for check in checks.values() if check.state == "wrong"]
    assert checks["data.test"].detail.endswith("9 image files")
    assert checks["tensorflow"].detail == version("tensorflow")


def test_classes_are_told_and_a_column_that_is_not_there_is_wrong(tmp_path):
    kaggle_competition(tmp_path)
    text = '[data]\ntrain = "raw/train.csv"\n'
    (tmp_path / "kit.toml").write_text(text)
    assert report(tmp_path)["classes"].detail == "3: cat, dog, hen"
    (tmp_path / "kit.toml").write_text(text + 'label = "species"')
    check = report(tmp_path)["classes"]
    assert check.state == "wrong" and "data.label = 'species'" in check.detail


def test_a_missing_file_is_wrong_and_has_a_hint(tmp_path):
    (tmp_path / "kit.toml").write_text('[data]\ntrain = "raw/train.npz"')
    check = report(tmp_path)["data.train"]
    assert check.state == "wrong" and "raw/train.npz" in check.detail and "[data] train" in check.hint


def test_a_mistake_in_the_configuration_is_told_and_the_rest_is_still_looked_at(tmp_path):
    (tmp_path / "kit.toml").write_text('[data]\ntrian = "x"')
    checks = report(tmp_path)
    assert checks["project"].state == "wrong" and "trian" in checks["project"].detail
    assert checks["python"].state == "ok"


def test_no_project_is_told(tmp_path):
    assert "kit.toml" in report(tmp_path)["project"].detail


def test_weights_that_are_not_there_are_wrong(tmp_path):
    text = '[data]\ntrain = "practice"\n[runs.a]\nbackbone = "mobilenet"\nweights = "w.h5"\n'
    (tmp_path / "kit.toml").write_text(text)
    assert report(tmp_path)["weights of a"].state == "wrong"


@pytest.mark.parametrize("platform", ["kaggle", "codabench"])
def test_credentials_are_present_or_not_and_never_shown(tmp_path, monkeypatch, platform):
    (tmp_path / "kit.toml").write_text(f'[competition]\nplatform = "{platform}"\nid = "1"\n[data]\ntrain = "practice"')
    assert report(tmp_path)[f"credentials {platform}"].state == "wrong"
    monkeypatch.setenv("KAGGLE_API_TOKEN" if platform == "kaggle" else "CODABENCH_TOKEN", SECRET)
    said = []
    checks = doctor(tmp_path, said.append)
    assert {check.what: check.state for check in checks}[f"credentials {platform}"] == "ok"
    assert SECRET not in repr(checks) and SECRET not in repr(said)


def test_a_full_disk_is_wrong(tmp_path, monkeypatch):
    import shutil

    (tmp_path / "kit.toml").write_text('[data]\ntrain = "practice"')
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**6))
    assert report(tmp_path)["disk"].state == "wrong"


def test_neither_tensorflow_nor_kaggle_is_loaded(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from kit.base.events import silent\nfrom kit.stages.doctor import doctor\n"
        f"doctor(Path({str(tmp_path)!r}), silent)\nprint({{'tensorflow', 'kaggle', 'keras'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
