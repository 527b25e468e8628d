"""A whole run in process mode beside bare terraform doing the same: init and plan, init and apply."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

from bench.stage import THREE_RESOURCES, Stage, environment_of_terraform
from bench.table import Row, median


class RunBesideBareTerraform:
    """Each round measures one run and one bare sequence, one after the other."""

    name = "run"

    def __init__(self) -> None:
        self._stage = Stage()
        self._runs: list[float] = []
        self._bare: list[float] = []
        self._beyond: list[float] = []

    def __enter__(self) -> Self:
        self._stage.__enter__()
        self._stage.run_to_its_end(self._stage.workspace("warm", THREE_RESOURCES))
        self._bare_terraform(self._stage.directory / "bare-warm")
        return self

    def __exit__(self, *_: object) -> None:
        self._stage.__exit__()

    def round(self) -> None:
        number = len(self._runs)
        workspace = self._stage.workspace(f"round-{number}", THREE_RESOURCES)
        directory = self._stage.directory / f"bare-{number}"
        if number % 2:  # who comes first changes, so that neither always profits
            bare = self._bare_terraform(directory)
            _, run = self._stage.run_to_its_end(workspace)
        else:
            _, run = self._stage.run_to_its_end(workspace)
            bare = self._bare_terraform(directory)
        self._runs.append(run * 1000)
        self._bare.append(bare * 1000)
        self._beyond.append((run - bare) * 1000)

    def rows(self) -> list[Row]:
        ratio = median(self._runs) / median(self._bare)
        return [
            Row(figure="bare terraform: init+plan, init+apply, 3 terraform_data", value=median(self._bare), unit="ms"),
            Row(
                figure="Podform, process mode: run created -> applied",
                value=median(self._runs),
                unit="ms",
                note=f"{ratio:.2f} x bare",
            ),
            Row(
                figure="time beyond bare terraform (median of the rounds' differences)",
                value=median(self._beyond),
                unit="ms",
                bar=500,
                aim=300,
                note=f"from {min(self._beyond):.0f} to {max(self._beyond):.0f} ms",
            ),
        ]

    def _bare_terraform(self, directory: Path) -> float:
        """Seconds of the four commands on a local backend; the second init is a fresh one, as in an apply step."""
        configuration, state = directory / "config", directory / "state" / "terraform.tfstate"
        for path in (configuration, state.parent):
            path.mkdir(parents=True)
        for name, text in THREE_RESOURCES.items():
            (configuration / name).write_text(text)
        backend = f'terraform {{\n  backend "local" {{\n    path = "{state}"\n  }}\n}}\n'
        (configuration / "backend.tf").write_text(backend)
        environment = environment_of_terraform(directory / "home")
        plan_file = str(directory / "tfplan")
        seconds = 0.0
        for commands in (
            (["init"], ["plan", "-lock=false", f"-out={plan_file}"]),
            (["init"], ["apply", "-lock=false", plan_file]),
        ):
            shutil.rmtree(configuration / ".terraform", ignore_errors=True)
            begun = time.perf_counter()
            for command, *options in commands:
                subprocess.run(
                    ["terraform", command, "-input=false", "-no-color", *options],
                    cwd=configuration,
                    env=environment,
                    check=True,
                    capture_output=True,
                )
            seconds += time.perf_counter() - begun
        return seconds
