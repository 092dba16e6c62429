"""The command line on a catalog in PostgreSQL: made by `init`, told without its password."""

import sys
from pathlib import Path

import psycopg
import pytest

from towpath.adapters.catalog.migrations import HEAD
from towpath.testing.postgres import Server


@pytest.fixture
def url(postgres: Server):
    url = postgres.database()
    yield url.replace("towpath@", "towpath:sesame@")
    postgres.drop(url)


def text_of(answer) -> str:
    return answer.out + answer.err


def test_a_site_is_made_with_its_catalog_in_postgresql(tmp_path: Path, url: str, invoke):
    done = invoke("init", str(tmp_path / "site"), "--catalog", url)
    assert done.code == 0, text_of(done)
    site = ["--site", str(tmp_path / "site")]
    told = [text_of(invoke(*site, *command)) for command in (["db", "path"], ["config"], ["status"], ["run"])]
    assert "postgresql://towpath:***@/" in told[0]
    assert not [text for text in told if "sesame" in text]
    assert invoke(*site, "db", "migrate", "--json").document == {"before": HEAD, "after": HEAD}
    assert "whole: " in text_of(invoke(*site, "db", "check"))
    assert not (tmp_path / "site" / "catalog.sqlite").exists()


def test_a_server_that_is_not_there_is_told_without_the_password(tmp_path: Path, invoke):
    url = "postgresql://ann:sesame@127.0.0.1:1/db"
    done = invoke("init", str(tmp_path / "site"), "--catalog", url)
    assert done.code == 6
    assert "postgresql://ann@127.0.0.1:1/db: the catalog cannot be opened" in text_of(done)
    assert "sesame" not in text_of(done)
    assert not (tmp_path / "site" / "towpath.toml").exists()


def test_without_the_library_it_says_what_to_install(tmp_path: Path, invoke, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr("towpath.adapters.catalog.postgres")
    for name in ("postgres", "connecting"):
        monkeypatch.delitem(sys.modules, f"towpath.adapters.catalog.{name}")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    done = invoke("init", str(tmp_path / "site"), "--catalog", "postgresql://ann@127.0.0.1/db")
    assert done.code == 6
    assert "pip install 'towpath[postgres]'" in text_of(done)


def test_a_schema_of_ones_own(tmp_path: Path, url: str, invoke):
    made = invoke("init", str(tmp_path / "site"), "--catalog", url, "--set", "site.catalog_schema=tides")
    assert made.code == 0, text_of(made)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename = 'work'"
        ).fetchall()
    connection.close()
    assert rows == [("tides",)]
