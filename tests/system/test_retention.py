"""Retention of no time at all while a site runs: what is superseded goes at once, and nothing that counts is touched."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from plainpipe.site import Daemon, make, notes, wait_for

from towpath import Site
from towpath.testing.content import describe, torn

PIPELINE = """
[pipeline]
name = "plain"
[sources.asked]
kind = "submit"
item = "note"
[items.note]
route = "write -> hash"
[items.note.stages.hash]
params = { length = LENGTH }
[items.set]
group = { of = "note", at = "hash", by = "set", size = 4, key = "set-{set}", order_by = "key" }
route = "collect -> publish"
"""
AT_ONCE = "[retention]\nevery = '100 ms'\nsuperseded = '0 s'\ntrash = '0 s'\norphans = '0 s'\nlogs = '0 s'\nevents = '0 s'\n"


@pytest.mark.slow
def test_what_counts_stays_while_all_that_is_old_goes(tmp_path: Path):
    lengths = (64, 8, 32)
    folder, other = tmp_path / "swept", tmp_path / "quiet"
    make(folder, PIPELINE.replace("LENGTH", "64"), site=AT_ONCE)
    with Site.open(folder) as site:
        site.submit("note", notes(3))
    with Daemon(folder, watch=True) as daemon:
        for length in lengths:
            (folder / "plain.toml").write_text(PIPELINE.replace("LENGTH", str(length)))
            with Site.open(folder) as site:
                wait_for(partial(_is_applied, site), 240)
        with Site.open(folder) as site:
            wait_for(lambda: len(list((folder / "store").rglob("*.hash.txt"))) == 12)
        daemon.terminate()
        assert daemon.wait() == 0, daemon.text()
    with Site.open(folder) as site:
        assert torn(site) == []
        found = made(site)
        assert site.run().did_nothing
        assert len(site.runs("n000-0")) >= len(lengths)  # every run is still known
    make(other, PIPELINE.replace("LENGTH", "32"))
    with Site.open(other) as quiet:
        quiet.submit("note", notes(3))
        quiet.run()
        assert made(quiet) == found


def _is_applied(site: Site) -> bool:
    """Whether all is done as the pipeline file says; what the daemon did before it had read the file is done again."""
    site.apply()
    return not site.plan(check=False).work


def made(site: Site) -> dict[str, Any]:
    """States, keys and products of every item: what a site that published less often has in common."""
    items = describe(site)["items"]
    return {name: [one["work"], one["keys"], one["products"]] for name, one in items.items()}
