"""Orders to people, and what they delivered.

Revision 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op

from towpath.adapters.catalog.migrations import refuse_downgrade

revision = "0008"
down_revision = "0007"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "orders",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("work_id", _NUMBER, nullable=False),
        sa.Column("item_id", _NUMBER, nullable=False),
        sa.Column("queue_id", _NUMBER, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("title", _TEXT, nullable=False),
        sa.Column("body", _TEXT, nullable=False),
        sa.Column("who", _TEXT, nullable=False),
        sa.Column("why", _TEXT, nullable=False),
        sa.Column("due", sa.Float()),
        sa.Column("opened", sa.Float(), nullable=False),
        sa.Column("changed", sa.Float(), nullable=False),
    )
    op.create_index("orders_work", "orders", ["work_id"])
    op.create_index("orders_item", "orders", ["item_id"])
    stands = sa.text("state NOT IN ('accepted', 'closed', 'cancelled')")
    op.create_index("orders_standing", "orders", ["id"], sqlite_where=stands, postgresql_where=stands)
    op.create_table(
        "deliveries",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("order_id", _NUMBER, nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("who", _TEXT, nullable=False),
        sa.Column("place", _TEXT, nullable=False),
        sa.Column("reasons", _TEXT, nullable=False),
        sa.Column("manifest", _TEXT, nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.UniqueConstraint("order_id", "sha256", name="deliveries_manifest"),
    )


def downgrade() -> None:
    """Never."""
    refuse_downgrade()
