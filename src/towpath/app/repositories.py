"""The repositories of a site, made from their tables in the site file (`[repositories.NAME]`) when they are first used.

Promises that what is secret there is read anew when it changes. Where nothing is said of the repository ``records``, it is
the folder of that name beside the site file.
"""

import threading
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from towpath.app.plugins import attribute
from towpath.app.secrets import Resolver
from towpath.app.settings import FILE, RepositoryTable
from towpath.app.tables import Table
from towpath.base.errors import DefinitionError, SiteError
from towpath.contracts.repository import GROUP, Maker, Repository

RECORDS = "records"
_PLACES = ("root", "ca")  # settings that are paths, relative to the site's folder


class Repositories:
    """Gives a repository by its name.

    Parameters
    ----------
    tables
        The tables of the site file by name.
    makers
        What makes those that are built in, by kind; others are entry points `towpath.repositories`.
    secrets
        Reads what is secret in a table.
    folder
        The site's folder.
    written
        The site's settings, with where each was written.
    """

    def __init__(
        self,
        tables: Mapping[str, RepositoryTable],
        makers: Mapping[str, Maker],
        secrets: Resolver,
        folder: Path,
        written: Table,
    ) -> None:
        self._tables = {
            RECORDS: RepositoryTable.model_validate({"kind": "folder", "root": RECORDS}),
            **tables,
        }
        self._makers, self._secrets, self._folder, self._written = makers, secrets, folder, written
        self._made: dict[str, Repository] = {}
        self._lock = threading.Lock()

    def check(self, name: str) -> None:
        """Raise `SiteError` if the site has no repository of this name."""
        if name not in self._tables:
            known = ", ".join(sorted(self._tables))
            raise SiteError(
                f"found no repository {name!r}; expected one of {known}, or a table [repositories.{name}]"
            )

    def __call__(self, name: str) -> Repository:
        """The repository of this name.

        Raises
        ------
        SiteError
            If the site has none.
        DefinitionError
            If its settings are wrong.
        """
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def close(self) -> None:
        """End connections."""
        with self._lock:
            while self._made:
                self._made.popitem()[1].close()

    def _make(self, name: str) -> Repository:
        self.check(name)
        table = dict(self._tables[name])
        kind = str(table.pop("kind"))
        settings: dict[str, Any] = self._secrets.table(f"repositories.{name}", table)
        for key in _PLACES:
            if isinstance(settings.get(key), str) and settings[key]:
                settings[key] = str(self._folder / settings[key])
        try:
            return self._maker(kind)(settings)
        except DefinitionError as error:
            raise DefinitionError([self._at(name, one) for one in error.problems]) from None
        except (TypeError, ValueError) as error:
            raise SiteError(f"[repositories.{name}]: {error}") from None

    def _at(self, name: str, problem: str) -> str:
        """What is wrong with a repository's settings, with the place: a problem begins with the setting's name."""
        key = problem.partition(":")[0]
        origin = self._written.origin(("repositories", name, key))
        line = f" (line {origin.line})" if origin and origin.line else ""
        where = origin.where if origin else FILE
        return f"{where}: repositories.{name}.{key}{line}{problem.removeprefix(key)}"

    def _maker(self, kind: str) -> Maker:
        if kind in self._makers:
            return self._makers[kind]
        points = {point.name: point for point in entry_points(group=GROUP)}
        if kind not in points:
            known = ", ".join(sorted({*self._makers, *points}))
            raise DefinitionError(f"kind: found {kind!r}; expected one of {known}")
        made: Maker = attribute(points[kind].value)
        return made
