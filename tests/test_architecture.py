"""The walls: layers are folders that import downwards, rooms stay small, light commands stay light."""

from __future__ import annotations

import ast
import io
import keyword
import subprocess
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from trees import FILES, KIT, nodes_of, text_of

# From the ground up. A file imports from its own folder and from those that stand before it; `project.py`, `errors.py`
# and the door `blend.py` are layers of one file.
LAYERS = (
    "runtime", "base", "errors", "config", "store", "images", "judge", "blend", "runs", "platforms", "show", "stages",
    "project", "cli", "__init__", "__main__",
)  # fmt: skip
# `kit.__version__` is not a layer, and `kit.Project` is looked up when it is first asked for.
ROOT = "__init__"
ENTRIES = 16
LINES = 32_750
LINES_OF_A_FILE, LINES_OF_A_FUNCTION, PARAMETERS = 300, 40, 8
# The documented library, whose parameters users name one by one; a record of them would only hide two in another place.
MANY_PARAMETERS = {"judge.blend.blend.fit"}
USED_ONCE = 0.12
ALIKE = 8


def name_of(path: Path) -> str:
    """The dotted name of a file's module below `kit`."""
    return ".".join(path.relative_to(KIT).with_suffix("").parts)


MODULES = {name_of(path).removesuffix(".__init__"): path for path in FILES}


@cache
def imports_of(path: Path) -> set[str]:
    """Modules of the kit that a file imports, anywhere in it, by their dotted names below `kit`."""
    found = set()
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "kit":
            room = (node.module or "").partition(".")[2]
            for alias in node.names:
                whole = f"{room}.{alias.name}".strip(".")
                found.add(whole if whole in MODULES else room or ROOT)
        if isinstance(node, ast.Import):
            found |= {alias.name[4:] for alias in node.names if alias.name.startswith("kit.")}
    return found


def layer_of(module: str) -> int:
    folder = module.split(".")[0]
    assert folder in LAYERS, f"kit/{folder} is no layer: add it to LAYERS and to docs/design.md"
    return LAYERS.index(folder)


def test_a_file_imports_only_from_its_own_layer_and_below() -> None:
    upwards = [
        f"{name_of(path)} imports {imported}"
        for path in FILES
        for imported in imports_of(path) - {ROOT}
        if layer_of(imported) > layer_of(name_of(path))
    ]
    assert upwards == []


def test_stages_do_not_import_each_other() -> None:
    def room(module: str) -> str:
        return ".".join(module.split(".")[:2])

    crossing = [
        f"{name_of(path)} imports {imported}"
        for path in FILES
        for imported in imports_of(path)
        if name_of(path).startswith("stages.") and imported.startswith("stages.")
        if room(name_of(path)) != room(imported)
    ]
    assert crossing == []


def test_rooms_do_not_import_each_other_in_circles() -> None:
    """Rooms are the folders of two levels: `judge.blend` and `judge.shift` may not need each other either."""

    def room(module: str) -> str:
        parts = module.split(".")
        return ".".join(parts[:2]) if KIT.joinpath(*parts[:2]).is_dir() else module

    edges: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        edges[room(name_of(path))] |= {room(name) for name in imports_of(path)} - {room(name_of(path)), ROOT}
    done: set[str] = set()

    def walk(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"circle: {' -> '.join((*trail, module))}"
        if module not in done:
            for following in sorted(edges.get(module, ())):
                walk(following, (*trail, module))
            done.add(module)

    for module in list(edges):
        walk(module, ())


def test_the_house_stays_small() -> None:
    entries = {path.name for path in KIT.iterdir()} - {"__init__.py", "__main__.py", "__pycache__"}
    assert len(entries) <= ENTRIES, sorted(entries)
    assert sum(text_of(path).count("\n") for path in FILES) <= LINES


def test_files_and_functions_stay_small() -> None:
    large = []
    for path in FILES:
        if text_of(path).count("\n") > LINES_OF_A_FILE:
            large.append(f"{name_of(path)} has more than {LINES_OF_A_FILE} lines")
        for node in nodes_of(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = node.body[0].end_lineno - node.body[0].lineno + 1 if ast.get_docstring(node) else 0
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                named = [argument for argument in arguments if argument.arg not in ("self", "cls")]
                many = len(named) > PARAMETERS and f"{name_of(path)}.{node.name}" not in MANY_PARAMETERS
                if node.end_lineno - node.lineno + 1 - docstring > LINES_OF_A_FUNCTION or many:
                    large.append(f"{name_of(path)}.{node.name}")
    assert large == []


def test_few_functions_are_used_once() -> None:
    """A helper that one place calls is an idea with a name, or it is inlined; most are the second."""
    used: Counter[str] = Counter()
    defined: list[str] = []
    for path in FILES:
        for node in nodes_of(path):
            if isinstance(node, ast.Name):
                used[node.id] += 1
            elif isinstance(node, ast.Attribute):
                used[node.attr] += 1
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                defined.append(node.name)
                used[node.name] += len(node.decorator_list)  # a validator is called by what it is registered with
    private = [name for name in defined if name.startswith("_") and not name.startswith("__")]
    once = [name for name in private if used[name] <= private.count(name)]
    assert len(once) <= USED_ONCE * len(defined), f"{len(once)} of {len(defined)}"


def shapes_of(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The lines of code of a file: numbers, and tokens. Imports, docstrings and lone brackets are left out."""
    lines: dict[int, list[str]] = defaultdict(list)
    passed = {
        line
        for node in nodes_of(path)
        if isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str))
        for line in range(node.lineno, node.end_lineno + 1)
    }
    for token in tokenize.generate_tokens(io.StringIO(text_of(path)).readline):
        if (
            token.type in (tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP)
            and token.start[0] not in passed
        ):
            lines[token.start[0]].append(token.string if token.type != tokenize.STRING else f"'{token.string}")
    for number, tokens in sorted(lines.items()):
        if any(token[0].isalnum() or token[0] in "_'" for token in tokens):
            yield number, tuple(tokens)


def renamed(lines: tuple[tuple[str, ...], ...]) -> tuple[object, ...]:
    """Lines with names, numbers and strings replaced by the order in which they first appear."""
    order: dict[str, int] = {}
    return tuple(
        tuple(
            order.setdefault(token, len(order))
            if (token[0].isalnum() or token[0] in "_'") and not keyword.iskeyword(token)
            else token
            for token in line
        )
        for line in lines
    )


def test_no_eight_lines_stand_twice_even_with_other_names() -> None:
    # Windows that are alike have lines that are, each by itself: only those that are get names for the whole.
    line_by_line: dict[tuple[object, ...], list[tuple[str, tuple[tuple[str, ...], ...]]]] = defaultdict(list)
    for path in FILES:
        lines = [(number, tokens, renamed((tokens,))) for number, tokens in shapes_of(path)]
        for start in range(len(lines) - ALIKE + 1):
            numbers, window, alone = zip(*lines[start : start + ALIKE], strict=True)
            if len(set(alone)) > 2:  # two or fewer are a table: its rows are meant to look alike
                line_by_line[alone].append((f"{name_of(path)}:{numbers[0]}", window))
    places: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for found in line_by_line.values():
        if len(found) > 1:
            for where, window in found:
                places[renamed(window)].append(where)
    assert [where for where in places.values() if len(where) > 1] == []


def test_only_the_rim_prints() -> None:
    rim = {"cli", "console", "__main__", "sandbox_runner", "worker"}
    printing = {
        path.stem
        for path in FILES
        for node in nodes_of(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printing <= rim


def test_the_design_names_every_room() -> None:
    """Folders of one and two levels, single files aside: what a reader finds in the house stands in its plan."""
    text = (KIT.parent / "docs" / "design.md").read_text(encoding="utf-8")
    rooms = {name for name in MODULES if name.count(".") == 0} - {"__main__", ROOT}
    rooms |= {name.split(".")[1] for name in MODULES if name.startswith("stages.")}
    assert {name for name in rooms if f"`{name}" not in text} == set()


def test_every_command_has_a_room_of_its_name() -> None:
    from kit.cli import app

    # A sweep is a composition of stages, which `project.py` makes; the other two print a table of `init` and `runtime`.
    names = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    names -= {"sweep", "recipes", "backbones"}
    rooms = {name.split(".")[1] for name in MODULES if name.startswith("stages.")}
    assert names - rooms == set()


def test_the_runtime_travels_alone() -> None:
    for path in (KIT / "runtime").glob("*.py"):
        assert not imports_of(path) - {ROOT} or all(name.startswith("runtime") for name in imports_of(path)), path.name
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = {name.name.split(".")[0] for name in node.names}
                assert names <= set(sys.stdlib_module_names) | {"numpy", "tensorflow", "keras"}, path.name


def loaded_by(arguments: list[str], folder: Path) -> set[str]:
    """First-level modules that are loaded when the command has ended."""
    script = (
        "import sys\n"
        "from kit.__main__ import main\n"
        f"sys.argv = {['kit', *arguments]!r}\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('MODULES', *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return set(done.stdout.rsplit("MODULES", 1)[1].split())


@pytest.mark.stage
def test_metrics_load_no_scipy() -> None:
    """Every command and every unit of training imports them."""
    script = "import sys, kit.judge.score; print({'scipy', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.stage
@pytest.mark.parametrize("arguments", [["--help"], ["folds"], ["lb"], ["report"]])
def test_light_commands_load_neither_tensorflow_nor_kaggle(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "kit.toml").write_text(
        '[data]\ntrain = "digits"\ntruth = "digits"\nimage_size = 16\n', encoding="utf-8"
    )
    loaded = loaded_by(arguments, tmp_path)
    assert not loaded & {"tensorflow", "keras", "keras_cv", "kaggle", "torch"}
    if arguments[0].startswith("--"):
        assert not loaded & {"numpy", "pydantic", "sklearn", "scipy"}
