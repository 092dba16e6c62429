"""Products that are let go: when each is to be looked at, and the states `shed`, `spent` and `wanted` in the indexes.

Revision 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

from towpath.adapters.catalog.migrations import refuse_downgrade

revision = "0005"
down_revision = "0004"

_NAMES = ("item_id", "queue_id", "output", "part")
_LIVE = "(state = 'current' OR state = 'missing' OR state = 'changed' OR state = 'shed' OR state = 'spent' OR state = 'wanted')"
_BAD = "state IN ('missing', 'changed', 'wanted')"


def upgrade() -> None:
    """Make the change."""
    op.add_column("products", sa.Column("look", sa.Float()))
    op.drop_index("products_current", table_name="products")
    op.drop_index("products_bad", table_name="products")
    _index("products_current", *_NAMES, where=_LIVE, unique=True)
    _index("products_bad", "item_id", where=_BAD)
    _index("products_look", "look", where="look IS NOT NULL")
    _index("products_shed", "left_at", where="state = 'shed'")


def _index(name: str, *columns: str, where: str, unique: bool = False) -> None:
    op.create_index(
        name, "products", columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )


def downgrade() -> None:
    """Never."""
    refuse_downgrade()
