"""Rules about the code that no linter holds: docstrings, sizes, words, what must not be named."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("api", "cli", "common", "executor", "k8s", "scripts", "bench")
MODULES = sorted(
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if path.read_text().strip() and "versions" not in path.parts
)
MAX_MODULE_LINES, MAX_FUNCTION_LINES = 400, 50

#: Path, or path:function -> why it may be longer. Keep it short.
LONGER: dict[str, str] = {"api/settings.py": "every setting has its one home"}

_FORBIDDEN_WORDS = {"manager", "helper", "helpers", "util", "utils", "handler", "handlers", "info", "task", "tasks"}
_MACHINE_PATHS = re.compile(r"(?<![\w.~/-])/(work|root|home)/\w")
_REGISTRIES = re.compile(
    r"\b(pypi\.org|pythonhosted\.org|docker\.io|ghcr\.io|quay\.io|gcr\.io|npmjs\.(org|com)|proxy\.golang\.org)\b"
)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def _functions(tree: ast.AST, prefix: str = "") -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    found: list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((prefix + node.name, node))
        name = f"{prefix}{node.name}." if isinstance(node, ast.ClassDef) else prefix
        found += _functions(node, name)
    return found


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_opens_with_what_it_is_for(path: Path) -> None:
    """Every module has a docstring of one to five lines."""
    docstring = ast.get_docstring(_tree(path))
    assert docstring, "no docstring"
    assert len(docstring.splitlines()) <= 5


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_nothing_is_too_long(path: Path) -> None:
    """No module and no function is longer than the limit, unless the list above says why."""
    lines = len((ROOT / path).read_text().splitlines())
    assert lines <= MAX_MODULE_LINES or str(path) in LONGER
    for name, function in _functions(_tree(path)):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= MAX_FUNCTION_LINES or f"{path}:{name}" in LONGER, f"{name} has {length} lines"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_names_say_something(path: Path) -> None:
    """No module and no class of ours bears a word that says nothing."""
    assert not _words(path.stem) & _FORBIDDEN_WORDS
    classes = [node.name for node in ast.walk(_tree(path)) if isinstance(node, ast.ClassDef)]
    assert not [name for name in classes if _words(name) & _FORBIDDEN_WORDS]


def _tracked() -> list[Path]:
    """Every text file of the repository, by git where there is one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    names = listed.stdout.decode().split("\0")[:-1]
    paths = [ROOT / name for name in names] if listed.returncode == 0 else [ROOT / path for path in MODULES]
    return [path for path in paths if path.is_file() and path.suffix not in {".gz", ".png", ".bin"}]


def test_no_machine_and_no_registry_is_named() -> None:
    """Nothing depends on one machine's directories or on one package index or image registry."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in _tracked()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        for match in [*_MACHINE_PATHS.finditer(line), *_REGISTRIES.finditer(line)]
    ]
    assert not found, "\n".join(found)
