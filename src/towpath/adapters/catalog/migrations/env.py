"""Alembic's entry: runs the scripts on the connection it is given."""

from alembic import context

from towpath.adapters.catalog.migrations import is_table
from towpath.adapters.catalog.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,
    include_name=is_table,
    # On PostgreSQL the site's schema, whatever else is in the search path; SQLite has one without a name.
    version_table_schema=connection.dialect.default_schema_name
    if connection.dialect.name != "sqlite"
    else None,
)
with context.begin_transaction():
    context.run_migrations()
