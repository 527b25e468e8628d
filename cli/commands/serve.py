"""`podform serve`: this process becomes the API."""

from pathlib import Path
from typing import Annotated

import typer

from cli.api_process import become_api
from cli.options import single

app = single()


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(file_okay=False, help="Where everything is kept.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    settings: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A settings file (appsettings.json).")
    ] = None,
) -> None:
    """Serve the API on this machine: this process becomes the server, until Ctrl-C.

    What is not given comes from the API's settings (docs/reference/settings.md).
    """
    become_api(options={"--port": port, "--data-dir": data_dir, "--host": host, "--settings": settings})
