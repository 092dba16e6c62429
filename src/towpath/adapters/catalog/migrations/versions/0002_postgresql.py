"""What PostgreSQL can promise by itself: texts compared byte for byte, no two calibrations in force that overlap.

Revision 0002, after 0001.
"""

import logging

import sqlalchemy as sa
from alembic import op

from towpath.adapters.catalog.migrations import refuse_downgrade

revision = "0002"
down_revision = "0001"
log = logging.getLogger(__name__)

_TEXTS = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = current_schema() AND data_type = 'text' ORDER BY table_name, ordinal_position
"""
_OVERLAP = """
CREATE TYPE validity AS RANGE (subtype = float8, subtype_diff = float8mi);
ALTER TABLE calibrations ADD CONSTRAINT calibrations_overlap
    EXCLUDE USING gist (kind WITH =, selector WITH =, validity(begins, ends) WITH &&) WHERE (state = 'certified')
"""
# Rows of work are changed a few times and then rest, and one counter is changed by everybody.
_UPKEEP = """
ALTER TABLE work SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE counters SET (fillfactor = 50)
"""


def upgrade() -> None:
    """Make the change."""
    if op.get_bind().dialect.name != "postgresql":
        return
    _compare_bytes()
    op.execute(_UPKEEP)
    _refuse_overlaps()


def _compare_bytes() -> None:
    """As SQLite does, and independent of the system's locale, which may change under a database."""
    quote = op.get_bind().dialect.identifier_preparer.quote
    columns: dict[str, list[str]] = {}
    for table, column in op.get_bind().execute(sa.text(_TEXTS)):
        columns.setdefault(table, []).append(f'ALTER COLUMN {quote(column)} TYPE text COLLATE "C"')
    columns.pop("alembic_version", None)
    for table, changes in columns.items():
        op.execute(f"ALTER TABLE {quote(table)} {', '.join(changes)}")


def _refuse_overlaps() -> None:
    """Needs the extension btree_gist. Without it, certifying still looks for overlaps, alone in its transaction."""
    try:
        with op.get_bind().begin_nested():
            op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist SCHEMA public")
    except sa.exc.DBAPIError as error:
        log.warning(
            "the extension btree_gist cannot be had (%s): that calibrations do not overlap is looked for when one is "
            "certified, and not refused by a constraint as well",
            str(error.orig).splitlines()[0],
        )
        return
    op.execute(_OVERLAP)


def downgrade() -> None:
    """Never."""
    refuse_downgrade()
