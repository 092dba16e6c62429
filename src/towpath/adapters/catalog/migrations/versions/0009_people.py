"""Tokens of people, what they follow and are told, and the answers to what they asked for once.

Revision 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

from towpath.adapters.catalog.migrations import refuse_downgrade

revision = "0009"
down_revision = "0008"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "tokens",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("grants", _TEXT, nullable=False),
        sa.Column("parent", _NUMBER, nullable=False),
        sa.Column("made_by", _TEXT, nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("expires", sa.Float()),
        sa.Column("revoked", sa.Float()),
        sa.Column("seen", sa.Float()),
    )
    op.create_index("tokens_parent", "tokens", ["parent"])
    op.create_table(
        "subscriptions",
        sa.Column("who", _TEXT, nullable=False),
        sa.Column("item_id", _NUMBER, nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("who", "item_id"),
    )
    op.create_index("subscriptions_item", "subscriptions", ["item_id"])
    op.create_table(
        "notices",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("who", _TEXT, nullable=False),
        sa.Column("event", _NUMBER, nullable=False),
        sa.Column("item_id", _NUMBER, nullable=False),
        sa.Column("title", _TEXT, nullable=False),
        sa.Column("body", _TEXT, nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.Column("read", sa.Float()),
    )
    op.create_index("notices_who", "notices", ["who", "id"])
    unread = sa.text("read IS NULL")
    op.create_index("notices_unread", "notices", ["who", "id"], sqlite_where=unread, postgresql_where=unread)
    op.create_table(
        "answers",
        sa.Column("who", _TEXT, nullable=False),
        sa.Column("key", _TEXT, nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", _TEXT, nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("who", "key"),
    )
    op.create_index("answers_time", "answers", ["time"])


def downgrade() -> None:
    """Never."""
    refuse_downgrade()
