"""What several tests need: the shared data folder, a user without privileges, a disk that fills up, a browser.

A fixture that cannot do its work skips and says why. In CI (the variable `CI` is set) it fails instead, for
there a skipped test would look like one that passed; only what needs root is skipped for others there too.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn, Protocol

import pytest
from hypothesis import settings

from towpath.adapters.catalog import migrations
from towpath.adapters.catalog.postgres import migrate
from towpath.testing.postgres import NoServerError, Server, is_installed

CHROMIUM = "/usr/bin/chromium"
REPOSITORY = Path(__file__).resolve().parents[1]
SMALL_DISK_BYTES = 1024 * 1024
UPGRADE = migrations.upgrade

# Before the first test module that uses it is loaded: its assertions are to tell what they compared.
pytest.register_assert_rewrite("towpath.testing.catalog", "towpath.testing.repositories")

# A shell ignores this signal in what it starts in the background, and so would every process that a test starts.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Coverage is that of the processes that run tests. What they start goes unmeasured: it would take a third longer.
for name in [name for name in os.environ if name.startswith("COVERAGE_PROCESS_")]:
    if "PYTEST_XDIST_WORKER" in os.environ:
        del os.environ[name]

# Machines differ in speed, and one test may wait for another: how long an example takes proves nothing.
settings.register_profile(
    "towpath", settings.get_profile("ci" if os.environ.get("CI") else "default"), deadline=None
)
settings.load_profile("towpath")

# Root without capabilities is bound by permissions as any owner of a file is. The bounding set (prctl 24) is
# what the next exec may keep, so it is emptied first. Another uid would have to be able to reach the
# interpreter and the folder of the test.
WITHOUT_CAPABILITIES = """
import ctypes, os, sys
prctl = ctypes.CDLL(None, use_errno=True).prctl
for capability in range(64):
    prctl(24, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Unprivileged(Protocol):
    def __call__(
        self, *argv: str | Path, check: bool = True, **options: object
    ) -> subprocess.CompletedProcess[str]: ...


def skip_or_fail(reason: str) -> NoReturn:
    """Skip with a reason on a person's machine, fail with it in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (in CI this may not be skipped)")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def data() -> Path:
    """Give the folder of shared data: TOWPATH_DATA, or `shared/data` beside the repository."""
    folder = Path(os.environ.get("TOWPATH_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        skip_or_fail(f"no shared data: {folder} is not a folder; set TOWPATH_DATA")
    return folder


@pytest.fixture(scope="session")
def unprivileged() -> Unprivileged:
    """Give a function that runs a command as a user whom permissions bind, also when the tests run as root.

    `unprivileged(sys.executable, "-c", code)` returns the completed process with its output as text.
    """
    prefix = [sys.executable, "-c", WITHOUT_CAPABILITIES] if os.geteuid() == 0 else []

    def run(*argv: str | Path, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(  # type: ignore[call-overload]
            [*prefix, *map(str, argv)], capture_output=True, text=True, check=False, **options
        )
        if check and done.returncode != 0:
            pytest.fail(f"{argv} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    return run


@pytest.fixture(scope="session")
def serve() -> Callable[[Path], AbstractContextManager[str]]:
    """Give what serves a site, with its work, by a process of its own: a context that gives the address."""

    @contextmanager
    def serving(folder: Path) -> Iterator[str]:
        command = [sys.executable, "-m", "towpath", "--json", "serve", "--port", "0", "--with-worker"]
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(process.communicate(timeout=60)[1])
            yield json.loads(line)["url"]
        finally:
            process.terminate()
            process.communicate(timeout=60)

    return serving


@pytest.fixture(scope="session")
def gmx() -> str:
    """Give the program of GROMACS."""
    found = shutil.which("gmx")
    if found is None:
        skip_or_fail("no GROMACS: there is no program gmx; `make server` installs it")
    return found


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Give a private PostgreSQL, the same for all tests of this process; each makes databases of its own."""
    try:
        server = Server()
    except NoServerError as error:
        skip_or_fail(str(error))
    with server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(postgres: Server) -> str:
    """Give the name of a database with an empty catalog: a copy costs a tenth of what the migrations do."""
    name = "migrated_template"
    migrate(postgres.database(name=name))
    return name


@pytest.fixture(scope="session", autouse=True)
def new_files_are_copies() -> Iterator[None]:
    """In this process the migrations make the first new catalog in a file; what they wrote is written into all others.

    A file that has tables already is always upgraded by the migrations. `real_migrations` takes this away.
    """
    written: list[tuple[str, tuple[Any, ...]]] = []

    def write(connection: Any) -> None:
        database = connection.connection.driver_connection
        is_new = isinstance(database, sqlite3.Connection) and not _rows(database, "sqlite_master")
        if not (is_new and written):
            UPGRADE(connection)
        if is_new and written:
            for statement, values in written:
                database.execute(statement, values)
        elif is_new:
            written[:] = list(_statements(database))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "upgrade", write)
        yield


@pytest.fixture(scope="module")
def real_migrations() -> Iterator[None]:
    """Let the migrations make every catalog of a module: for tests of the migrations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "upgrade", UPGRADE)
        yield


def _rows(database: sqlite3.Connection, table: str) -> list[Any]:
    return database.execute(f'SELECT * FROM "{table}"').fetchall()


def _statements(database: sqlite3.Connection) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield what makes the same tables with the same rows; a virtual table makes those that are its own."""
    made = [(row[0], row[1], row[4]) for row in _rows(database, "sqlite_master") if row[4]]
    virtual = tuple(f"{name}_" for _, name, text in made if text.startswith("CREATE VIRTUAL"))
    made = [one for one in made if one[0] != "table" or not one[1].startswith(virtual)]
    for _, _, text in made:
        yield text, ()
    for kind, name, text in made:
        if kind == "table" and not text.startswith("CREATE VIRTUAL"):
            for row in _rows(database, name):
                yield f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(row))})', row


@pytest.fixture(scope="session")
def postgis(postgres: Server) -> Server:
    """Give the same server where it can make the extension PostGIS."""
    if not is_installed("postgis"):
        skip_or_fail("this PostgreSQL has no PostGIS: install postgis")
    return postgres


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give an empty file system of one mebibyte, so that a full disk is a real one."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "small-disk"
    folder.mkdir()
    options = f"size={SMALL_DISK_BYTES},mode=0777"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "small", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        skip_or_fail(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: a process that a test has just killed may still hold a file.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


# ---- a real browser, at a server that `served` of a folder or module starts
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless browser."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        skip_or_fail(f"no browser: {CHROMIUM} is not there; `make server` installs it")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, served: Any) -> Iterator[Callable[..., Any]]:
    """Give a function that signs somebody in and returns an empty page of their browser; nothing may go wrong in its console."""
    contexts, wrong = [], []

    def open_page(secret: str = "", **options: Any) -> Any:
        context = chromium.new_context(base_url=served.url, **options)
        context.set_default_timeout(60_000)  # a loaded machine is slow
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept())
        context.request.post("/login", form={"token": secret or served.token})
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong
