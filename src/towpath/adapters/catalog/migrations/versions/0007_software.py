"""Runs tell what software their process had loaded.

Revision 0007, after 0006. Of runs that ended before, it is not known.
"""

import sqlalchemy as sa
from alembic import op

from towpath.adapters.catalog.migrations import refuse_downgrade

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the change."""
    op.add_column("runs", sa.Column("software", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))


def downgrade() -> None:
    """Never."""
    refuse_downgrade()
