"""Secrets of a site: a setting says a text, or where the secret is, and what uses it asks anew each time.

Promises that a secret which was changed is used within about a minute, that one which cannot be read any more goes on as it
was, and that an error names the setting and never the value. Nothing is read until it is needed.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from towpath.app.plugins import attribute
from towpath.base.errors import DefinitionError, NotFoundError, SiteError, TowpathError
from towpath.contracts.secrets import GROUP, Maker, Secret, Secrets

log = logging.getLogger(__name__)

FRESH = 60.0  # seconds for which a secret is not read again
ENV, FILE = "env", "file"
_SECRET = re.compile(r"secret|token|password|credential", re.IGNORECASE)
_SETTING = re.compile(r"TOWPATH_\w+__")  # a variable that is a setting of the site file


class Environment:
    """Secrets in variables of the environment (contracts.secrets.Secrets)."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def read(self, name: str) -> Secret:
        """The value of a variable. Raises `NotFoundError` if it is not set."""
        if name not in self._environ:
            raise NotFoundError(f"the environment variable {name} is not set")
        return Secret(self._environ[name])


class Files:
    """Secrets in files of their own (contracts.secrets.Secrets); a line end at the end is no part of one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> Secret:
        """The content of a file, relative to the site's folder. Raises `NotFoundError` if it cannot be read."""
        path = self._folder / name
        try:
            return Secret(path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r"))
        except UnicodeDecodeError:
            raise NotFoundError(f"the file {name} holds no text") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no name of a file"
            raise NotFoundError(f"the file {name} cannot be read: {reason}") from None


class Held:
    """One secret: called, it gives the text as it is now.

    Parameters
    ----------
    setting
        What errors call it.
    read
        Reads it.
    clock
        Seconds that only grow.
    """

    def __init__(
        self, setting: str, read: Callable[[], Secret], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.setting, self._read, self._clock = setting, read, clock
        self._lock = threading.Lock()
        self._now: Secret | None = None
        self._again = 0.0
        self._is_told = False

    def __call__(self) -> str:
        """The secret. Raises `SiteError`, which names the setting, if it cannot be read and never could."""
        with self._lock:
            if self._now is None or self._clock() >= self._again:
                self._now = self._renewed()
            return self._now.value

    def forget(self) -> None:
        """Read it again at the next use."""
        self._again = 0.0

    def _renewed(self) -> Secret:
        try:
            found = self._read()
            if not found.value:
                raise NotFoundError("it is empty")
        except (TowpathError, OSError) as error:
            if self._now is None:
                raise SiteError(f"{self.setting}: {error}") from None
            if not self._is_told:
                log.error("secret cannot be read again and goes on as it was: %s: %s", self.setting, error)
            self._is_told, found = True, self._now
        else:
            self._is_told = False
        self._again = self._clock() + (min(FRESH, found.lease) if found.lease else FRESH)
        return found

    def __repr__(self) -> str:
        return f"Held({self.setting!r})"


class Resolver:
    """Finds the secrets that settings say or refer to.

    Parameters
    ----------
    tables
        The tables of readers in the site file, by name: `[secrets.NAME]`.
    makers
        What makes readers that are built in, by name; others are entry points `towpath.secrets`.
    environ, folder
        The environment, and the folder that relative paths start from.
    """

    def __init__(
        self,
        tables: Mapping[str, Mapping[str, Any]],
        makers: Mapping[str, Maker],
        environ: Mapping[str, str],
        folder: Path,
    ) -> None:
        self._tables, self._makers = tables, makers
        self._environ = environ
        self._variables: set[str] = set()
        self._readers: dict[str, Secrets] = {ENV: Environment(environ), FILE: Files(folder)}
        self._held: list[Held] = []
        self._lock = threading.Lock()

    def held(self, setting: str, given: SecretStr | str | Mapping[str, str]) -> Callable[[], str]:
        """What gives a secret when it is called; "" where nothing is given.

        Parameters
        ----------
        setting
            The dotted name of the setting.
        given
            The text, or where it is: ``{"env": NAME}``, ``{"file": PATH}``, or the name of a reader with what it is
            called there.
        """
        if not isinstance(given, Mapping):
            text = given if isinstance(given, str) else given.get_secret_value()
            return lambda: text
        ((reader, name),) = given.items()
        if reader == ENV:
            self._variables.add(name)
        made = Held(setting, lambda: self._reader(reader, setting).read(name))
        self._held.append(made)
        return made

    def variables(self) -> set[str]:
        """The variables of the environment that hold secrets: those referred to, and settings that are secret."""
        own = {
            name
            for name in self._environ
            if _SETTING.match(name) and _SECRET.search(name.rpartition("__")[2])
        }
        return self._variables | own

    def forget(self) -> None:
        """Read every secret again at its next use."""
        for one in self._held:
            one.forget()

    # ---- readers
    def _reader(self, name: str, setting: str) -> Secrets:
        with self._lock:
            if name not in self._readers:
                self._readers[name] = self._made(name)
            return self._readers[name]

    def _made(self, name: str) -> Secrets:
        points = {point.name: point for point in entry_points(group=GROUP)}
        if name not in self._makers and name not in points:
            known = ", ".join(sorted({ENV, FILE, *self._makers, *points}))
            raise SiteError(f"found no reader of secrets {name!r}; expected one of {known}")
        if name not in self._tables:
            raise SiteError(f"the reader {name!r} has no table [secrets.{name}] in the site file")
        maker: Maker = self._makers[name] if name in self._makers else attribute(points[name].value)
        try:
            return maker(self.table(f"secrets.{name}", self._tables[name]))
        except DefinitionError as error:
            raise SiteError(f"[secrets.{name}]: {error}") from None

    def table(self, dotted: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """A table of the site file, in which secrets are functions that read them anew."""
        return {key: self._setting(f"{dotted}.{key}", value) for key, value in table.items()}

    def _setting(self, dotted: str, value: Any) -> Any:
        is_secret = bool(_SECRET.search(dotted.rpartition(".")[2]))
        if isinstance(value, Mapping) and len(value) == 1 and (is_secret or set(value) <= {ENV, FILE}):
            return self.held(dotted, {key: str(one) for key, one in value.items()})
        return self.held(dotted, value) if is_secret and isinstance(value, str) else value
