"""The walls: layers import downwards, rooms stay small, light commands stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

KIT = Path(__file__).parent.parent / "kit"
LAYERS = (
    {"runtime"},
    {"errors", "signals", "streams", "text"},
    {"config", "layout", "files", "store"},
    {"records", "metrics", "score", "ledger", "plots", "data", "partition"},
    {
        "sources", "augment", "corrupt", "shift", "blend", "platforms", "sandbox", "sandbox_runner", "archive",
        "described", "environments", "runs", "sweep", "half", "costs", "units",
        "engine", "results", "history",
    },
    {
        "clean", "folds", "train", "stress", "ensemble", "bundle", "submit", "lb", "init", "console", "progress",
        "notebook", "forecast", "doctor", "download", "table", "predict", "report", "compare", "export",
    },
    {"cli", "project", "__main__", "__init__"},
)  # fmt: skip
# Console, notebook and progress render what stages say; they belong together.
FRIENDS = {("console", "progress"), ("notebook", "progress"), ("notebook", "console")}
FILES = sorted(KIT.rglob("*.py"))


def module_of(path: Path) -> str:
    return path.relative_to(KIT).parts[0].removesuffix(".py")


def layer_of(module: str) -> int:
    found = [number for number, names in enumerate(LAYERS) if module in names]
    assert found, f"kit.{module} is in no layer: add it to LAYERS and to docs/design.md"
    return found[0]


def imports_of(path: Path) -> set[str]:
    """First-level modules of the kit that a file imports, anywhere in it but under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "kit":
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {name.name for name in node.names}
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("kit.")}
    return {name for name in found if (KIT / name).is_dir() or (KIT / f"{name}.py").is_file()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(KIT)))
def test_a_file_imports_only_from_its_own_layer_and_below(path: Path) -> None:
    module = module_of(path)
    for imported in imports_of(path) - {module}:
        assert layer_of(imported) <= layer_of(module), f"{module} imports {imported} from a higher layer"
        if layer_of(module) == 5 and layer_of(imported) == 5:
            assert (module, imported) in FRIENDS, f"stage {module} imports stage {imported}"


def test_modules_of_a_layer_do_not_import_each_other_in_circles() -> None:
    edges = {module_of(path): set() for path in FILES}
    for path in FILES:
        edges[module_of(path)] |= imports_of(path) - {module_of(path)}
    visited: dict[str, str] = {}

    def walk(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"circle: {' -> '.join((*trail, module))}"
        if visited.get(module) != "done":
            for following in sorted(edges.get(module, ())):
                walk(following, (*trail, module))
            visited[module] = "done"

    for module in edges:
        walk(module, ())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(KIT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = node.body[0].end_lineno - node.body[0].lineno + 1 if ast.get_docstring(node) else 0
            assert node.end_lineno - node.lineno + 1 - docstring <= 40, f"{node.name} is too long"
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            named = [argument for argument in arguments if argument.arg not in ("self", "cls")]
            assert len(named) <= 8, f"{node.name} has {len(named)} parameters"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(KIT)))
def test_only_the_rim_prints(path: Path) -> None:
    rim = ("cli", "console", "__main__", "sandbox_runner", "worker")
    calls = [
        node.func.id
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    assert "print" not in calls or path.stem in rim


def test_the_design_names_every_module() -> None:
    text = (KIT.parent / "docs" / "design.md").read_text(encoding="utf-8")
    present = {module_of(path) for path in FILES} - {"__main__", "__init__"}
    assert {name for name in present if f"`{name}" not in text} == set()


def test_the_runtime_travels_alone() -> None:
    for path in (KIT / "runtime").glob("*.py"):
        assert not imports_of(path), f"{path.name} imports the kit"
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


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["folds"], ["lb"], ["report"], ["train", "--help"]])
def test_light_commands_load_neither_tensorflow_nor_kaggle(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "kit.toml").write_text(
        '[data]\ntrain = "digits"\ntruth = "digits"\nimage_size = 16\n', encoding="utf-8"
    )
    loaded = loaded_by(arguments, tmp_path)
    assert not loaded & {"tensorflow", "keras", "keras_cv", "kaggle", "torch"}
    if arguments[0].startswith("--"):
        assert not loaded & {"numpy", "pydantic", "sklearn", "matplotlib", "scipy"}
