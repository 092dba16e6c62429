"""A real server with the work of its site beside it, and a real browser: what people do at a desk."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from towpath import Site

REPOSITORY = Path(__file__).resolve().parents[3]
CHROMIUM = "/usr/bin/chromium"
AXE = REPOSITORY / "tests" / "api" / "vendor" / "axe.min.js"
SITE = """\
[site]
name = "desk"
executor = "inline"

[retention]
every = "1 h"

[pipelines.picks]
plugin = "picks:plugin"
file = "picks.toml"

[pipelines.lab]
plugin = "lab:plugin"
file = "{lab}/lab.toml"
path = "{lab}"

[pipelines.lab.override.items.sample.publish]
publish = "manual"
"""


def trace(folder: Path, name: str) -> None:
    """A trace in which something arrives, dropped whole."""
    rows = ["time,velocity"]
    for step in range(800):
        wave = 40.0 if step > 500 and step % 7 < 3 else 1.0
        rows.append(f"{step / 50:.2f},{wave * (1 if step % 2 else -1):.2f}")
    part = folder / f".{name}"
    part.write_text("\n".join(rows) + "\n")
    part.rename(folder / f"{name}.csv")


@dataclass
class Served:
    """A server: where it is, the site's folder, the token of an admin, and tokens of others by their roles."""

    url: str
    folder: Path
    token: str
    tokens: dict[str, str] = field(default_factory=dict)

    def secret(self, *grants: str) -> str:
        """A token with these grants; the name of whom it is for is the first role."""
        name = grants[0]
        if name not in self.tokens:
            with Site.open(self.folder) as site:
                self.tokens[name] = site.make_token(name, grants).secret
        return self.tokens[name]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A site of the example of picks and of the laboratory, served with its work by a process of its own."""
    folder = tmp_path_factory.mktemp("desk") / "site"
    shutil.copytree(REPOSITORY / "examples" / "picks", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "towpath.toml").write_text(SITE.format(lab=REPOSITORY / "tests" / "api"))
    (folder / "incoming").mkdir()
    trace(folder / "incoming", "quake")
    with Site.open(folder) as site:
        site.submit("lab/sample", [{"key": "stone", "attributes": {"weight": 2.5}}])
        site.submit("lab/sample", [{"key": "broken", "attributes": {"trouble": "fails"}}])
        site.run(check=False, patience=0)
        token = site.make_token("ada", ["admin"]).secret
    command = [sys.executable, "-m", "towpath", "--json", "serve", "--port", "0", "--with-worker"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(process.communicate(timeout=10)[1])
        yield Served(json.loads(line)["url"], folder, token)
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless browser."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser: {CHROMIUM} is not there")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, served: Served) -> Iterator[Callable[..., Any]]:
    """Give a function that signs somebody in and returns their browser's page; nothing may go wrong in its console."""
    contexts, wrong = [], []

    def open_page(secret: str = "", **options: Any) -> Any:
        context = chromium.new_context(base_url=served.url, **options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto("/login")
        page.fill("input[name=token]", secret or served.token)
        page.click("main form button")
        page.wait_for_url("**/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong
