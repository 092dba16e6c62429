"""Serving a site in this process: who is known to use it, and signals that come early."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from towpath import Site
from towpath.api import serving

LAB = Path(__file__).parent
SITE = f"""
[server]
port = 0
[pipelines.lab]
plugin = "lab:plugin"
file = "{LAB / "lab.toml"}"
path = "{LAB}"
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An empty site."""
    (tmp_path / "towpath.toml").write_text(SITE)
    with Site.open(tmp_path) as site:
        yield site


@pytest.mark.parametrize("with_worker", [False, True])
def test_who_serves_is_known_and_is_no_worker(site: Site, with_worker: bool) -> None:
    seen: list[list[Any]] = []

    def tell(_url: str) -> None:  # the work begins after it
        with site.catalog.read() as view:
            seen.extend([view.processes(), view.sessions()])
        signal.raise_signal(signal.SIGTERM)

    serving.serve(site, with_worker=with_worker, on_listening=tell)
    assert [len(rows) for rows in seen] == [1, 0]
    with site.catalog.read() as view:
        assert view.processes() == []


@pytest.mark.parametrize("with_worker", [False, True])
def test_a_signal_before_the_server_looks_for_it_ends_it(
    site: Site, with_worker: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, run = [], serving._Server.run

    def early(server: serving._Server) -> None:
        signal.raise_signal(signal.SIGTERM)
        run(server)

    def tell(url: str) -> None:
        told.append(url)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(serving._Server, "run", early)
    serving.serve(site, with_worker=with_worker, on_listening=tell)
    assert told == []
