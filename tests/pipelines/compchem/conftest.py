"""A site whose pipeline is about files of records, and a server around it that answers in this process."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from towpath import Site
from towpath.api.app import make_app
from towpath.api.routes import products

HERE = Path(__file__).resolve().parent

SITE = """\
[site]
name = "deposit"
executor = "{executor}"
workers = 1

[pipelines.compchem]
plugin = "depositlab:plugin"
file = "deposit.toml"
path = "{path}"

[repositories.records]
root = "records"
settle = 0.0
"""


class Depot:
    """The site, the server around it, and what somebody with the role `operator` (or another) asks of it."""

    def __init__(self, folder: Path, executor: str = "inline", time: str = "1 h", more: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "towpath.toml").write_text(SITE.format(executor=executor, path=HERE) + more)
        (folder / "deposit.toml").write_text((HERE / "deposit.toml").read_text().replace("{time}", time))
        (folder / "records").mkdir()
        self.folder = folder
        self.site = Site.open(folder)
        self.app = make_app(self.site)
        self.browser = TestClient(self.app, raise_server_exceptions=False, follow_redirects=False)
        self.browser.__enter__()
        self.secrets: dict[str, str] = {}

    def close(self) -> None:
        """End it."""
        self.browser.__exit__(None, None, None)
        self.site.close()

    def put(self, record: str, **files: str) -> Path:
        """Put files on a record: in their names, two underscores stand for a dot."""
        folder = self.folder / "records" / record
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text)
        return folder

    def run(self) -> None:
        """Run what is to run."""
        self.site.run(check=False, patience=0)

    def headers(self, role: str) -> dict[str, str]:
        """What somebody with this role sends; "": nobody."""
        if role and role not in self.secrets:
            self.secrets[role] = self.site.make_token(role, [role]).secret
        return {"Authorization": f"Bearer {self.secrets[role]}"} if role else {}

    def ask(self, method: str, path: str, role: str = "operator", **more: Any) -> httpx2.Response:
        """One request below /api/v1/workflows."""
        headers = {**self.headers(role), **more.pop("headers", {})}
        answer: httpx2.Response = self.browser.request(
            method, f"/api/v1/workflows{path}", headers=headers, **more
        )
        assert answer.status_code != 500 and "Traceback" not in answer.text, answer.text
        return answer

    def get(self, path: str, **more: Any) -> Any:
        """What is answered, which must be well."""
        answer = self.ask("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, expect: int = 201, **more: Any) -> Any:
        """What is answered to a change."""
        answer = self.ask("POST", path, json={} if body is None else body, **more)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def refused(self, path: str, body: Any = None, expect: int = 422, **more: Any) -> Any:
        """The error that is answered to a change."""
        return self.post(path, body, expect, **more)["error"]

    def stream(self, path: str, **headers: str) -> list[tuple[str, str, Any]]:
        """The events (type, id, data) of a stream, which must end by itself."""
        answer = self.ask("GET", path, headers={"Accept": "text/event-stream", **headers})
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
        found = []
        for frame in answer.text.split("\n\n"):
            told = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
            if "event" in told:
                found.append((told["event"], told.get("id", ""), json.loads(told["data"])))
        return found

    @staticmethod
    def until(happened: Callable[[], Any], seconds: float = 20.0) -> Any:
        """What `happened` returns, as soon as it is true."""
        end = time.monotonic() + seconds
        while not (found := happened()):
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.02)
        return found


@pytest.fixture
def make_depot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Depot]]:
    """Give `make_depot(...)`: a server around a site with an empty repository."""
    # Each route is built anew at an app's first request, which takes longer than most tests: only these are asked for.
    monkeypatch.setattr("towpath.api.app.ROUTES", (products.routes,))
    made: list[Depot] = []

    def make(**options: Any) -> Depot:
        made.append(Depot(tmp_path / f"site{len(made)}", **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def depot(make_depot: Callable[..., Depot]) -> Depot:
    """A server around a site with an empty repository."""
    return make_depot()
