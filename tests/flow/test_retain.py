"""What is kept and for how long, on a real site: superseded products, pins, trash, logs, events; by the daemon and by hand."""

import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from plainpipe.site import Daemon, make, notes, states, wait_for

from towpath import Product, Site
from towpath.app.retention import QUEUE
from towpath.base.errors import NotFoundError, StateError, StorageError
from towpath.base.states import Outcome
from towpath.base.states import Product as ProductState
from towpath.contracts.executor import Report
from towpath.contracts.people import AnswerRow
from towpath.flow import retain
from towpath.flow.retain import Policy
from towpath.testing.content import torn

NOW = "[retention]\nevery = '0 s'\nsuperseded = '0 s'\ntrash = '0 s'\norphans = '1 d'\nlogs = '0 s'\nevents = '0 s'\n"
KEPT = "[retention]\nsuperseded = 'always'\ntrash = 'always'\norphans = 'always'\nlogs = 'always'\nevents = 'always'\n"
SHORT = "[pipelines.plain.override.items.note.stages.hash]\nparams = { length = 8 }\n"


def generations(folder: Path, site_file: str) -> list[Path]:
    """A site whose hashes were made twice: the places of the first ones, which are superseded."""
    make(folder, executor="inline")
    with Site.open(folder) as site:
        site.submit("note", notes(1))
        site.run()
        old = [site.place(product) for product in of_stage(site, "hash")]
    make(folder, site=SHORT + site_file, executor="inline")
    with Site.open(folder) as site:
        site.apply()
        site.run()
    time.sleep(0.01)
    return old


def of_stage(site: Site, stage: str, name: str = "") -> list[Product]:
    items = [name] if name else [item.name for item in site.items(kind="note")]
    return [product for item in items for product in site.show(item).products if product.stage == stage]


# ---- superseded products


def test_superseded_products_go_by_the_policy_of_the_site_file(tmp_path: Path):
    old = generations(tmp_path, NOW)
    with Site.open(tmp_path) as site:
        assert all(path.exists() for path in old)
        told = site.sweep()
        assert (told["trash"], told["deleted"]) == (5, 5)  # four hashes and what was collected of them
        assert told["bytes"] > 4 * 65
        assert not any(path.exists() for path in old)
        assert torn(site) == [] and site.run(check=True).did_nothing
        again = site.sweep()
        assert again.pop("events") > 0  # what was just told
        assert set(again.values()) == {0}


def test_always_means_always(tmp_path: Path):
    old = generations(tmp_path, KEPT)
    with Site.open(tmp_path) as site:
        assert set(site.sweep().values()) == {0}
        assert all(path.exists() for path in old)
        assert site.sizes().frees == {}
        shown = {name: value for name, value, _ in site.settings.shown() if name.startswith("retention.")}
        assert shown["retention.logs"] == "always" and shown["retention.every"] == 86400.0


def test_many_leave_in_steps_that_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    generations(tmp_path, NOW)
    monkeypatch.setattr(retain, "PRODUCTS", 2)
    monkeypatch.setattr(retain, "EVENTS", 3)
    with Site.open(tmp_path) as site:
        steps = []
        write = site.catalog.write
        site.catalog.write = lambda act: steps.append(1) or write(act)  # type: ignore[method-assign]
        told = site.sweep()
        assert (told["trash"], told["deleted"]) == (5, 5)
        assert told["events"] >= 20
        assert len(steps) >= 3 + 3 + told["events"] // 3


def test_nothing_is_taken_from_under_a_run_that_may_read_it(tmp_path: Path):
    make(tmp_path, site=NOW, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", notes(1))
        site.run()
        old = of_stage(site, "write", "n000-0")[0]
        kind = site.definitions["plain"].kinds["note"]
        site.rerun("n000-1", "hash")
        (reader,) = site.catalog.write(lambda tx: tx.claim(kind, kind.stages["hash"], 1, lease=600, owner=0))
        with site.catalog.read() as view:
            moment = view.now()
        site.catalog.write(lambda tx: tx.cursor.execute(  # superseded while another run goes on
            "UPDATE products SET state = 'superseded', left_at = ? WHERE id = ?", (moment, old.id)))  # type: ignore[attr-defined]  # fmt: skip
        time.sleep(0.01)
        assert site.sweep()["trash"] == 0
        assert site.place(old).exists()
        report = Report(reader.work, reader.token, Outcome.DRAINED)
        site.catalog.write(lambda tx: tx.complete(kind, kind.stages["hash"], [(reader, report)]))
        assert site.sweep()["trash"] == 1


def test_what_was_moved_to_an_archive_stays_there(tmp_path: Path):
    moved = "[pipelines.plain.override.items.set.publish]\nmode = 'move'\n"
    make(tmp_path, site=moved, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", notes(1))
        site.run()
    make(tmp_path, site=SHORT + moved + NOW, executor="inline")
    with Site.open(tmp_path) as site:
        site.apply()
        site.run()
        time.sleep(0.01)
        told = site.sweep()
        assert told["deleted"] == 4  # the hashes: what was collected of them is in the archive
        with site.catalog.read() as view:
            (former,) = view.products(states=(ProductState.SUPERSEDED,))
        assert former.root == "archive" and site.place(former).exists()
        assert [row.state.value for row in site.publications()] == ["superseded", "released"]
        assert torn(site) == []


def test_what_people_put_into_the_store_is_theirs(tmp_path: Path):
    make(tmp_path, site="[roots]\narchive = 'store/plain/note/archive'\n" + NOW, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", notes(1))
        site.run()
        store = tmp_path / "store"
        (store / "mine").mkdir()
        theirs = [
            store / "notes.txt",
            store / "mine" / "x.1.text.txt",
            store / "plain" / "note" / "write" / "notes.txt",
        ]
        for path in theirs:
            path.write_text("a person's")
        left = store / "plain" / "note" / "write" / "x.7.text.txt"
        left.write_text("left by a kill")
        for path in (*theirs, left, *(path for path in store.rglob("*") if path.is_file())):
            os.utime(path, (1, 1))
        assert site.sweep()["orphans"] == 1
        assert not left.exists() and all(path.exists() for path in theirs)
        assert (
            len([path for path in (store / "plain" / "note" / "archive").rglob("*") if path.is_file()]) >= 4
        )


def test_a_kill_between_row_and_bytes_leaves_an_orphan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old = generations(tmp_path, NOW)
    with Site.open(tmp_path) as site:

        def killed(path: Path) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(site.storage, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            site.sweep()
        monkeypatch.undo()
        left = [path for path in old if path.exists()]
        assert len(left) == 4
        for path in left:
            os.utime(path, (1, 1))
        assert site.sweep()["orphans"] == 4
        assert not any(path.exists() for path in old)
        assert torn(site) == []


def test_bytes_that_cannot_be_removed_are_told_and_tried_again_as_orphans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    old = generations(tmp_path, NOW)
    with Site.open(tmp_path) as site:

        def refuse(path: Path) -> None:
            raise StorageError(f"{path}: cannot be removed: the disk is away")

        monkeypatch.setattr(site.storage, "remove", refuse)
        told = site.sweep()
        assert (told["deleted"], told["bytes"]) == (5, 0)
        assert "the disk is away" in caplog.text
        monkeypatch.undo()
        for path in old:
            os.utime(path, (1, 1))
        assert site.sweep()["orphans"] == 4


def test_adopted_bytes_outlive_what_they_took_the_place_of(tmp_path: Path):
    make(tmp_path, site=NOW, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", notes(1))
        site.run()
        product = of_stage(site, "hash", "n000-0")[0]
        place = site.place(product)
        place.write_text("by hand\n")
        site.adopt("n000-0", "hash", why="better")
        site.sweep()
        assert place.read_text() == "by hand\n"  # the row that was superseded lies at the same place
        site.rerun("n000-0", "hash")
        site.run()
        site.pin("n000-0", "hash", why="for the paper", former=True)
        site.sweep()
        assert place.read_text() == "by hand\n"


# ---- pins


def test_a_pin_holds_what_is_superseded_until_it_is_taken_off(tmp_path: Path):
    make(tmp_path, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", notes(1))
        site.run()
        first = site.place(of_stage(site, "hash", "n000-0")[0])
        assert site.pin("n000-0", "hash", why="for the paper") == 1
        (pin,) = site.show("n000-0").pins
        assert (pin.why, pin.until, pin.product.stage) == ("for the paper", None, "hash")
        with pytest.raises(StateError, match="has no products to keep"):
            site.pin("n000-0", "wash")
    make(tmp_path, site=SHORT + NOW, executor="inline")
    with Site.open(tmp_path) as site:
        site.apply()
        site.run()
        time.sleep(0.01)
        assert site.sweep()["deleted"] == 4
        assert first.exists() and site.sizes().pinned.count == 1
        assert site.unpin("n000-0") == 1
        assert site.sweep()["deleted"] == 1
        assert not first.exists()
        assert site.unpin("n000-0") == 0


def test_a_pin_in_the_trash_and_one_that_ends(tmp_path: Path):
    old = generations(tmp_path, NOW.replace("trash = '0 s'", "trash = '1 d'"))
    with Site.open(tmp_path) as site:
        site.sweep()
        assert site.pin("n000-0", "hash", why="after all", former=True) == 2
        site.pin("n000-1", "hash", until=time.time() - 1, former=True)  # it has ended
        site.sweep(grace=0.0)
        assert [path.exists() for path in old] == [True, False, False, False]


def test_another_persons_pin_stays(tmp_path: Path):
    make(tmp_path, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", notes(1))
        site.run()
        product = of_stage(site, "hash", "n000-0")[0]
        site.catalog.write(lambda tx: tx.pin([product.id], "somebody", "mine"))
        site.pin("n000-0", "hash")
        assert site.unpin("n000-0") == 1
        assert [pin.author for pin in site.show("n000-0").pins] == ["somebody"]
        assert site.unpin("n000-0", everybody=True) == 1


# ---- logs


PIPELINE = '[pipeline]\nname = "plain"\n[sources.told]\nkind = "submit"\nitem = "case"\n[items.case]\nroute = "trouble"\n'


def test_logs_go_but_for_those_that_a_person_may_need(tmp_path: Path):
    make(tmp_path, PIPELINE, site=NOW, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("case", [{"key": key, "attributes": {"does": "fail"}} for key in "ab"])
        site.run()
        site.retry("a")
        site.run()
        first, second = site.runs("a")
        assert site.log(first.name) and site.log(second.name)
        assert site.sizes().logs.count == 3
        assert site.sizes().frees["logs"].count == 1
        assert site.sweep()["logs"] == 1
        with pytest.raises(NotFoundError, match=r"the log of run 1\.1 is gone: retention\.logs says"):
            site.log(first.name)
        assert "about to fail" in site.log(second.name) and "about to fail" in site.log("b:trouble")
        assert len(site.runs("a")) == 2  # runs are provenance: they stay
        for name in ("notes.txt", "x.log"):
            (tmp_path / ".towpath" / "logs" / "0000" / name).write_text("not ours")
        assert site.sweep()["logs"] == 0
        assert (tmp_path / ".towpath" / "logs" / "0000" / "notes.txt").exists()


def test_an_empty_folder_of_logs_goes_when_it_is_old(tmp_path: Path):
    make(tmp_path, PIPELINE, site=NOW, executor="inline")
    with Site.open(tmp_path) as site:
        folder = tmp_path / ".towpath" / "logs" / "0007"
        folder.mkdir(parents=True)
        os.utime(folder, (1, 1))
        site.sweep()
        assert not folder.exists()


# ---- events


def test_events_are_cut_off_at_the_old_end_and_cursors_before_it_are_reset(tmp_path: Path):
    make(tmp_path, PIPELINE, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("case", [{"key": "a"}])
        site.run()
        with site.catalog.read() as view:
            last, now = view.last_event(), view.now()
        site.submit("case", [{"key": "b"}])
        assert site.catalog.write(lambda tx: tx.prune_events(now, limit=1)) == 1
        site.catalog.write(lambda tx: tx.prune_events(now, limit=1000))
        assert [event.item for event in site.events(last) if event.item] == [site.find("b").id]
        with pytest.raises(StateError, match=f"reset: events up to {last} were pruned"):
            next(iter(site.follow(last - 1)))
        assert states(site, "a")["trouble"] == "done"  # truth is in rows
        assert site.explain("a", "trouble")[0].sentences == ("it is done",)
        numbers = [event.seq for event in site.events(last)]
        assert numbers == list(range(last + 1, last + 1 + len(numbers)))


def test_answers_are_forgotten_after_a_day(tmp_path: Path):
    make(tmp_path, site=NOW, executor="inline")
    with Site.open(tmp_path) as site:
        for key, age in (("old", 90_000.0), ("fresh", 80_000.0)):
            row = AnswerRow("ann", key, b"x" * 32)
            site.catalog.write(lambda tx, row=row: tx.reserve_answer(row))
            with sqlite3.connect(tmp_path / "catalog.sqlite") as bare:
                bare.execute('UPDATE answers SET time = time - ? WHERE "key" = ?', (age, key))
            bare.close()
        site.sweep()
        with site.catalog.read() as view:
            assert [key for key in ("old", "fresh") if view.answer("ann", key)] == ["fresh"]


# ---- by the daemon


def test_the_daemon_applies_it_as_work_that_repeats(tmp_path: Path):
    old = generations(tmp_path, NOW)
    make(tmp_path, site=SHORT + NOW.replace("every = '0 s'", "every = '200 ms'"), executor="inline")
    with Daemon(tmp_path, watch=True) as daemon:
        wait_for(lambda: not any(path.exists() for path in old))
        daemon.terminate()
        assert daemon.wait() == 0, daemon.text()
    with Site.open(tmp_path) as site:
        row = site.catalog.write(lambda tx: tx.work_row(tx.add_work(QUEUE, subject="retention")))
        assert row.token >= 1 and row.state.value == "ready" and row.due > 0
        assert torn(site) == []
        assert site.status().counts.keys() == {key for key in site.status().counts if key[0] == "plain"}


def test_two_daemons_apply_it_once_at_a_time(tmp_path: Path):
    generations(tmp_path, NOW.replace("every = '0 s'", "every = '1 h'"))
    with Site.open(tmp_path) as one, Site.open(tmp_path) as two:
        work = one.catalog.write(lambda tx: tx.add_work(QUEUE, subject="retention"))
        one.catalog.write(lambda tx: tx.cursor.execute("UPDATE work SET due = 0 WHERE id = ?", (work,)))  # type: ignore[attr-defined]
        claims = [
            site.catalog.write(lambda tx: tx.claim_other(QUEUE, 1, lease=60, owner=0)) for site in (one, two)
        ]
        assert [len(claim) for claim in claims] == [1, 0]
        one._parts.retention(claims[0][0])
        told = [event for event in one.events() if event.type == "retention"]
        assert told[-1].data["deleted"] == 5


def test_trouble_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    generations(tmp_path, NOW.replace("every = '0 s'", "every = '1 h'").replace("events = '0 s'", ""))
    with Site.open(tmp_path) as site:
        work = site.catalog.write(lambda tx: tx.add_work(QUEUE, subject="retention"))
        site.catalog.write(lambda tx: tx.cursor.execute("UPDATE work SET due = 0 WHERE id = ?", (work,)))  # type: ignore[attr-defined]
        (claim,) = site.catalog.write(lambda tx: tx.claim_other(QUEUE, 1, lease=60, owner=0))
        monkeypatch.setattr(retain, "prune_logs", lambda *_, **__: (_ for _ in ()).throw(OSError("away")))
        site._parts.retention(claim)
        with site.catalog.read() as view:
            row = view.work_row(work)
            assert row.state.value == "ready" and row.due > view.now() + 3000
        assert row.note == "OSError: away"
        assert site.events()[-1].data["error"] == "OSError: away"


def test_it_ends_soon_when_the_site_does(tmp_path: Path):
    generations(tmp_path, NOW)
    with Site.open(tmp_path) as site:
        closed = threading.Event()
        closed.set()
        policy = Policy(0.0, 0.0, 0.0, 0.0)
        told = retain.prune(
            site.catalog, site.storage, tmp_path / "none", policy, go_on=lambda: not closed.is_set()
        )
        assert set(told.values()) == {0}
