"""Indexes for what is asked of a large site: work by state, how much there is of it, and what is out of date.

Revision 0004, after 0003. Work remembers the fixed part of the key that made what is current.
"""

import sqlalchemy as sa
from alembic import op

from towpath.adapters.catalog.migrations import refuse_downgrade

revision = "0004"
down_revision = "0003"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CLAIM = ("due", "id", "state", "item_id", "subject")
_ACTIVE = "state IN ('ready', 'running')"
_AT_REST = "state <> 'ready' AND state <> 'running' AND subject = ''"
_NAMED = "subject <> '' AND item_id > 0"
_REMEMBER = """
UPDATE work SET done_part = r.part_id FROM runs r
WHERE r.work_id = work.id AND r.token = work.done_token AND work.done_token > 0 AND r.part_id IS NOT NULL
"""


def upgrade() -> None:
    """Make the change."""
    op.add_column("work", sa.Column("done_part", _NUMBER, server_default="0", nullable=False))
    op.execute(_REMEMBER)
    op.drop_index("work_claim", table_name="work")
    _index("work_claim", "queue_id", sa.text("priority DESC"), *_CLAIM, where=_ACTIVE)
    _index("work_at_rest", "queue_id", "state", "done_part", "item_id", where=_AT_REST)
    _index("work_named", "queue_id", "state", "item_id", where=_NAMED)
    op.create_index("publications_state", "publications", ["state"])


def _index(name: str, *columns: str | sa.TextClause, where: str) -> None:
    op.create_index(name, "work", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    """Never."""
    refuse_downgrade()
