"""Every repository passes the suite of repositories; what only the folder promises is tested here too."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from towpath.adapters.repositories.folder import FolderRepository
from towpath.contracts.repository import Caller
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
