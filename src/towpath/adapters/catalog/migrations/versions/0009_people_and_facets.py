"""Tokens, subscriptions, notices and answers; what items are found by.

Revision 0009, after 0008. What `facets` holds is nothing of its own: the module that builds it may build it anew.
"""

import sqlalchemy as sa
from alembic import op

from towpath.adapters.catalog import facets
from towpath.adapters.catalog.migrations import refuse_downgrade

revision = "0009"
down_revision = "0008"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_LENGTH = (
    "(CASE WHEN ends - begins <= 1 THEN 1 WHEN ends - begins <= 10 THEN 10 WHEN ends - begins <= 100 THEN 100 "
    "WHEN ends - begins <= 1000 THEN 1000 WHEN ends - begins <= 10000 THEN 10000 WHEN ends - begins <= 100000 THEN 100000 "
    "WHEN ends - begins <= 1000000 THEN 1000000 WHEN ends - begins <= 10000000 THEN 10000000 ELSE 0 END)"
)


def upgrade() -> None:
    """Make the change."""
    _people()
    _messages()
    op.create_table(
        "facets",
        sa.Column("digest", sa.BigInteger(), nullable=False),
        sa.Column("item_id", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("digest", "item_id", name="facets_row"),
        sqlite_with_rowid=False,
    )
    facets.build(op.get_bind())
    op.create_index("items_kind", "items", ["pipeline", "kind", "id"])
    there = sa.text("begins IS NOT NULL")
    op.create_index(
        "items_span",
        "items",
        [sa.text(_LENGTH), "begins", "ends"],
        sqlite_where=there,
        postgresql_where=there,
    )
    op.create_index("milestones_name", "milestones", ["name", "item_id"])


def _people() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("grants", _TEXT, nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("expires", sa.Float()),
        sa.Column("revoked", sa.Float()),
        sa.Column("seen", sa.Float()),
        sa.Column("parent", _NUMBER, nullable=False),
        sa.Column("author", _TEXT, nullable=False),
    )
    begun = sa.text("parent > 0")
    op.create_index("tokens_parent", "tokens", ["parent"], sqlite_where=begun, postgresql_where=begun)
    op.create_table(
        "subscriptions",
        sa.Column("item_id", _NUMBER, nullable=False),
        sa.Column("who", _TEXT, nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", "who", name="subscriptions_pair"),
        sqlite_with_rowid=False,
    )
    op.create_index("subscriptions_who", "subscriptions", ["who", "item_id"])


def _messages() -> None:
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
    news = sa.text('"read" IS NULL')
    op.create_index("notices_unread", "notices", ["who", "id"], sqlite_where=news, postgresql_where=news)
    op.create_table(
        "answers",
        sa.Column("who", _TEXT, nullable=False),
        sa.Column("key", _TEXT, nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("time", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("who", "key", name="answers_row"),
    )
    op.create_index("answers_time", "answers", ["time"])


def downgrade() -> None:
    """Never."""
    refuse_downgrade()
