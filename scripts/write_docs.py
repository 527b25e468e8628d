"""Writes the parts of the docs that the code already says: modules, settings, commands.

Run by hand (`.venv/bin/python scripts/write_docs.py`) after adding a module, a setting or an option; tests/docs
imports it and fails when a page is behind the code. Writes only between the markers of a page.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("common", "api", "k8s", "executor", "cli")
#: Page -> what stands between its markers.
BEGIN, END = "<!-- written by scripts/write_docs.py -->", "<!-- end -->"


def main() -> None:
    """Write every page that is behind."""
    for page, generate in PAGES.items():
        path = ROOT / page
        before = path.read_text()
        after = with_written_part(before, generate())
        if after != before:
            path.write_text(after)
            print(f"wrote {page}")


def with_written_part(page: str, written: str) -> str:
    """A page with what stands between its markers replaced."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"the page has no {BEGIN} … {END}")
    return f"{head}{BEGIN}\n\n{written.strip()}\n\n{END}{tail}"


def architecture() -> str:
    """One table per package: each module with the first sentence of its docstring."""
    return "\n\n".join(f"### `{package}/`\n\n{_package_table(package)}" for package in PACKAGES)


def modules(package: str) -> Iterator[Path]:
    """The modules of a package that say something: no empty `__init__`, no generated migration."""
    for path in sorted((ROOT / package).rglob("*.py")):
        if path.read_text().strip() and "versions" not in path.parts:
            yield path.relative_to(ROOT)


def first_sentence(path: Path) -> str:
    """The first sentence of a module's docstring, on one line."""
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text())) or ""
    text = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[^.])\.(?:\s|$)", text)[0].strip().replace("|", "\\|")


def _package_table(package: str) -> str:
    rows = [f"| `{path.as_posix()}` | {first_sentence(path)} |" for path in modules(package)]
    return "\n".join(["| module | what it is for |", "|---|---|", *rows]) if rows else "Nothing yet."


def cli_reference() -> str:
    """Each command's own help."""
    from cli.main import app  # only here: the architecture page needs no installed package

    runner = CliRunner()
    parts = []
    for words in _commands():
        answer = runner.invoke(app, [*words, "--help"], env={"COLUMNS": "100", "NO_COLOR": "1"}, prog_name="podform")
        parts.append(f"### `podform {' '.join(words)}`\n\n```text\n{_stripped(answer.output)}\n```")
    return "\n\n".join(parts)


def _commands() -> Iterator[tuple[str, ...]]:
    """The words of each command; a group comes before its commands."""
    from cli.words import WORDS, command_of

    for word in WORDS:
        yield (word,)
        yield from ((word, name) for name in getattr(command_of(word), "commands", ()))


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def api_settings() -> str:
    """One row per setting of the API: field, name, default, and its description, which gives the reason."""
    from api.settings import Settings  # only here, as above

    rows = ["| field | set by | default | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        meaning = (field.description or "").replace("|", "\\|").replace("<", "\\<")
        rows.append(f"| `{name}` | `{field.alias}` | {_default(field.default)} | {meaning} |")
    return "\n".join(rows)


def _default(value: object) -> str:
    if value is None or value == "":
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


PAGES: dict[str, Callable[[], str]] = {
    "docs/architecture.md": architecture,
    "docs/reference/cli.md": cli_reference,
    "docs/reference/settings.md": api_settings,
}

if __name__ == "__main__":
    main()
