"""Brings a database to the newest revision. Called once at start, inside one transaction."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

#: The newest revision: a database that is there already needs no Alembic, which keeps the start fast.
HEAD = "0014"
_HERE = Path(__file__).parent


def to_head(connection: Connection) -> None:
    """Apply what is missing."""
    if inspect(connection).has_table("alembic_version"):
        at = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if at == HEAD:
            return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
