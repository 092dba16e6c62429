"""Point results of runs, and an index on their places.

Revision 0006, after 0004. What the index holds is nothing of its own: the module that builds it may build it anew.
"""

import sqlalchemy as sa
from alembic import op

from towpath.adapters.catalog import features
from towpath.adapters.catalog.migrations import refuse_downgrade

revision = "0006"
down_revision = "0005"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the change."""
    places = [sa.Column(name, sa.Float(), nullable=False) for name in ("lon", "lat", "x", "y", "z")]
    op.create_table(
        "features",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("item_id", _NUMBER, nullable=False),
        sa.Column("queue_id", _NUMBER, nullable=False),
        sa.Column("work_id", _NUMBER, nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("frame", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        *places,
        sa.Column("time", sa.Float()),
        sa.Column("properties", _TEXT),
    )
    op.create_index("features_item", "features", ["item_id", "work_id"])
    op.create_index("features_kind", "features", ["kind", "id"])
    op.create_index("features_queue", "features", ["queue_id", "id"])
    features.build(op.get_bind())


def downgrade() -> None:
    """Never."""
    refuse_downgrade()
