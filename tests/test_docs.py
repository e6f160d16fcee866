"""The docs say what is true: commands exist, keys are described, names are listed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kit.config import parse

REPOSITORY = Path(__file__).parent.parent
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("examples/*/*.md")])
PRODUCTS = {"folds", "submissions", "data", "runs"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def known_commands() -> set[str]:
    import typer

    from kit.cli import app

    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def known_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), flags=re.M))


def test_the_reference_is_what_the_code_says() -> None:
    script = (
        "import sys; sys.path.insert(0, 'docs')\n"
        "import reference\n"
        "sys.exit(reference.reference() != reference.TARGET.read_text(encoding='utf-8'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=False)
    assert done.returncode == 0, "docs/reference.md is behind the code: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_and_target_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`kit ([a-z]+)", text)) | set(re.findall(r"^\$? ?kit ([a-z]+)", text, flags=re.M))
    assert named <= known_commands(), page.name
    for line in re.findall(r"^\$? ?make ([a-z -]+)", text, flags=re.M) + re.findall(r"`make ([a-z -]+)`", text):
        assert set(line.split()) <= known_targets(), page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_configuration_that_is_shown_is_valid(page: Path) -> None:
    for block in blocks(page, "toml"):
        parse(block if "[data]" in block else f'[data]\ntrain = "practice"\n{block}')


def test_the_map_of_the_readme_names_every_module() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    entries = {path.name + ("/" if path.is_dir() else "") for path in (REPOSITORY / "kit").iterdir()}
    shown = {entry for entry in entries if not entry.startswith(("__", "py.typed"))}
    assert {entry for entry in shown if entry not in text} == set()


@pytest.mark.parametrize("path", sorted((REPOSITORY / "kit").rglob("*.py")), ids=lambda path: path.name)
def test_every_public_name_has_a_docstring(path: Path) -> None:
    import ast

    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) is not None or not tree.body
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name}"
