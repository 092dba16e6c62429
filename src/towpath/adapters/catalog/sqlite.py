"""The catalog in one SQLite file: the default, for one host.

Promises: WAL, one writer thread per process, BEGIN IMMEDIATE, a pause between transactions so that other processes get
their turn. Refuses a network file system. Never opened by anything but SQLite.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from towpath.adapters.catalog import features, footprints, migrations
from towpath.adapters.catalog.filtering import Branch
from towpath.adapters.catalog.needs import Needs
from towpath.adapters.catalog.publishing import Changing
from towpath.adapters.catalog.spreading import AT_ONCE
from towpath.adapters.catalog.sql import Names
from towpath.adapters.storage.mounts import NETWORK, file_system
from towpath.base import clock, faults
from towpath.base.errors import SiteError
from towpath.base.spacetime import Box
from towpath.contracts.catalog import Transaction, View, Watch
from towpath.contracts.definition import Definition

T = TypeVar("T")

_PATIENCE = 120.0  # seconds to wait for a lock
_PAUSE = 0.002  # seconds
_BUSY = 0.05
_LIVELY = 1.0  # seconds after a change in which a watch looks as often as it was asked to
_KEPT = 8  # connections that wait for the next read
_QUIET = 0.005  # seconds between two looks of a watch when nothing happens, if it was not asked to look more seldom


class _SqliteReading(Needs):
    def catalog_bytes(self) -> int:
        """Bytes of the catalog's file."""
        return int(self.one("PRAGMA page_count")[0]) * int(self.one("PRAGMA page_size")[0])

    def near(self, box: Box) -> list[Branch]:
        """Where the R*Tree has the items near the box."""
        return [
            Branch("footprints", "footprints.id / 2", clause, tuple(values), repeats=True)
            for clause, values in footprints.in_tree(box)
        ]

    beside_place = "+"

    def near_features(self, box: Box) -> tuple[str, list[float]]:
        """A condition that the R*Tree answers."""
        return features.in_tree(box)


class _SqliteTransaction(Changing, _SqliteReading):
    pass


def _count_flush(transaction: Transaction) -> None:
    assert isinstance(transaction, _SqliteTransaction)
    transaction.cursor.execute(
        "INSERT INTO counters (name, value) VALUES ('flush', 1) ON CONFLICT (name) DO UPDATE SET value = counters.value + 1"
    )


class _Watch:
    """Looks at the number that SQLite raises for a connection when another one has committed."""

    def __init__(self, connection: sqlite3.Connection, every: float, open_ones: set["_Watch"]) -> None:
        self._connection, self._every, self._open_ones = connection, every, open_ones
        self._seen, self._changed = self._version(), time.monotonic()
        open_ones.add(self)

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for a change; a hint."""
        end = time.monotonic() + timeout
        while True:
            version, now = self._version(), time.monotonic()
            if version != self._seen:
                self._seen, self._changed = version, now
                return True
            if now >= end:
                return False
            every = self._every if now - self._changed < _LIVELY else max(self._every, _QUIET)
            time.sleep(min(every, end - now))

    def close(self) -> None:
        """Close its connection."""
        self._open_ones.discard(self)
        self._connection.close()


class _Held:
    """The connection of the read that a thread is in; none when it has ended."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection: sqlite3.Connection | None = connection


class SqliteCatalog:
    """A catalog in an SQLite file (contracts.catalog.Catalog).

    Parameters
    ----------
    path
        The file; it must have been migrated (`towpath.adapters.catalog.migrations`).
    durability
        "crash" (kill -9 at any instant) or "power" (every commit is flushed to disk).
    now
        The clock, seconds since the epoch.

    Raises
    ------
    SiteError
        If the file lies on a network file system.
    """

    def __init__(
        self, path: Path, *, durability: str = "crash", now: Callable[[], float] = clock.now
    ) -> None:
        _refuse_network(path)
        self.path, self.url = path, f"sqlite:///{path}"
        self.definitions: dict[str, Definition] = {}
        self.at_once = AT_ONCE
        self._now, self._names, self._committed_names = now, Names(), Names()
        self._synchronous = "FULL" if durability == "power" else "NORMAL"
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="catalog-writer")
        self._write_connection: sqlite3.Connection | None = None
        self._local = threading.local()
        self._watches: set[_Watch] = set()
        self._idle: list[sqlite3.Connection] = []
        self._is_closed = False
        try:
            self._idle.append(self._connect())
        except sqlite3.OperationalError as error:
            raise SiteError(f"{path}: the catalog cannot be opened: {error}") from error
        self._last = self._since = 0.0

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            _write_ahead(connection)
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute("PRAGMA cache_size = -16384")
            connection.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            connection.close()
            raise
        return connection

    # ---- writing
    def write(self, work: Callable[[Transaction], T], *, concurrent: bool = False) -> T:
        """Run `work` in one transaction on the writer and return what it returns; any exception rolls it back."""
        return self._writer.submit(self._transaction, work).result()

    def _transaction(self, work: Callable[[Transaction], T]) -> T:
        self._yield()
        if self._write_connection is None:
            self._write_connection = self._connect()
        connection = self._write_connection
        try:
            cursor = connection.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            transaction = _SqliteTransaction(cursor, self._names, self.definitions, self._now)
            transaction.limit(self.at_once)
            result = work(transaction)
            transaction.flush_events()
            faults.point("catalog.commit")
            cursor.execute("COMMIT")
            faults.point("catalog.committed")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._names.clear()
            if isinstance(error, sqlite3.OperationalError):
                raise SiteError(f"{self.path}: the catalog could not be written: {error}") from error
            raise
        finally:
            self._last = time.monotonic()
        return result

    def _yield(self) -> None:
        """Leave the file to other processes for a moment, after at most `_BUSY` seconds of writing without a gap."""
        now = time.monotonic()
        if now - self._last > _PAUSE:
            self._since = now
        elif now - self._since > _BUSY:
            time.sleep(_PAUSE)
            self._since = time.monotonic()

    def flush(self) -> None:
        """Make every committed transaction outlive a power cut, at every durability level."""
        self._writer.submit(self._flush).result()

    def _flush(self) -> None:
        """One commit at FULL syncs the write-ahead log, and so all commits before it; it must change something."""
        if self._write_connection is None:
            self._write_connection = self._connect()
        self._write_connection.execute("PRAGMA synchronous = FULL")
        try:
            self._transaction(_count_flush)
        finally:
            self._write_connection.execute(f"PRAGMA synchronous = {self._synchronous}")

    # ---- reading
    @contextmanager
    def read(self) -> Iterator[View]:
        """A short read: one snapshot."""
        outer: _Held | None = getattr(self._local, "held", None)
        if outer is not None and outer.connection is not None:  # a read within a read sees the same snapshot
            yield self._view(outer.connection)
            return
        connection = self._take()
        held = _Held(connection)
        try:
            connection.execute("BEGIN")
            self._local.held = held
            yield self._view(connection)
        finally:
            held.connection = None  # also where another thread ends the read than the one that began it
            self._leave(connection)

    def _view(self, connection: sqlite3.Connection) -> View:
        return _SqliteReading(connection.cursor(), self._committed_names, self.definitions, self._now)

    def _take(self) -> sqlite3.Connection:
        if self._is_closed:
            raise SiteError(f"{self.path}: the catalog is closed")
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def _leave(self, connection: sqlite3.Connection) -> None:
        """Keep a connection for the next read, of whichever thread: threads end, and connections do not end with them."""
        if connection.in_transaction:
            connection.execute("COMMIT")
        if self._is_closed or len(self._idle) >= _KEPT:
            connection.close()
        else:
            self._idle.append(connection)

    def watch(self, every: float = 0.02) -> Watch:
        """Begin to watch for changes, looking each `every` seconds."""
        return _Watch(self._connect(), every, self._watches)

    def close(self) -> None:
        """Close all connections."""
        self._writer.shutdown(wait=True)
        self._is_closed = True
        for connection in (self._write_connection, *self._watches, *self._idle):
            if connection is not None:
                connection.close()
        self._idle, self._write_connection = [], None


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging, once; SQLite does not wait for others at this, so we do."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(_PAUSE)
        else:
            return


def migrate(path: Path) -> str:
    """Make or bring the catalog's file to the newest schema; returns the revision it had ("" if it is new).

    Raises
    ------
    SiteError
        If the file was written by a newer Towpath, or is no SQLite file.
    """
    _refuse_network(path)
    found = revision(path)
    if found == migrations.HEAD:
        return found
    if found > migrations.HEAD:
        raise SiteError(
            f"{path}: schema {found} is newer than this Towpath knows ({migrations.HEAD}); upgrade towpath"
        )
    import sqlalchemy  # optional: slow to import, and only needed when something is to migrate

    engine = sqlalchemy.create_engine(
        f"sqlite:///{path}", connect_args={"timeout": _PATIENCE, "isolation_level": None}
    )
    sqlalchemy.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            migrations.upgrade(connection)
    finally:
        engine.dispose()
    return found


def revision(path: Path) -> str:
    """The revision of a catalog's tables, "" where there are none."""
    if not path.exists():
        return ""
    with closing(sqlite3.connect(path, timeout=_PATIENCE)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return ""
        except sqlite3.DatabaseError as error:
            raise SiteError(f"{path}: {error}; the catalog must be a file that Towpath made") from error
    return str(row[0]) if row else ""


def _refuse_network(path: Path) -> None:
    kind = file_system(path.parent)
    if kind in NETWORK:
        raise SiteError(
            f"{path}: SQLite does not work on a network file system ({kind}); put the site on a local disk or use "
            'PostgreSQL: catalog = "postgresql://..."'
        )
