"""Migrations of the catalog, inside the package: an installed towpath migrates its own sites.

`upgrade` brings a catalog to `HEAD`. It never goes back: restore a backup instead.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from towpath.base.errors import SiteError

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "0010"


def upgrade(connection: "Connection") -> None:
    """Bring the catalog of an open connection to the newest revision, in the connection's transaction."""
    from alembic import command  # optional: slow to import, and only needed when something is to migrate

    command.upgrade(config(connection), "head")


def refuse_downgrade() -> NoReturn:
    """What every script says to a downgrade."""
    raise SiteError(
        "the catalog is never brought back to an older revision: it would lose rows; `towpath db restore FILE` restores "
        "a backup that was made before the upgrade"
    )


def is_table(name: str | None, kind: str, _parents: object = None) -> bool:
    """Whether alembic shall compare this with the tables of `schema`: the indexes on places are none of them."""
    return kind != "table" or not str(name).startswith(("footprints", "feature_places"))


def config(connection: "Connection | None" = None) -> Any:
    """Alembic's configuration for the scripts of this package."""
    from alembic.config import Config  # optional: see `upgrade`

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent))
    settings.attributes["connection"] = connection
    return settings
