"""`podform restore`: a data directory out of a back-up."""

from pathlib import Path
from typing import Annotated

import typer

from cli.api_process import become_api
from cli.options import single

app = single()


@app.command()
def restore(
    data_dir: Annotated[Path, typer.Option(file_okay=False, help="The data directory to make; missing or empty.")],
    input_: Annotated[
        Path | None, typer.Option("--input", exists=True, dir_okay=False, help="What podform backup wrote.")
    ] = None,
    settle: Annotated[
        bool, typer.Option("--settle", help="The stores of the settings were put back otherwise: check and end only.")
    ] = False,
    master_key_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The master key; else from the API's settings.")
    ] = None,
) -> None:
    """Restore a back-up, check every state in it, and end the runs that had not ended.

    Workspaces that such a run may have changed after the back-up are locked until a person has looked.
    """
    words = ("restore", "--settle") if settle else ("restore",)
    become_api(*words, options={"--data-dir": data_dir, "--input": input_, "--master-key-file": master_key_file})
