"""Alembic's entry point: runs on the connection that upgrade.py hands over."""

from alembic import context

from api.persistence.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
