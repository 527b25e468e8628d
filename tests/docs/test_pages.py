"""The pages say what the code says: links, commands, modules, exit codes, settings."""

import ast
import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    """Every relative link leads to a file of this repository, and its anchor to a title of that page."""
    for link in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in _anchors(target), f"{link}: there is no such title"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    """A path of ours that a page names in code marks exists."""
    for name in re.findall(r"`((?:api|cli|common|docs|examples|executor|k8s|scripts|tests)/[\w./-]+)`", _prose(page)):
        assert (ROOT / name).exists(), f"{name} does not exist"


def _shell_lines(page: Path) -> list[str]:
    blocks = [text for language, text in _FENCE.findall(page.read_text()) if language == "sh"]
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def _section(page: str, *words: str) -> str:
    """What the command reference says about a command; empty when it has none of that name."""
    found = re.search(rf"### `podform {re.escape(' '.join(words))}`.*?(?=\n### |\Z)", page, re.DOTALL)
    return found.group() if found else ""


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_commands_exist(name: str) -> None:
    """Each command of ours in a shell block exists with the options it is shown with."""
    help_text = (ROOT / "docs/reference/cli.md").read_text()
    for line in _shell_lines(ROOT / name):
        words = shlex.split(line, comments=True)
        if words and words[0].startswith("scripts/"):
            script = (ROOT / words[0]).read_text() + "".join(
                path.read_text() for path in (ROOT / "scripts").glob(f"{Path(words[0]).name}.py")
            )
            assert all(word in script for word in words if word.startswith("--")), line
        elif words and Path(words[0]).name == "podform":
            candidates = (words[1:3], [words[1], "start"], [words[1]])
            section = next(filter(None, (_section(help_text, *each) for each in candidates)), "")
            assert section, f"{line}: no such command"
            assert all(word in section for word in words if word.startswith("-")), line


def test_generated_parts_are_up_to_date() -> None:
    """The module tables equal the tree and the command reference equals the commands' own help."""
    write_docs = _load(ROOT / "scripts/write_docs.py")
    for name, generate in write_docs.PAGES.items():
        page = (ROOT / name).read_text()
        missing = set(generate().splitlines()) ^ set(page.partition(write_docs.BEGIN)[2].splitlines())
        behind = write_docs.with_written_part(page, generate()) != page
        assert not behind, f"{name}: run scripts/write_docs.py; it differs in:\n" + "\n".join(sorted(missing))


def test_exit_codes_are_documented() -> None:
    """The table of exit codes holds the names and numbers of the code."""
    from cli.exit_codes import ExitCode

    rows = re.findall(r"^\| (\d+) \| `([A-Z_]+)` \|", (ROOT / "docs/reference/cli.md").read_text(), re.MULTILINE)
    assert {name: int(number) for number, name in rows} == {code.name: code.value for code in ExitCode}


def test_upload_defaults_are_documented() -> None:
    """The default rules of an upload are listed in their order."""
    from cli.upload import DEFAULT_RULES

    section = (ROOT / "docs/reference/cli.md").read_text().partition("## What is uploaded")[2].partition("## ")[0]
    rows = re.findall(r"^\| (`.*?) \| ", section, re.MULTILINE)
    assert [rule for row in rows for rule in re.findall(r"`([^`]+)`", row)] == list(DEFAULT_RULES)


SETTINGS_MODULES = [ROOT / "api/settings.py", ROOT / "executor/settings.py"]


def settings_fields(path: Path) -> list[str]:
    """The annotated fields of the settings classes of a module."""
    if not path.exists():
        return []
    classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    return [
        node.target.id
        for each in classes
        if each.name.endswith("Settings")
        for node in each.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id != "model_config"
    ]


@pytest.mark.parametrize("path", SETTINGS_MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_settings_are_documented(path: Path) -> None:
    """The table of a settings module has one row per field, in the order of the code."""
    page = (ROOT / "docs/reference/settings.md").read_text()
    section = page.partition(f"## `{path.relative_to(ROOT)}`")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    expected = settings_fields(path)
    assert sorted(rows) == sorted(expected), (
        f"missing: {set(expected) - set(rows)}, too many: {set(rows) - set(expected)}"
    )


@pytest.mark.parametrize("path", SETTINGS_MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_is_read(path: Path) -> None:
    """A settings field that nothing reads would be a promise that nobody keeps."""
    read = {
        node.attr
        for package in ("api", "executor", "k8s")
        for module in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    assert not [field for field in settings_fields(path) if field not in read]


def test_reserved_names_are_documented() -> None:
    """The page about a step's environment names every reserved name and prefix, and no other."""
    from common import environment

    section = (
        (ROOT / "docs/reference/environment.md").read_text().partition("## Reserved names")[2].partition("\n## ")[0]
    )
    table = re.findall(r"^\| (`.*?) \| ", section, re.MULTILINE)
    named = {name for row in table for name in re.findall(r"`([^`]+)`", row)}
    assert {name for name in named if not name.endswith("…")} == environment.RESERVED_NAMES
    assert {name.removesuffix("…") for name in named if name.endswith("…")} == set(environment.RESERVED_PREFIXES)


def test_exit_codes_of_executors_are_documented() -> None:
    """The table of exit codes has a row for each, in order."""
    from executor.exit_codes import ExitCode

    section = (
        (ROOT / "docs/kubernetes.md").read_text().partition("## Exit codes of an executor")[2].partition("\n## ")[0]
    )
    assert re.findall(r"^\| `(\d+)` \|", section, re.MULTILINE) == [str(code.value) for code in ExitCode]
