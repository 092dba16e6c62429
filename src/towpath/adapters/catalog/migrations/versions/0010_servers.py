"""Servers have sessions too: which sessions are of processes that run work.

Revision 0010, after 0009. Those that were open before all run work.
"""

import sqlalchemy as sa
from alembic import op

from towpath.adapters.catalog.migrations import refuse_downgrade

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the change."""
    op.add_column(
        "sessions", sa.Column("works", sa.Boolean(), nullable=False, server_default=sa.text("true"))
    )


def downgrade() -> None:
    """Never."""
    refuse_downgrade()
