"""The catalog in a PostgreSQL database: for a site that outgrew one file, on one host or several.

Promises: frequent transactions run beside one another, all others alone; a server that is away for a while is waited
for, and a transaction is carried out once even if its commit was not heard of. Never used with other writers' tables.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from towpath.adapters.catalog import features, footprints, migrations
from towpath.adapters.catalog.connecting import (
    Connection,
    Cursor,
    address,
    connect,
    is_away,
    site_key,
    told,
)
from towpath.adapters.catalog.filtering import Branch
from towpath.adapters.catalog.needs import Needs
from towpath.adapters.catalog.publishing import Changing
from towpath.adapters.catalog.spreading import AT_ONCE
from towpath.adapters.catalog.sql import Names
from towpath.base import faults
from towpath.base.errors import SiteError
from towpath.base.spacetime import Box
from towpath.contracts.catalog import Transaction, View, Watch
from towpath.contracts.definition import Definition

T = TypeVar("T")
log = logging.getLogger(__name__)

PATIENCE = 120.0  # seconds to wait for a server that was there before
_GAP = 0.02  # seconds between two wake-ups by one process
_TRIES = 20  # for a transaction that met another one
_LOOK = 0.005  # seconds between two looks of a watch, each of which is a query
_LIVELY = (
    1.0  # seconds after a change in which a watch that is to know sooner than writers tell looks by itself
)

_TIME = "extract(epoch FROM clock_timestamp())::float8"
_WRITE = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT {lock}({key}), pg_current_xact_id()::text, "
    + _TIME
)
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT " + _TIME


class _PostgresReading(Needs):
    in_items = " AND w.item_id IN (SELECT value::bigint FROM json_array_elements_text(?::json))"

    def catalog_bytes(self) -> int:
        """Bytes of the catalog's tables and indexes."""
        return int(
            self.one(
                "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class "
                "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
            )[0]
        )

    def near(self, box: Box) -> list[Branch]:
        """Where the index on geometry has the items near the box, if there is one."""
        postgis = footprints.postgis_schema(self.one(footprints.FIND_INDEX))
        if not postgis:
            return []
        clause, values = footprints.in_geometry(box, postgis)
        return [Branch("items", "items.id", clause, tuple(values), is_item=True)]

    # It takes a thousandth of all features to be in any box, and so to walk along the ids for a short page: a whole scan.
    order_of_places = "f.id + 0"

    def near_features(self, box: Box) -> tuple[str, list[float]]:
        """A condition that the index on points answers."""
        return features.in_points(box)


class _PostgresTransaction(Changing, _PostgresReading):
    locking = " FOR UPDATE OF w SKIP LOCKED"
    locking_plain = " FOR UPDATE"
    is_alone = True

    def alone(self) -> None:
        """Go on only if no other transaction writes."""
        if not self.is_alone:
            raise _MustBeAloneError


class _MustBeAloneError(Exception):
    """The transaction began beside others and touches what only one may: it is begun anew, alone."""


class _Away:
    """How long the server has been away, told when it goes and when it is back."""

    def __init__(self, place: str, patience: float) -> None:
        self._place, self._patience = place, patience
        self._since, self._pause = 0.0, 0.05

    def wait(self, error: BaseException) -> None:
        """Wait a little before another attempt. Raises `SiteError` when patience is at its end."""
        now = time.monotonic()
        if not self._since:
            self._since = now
            log.error("the catalog is away, trying for %.0f s: %s: %s", self._patience, self._place, error)
        if now - self._since >= self._patience:
            raise SiteError(
                f"{self._place}: the catalog has been away for {now - self._since:.0f} s: {error}; see to the server "
                "and start again: nothing is lost"
            ) from error
        time.sleep(self._pause)
        self._pause = min(2.0, 1.5 * self._pause)

    def over(self) -> None:
        """It is there."""
        if self._since:
            log.warning("the catalog is back after %.1f s: %s", time.monotonic() - self._since, self._place)


class _ReadingCursor(Cursor):
    """A cursor in a snapshot; one that was cut off goes on in a newer one."""

    def __init__(self, catalog: "PostgresCatalog", connection: Connection) -> None:
        super().__init__(connection)
        self._catalog, self.connection = catalog, connection

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Run a statement."""
        try:
            return super().execute(statement, values)
        except psycopg.Error as error:
            if not is_away(error):
                raise
        return self._catalog.persist(lambda: self._again(statement, values))

    def _again(self, statement: str, values: Sequence[Any]) -> Any:
        self.connection.close()
        self.connection, _ = self._catalog.snapshot()
        super().__init__(self.connection)
        return super().execute(statement, values)


class _Watch:
    """Listens to what writers tell, at most once in `_GAP` seconds each; sooner is known by a look at the number of events."""

    def __init__(self, listen: Callable[[], Connection], every: float, open_ones: set["_Watch"]) -> None:
        self._listen, self._every, self._open_ones = listen, max(every, _LOOK), open_ones
        self._lock = threading.Lock()
        self._connection: Connection | None = listen()
        self._told, self._last = time.monotonic() - _LIVELY, 0
        open_ones.add(self)

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for a change; a hint."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._listen()
                    return True
                return self._hear(self._connection, time.monotonic() + timeout)
            except psycopg.Error as error:
                if not is_away(error):
                    raise
                self._drop()
        time.sleep(min(timeout, 0.5))
        return False

    def _hear(self, connection: Connection, end: float) -> bool:
        while True:
            now = time.monotonic()
            is_soon = self._every < _GAP and now - self._told < _LIVELY
            left = max(min(end - now, self._every) if is_soon else end - now, 0.0)
            heard = list(connection.notifies(timeout=left, stop_after=1))
            if heard or (is_soon and self._has_news(connection)):
                self._told = time.monotonic()
                return True
            if time.monotonic() >= end:
                return False

    def _has_news(self, connection: Connection) -> bool:
        row = connection.execute("SELECT value FROM counters WHERE name = 'event'").fetchone()
        before, self._last = self._last, row[0] if row else 0
        return self._last != before

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def close(self) -> None:
        """Close its connection."""
        self._open_ones.discard(self)
        with self._lock:
            self._drop()


class PostgresCatalog:
    """A catalog in a schema of a PostgreSQL database (contracts.catalog.Catalog).

    Parameters
    ----------
    url
        ``postgresql://...``; the schema must have been migrated (`migrate`).
    schema
        The schema of the site.
    now
        The clock, seconds since the epoch; the server's by default.
    patience
        How many seconds to wait for a server that went away.

    Raises
    ------
    SiteError
        If the server cannot be reached, or cannot hold a catalog.
    """

    def __init__(
        self,
        url: str,
        *,
        schema: str = "towpath",
        now: Callable[[], float] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.schema, self._address, self._now, self._patience = schema, url, now, patience
        self.url = place(url)
        self.definitions: dict[str, Definition] = {}
        self.at_once = AT_ONCE
        self._names, self._committed_names = Names(), Names()
        self._key, self._channel = site_key(schema), f"towpath_{site_key(schema) & (2**64 - 1):x}"
        self._writing, self._local = threading.Lock(), threading.local()
        self._writer: Connection | None = None
        self._idle: list[Connection] = []
        self._notify = sql.SQL("NOTIFY {}").format(sql.Identifier(self._channel))
        self._told = 0.0
        self._timer: threading.Timer | None = None
        self._is_closed = False
        self._watches: set[_Watch] = set()
        with _opening(self.url):
            self._idle.append(self._connect())

    def _connect(self, *, writes: bool = False) -> Connection:
        return connect(self._address, self.schema, writes=writes)

    def persist(self, action: Callable[[], T]) -> T:
        """What `action` returns, once the server lets it."""
        away = _Away(self.url, self._patience)
        while True:
            try:
                result = action()
            except psycopg.Error as error:
                if not is_away(error):
                    raise
                away.wait(SiteError(told(error)))
            else:
                away.over()
                return result

    # ---- writing
    def write(self, work: Callable[[Transaction], T], *, concurrent: bool = False) -> T:
        """Run `work` in one transaction and return what it returns; any exception rolls it back.

        It may be run again: when it met another transaction, or the server went away in the middle of it.
        """
        is_alone = not concurrent
        with self._writing:
            for attempt in range(_TRIES):
                try:
                    return self.persist(lambda: self._transaction(work, is_alone))  # noqa: B023  called at once
                except _MustBeAloneError:
                    is_alone = True
                except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected) as error:
                    log.info("a transaction met another one and is run again: %s", told(error))
                    time.sleep(random.uniform(0, 0.002 * 2 ** min(attempt, 8)))
                except psycopg.OperationalError as error:
                    raise SiteError(f"{self.url}: the catalog could not be written: {told(error)}") from error
        raise SiteError(f"{self.url}: a transaction met others {_TRIES} times; try again")

    def _transaction(self, work: Callable[[Transaction], T], is_alone: bool) -> T:
        if self._writer is None or self._writer.closed:
            self._drop_writer()
            self._writer = self._connect(writes=True)
        connection = self._writer
        cursor = Cursor(connection)
        try:
            number, now = self._begin(connection, is_alone)
            began = time.monotonic()
            clock = self._now or (lambda: now + time.monotonic() - began)
            transaction = _PostgresTransaction(cursor, self._names, self.definitions, clock)
            transaction.is_alone = is_alone
            transaction.limit(self.at_once)
            result = work(transaction)
            transaction.flush_events()
            faults.point("catalog.commit")
        except BaseException:
            self._roll_back(connection)
            raise
        self._commit(connection, number)
        faults.point("catalog.committed")
        self._wake()
        return result

    def _begin(self, connection: Connection, is_alone: bool) -> tuple[str, float]:
        """The number and time of a transaction that has begun, beside others or alone."""
        lock = "pg_advisory_xact_lock" if is_alone else "pg_advisory_xact_lock_shared"
        text = sql.SQL(_WRITE).format(lock=sql.Identifier(lock), key=sql.Literal(self._key))
        cursor = connection.execute(text, prepare=False)
        cursor.nextset()
        _, number, now = cursor.fetchone() or (None, "", 0.0)
        return number, now

    def _commit(self, connection: Connection, number: str) -> None:
        try:
            done = connection.execute("COMMIT", prepare=False).statusmessage
        except BaseException as error:
            self._roll_back(connection)
            if is_away(error) and self.persist(lambda: self._is_committed(number)):
                return
            raise
        if done != "COMMIT":  # a statement had failed, and whoever asked for it let that pass
            self._names.clear()
            raise SiteError(f"{self.url}: the catalog did not take a transaction")

    def _is_committed(self, number: str) -> bool:
        """Whether a transaction whose end was not heard of was committed."""
        end = time.monotonic() + self._patience
        with closing(self._connect()) as connection:
            while time.monotonic() < end:
                try:
                    row = connection.execute("SELECT pg_xact_status(%s::xid8)", (number,)).fetchone()
                except psycopg.DataError:  # this server never gave out such a number: it is another one
                    return False
                if row is None or row[0] != "in progress":
                    return row is not None and row[0] == "committed"
                time.sleep(0.1)  # its former connection still has it
        raise SiteError(
            f"{self.url}: the end of transaction {number} is not known; see to the server and start again"
        )

    def _roll_back(self, connection: Connection) -> None:
        self._names.clear()
        try:
            connection.execute("ROLLBACK", prepare=False)
        except psycopg.Error:
            self._drop_writer()

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def flush(self) -> None:
        """Make every committed transaction outlive a power cut: each does as soon as it is committed."""

    # ---- reading
    @contextmanager
    def read(self) -> Iterator[View]:
        """A short read: one snapshot."""
        inner: View | None = getattr(self._local, "view", None)
        if inner is not None:  # a read within a read sees the same snapshot
            yield inner
            return
        connection, now = self.persist(self.snapshot)
        began, cursor = time.monotonic(), _ReadingCursor(self, connection)
        clock = self._now or (lambda: now + time.monotonic() - began)
        view = self._local.view = _PostgresReading(cursor, self._committed_names, self.definitions, clock)
        try:
            yield view
        except psycopg.OperationalError as error:
            raise SiteError(f"{self.url}: the catalog could not be read: {told(error)}") from error
        finally:
            self._local.view = None
            self._leave(cursor.connection)

    def snapshot(self) -> tuple[Connection, float]:
        """A connection in a snapshot of its own, and the server's time."""
        while self._idle:
            connection = self._idle.pop()
            try:
                return connection, self._look(connection)
            except psycopg.Error as error:
                connection.close()
                if not is_away(error):
                    raise
        connection = self._connect()
        return connection, self._look(connection)

    @staticmethod
    def _look(connection: Connection) -> float:
        cursor = connection.execute(_READ, prepare=False)
        cursor.nextset()
        row = cursor.fetchone()
        return float(row[0]) if row else 0.0

    def _leave(self, connection: Connection) -> None:
        with suppress(psycopg.Error):
            connection.execute("ROLLBACK", prepare=False)
        if connection.closed or self._is_closed:
            connection.close()
        else:
            self._idle.append(connection)

    # ---- waking
    def watch(self, every: float = 0.02) -> Watch:
        """Begin to watch for changes: to listen, and to look each `every` seconds while others write, if that is sooner."""
        return self.persist(lambda: _Watch(self.listen, every, self._watches))

    def listen(self) -> Connection:
        """A connection that hears of changes."""
        connection = self._connect()
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        return connection

    def _wake(self) -> None:
        """Tell all who listen, now or soon: at most once in `_GAP` seconds."""
        wait = self._told + _GAP - time.monotonic()
        if wait <= 0:
            self._tell()
        elif self._timer is None:
            self._timer = threading.Timer(wait, self._tell_late)
            self._timer.daemon = True
            self._timer.start()

    def _tell_late(self) -> None:
        with self._writing:
            self._timer = None
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        if self._writer is not None:
            with suppress(psycopg.Error):  # it is a hint; who writes next finds the connection broken
                self._writer.execute(self._notify, prepare=False)

    def close(self) -> None:
        """Close all connections."""
        for watch in list(self._watches):
            watch.close()
        with self._writing:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
                self._tell()
            self._drop_writer()
            while self._idle:
                self._idle.pop().close()


# ---- opening
def place(url: str) -> str:
    """The URL as it may be shown: without a password."""
    parts = conninfo_to_dict(address(url))
    user, host, port, name = (parts.get(key) or "" for key in ("user", "host", "port", "dbname"))
    server = f"{user}@" * bool(user) + (
        "" if str(host).startswith("/") else f"{host}{f':{port}' if port else ''}"
    )
    return f"postgresql://{server}/{name}" + (f"?host={host}" if str(host).startswith("/") else "")


@contextmanager
def _opening(where: str) -> Iterator[None]:
    """What goes wrong when a site is opened is said at once."""
    try:
        yield
    except psycopg.Error as error:
        raise SiteError(f"{where}: the catalog cannot be opened: {told(error)}") from error


def migrate(url: str, *, schema: str = "towpath") -> str:
    """Make or bring the catalog in a schema to the newest form; returns the revision it had ("" if it is new).

    Raises
    ------
    SiteError
        If the server cannot be reached or does not let us, or the catalog was made by a newer Towpath.
    """
    where = place(url)
    with _opening(where), closing(connect(url, schema)) as connection:
        found = _revision(connection, schema)
        if found == migrations.HEAD:
            return found
        if found > migrations.HEAD:
            raise SiteError(
                f"{where}: schema {found} is newer than this Towpath knows ({migrations.HEAD}); upgrade towpath"
            )
        _upgrade(connection, schema)
    return found


def revision(url: str, *, schema: str = "towpath") -> str:
    """The revision of a catalog's tables, "" where there are none."""
    with _opening(place(url)), closing(connect(url, schema)) as connection:
        return _revision(connection, schema)


def _revision(connection: Connection, schema: str) -> str:
    text = sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(schema, "alembic_version"))
    try:
        row = connection.execute(text).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return ""
    return str(row[0]) if row else ""


def _upgrade(connection: Connection, schema: str) -> None:
    """Bring it up in one transaction; another process that does the same is waited for."""
    import sqlalchemy  # optional: slow to import, and only needed when something is to migrate

    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (site_key(schema),))
        if not connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone():
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    connection.autocommit = False
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=sqlalchemy.StaticPool
    )
    try:
        with engine.begin() as within:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (site_key(schema),))
            migrations.upgrade(within)
    finally:
        engine.dispose()
