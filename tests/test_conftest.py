"""The fixtures of conftest do what the tests that use them take for granted."""

import errno
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from towpath.adapters.catalog.sqlite import migrate

READ = "import pathlib, sys; print(pathlib.Path(sys.argv[1]).read_text())"
WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1], 'new').write_text('x')"


def test_permissions_bind_the_unprivileged(tmp_path: Path, unprivileged) -> None:
    secret = tmp_path / "secret"
    secret.write_text("lock")
    assert unprivileged(sys.executable, "-c", READ, secret).stdout == "lock\n"
    secret.chmod(0)
    done = unprivileged(sys.executable, "-c", READ, secret, check=False)
    assert "PermissionError" in done.stderr


def test_a_folder_without_write_permission_refuses(tmp_path: Path, unprivileged) -> None:
    tmp_path.chmod(0o555)
    try:
        done = unprivileged(sys.executable, "-c", WRITE, tmp_path, check=False)
    finally:
        tmp_path.chmod(0o755)
    assert "PermissionError" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_small_disk_fills_up(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        (small_disk / "much").write_bytes(bytes(2 * 1024 * 1024))
    assert caught.value.errno == errno.ENOSPC


def test_the_data_folder_has_the_gravity_compilation(data: Path) -> None:
    assert (data / "gravity").is_dir()


def test_a_new_file_is_what_the_migrations_make(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for name in ("first", "copied"):
        assert migrate(tmp_path / name) == ""
    request.getfixturevalue("real_migrations")
    assert migrate(tmp_path / "made") == ""

    def dumped(name: str) -> list[str]:
        with closing(sqlite3.connect(tmp_path / name)) as database:
            return sorted(database.iterdump())

    assert dumped("copied") == dumped("made")
    assert len(dumped("made")) > 50
