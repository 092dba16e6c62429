"""An index on items' footprints.

Revision 0003, after 0002. What it builds holds nothing of its own: the module that builds it may build it anew.
"""

from alembic import op

from towpath.adapters.catalog import footprints
from towpath.adapters.catalog.migrations import refuse_downgrade

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the change."""
    footprints.build(op.get_bind())


def downgrade() -> None:
    """Never."""
    refuse_downgrade()
