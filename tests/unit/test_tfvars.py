"""Reading .tfvars and .tfvars.json: a table of cases, and terraform's own reading of the same text."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.tfvars import Value, read_tfvars, read_tfvars_json


def _text(text: str) -> Value:
    return Value(text, hcl=False)


def _hcl(text: str) -> Value:
    return Value(text, hcl=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("\ufeff# only a comment", {}),
        ('a = "x"\nb="y"', {"a": _text("x"), "b": _text("y")}),
        ('a = "x" # said\n// more\n/* and\nmore */ b = 1', {"a": _text("x"), "b": _hcl("1")}),
        ('a = "é\\u00fc\\U0001F600 \\"q\\" \\\\ \\t\\n"', {"a": _text('éü😀 "q" \\ \t\n')}),
        ('größe = "ß"', {"größe": _text("ß")}),
        ('a = "$${kept} %%{kept} $5 50%"', {"a": _text("${kept} %{kept} $5 50%")}),
        ("a = true\nb = null\nc = -1.5e3", {"a": _hcl("true"), "b": _hcl("null"), "c": _hcl("-1.5e3")}),
        ('a = [1, "b", [true],]', {"a": _hcl('[1, "b", [true],]')}),
        ("a = [\n  1, # one\n  2\n]\nb = []", {"a": _hcl("[\n  1, # one\n  2\n]"), "b": _hcl("[]")}),
        ('a = { x = 1, "y z" : "2", 3 = {} }', {"a": _hcl('{ x = 1, "y z" : "2", 3 = {} }')}),
        ("a = {\n  x = 1\n\n  y = [1]\n}", {"a": _hcl("{\n  x = 1\n\n  y = [1]\n}")}),
        ("a = <<EOT\none\n  two\nEOT\nb = 1", {"a": _text("one\n  two\n"), "b": _hcl("1")}),
        ("a = <<-EOT\n    one\n      two\n    EOT\n", {"a": _text("one\n  two\n")}),
        ("a = <<EOT\nEOT", {"a": _text("")}),
        ("a = <<EOT\nEOTX\n$${x} \\n\nEOT", {"a": _text("EOTX\n${x} \\n\n")}),
        ('a = "x"\r\nb = 2\r\n', {"a": _text("x"), "b": _hcl("2")}),
    ],
)
def test_literals_are_read(text: str, expected: dict[str, Value]) -> None:
    """Strings lose their quotes, everything else stays as it was written."""
    assert read_tfvars(text, "x.tfvars") == expected


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('a = 1\nb = "hunter2 ${var.x}"', 2, "template"),
        ('a = "%{ if true }hunter2%{ endif }"', 1, "template"),
        ("a = <<EOT\nhunter2 ${x}\nEOT", 1, "template"),
        ("\n\na = var.hunter2", 3, "literal"),
        ("a = upper(hunter2)", 1, "literal"),
        ("a = 1 + 2", 1, "cannot be read"),
        ("a = [for x in hunter2 : x]", 1, "literal"),
        ('a = "hunter2', 1, "cannot be read"),
        ("a = <<EOT\nhunter2", 1, "cannot be read"),
        ("a = [1 2]", 1, "',' or ']'"),
        ("a = [1,", 1, "literal"),
        ("a = {x = 1 y = 2}", 1, "','"),
        ("a = {[1] = 2}", 1, "key"),
        ("a = {x 2}", 1, "'=' or ':'"),
        ("a = 1 b = 2", 1, "expressions"),
        ("a 1", 1, "'='"),
        ('"a" = 1', 1, "name"),
        ("a = 1\na = 2", 2, "twice"),
        ('a = "\\q"', 1, "escape"),
        ('a = "\\ud800"', 1, "escape"),
        ("a =", 1, "the end of the file"),
        ("a = \n1", 1, "the end of the line"),
        ("a = " + "[" * 5000, 1, "deeply"),
        ("a = 12x", 1, "cannot be read"),
    ],
)
def test_what_is_no_literal_is_refused_with_its_line(text: str, line: int, problem: str) -> None:
    """The message names file, line and problem, and no value."""
    with pytest.raises(CommandError) as caught:
        read_tfvars(text, "x.tfvars")
    said = str(caught.value)
    assert said.startswith(f"x.tfvars, line {line}: "), said
    assert problem in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": "x ${y}", "b": 1, "c": null}', {"a": _text("x ${y}"), "b": _hcl("1"), "c": _hcl("null")}),
        ('{"a": {"k": ["é", true]}}', {"a": _hcl('{"k": ["é", true]}')}),
        ('{"a": ["\\b\\f\\\\b"]}', {"a": _hcl('["\\u0008\\u000c\\\\b"]')}),
        ('{"a": ["${x}"]}', {"a": _hcl('["$${x}"]')}),
    ],
)
def test_json_is_read(text: str, expected: dict[str, Value]) -> None:
    """JSON strings are text; what is nested becomes an HCL literal that means the same."""
    assert read_tfvars_json(text, "x.tfvars.json") == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [("[1]", "object"), ('{"a": 1,}', "line 1"), ('{"a": 1, "a": 2}', "twice"), ("[" * 100_000, "deeply")],
)
def test_json_that_is_wrong_is_refused(text: str, problem: str) -> None:
    """What is no JSON object with each name once is refused by the file's name."""
    with pytest.raises(CommandError, match=r"^x\.tfvars\.json") as caught:
        read_tfvars_json(text, "x.tfvars.json")
    assert problem in str(caught.value)


@pytest.mark.terraform
def test_terraform_reads_the_same(tmp_path: Path, terraform: str) -> None:
    """terraform's own reader gives each value of a file what ours gives."""
    text = (
        'a = "é\\u00fc $${k} %%{k} \\"q\\""\nb = <<-EOT\n    one\n\n      two \\n $${x}\n    EOT\n'
        'c = [1, "b", { x = true, "y z" : null }]\nd = -1.5e3\ne = <<EOT\nEOT\n'
    )
    ours = read_tfvars(text, "x.tfvars")
    (tmp_path / "main.tf").write_text("".join(f'variable "{name}" {{ type = any }}\n' for name in ours))
    (tmp_path / "x.tfvars").write_text(text)
    expression = f"jsonencode([{', '.join(f'var.{name}' for name in ours)}])"
    command = [shutil.which("terraform") or terraform, "console", "-var-file=x.tfvars"]
    theirs = subprocess.run(command, cwd=tmp_path, input=expression, capture_output=True, text=True, check=True)
    again = [
        value.text if value.hcl else json.dumps(value.text).replace("${", "$${").replace("%{", "%%{")
        for value in ours.values()
    ]
    command = command[:2]
    mine = subprocess.run(
        command, cwd=tmp_path, input=f"jsonencode([{', '.join(again)}])", capture_output=True, text=True, check=True
    )
    assert mine.stdout == theirs.stdout
