"""A site of the example of picks and of the laboratory, served with its work by a process of its own."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from towpath import Site

REPOSITORY = Path(__file__).resolve().parents[3]
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
def served(tmp_path_factory: pytest.TempPathFactory, serve: Any) -> Iterator[Served]:
    """The server, and a trace and two samples that have come."""
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
    with serve(folder) as url:
        yield Served(url, folder, token)
