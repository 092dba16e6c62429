"""${message}.

Revision ${up_revision}, after ${down_revision}. Keep a dump of it: python tests/migrations/dump.py
"""

import sqlalchemy as sa
from alembic import op

from towpath.adapters.catalog.migrations import refuse_downgrade
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Make the change."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Never."""
    refuse_downgrade()
