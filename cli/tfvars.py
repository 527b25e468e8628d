"""Reading .tfvars and .tfvars.json: literal values only, each kept as terraform wrote it down.

Called by `podform variable import`. Nothing is evaluated: an expression is refused with its line, and no
message holds a value, which may be a secret.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from cli.errors import CommandError

_TOKENS = re.compile(
    r"""
      (?P<space>[ \t\r]+ | \#[^\n]* | //[^\n]* | /\*.*?\*/ )
    | (?P<newline>\n)
    | <<(?P<indented>-?)(?P<word>[^\W\d]\w*)[ \t]*\r?\n
      (?P<body>(?:.*?\n)??) (?P<end>[ \t]*(?P=word))(?=[ \t\r]*(?:\n|$))
    | (?P<string>"(?:[^"\\\n]|\\[^\n])*")
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<name>[^\W\d][\w-]*)
    | (?P<mark>[={}\[\],:])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|(\$\$\{|%%\{)|(\$\{|%\{)")
_LITERALS = frozenset({"true", "false", "null"})
_ONLY_JSON = {r"\b": r"\u0008", r"\f": r"\u000c"}
#: Deeper nesting than anybody writes by hand; it bounds the recursion.
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Value:
    """A variable's value: a plain string, or with `hcl` the text of an HCL literal."""

    text: str
    hcl: bool


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int
    line: int


def read_file(path: Path) -> dict[str, Value]:
    """The variables of a file by its name's ending; CommandError when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise CommandError(f"{path}: cannot be read ({error.__class__.__name__})") from None
    return read_tfvars_json(text, str(path)) if path.suffix == ".json" else read_tfvars(text, str(path))


def read_tfvars(text: str, source: str) -> dict[str, Value]:
    """The variables of a .tfvars file in their order; CommandError names the file and the line."""
    return _Reader(text.removeprefix("\ufeff"), source).variables()


def read_tfvars_json(text: str, source: str) -> dict[str, Value]:
    """The variables of a .tfvars.json file; CommandError names the file and the line."""
    try:
        document = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=lambda pairs: _unique(pairs, source))
    except json.JSONDecodeError as error:
        raise CommandError(f"{source}, line {error.lineno}: is no JSON ({error.msg})") from None
    except RecursionError:
        raise CommandError(f"{source}: is nested too deeply") from None
    if not isinstance(document, dict):
        raise CommandError(f"{source}: must hold one JSON object")
    return {key: _json_value(value) for key, value in document.items()}


def _unique(pairs: list[tuple[str, object]], source: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise CommandError(f"{source}: {key!r} is there twice")
        found[key] = value
    return found


def _json_value(value: object) -> Value:
    if isinstance(value, str):
        return Value(value, hcl=False)
    # JSON is HCL but for templates, for what stands in a string there is only text, and for two escapes.
    text = re.sub(
        r"\\.", lambda match: _ONLY_JSON.get(match.group(), match.group()), json.dumps(value, ensure_ascii=False)
    )
    return Value(text.replace("${", "$${").replace("%{", "%%{"), hcl=True)


class _Reader:
    """One pass over a file; `_place` is the token that is looked at."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._tokens = list(self._tokenized())
        self._place = 0

    def variables(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while self._skip_newlines().kind != "end":
            name = self._take("name", "a variable's name")
            if name.text in found:
                self._fail(name, f"{name.text!r} is there twice")
            self._take("=", "'='")
            found[name.text] = self._value()
            if self._now.kind not in {"newline", "end"}:
                self._fail(
                    self._now, f"what follows the value of {name.text!r} is no literal; expressions are not read"
                )
        return found

    @property
    def _now(self) -> _Token:
        return self._tokens[self._place]

    def _value(self) -> Value:
        first = self._now
        if first.kind in {"string", "heredoc"}:
            self._place += 1
            return Value(self._unquoted(first), hcl=False)
        self._literal(0)
        last = self._tokens[self._place - 1]
        return Value(self._text[first.start : last.end], hcl=True)

    def _literal(self, depth: int) -> None:
        token = self._now
        self._place += 1
        if depth > _MAX_DEPTH:
            self._fail(token, "is nested too deeply")
        if token.kind in {"string", "heredoc"}:
            self._unquoted(token)
        elif token.kind == "[":
            self._list(depth)
        elif token.kind == "{":
            self._map(depth)
        elif token.kind != "number" and not (token.kind == "name" and token.text in _LITERALS):
            self._fail(
                token, "is no literal value; allowed: strings, numbers, true, false, null, lists and maps of them"
            )

    def _list(self, depth: int) -> None:
        while self._skip_newlines().kind != "]":
            self._literal(depth + 1)
            if self._skip_newlines().kind != "]":
                self._take(",", "',' or ']'")
        self._place += 1

    def _map(self, depth: int) -> None:
        while self._skip_newlines().kind != "}":
            if self._now.kind not in {"name", "string", "number"}:
                self._fail(self._now, "is no key of a map")
            if self._now.kind == "string":
                self._unquoted(self._now)
            self._place += 1
            if self._now.kind not in {"=", ":"}:
                self._fail(self._now, "must be '=' or ':' after a key")
            self._place += 1
            self._literal(depth + 1)
            if self._now.kind not in {",", "newline", "}"}:
                self._fail(self._now, "must be ',', a new line or '}' after a value")
            self._place += self._now.kind == ","
        self._place += 1

    def _skip_newlines(self) -> _Token:
        while self._now.kind == "newline":
            self._place += 1
        return self._now

    def _take(self, kind: str, wanted: str) -> _Token:
        if self._now.kind != kind:
            self._fail(self._now, f"must be {wanted}")
        self._place += 1
        return self._tokens[self._place - 1]

    def _unquoted(self, token: _Token) -> str:
        quoted = token.kind == "string"
        body = token.text[1:-1] if quoted else token.text

        def meant(match: re.Match[str]) -> str:
            short, long, character, doubled, template = match.groups()
            if template:
                self._fail(
                    token, f"holds a template ({template}…}}); only literals are read, {template[0]}{template} is text"
                )
            if doubled:
                return doubled[1:]
            if not quoted:
                return match.group()
            if short or long:
                return self._character(token, int(short or long, 16))
            if character not in _ESCAPES:
                self._fail(token, f"holds the unknown escape \\{character}")
            return _ESCAPES[character]

        return _ESCAPE.sub(meant, body)

    def _character(self, token: _Token, number: int) -> str:
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            self._fail(token, "holds an escape that is no character")
        return chr(number)

    def _tokenized(self) -> Iterator[_Token]:
        place, line = 0, 1
        while place < len(self._text):
            match = _TOKENS.match(self._text, place)
            if match is None:
                self._fail(_Token("", "", place, place, line), "cannot be read; only literal values are")
            kind = match.lastgroup or ""
            if match["word"]:
                yield _Token("heredoc", _heredoc(match), place, match.end(), line)
            elif kind == "mark":
                yield _Token(match.group(), match.group(), place, match.end(), line)
            elif kind != "space":
                yield _Token(kind, match.group(), place, match.end(), line)
            line += match.group().count("\n")
            place = match.end()
        yield _Token("end", "", place, place, line)

    def _fail(self, token: _Token, problem: str) -> NoReturn:
        what = {"end": "the end of the file", "newline": "the end of the line"}.get(token.kind, "")
        raise CommandError(f"{self._source}, line {token.line}: {what}{' ' if what else ''}{problem}")


def _heredoc(match: re.Match[str]) -> str:
    lines = match["body"].replace("\r\n", "\n").splitlines(keepends=True)
    if match["indented"]:
        full = [line for line in [*lines, match["end"]] if line.strip()]
        shared = min((len(line) - len(line.lstrip(" \t")) for line in full), default=0)
        lines = [line[shared:] if line.strip() else line.lstrip(" \t") for line in lines]
    return "".join(lines)
