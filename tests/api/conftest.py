"""A site with the pipeline `lab`, and a server around it that answers in this process."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from towpath import Site
from towpath.api.app import make_app

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

SITE = """\
[site]
name = "laboratory"
executor = "inline"
{catalog}

[pipelines.lab]
plugin = "lab:plugin"
file = "{file}"
path = "{path}"
"""


class Server:
    """A site, the server around it, and clients of people by role."""

    def __init__(self, folder: Path, more: str = "", *, catalog: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        where = f'catalog = "{catalog}"' if catalog else ""
        site = SITE.format(file=HERE / "lab.toml", path=HERE, catalog=where)
        (folder / "towpath.toml").write_text(site + more)
        self.folder = folder
        self.site = Site.open(folder)
        try:
            self.app = make_app(self.site)
        except BaseException:
            self.site.close()
            raise
        self.browser = TestClient(self.app, raise_server_exceptions=False, follow_redirects=False)
        self.browser.__enter__()
        self.tokens: dict[str, str] = {}
        self.is_closed = False

    def secret(self, *grants: str) -> str:
        """The secret of a token with these grants."""
        name = "+".join(grants)
        if name not in self.tokens:
            self.tokens[name] = self.site.make_token(name, grants).secret
        return self.tokens[name]

    def as_(self, *grants: str) -> "Client":
        """A client with a token of these grants; without any, nobody's."""
        return Client(self.browser, {"Authorization": f"Bearer {self.secret(*grants)}"} if grants else {})

    def sample(self, key: str = "a", **attributes: Any) -> int:
        """The number of a new sample."""
        return self.site.submit("lab/sample", [{"key": key, "attributes": attributes}])[0]

    def run(self) -> None:
        """Run what is to run."""
        self.site.run(check=False, patience=0)

    def close(self) -> None:
        """End it; again: nothing."""
        if self.is_closed:
            return
        self.is_closed = True
        self.browser.__exit__(None, None, None)
        self.site.close()


class Client:
    """Requests with one person's token."""

    def __init__(self, browser: TestClient, headers: dict[str, str]) -> None:
        self.browser, self.headers = browser, headers

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """One request below /api/v1."""
        headers = {**self.headers, **more.pop("headers", {})}
        answer: httpx2.Response = self.browser.request(method, f"/api/v1{path}", headers=headers, **more)
        return answer

    def get(self, path: str, **more: Any) -> Any:
        """What is answered, which must be well."""
        answer = self.ask("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, expect: int = 200, **more: Any) -> Any:
        """What is answered to a change."""
        answer = self.ask("POST", path, json={} if body is None else body, **more)
        assert answer.status_code == expect, answer.text
        return answer.json()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Give `make_server(more)`: a server around an empty site (in a folder of its own) whose site file has `more`."""
    made: list[Server] = []

    def make(more: str = "", folder: Path | None = None, catalog: str = "") -> Server:
        made.append(Server(folder or tmp_path / f"site{len(made)}", more, catalog=catalog))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def make_lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """The same for a server that several tests of a module use."""
    made: list[Server] = []

    def make(more: str = "") -> Server:
        made.append(Server(tmp_path_factory.mktemp("lasting") / "site", more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """A server around an empty site."""
    return make_server()
