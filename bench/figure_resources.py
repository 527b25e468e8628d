"""Many resources: an apply whose state is shipped while it works, beside bare terraform on its local backend.

Process mode, the real executor, the real terraform: 1,000 new resources, and 20 changes among 5,000.
"""

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from bench.stage import Stage, environment_of_terraform
from bench.table import Row, median

NEW = 1_000
MANY = 5_000
CHANGED = 20


def configuration(count: int, changed: int = 0, word: str = "") -> dict[str, str]:
    """So many terraform_data, the first few of which have a word in their input."""
    value = f'count.index < {changed} ? "value ${{count.index}} {word}" : "value ${{count.index}}"'
    return {"main.tf": f'resource "terraform_data" "many" {{\n  count = {count}\n  input = {value}\n}}\n'}


class ManyResources:
    """Each round: 1,000 new resources, then 20 changes among 5,000; Podform and bare terraform, in turn first."""

    name = "resources"

    def __init__(self) -> None:
        self._stage = Stage()
        self._rounds = 0
        self._whole: dict[str, list[float]] = {}
        self._apply: dict[str, list[float]] = {}

    def __enter__(self) -> Self:
        self._stage.__enter__()
        files = configuration(MANY)
        self._workspace = self._stage.workspace("many", files)
        self._podform(self._workspace)
        self._bare_many = self._directory("bare-many", files)
        self._bare(self._bare_many)
        return self

    def __exit__(self, *_: object) -> None:
        self._stage.__exit__()

    def round(self) -> None:
        self._rounds += 1
        new = configuration(NEW)
        workspace = self._stage.workspace(f"new-{self._rounds}", new)
        self._both("new", workspace, self._directory(f"bare-new-{self._rounds}", new))
        changed = configuration(MANY, CHANGED, f"round {self._rounds}")
        self._stage.client.upload(self._workspace, changed, self._stage.directory / f"change-{self._rounds}")
        (self._bare_many / "config" / "main.tf").write_text(changed["main.tf"])
        self._both("changed", self._workspace, self._bare_many)

    def rows(self) -> list[Row]:
        about = {"new": f"{NEW:,} new resources", "changed": f"{CHANGED} changes among {MANY:,} resources"}
        return [
            Row(
                figure=f"{text}: the run, shipped state, against bare init+plan, init+apply",
                value=median(self._whole[f"{name} podform"]) / median(self._whole[f"{name} bare"]),
                unit="x",
                bar=1.1,
                note=f"{median(self._whole[f'{name} podform']):.2f} s and {median(self._whole[f'{name} bare']):.2f} s; "
                f"the apply alone {median(self._apply[f'{name} podform']):.2f} s and "
                f"{median(self._apply[f'{name} bare']):.2f} s",
            )
            for name, text in about.items()
        ]

    def _both(self, name: str, workspace: str, directory: Path) -> None:
        for who in ("podform", "bare") if self._rounds % 2 else ("bare", "podform"):
            whole, apply = self._podform(workspace) if who == "podform" else self._bare(directory)
            self._whole.setdefault(f"{name} {who}", []).append(whole)
            self._apply.setdefault(f"{name} {who}", []).append(apply)

    def _podform(self, workspace: str) -> tuple[float, float]:
        """Seconds from the request to `applied`, and those that the executor measured for its apply."""
        run, whole = self._stage.run_to_its_end(workspace)
        return whole, float(self._stage.client.steps(run)[1]["timings"]["apply"])

    def _directory(self, name: str, files: dict[str, str]) -> Path:
        directory = self._stage.directory / name
        (directory / "config").mkdir(parents=True)
        for file, text in files.items():
            (directory / "config" / file).write_text(text)
        backend = f'terraform {{\n  backend "local" {{\n    path = "{directory / "state.tfstate"}"\n  }}\n}}\n'
        (directory / "config" / "backend.tf").write_text(backend)
        return directory

    def _bare(self, directory: Path) -> tuple[float, float]:
        """Seconds of the four commands, and those of the apply."""
        plan_file = str(directory / "tfplan")
        plan = [["init"], ["plan", "-lock=false", f"-out={plan_file}"]]
        seconds = self._commands(directory, plan)
        seconds += self._commands(directory, [["init"]])
        applied = self._commands(directory, [["apply", "-lock=false", plan_file]], fresh=False)
        return seconds + applied, applied

    @staticmethod
    def _commands(directory: Path, commands: Sequence[Sequence[str]], *, fresh: bool = True) -> float:
        configuration_directory = directory / "config"
        if fresh:
            shutil.rmtree(configuration_directory / ".terraform", ignore_errors=True)
        environment = environment_of_terraform(directory / "home")
        begun = time.perf_counter()
        for command, *options in commands:
            subprocess.run(
                ["terraform", command, "-input=false", "-no-color", *options],
                cwd=configuration_directory,
                env=environment,
                check=True,
                capture_output=True,
            )
        return time.perf_counter() - begun
