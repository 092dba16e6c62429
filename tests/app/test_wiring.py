"""Opening a site: its folders, whatever ended the first start; and pipeline files that this site must refuse."""

import os
import stat
from pathlib import Path

import pytest
from plainpipe.site import make

from towpath import Site
from towpath.base import faults
from towpath.base.errors import SiteError

PIPELINE = """
[pipeline]
name = "plain"
[sources.asked]
kind = "submit"
item = "note"
[items.note]
route = "write"
"""
HANDED = (
    PIPELINE.replace('"write"', '"write -> look"')
    + """
[items.note.stages.look]
kind = "handoff"
title = "Look at {item.key}"
consumes = { text = "plain/text" }
produces.seen = { type = "plain/seen", file = "*.txt" }
"""
)
ROOTS = """
[roots]
archive = "far/away/archive"
"""


def first_start(folder: Path, fault: str) -> bool:
    """Open a site that a fault may end; whether it did."""
    faults.arm(fault)
    try:
        with Site.open(folder):
            return False
    except OSError:
        return True
    finally:
        faults.arm("")


# ---- folders


@pytest.mark.parametrize("point", ["catalog.commit", "catalog.committed"])
def test_whenever_the_first_start_was_ended_the_next_makes_every_root(tmp_path: Path, point: str):
    number, was_ended = 0, True
    while was_ended:
        number += 1
        folder = make(tmp_path / str(number), HANDED, site=ROOTS, executor="inline")
        was_ended = first_start(folder, f"{point}:{number}:raise=EIO")
        with Site.open(folder) as site:
            places = site._parts.places
        assert sorted(places) == ["archive", "inbox", "incoming", "store"]
        assert [name for name, place in places.items() if not Path(place).is_dir()] == []
    assert number > 3  # the roots, the definition and the inbox were met


def test_a_root_that_went_away_is_not_made_again(tmp_path: Path):
    make(tmp_path, HANDED, site=ROOTS, executor="inline")
    with Site.open(tmp_path) as site:
        places = [Path(place) for place in site._parts.places.values()]
    for place in places:
        place.rmdir()
    with Site.open(tmp_path):
        assert [place for place in places if place.exists()] == []


def test_each_folder_that_leads_to_a_root_is_flushed_before_the_catalog_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make(tmp_path, PIPELINE, site=ROOTS, executor="inline")
    (tmp_path / "far").mkdir()  # by a start that was killed before it flushed this
    flushed: set[Path] = set()
    plain = os.fsync

    def fsync(number: int) -> None:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            flushed.add(Path(f"/proc/self/fd/{number}").readlink())
        plain(number)

    monkeypatch.setattr(os, "fsync", fsync)
    assert first_start(tmp_path, "catalog.commit:1:raise=EIO")
    assert {tmp_path, tmp_path / "far", tmp_path / "far" / "away"} <= flushed
    assert (tmp_path / "far" / "away" / "archive").is_dir()


# ---- pipeline files


GPU = "[items.note.stages.write]\nresources = { gpu = true }\n"
INBOX = HANDED.replace('kind = "handoff"', 'kind = "handoff"\ninbox = "nowhere"')


@pytest.mark.parametrize(
    ("text", "why"),
    [(PIPELINE + GPU, "note.write want a GPU"), (INBOX, "note.look: inbox: no root 'nowhere'")],
    ids=["gpu", "inbox"],
)
def test_a_pipeline_file_that_the_site_cannot_do_leaves_the_old_one(tmp_path: Path, text: str, why: str):
    make(tmp_path, PIPELINE, executor="inline")
    file = tmp_path / "plain.toml"
    with Site.open(tmp_path) as site:
        old = site.definitions["plain"]
        file.write_text(text)
        assert why in site.reload()["plain"]
        assert site.reload() == {}  # told once
        assert why in site._parts.reload(force=True)["plain"]
        assert site.definitions["plain"] is site.catalog.definitions["plain"] is old
        refused = [event.data["error"] for event in site.events() if event.type == "definition refused"]
        assert len(refused) == 2 and all(why in one for one in refused)
        file.write_text(PIPELINE)
        assert site.reload() == {}  # what is in force means the same
        file.write_text(PIPELINE + GPU.replace("gpu = true", "memory = '1 GB'"))
        assert site.reload() == {"plain": ""}
        assert site.definitions["plain"] is not old


def test_a_watching_site_outlives_a_pipeline_file_that_it_cannot_do(tmp_path: Path):
    make(tmp_path, PIPELINE, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", [{"key": "before"}])

        def tick(progress) -> None:
            if not progress.done():
                return
            if "gpu" not in (tmp_path / "plain.toml").read_text():
                (tmp_path / "plain.toml").write_text(PIPELINE + GPU)
            elif any(event.type == "definition refused" for event in site.events()):
                progress.worker.loop.stop()

        assert site.run(watch=True, tick=tick).runs == {"done": 1}


def test_a_definition_that_could_not_be_written_is_not_in_force(tmp_path: Path):
    make(tmp_path, PIPELINE, executor="inline")
    with Site.open(tmp_path) as site:
        old = site.definitions["plain"]
        (tmp_path / "plain.toml").write_text(HANDED.replace("Look", "See"))
        faults.arm("catalog.commit:2:raise=EIO")  # the first is that of the inbox
        try:
            with pytest.raises(OSError, match="fault point"):
                site.reload()
        finally:
            faults.arm("")
        assert site.definitions["plain"] is site.catalog.definitions["plain"] is old


def test_a_catalog_that_cannot_be_written_is_not_taken_for_a_definition_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make(tmp_path, PIPELINE, executor="inline")

    def locked(work: object) -> object:
        raise SiteError("the catalog could not be written: database is locked")

    with Site.open(tmp_path) as site:
        (tmp_path / "plain.toml").write_text(HANDED)
        with monkeypatch.context() as patch:
            patch.setattr(site.catalog, "write", locked)
            with pytest.raises(SiteError, match="database is locked"):
                site.reload()
        assert not [event for event in site.events() if event.type == "definition refused"]
