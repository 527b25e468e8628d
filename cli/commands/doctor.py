"""`podform doctor`: what works, what does not, and what to do."""

import time
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any

import typer

from cli import options, target
from cli.console import print_json, printable, write_out
from cli.errors import ApiRefusedError, CommandError
from cli.exit_codes import ExitCode

app = options.single()

#: The Date header counts whole seconds, and the answer has been under way.
_SKEW_SECONDS = 5.0
_MARKS = {"ok": "ok     ", "warning": "warning", "failed": "FAILED "}


@app.command()
def doctor(as_json: options.ListAsJson = False) -> None:
    """Ask every part of the installation whether it works, and say what to do.

    Works without an API too. Exit code 0 with warnings at most, 8 when something failed, 6 when the API cannot be
    reached. The inside of the API is shown to an admin's token alone.
    """
    findings, code = _examined()
    if any(each["status"] == "failed" for each in findings) and code is ExitCode.OK:
        code = ExitCode.UNHEALTHY
    if as_json:
        print_json(findings)
    else:
        write_out("".join(line(each) for each in findings).encode())
    raise typer.Exit(code)


def line(found: dict[str, Any]) -> str:
    """A finding for people: a line, and what to do on the next one."""
    text = f"{_MARKS.get(found['status'], found['status'])}  {found['name']}: {found['message']}"
    advice = f"\n         -> {found['advice']}" if found["advice"] else ""
    return printable(text + advice) + "\n"


def skew(date: str, sent_at: float, answered_at: float) -> dict[str, Any]:
    """What the Date header of an answer says about the two clocks."""
    try:
        there = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return _finding("clock", "warning", "the answer has no date", "something between here and the API drops it")
    off = max(sent_at - 1 - there, there - answered_at, 0)
    if off > _SKEW_SECONDS:
        advice = "set both machines' clocks by NTP: tokens expire and logs are dated by them"
        return _finding("clock", "failed", f"the API's clock and this one differ by {off:.0f} s", advice)
    return _finding("clock", "ok", "the API's and this one agree")


def mirror(found: dict[str, Any]) -> dict[str, Any]:
    """What the API says about a release mirror; where none is set, only engines that are there already can be used."""
    name = f"mirror of {found['name']}"
    if found["problem"]:
        return _finding(name, "failed", str(found["problem"]))
    if found["reachable"] is None:
        return _finding(name, "ok", "none is set")
    return _finding(name, "ok", f"{found['url']} has {found['versions']} versions")


def _examined() -> tuple[list[dict[str, Any]], ExitCode]:
    try:
        chosen = target.settings()
    except CommandError as error:
        return [_finding("settings", "failed", str(error), "podform login, or set PODFORM_URL and PODFORM_TOKEN")], (
            error.exit_code
        )
    findings = [_finding("settings", "ok", f"the API is {chosen.url}")]
    with target.connected(chosen, patience_seconds=0) as api:
        sent_at = time.time()
        try:
            report, date = api.doctor()
            answered_at, mirrors = time.time(), api.engines()["mirrors"]
        except ApiRefusedError as error:
            return [*findings, _refused(error)], ExitCode.OK if error.status == 404 else error.exit_code
        except CommandError as error:
            advice = "is it running (podform serve), is PODFORM_URL right, does a proxy or firewall stand between?"
            return [*findings, _finding("API", "failed", str(error), advice)], error.exit_code
    findings += [_finding("API", "ok", "answers"), skew(date, sent_at, answered_at), _versions(report["version"])]
    return [*findings, *report["findings"], *map(mirror, mirrors)], ExitCode.OK


def _refused(error: ApiRefusedError) -> dict[str, Any]:
    if error.status == 404:
        return _finding("API", "warning", "answers, but not to this token", "an admin's token sees the inside too")
    advice = "give another token: podform login" if error.status == 401 else "the API's log says more"
    return _finding("API", "failed", str(error), advice)


def _versions(theirs: str) -> dict[str, Any]:
    ours = version("podform")
    if ours == theirs:
        return _finding("version", "ok", ours)
    return _finding("version", "warning", f"the API is {theirs}, this podform {ours}", "install the API's version here")


def _finding(name: str, status: str, message: str, advice: str = "") -> dict[str, Any]:
    return {"name": name, "status": status, "message": message, "advice": advice}
