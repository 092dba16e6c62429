"""Alembic's entry: runs the scripts on the connection it is given."""

from alembic import context

from towpath.adapters.catalog.migrations import is_table
from towpath.adapters.catalog.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    include_name=is_table,
)
with context.begin_transaction():
    context.run_migrations()
