"""The kit's modules as syntax trees, parsed once for all tests that read the code."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

KIT = Path(__file__).parent.parent / "kit"
FILES = sorted(KIT.rglob("*.py"))


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(text_of(path))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a module: half of what these tests cost was to walk through the same trees again."""
    return tuple(ast.walk(tree_of(path)))
