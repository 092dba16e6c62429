"""Catalogs by their URL: which adapter stands behind the setting `site.catalog`.

Promises that an older catalog is brought to the present form before it is used, and that PostgreSQL's library is needed
only by those who name it.
"""

from pathlib import Path
from types import ModuleType

from towpath.adapters.catalog import sqlite
from towpath.app.settings import Settings
from towpath.base.errors import SiteError
from towpath.contracts.catalog import LoadedCatalog

_POSTGRES = ("postgresql", "postgres")


def file_of(settings: Settings) -> Path | None:
    """The catalog's file, None where it is in a database."""
    scheme, _, file = settings.catalog_url.partition("://")
    return Path(file[1:]) if scheme == "sqlite" and file.startswith("/") else None


def revision(settings: Settings) -> str:
    """The revision of the catalog's tables, "" where there are none."""
    file = file_of(settings)
    if file is not None:
        return sqlite.revision(file)
    return str(_postgres(settings).revision(settings.catalog_url, schema=settings.site.catalog_schema))


def open_catalog(settings: Settings) -> LoadedCatalog:
    """The catalog that the settings name, made or migrated if need be.

    Raises
    ------
    SiteError
        If it cannot be opened; it says why.
    """
    file = file_of(settings)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        sqlite.migrate(file)
        return sqlite.SqliteCatalog(file, durability=settings.site.durability)
    url, schema, postgres = settings.catalog_url, settings.site.catalog_schema, _postgres(settings)
    postgres.migrate(url, schema=schema)
    opened: LoadedCatalog = postgres.PostgresCatalog(url, schema=schema)
    return opened


def _postgres(settings: Settings) -> ModuleType:
    scheme = settings.catalog_url.partition(":")[0]
    if scheme not in _POSTGRES:
        raise SiteError(
            f"site.catalog: found {scheme!r}; expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        )
    try:
        from towpath.adapters.catalog import postgres  # optional: psycopg is an extra
    except ImportError as error:
        raise SiteError(
            f"site.catalog: a catalog in PostgreSQL needs psycopg ({error}): pip install 'towpath[postgres]'"
        ) from error
    return postgres
