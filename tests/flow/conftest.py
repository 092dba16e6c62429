"""Makes the modules beside these tests, and the pipeline `plainpipe` of the system tests, importable by plain names."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]

from publishing import World  # noqa: E402  the path is set above

from towpath.testing.postgres import Server  # noqa: E402


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(folder: str = "site", **params: Any) -> World:
        (tmp_path / folder).mkdir()
        made.append(World(tmp_path / folder, **params))
        return made[-1]

    yield make
    for one in made:
        one.catalog.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Give what makes the URL of an empty catalog ("": in the site's folder), by each adapter in turn."""
    if request.param == "sqlite":
        yield lambda: ""
        return
    server: Server = request.getfixturevalue("postgres")
    template: str = request.getfixturevalue("migrated_template")
    made: list[str] = []

    def make() -> str:
        made.append(server.database(template=template))
        return made[-1]

    yield make
    for url in made:
        server.drop(url)
