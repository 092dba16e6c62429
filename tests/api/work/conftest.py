"""The laboratory, served with its work by a process of its own: failures, gates, and a sample that takes long."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from towpath import Site

LAB = Path(__file__).resolve().parents[1]
HOSTILE = "<b>bold</b> & 'quoted' \u202etxt.exe"
SITE = """\
[site]
name = "laboratory"
executor = "local"
workers = 2

[pipelines.lab]
plugin = "lab:plugin"
file = "{lab}/lab.toml"
path = "{lab}"
"""


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

    def submit(self, key: str, **attributes: Any) -> int:
        """The number of a new sample."""
        with Site.open(self.folder) as site:
            return site.submit("lab/sample", [{"key": key, "attributes": attributes}])[0]

    def number(self, key: str) -> int:
        """The number of a sample."""
        with Site.open(self.folder) as site:
            return site.find(f"lab/sample/{key}").id

    def states(self, key: str) -> dict[str, str]:
        """The states of its stages."""
        with Site.open(self.folder) as site:
            return {row.stage: row.state.value for row in site.show(f"lab/sample/{key}").work}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, serve: Any) -> Iterator[Served]:
    """The laboratory, with its work done by a process of its own."""
    folder = tmp_path_factory.mktemp("work") / "site"
    folder.mkdir()
    (folder / "towpath.toml").write_text(SITE.format(lab=LAB))
    with Site.open(folder, overrides=["site.executor=inline"]) as site:
        samples = [
            {"key": key, "attributes": {"weight": 2.5, "target": "M31"}}
            for key in ("gold", "silver", HOSTILE)
        ]
        samples += [{"key": "lead", "attributes": {"weight": 250.0}}]
        samples += [
            {"key": key, "attributes": {"trouble": "fails"}}
            for key in ("broken", "bent", "bulk-1", "bulk-2", "bulk-3")
        ]
        site.submit("lab/sample", samples)
        site.run(check=False, patience=0)
        for feed, band in ((1, 0), (2, 1), (3, 0)):
            site.by("linus").flag(
                "lab/sample/gold", "spikes", part={"feed": feed, "band": band}, comment="seen by eye"
            )
        token = site.make_token("ada", ["admin"]).secret
    with serve(folder) as url:
        yield Served(url, folder, token)
