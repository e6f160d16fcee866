"""The docs say what is true: commands exist, keys are described, names are listed."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from test_cli import run
from trees import FILES as CODE
from trees import nodes_of, tree_of

from kit.config import parse
from kit.errors import KitError

REPOSITORY = Path(__file__).parent.parent
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("examples/*/*.md")])
# `[section] key` in a sentence, and commands that a message quotes or consists of.
KEY = re.compile(r"(?<!\w)\[([a-z]+)\] ([a-z_0-9]+)(?=`| =|:)")
TOLD = re.compile(r"(?:^|(?<=`))kit [a-z]+(?= |`|$)[^`;,]*")
PRODUCTS = {"folds", "submissions", "data", "runs"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def known_commands() -> set[str]:
    import typer

    from kit.cli import app

    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def known_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), flags=re.M))


def test_the_reference_is_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "docs"))
    import reference

    found = reference.TARGET.read_text(encoding="utf-8")
    assert reference.reference() == found, "docs/reference.md is behind the code: make docs"


def test_every_command_and_target_that_is_named_exists() -> None:
    commands, targets = known_commands(), known_targets()
    unknown = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(r"`kit ([a-z]+)", text)) | set(re.findall(r"^\$? ?kit ([a-z]+)", text, flags=re.M))
        unknown += [f"{page.name}: kit {name}" for name in sorted(named - commands)]
        for line in re.findall(r"^\$? ?make ([a-z -]+)", text, flags=re.M) + re.findall(r"`make ([a-z -]+)`", text):
            unknown += [f"{page.name}: make {name}" for name in sorted(set(line.split()) - targets)]
    assert unknown == []


def test_every_configuration_that_is_shown_is_valid() -> None:
    wrong = []
    for page in PAGES:
        for block in blocks(page, "toml"):
            try:
                parse(block if "[data]" in block else f'[data]\ntrain = "practice"\n{block}')
            except KitError as error:
                wrong.append(f"{page.name}: {error.message}")
    assert not wrong, "\n".join(wrong)


def keys_of(section: str) -> set[str]:
    """The keys of a section of kit.toml."""
    from kit.config import Config
    from kit.config.runs import RunConfig

    found = RunConfig if section == "runs" else Config.model_fields[section].annotation
    return set(found.model_fields)  # type: ignore[union-attr]


@cache
def literals(path: Path) -> list[str]:
    """The text that a module holds outside of its docstrings, f-strings with `{}` for what is put in."""

    def text(node: ast.AST) -> str:
        if isinstance(node, ast.JoinedStr):
            return "".join(text(part) for part in node.values)
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "{}"

    alone = {id(node.value) for node in nodes_of(path) if isinstance(node, ast.Expr)}
    return [text(n) for n in nodes_of(path) if isinstance(n, ast.Constant | ast.JoinedStr) and id(n) not in alone]


def test_keys_that_are_named_in_a_sentence_exist() -> None:
    named = [(page.name, pair) for page in PAGES for pair in KEY.findall(page.read_text(encoding="utf-8"))]
    named += [(path.name, pair) for path in CODE for words in literals(path) for pair in KEY.findall(words)]
    assert len(named) > 20
    for where, (section, key) in named:
        assert key in keys_of(section), f"{where}: [{section}] {key}"


def test_commands_and_options_that_messages_tell_to_type_exist() -> None:
    import typer

    from kit.cli import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    told = {(path.name, words) for path in CODE for text in literals(path) for words in TOLD.findall(text)}
    assert len(told) > 50
    for where, words in told:
        name = words.split()[1]
        assert name in commands, f"{where}: {words}"
        known = {option for parameter in commands[name].params for option in parameter.opts + parameter.secondary_opts}
        assert set(re.findall(r"(?<![\w-])--[a-z-]+", words)) <= known, f"{where}: {words}"


def test_the_readme_and_the_tutorial_name_the_same_figures() -> None:
    readme, tutorial = ((REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "docs/tutorial.md"))
    found = re.search(r"accuracy on local: (\S+), cross-validation score (\S+) \((\S+) - (\S+)\)", readme)
    assert found is not None
    score, cv, low, high = found.groups()
    assert f"accuracy of {cv} ({low} to {high})" in " ".join(tutorial.split())
    assert f"another microscope: {score}." in " ".join(tutorial.split())


def shown(page: Path) -> list[tuple[str, str]]:
    """Commands of the ``console`` blocks of a page with the output shown below each."""
    found = []
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def typed(folder: Path, *arguments: str) -> str:
    """Both streams of a command, as they come on a terminal of 80 columns."""
    done = run(folder, *arguments, together=True, NO_COLOR="1")
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.matrix
def test_the_tutorial_shows_what_the_commands_print(tmp_path: Path) -> None:
    for command, output in shown(REPOSITORY / "docs" / "tutorial.md"):
        if command.startswith("kit "):
            assert typed(tmp_path, *command.split()[1:]) == output, command
        else:
            done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
            assert done.stdout == output, command


@pytest.mark.slow
@pytest.mark.tf
@pytest.mark.timeout(7200)
def test_the_tutorial_ends_near_the_figures_that_it_names(tmp_path: Path) -> None:
    """Near: networks are trained to the same bytes on one machine, and to other ones on another."""
    from kit.project import Project

    text = " ".join((REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8").split())
    named = re.search(r"accuracy of (\S+) \(.*another microscope: (0\.\d+)", text)
    assert named is not None
    for command in ("init --train practice", "train", "ensemble", "submit"):
        print(typed(tmp_path, *command.split()))
    report = Project(tmp_path).leaderboard()
    (line,) = report.submissions
    assert (line.cv, line.attempt.score) == pytest.approx((float(named[1]), float(named[2])), abs=0.03)


def test_options_that_are_shown_exist() -> None:
    import typer

    from kit.cli import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for page in PAGES:
        for name, words in re.findall(r"(?:`|^\$? ?)kit ([a-z]+)((?: [^`\n#]*)?)", page.read_text("utf-8"), flags=re.M):
            known = {
                option for parameter in commands[name].params for option in (*parameter.opts, *parameter.secondary_opts)
            }
            used = set(re.findall(r"(?<![\w-])--[a-z-]+", words))
            assert used <= known | {"--help"}, f"{page.name}: kit {name}{words}"


def test_the_python_that_is_shown_uses_methods_that_exist() -> None:
    from kit import Project

    for page in PAGES:
        for block in blocks(page, "python"):
            compile(block, page.name, "exec")
            for method in re.findall(r"\bproject\.(\w+)\(", block):
                assert callable(getattr(Project, method, None)), f"{page.name}: project.{method}"


@pytest.mark.stage
def test_the_lines_for_the_blend_outside_a_project_run_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    (lines,) = (block for block in blocks(REPOSITORY / "docs/ensemble.md", "python") if "load_digits" in block)
    exec(lines, {})
    assert "score=" in (said := capsys.readouterr().out) and said.endswith("[0 1 2 3 0]\n")


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:\s]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_map_for_contributors_names_every_module() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    entries = {path.name + ("/" if path.is_dir() else "") for path in (REPOSITORY / "kit").iterdir()}
    shown = {entry for entry in entries if not entry.startswith(("__", "py.typed"))}
    assert {entry for entry in shown if entry not in text} == set()


def test_every_public_name_has_a_docstring() -> None:
    bare = []
    for path in CODE:
        tree = tree_of(path)
        public = (ast.FunctionDef, ast.ClassDef)
        nodes = [node for node in tree.body if isinstance(node, public) and not node.name.startswith("_")]
        bare += [f"{path}: {node.name}" for node in nodes if not ast.get_docstring(node)]
        bare += [str(path)] * bool(tree.body and ast.get_docstring(tree) is None)
    assert bare == []


def resolves(name: str) -> bool:
    """Whether a dotted name of the kit is a module, something that a module has, or a field of a record."""
    import pkgutil

    try:
        pkgutil.resolve_name(name)
    except ImportError:
        return False
    except AttributeError:
        owner, _, field = name.rpartition(".")
        return field in getattr(pkgutil.resolve_name(owner), "model_fields", ())
    return True


def test_benchmarks_and_scripts_import_what_there_is() -> None:
    """Nothing else runs them in continuous integration, so a name that moves would be noticed by a user."""
    names = {
        (path.name, f"{node.module}.{alias.name}")
        for path in [*REPOSITORY.glob("benchmarks/*.py"), *REPOSITORY.glob("docs/*.py")]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kit"
        for alias in node.names
    }
    assert len(names) > 100
    assert sorted(found for found in names if not resolves(found[1])) == []


def test_names_and_paths_of_the_code_in_pages_and_docstrings_exist() -> None:
    """`kit.judge.blend.fit` and `kit/judge/blend/` in a sentence: a page that sends a reader to nothing misleads."""
    dotted = re.compile(r"`(kit\.[a-z_]+(?:\.[A-Za-z_]+)*)(?:\(|`)")
    slashed = re.compile(r"`(kit/[a-z_0-9/]+(?:\.py|/))`")
    held = re.compile(r"`([A-Za-z_]+)`\s+(?:in|of)\s+`((?:kit|tests)/[a-z_0-9/]+\.py)`")
    wrong = []
    for path in [*PAGES, *CODE, *REPOSITORY.glob("benchmarks/*.py"), *REPOSITORY.glob("tests/**/*.py")]:
        text = path.read_text(encoding="utf-8")
        wrong += [f"{path.name}: {name}" for name in dotted.findall(text) if name != "kit.toml" and not resolves(name)]
        wrong += [f"{path.name}: {name}" for name in slashed.findall(text) if not (REPOSITORY / name).exists()]
        for name, where in held.findall(text):
            if not re.search(rf"\b{name}\b", (REPOSITORY / where).read_text(encoding="utf-8")):
                wrong.append(f"{path.name}: {name} in {where}")
    assert not wrong, "\n".join(wrong)
