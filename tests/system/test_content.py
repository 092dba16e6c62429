"""The canonical content of a site: what differs is named, what is torn is seen, what says nothing is left out."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from plainpipe.site import make, notes

from towpath import Site
from towpath.testing.content import canonical_bytes, describe, differences, torn


@pytest.fixture
def site(tmp_path: Path):
    make(tmp_path / "one", executor="inline")
    with Site.open(tmp_path / "one") as site:
        site.submit("note", notes(1))
        site.run()
        yield site


def test_two_histories_of_the_same_work_are_equal_and_others_are_not(site: Site, tmp_path: Path):
    make(tmp_path / "two", executor="inline")
    with Site.open(tmp_path / "two") as other:
        for item in reversed(notes(1)):
            other.submit("note", [item])
            other.run()
        other.rerun("n000-0")
        other.run()
        assert differences(describe(site), describe(other)) == []
        json.dumps(describe(site))
        other.flag("n000-2", "odd")
        other.submit("note", notes(2)[-1:])
        found = differences(describe(site), describe(other))
        assert any(line.startswith("/items/plain/note/n000-2/flags: [] | [[{}, 'odd'") for line in found)
        assert any(line.startswith("/items/plain/note/n001-3: None | {'attributes'") for line in found)
        assert len(found) == 2


def test_what_is_torn_is_seen(site: Site):
    assert torn(site) == []
    first, second = (site.show(f"n000-{number}").products[0] for number in (0, 1))
    site.place(first).unlink()
    text = site.place(second).read_text()
    site.place(second).write_text(text[:-4] + "torn")
    os.utime(site.place(second), ns=(second.mtime_ns, second.mtime_ns))
    published = site.folder / "archive" / "plain" / "set" / "set-000"
    (published / "collect-all.txt").write_text("half")
    (published / "item.json").unlink()
    (published / "theirs.txt").write_text("?")
    found = torn(site)
    assert found[:2] == [
        "plain/note/n000-0 write.text: there is nothing",
        "plain/note/n000-1 write.text: other bytes than the catalog says",
    ]
    assert ["collect-all.txt" in found[2], "item.json" in found[3], "theirs.txt" in found[4]] == [True] * 3
    (published / "MANIFEST.json").unlink()
    assert torn(site)[2].endswith("set-000: no MANIFEST.json")


def test_a_publication_that_is_gone_is_torn(site: Site):
    published = site.folder / "archive" / "plain" / "set" / "set-000"
    published.rename(published.with_name("elsewhere"))
    assert torn(site) == [f"{published}: published, and there is nothing"]
    assert describe(site)["archive"] == {}


def test_a_published_file_is_canonical_without_its_times(tmp_path: Path):
    facts = {"prov:startTime": "1", "towpath:run": "1.1", "towpath:stage": "write"}
    document: dict[str, Any] = {"activity": {"a": facts}, "agent": {}, "wasAssociatedWith": {}}
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        facts["prov:startTime"] = str(number)
        (tmp_path / str(number) / "provenance.json").write_text(json.dumps(document))
        (tmp_path / str(number) / "data.txt").write_text(str(number))
    one, two = tmp_path / "1", tmp_path / "2"
    assert canonical_bytes(one / "provenance.json") == canonical_bytes(two / "provenance.json")
    assert canonical_bytes(one / "data.txt") != canonical_bytes(two / "data.txt")
