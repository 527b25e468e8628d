"""`podform backup`: everything of a data directory in one file."""

from pathlib import Path
from typing import Annotated

import typer

from cli.api_process import become_api
from cli.options import single

app = single()


@app.command()
def backup(
    data_dir: Annotated[Path, typer.Option(exists=True, file_okay=False, help="The data directory of the API.")],
    output: Annotated[Path, typer.Option(dir_okay=False, help="The file to write; it must not exist.")],
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Put the keys in too: the file then opens itself.")
    ] = False,
) -> None:
    """Back up the data directory of an API on SQLite, while it serves or not.

    The master key is not in the file unless asked for; without it nothing in the file can be read.
    """
    words = ("backup", "--with-keys") if with_keys else ("backup",)
    become_api(*words, options={"--data-dir": data_dir, "--output": output})
