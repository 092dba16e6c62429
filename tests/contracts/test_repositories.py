"""Every repository passes the suite of repositories; what only the folder promises is tested here too."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from towpath.adapters.repositories.folder import FolderRepository
from towpath.adapters.repositories.invenio import InvenioRepository
from towpath.contracts.repository import Caller
from towpath.testing.invenio import InvenioServer
from towpath.testing.repositories import Bench, RepositorySuite


class FolderBench:
    """A folder of records and people with a shell on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = FolderRepository(str(root))
        self.owner, self.stranger = Caller("alice"), Caller("mallory")
        self._records = 0

    def record(self, title: str = "") -> str:
        self._records += 1
        folder = self.root / f"rec{self._records}"
        folder.mkdir()
        (folder / ".record.toml").write_text(f'title = "{title}"\npeople = ["alice"]\n')
        return folder.name

    def deposit(self, record: str, key: str, content: bytes) -> None:
        path = self.root / record / key
        path.write_bytes(content)
        settled = time.time() - 5
        os.utime(path, (settled, settled))

    def publish(self, record: str) -> None:
        with (self.root / record / ".record.toml").open("a") as file:
            file.write("published = true\n")


class TestFolder(RepositorySuite):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        (tmp_path / "records").mkdir()
        bench = FolderBench(tmp_path / "records")
        yield bench
        bench.repository.close()


class InvenioBench:
    """An instance of ours, an owner who lets the site's account manage her records, and a stranger."""

    def __init__(self, server: InvenioServer, **settings: Any) -> None:
        self.server = server
        site = server.add_user("site")
        self.repository = InvenioRepository(server.url, path=server.path, token=lambda: site, **settings)
        self.owner = Caller("alice", server.add_user("alice"))
        self.stranger = Caller("mallory", server.add_user("mallory"))

    def record(self, title: str = "") -> str:
        return self.server.add_record("alice", title, rights={"site": "manage"})

    def deposit(self, record: str, key: str, content: bytes) -> None:
        self.server.deposit(record, key, content)

    def publish(self, record: str) -> None:
        self.server.publish(record)


@pytest.fixture(scope="module")
def instance() -> Iterator[InvenioBench]:
    """Give an instance that sends downloads on to a store."""
    with InvenioServer() as server:
        bench = InvenioBench(server)
        yield bench
        bench.repository.close()


@pytest.fixture(scope="module")
def other_instance() -> Iterator[InvenioBench]:
    """Give an instance of another model that keeps bytes itself, and lists few records at once."""
    with InvenioServer("/api/experiments", store=False) as server:
        bench = InvenioBench(server, per_page=2)
        yield bench
        bench.repository.close()


class TestInvenio(RepositorySuite):
    @pytest.fixture
    def bench(self, instance: InvenioBench) -> Bench:
        instance.server.records.clear()
        return instance


class TestInvenioOfAnotherModel(RepositorySuite):
    @pytest.fixture
    def bench(self, other_instance: InvenioBench) -> Bench:
        other_instance.server.records.clear()
        return other_instance
