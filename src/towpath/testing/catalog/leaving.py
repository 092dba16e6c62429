"""The suite's tests of the story and of other work: events, slots, roots, publications, scans, the outbox."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from towpath.base import states
from towpath.base.errors import NotFoundError, StateError
from towpath.base.states import Outcome, Publication
from towpath.base.states import Work as State
from towpath.contracts.catalog import Claimed, PublicationRow
from towpath.testing.catalog.base import Base, MakeBench
from towpath.testing.plans import LEASE, PIPELINE, Bench, kind_plan, sha

PUBLISHED = kind_plan(
    "item", {"a": (), "publish": ("a",)}, settings={"publish": {"service": "publish", "outputs": {}}}
)
STEPS = {
    Publication.INTENDED: (),
    Publication.COPIED: (Publication.COPIED,),
    Publication.VERIFIED: (Publication.COPIED, Publication.VERIFIED),
    Publication.PLACING: (Publication.COPIED, Publication.VERIFIED, Publication.PLACING),
}
STEPS[Publication.COMMITTED] = (*STEPS[Publication.PLACING], Publication.COMMITTED)
STEPS[Publication.CONFLICT] = (*STEPS[Publication.PLACING], Publication.CONFLICT)
STEPS[Publication.RELEASED] = (*STEPS[Publication.COMMITTED], Publication.RELEASED)
STEPS[Publication.FAILED] = (Publication.FAILED,)
STEPS[Publication.SUPERSEDED] = (*STEPS[Publication.COMMITTED], Publication.SUPERSEDED)
STEPS[Publication.WITHDRAWN] = (*STEPS[Publication.COMMITTED], Publication.WITHDRAWN)
BY_OWNER = (
    Publication.COPIED,
    Publication.VERIFIED,
    Publication.PLACING,
    Publication.COMMITTED,
    Publication.CONFLICT,
)


def published(b: Bench, name: str = "i") -> Claimed:
    """The claim of a publication."""
    b.add(name)
    b.end("a")
    (claimed,) = b.claim("publish")
    return claimed


def journal(claimed: Claimed, content: str = "x", target: str = "t/i") -> PublicationRow:
    """A row to open."""
    return PublicationRow(
        0, claimed.work, claimed.token, claimed.item, "archive", target, Publication.INTENDED, sha(content),
        ((1, "a.fits"),), folder=True,
    )  # fmt: skip


def begin(b: Bench, claimed: Claimed, **more: Any) -> PublicationRow:
    """Open the publication of a claim."""
    return b.catalog.write(lambda tx: tx.open_publication(claimed, journal(claimed, **more)))


def move(b: Bench, row: PublicationRow, *steps: Publication, token: int | None = None) -> PublicationRow:
    """Move a publication through states."""
    for step in steps:
        current = row
        row = b.catalog.write(
            lambda tx, r=current, s=step: tx.move_publication(r, s, token=token)  # type: ignore[misc]
        )
    return row


class LeavingSuite(Base):
    """CATALOG.md: R1, R2, publication, R12, R13."""

    # ---- events
    def test_events_have_no_gap_in_commit_order_also_when_rolled_back(self, bench: MakeBench) -> None:
        """What is rolled back takes no number and leaves nothing (R2)."""
        b = bench(PUBLISHED)

        def fail(tx: Any) -> None:
            tx.event("never", pipeline=PIPELINE)
            tx.set_root("never", "/never")
            raise RuntimeError("no")

        for number in range(5):
            b.catalog.write(lambda tx, n=number: tx.event("told", pipeline=PIPELINE, n=n))  # type: ignore[misc]
            with pytest.raises(RuntimeError):
                b.catalog.write(fail)
        b.add("i", "j")
        with b.catalog.read() as view:
            events = view.events()
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert view.last_event() == len(events)
            assert [event.data["n"] for event in events if event.type == "told"] == list(range(5))
            assert "never" not in view.roots()
        with pytest.raises(NotFoundError, match="never"):
            b.catalog.write(lambda tx: tx.raw_files("never"))

    def test_events_tell_what_they_are_about(self, bench: MakeBench) -> None:
        """Item, stage, run, pipeline, time and data; filtered and paged by number."""
        b = bench(PUBLISHED)
        (item,) = b.add("i")
        b.end("a", Outcome.REJECTED, reasons=("dark",))
        work = b.row("a", item).id
        with b.catalog.read() as view:
            event = view.events()[-1]
            assert (event.type, event.item, event.stage, event.run) == ("rejected", item, "a", f"{work}.1")
            assert (event.pipeline, event.data) == (PIPELINE, {"reasons": ["dark"]})
            assert event.time <= view.now()
            registered = view.events(item=item)[0]
            assert (registered.type, registered.stage, registered.run) == ("registered", "", "")
            assert view.events(event.seq) == []
            assert view.events(event.seq - 1) == [event]
            assert view.events(limit=1)[0].seq == 1
            assert view.events(pipeline="other") == []
            assert view.events(pipeline=PIPELINE)[-1] == event
            assert event.kind == registered.kind == view.item(item).kind
            assert view.events(types=("rejected", "failed")) == [event]
            assert view.events(types=("failed",)) == []
            assert [one.seq for one in view.events(until=event.seq - 1)] == list(range(1, event.seq))
            assert view.events(event.seq - 2, types=("registered",), until=event.seq) == (
                [registered] if registered.seq == event.seq - 1 else []
            )

    def test_a_transaction_gives_what_its_work_returns(self, bench: MakeBench) -> None:
        """And sees its own changes; a reader sees them after the commit."""
        b = bench(PUBLISHED)

        def work(tx: Any) -> int:
            assert tx.add_items(b.kind(), []) == []
            tx.set_root("r", "/r/")
            assert tx.roots()["r"].place == "/r/"
            with b.catalog.read() as view:
                assert "r" not in view.roots()
            return 7

        assert b.catalog.write(work) == 7
        with b.catalog.read() as view:
            assert view.roots()["r"].place == "/r/"
            assert view.sizes()["items"] == 0
            assert view.sizes()["bytes"] > 0

    def test_a_root_moves_by_one_row(self, bench: MakeBench) -> None:
        """Products keep their relative paths; paths below the new place are found."""
        b = bench(PUBLISHED)
        (item,) = b.add("i")
        b.end("a")
        before = b.products(item)
        b.catalog.write(lambda tx: tx.set_root("store", "/moved"))
        assert b.products(item) == before
        with b.catalog.read() as view:
            assert view.roots()["store"].place == "/moved/"
        b.add("j")
        with pytest.raises(ValueError, match="below no root"):
            b.end("a")

    def test_slots_keep_what_is_noted(self, bench: MakeBench) -> None:
        """By rule and partition."""
        b = bench(PUBLISHED)
        slot = b.catalog.write(lambda tx: tx.slot("rule", "p"))
        assert slot.data == {}
        b.catalog.write(lambda tx: tx.set_slot(slot, {"open": 3}))
        again = b.catalog.write(lambda tx: tx.slot("rule", "p"))
        assert (again.id, again.data) == (slot.id, {"open": 3})
        assert b.catalog.write(lambda tx: tx.slot("rule", "q")).id != slot.id

    # ---- publications
    @pytest.mark.parametrize(("was", "now"), list(itertools.product(Publication, Publication)))
    def test_publications_move_only_as_the_table_says(
        self, bench: MakeBench, was: Publication, now: Publication
    ) -> None:
        """Every pair of states, by the owner of the work."""
        b = bench(PUBLISHED)
        claimed = published(b)
        row = move(b, begin(b, claimed), *STEPS[was], token=claimed.token)
        assert row.state is was
        if (was, now) in states.PUBLICATION:
            assert move(b, row, now, token=claimed.token).state is now
        else:
            with pytest.raises(StateError, match="cannot become"):
                move(b, row, now, token=claimed.token)

    @pytest.mark.parametrize("now", list(Publication))
    def test_steps_that_only_the_owner_takes(self, bench: MakeBench, now: Publication) -> None:
        """Without a token a person may retry, fail, withdraw or supersede, no more."""
        b = bench(PUBLISHED)
        claimed = published(b)
        was = next(one for one, other in sorted(states.PUBLICATION) if other is now)
        row = move(b, begin(b, claimed), *STEPS[was], token=claimed.token)
        if now in BY_OWNER:
            with pytest.raises(StateError, match="only by the work that carries it"):
                move(b, row, now)
        else:
            assert move(b, row, now).state is now

    def test_a_publication_is_fenced(self, bench: MakeBench) -> None:
        """Stopped or lost, the old owner cannot open it or move it; the new one finds it as it stood (R12)."""
        b = bench(PUBLISHED)
        claimed = published(b)
        row = move(b, begin(b, claimed), Publication.COPIED, token=claimed.token)
        b.catalog.write(lambda tx: tx.stop([claimed.work], "ann"))
        with pytest.raises(StateError, match="no longer ours"):
            begin(b, claimed)
        with pytest.raises(StateError, match="no longer ours"):
            move(b, row, Publication.VERIFIED, token=claimed.token)
        b.catalog.write(lambda tx: tx.retry([claimed.work]))
        (again,) = b.claim("publish")
        with pytest.raises(StateError, match="no longer ours"):
            move(b, row, Publication.VERIFIED, token=claimed.token)
        found = begin(b, again)
        assert (found.id, found.state, found.token) == (row.id, Publication.COPIED, again.token)
        assert found.files == ((1, "a.fits"),)
        move(b, found, Publication.VERIFIED, Publication.PLACING, Publication.INTENDED, token=again.token)

    def test_a_place_is_of_one_publication(self, bench: MakeBench) -> None:
        """Another is refused, until the first has failed; then the first cannot come back."""
        b = bench(PUBLISHED)
        first, second = published(b, "i"), published(b, "j")
        row = begin(b, first)
        with pytest.raises(StateError, match="place of another"):
            begin(b, second)
        move(b, row, Publication.FAILED, token=first.token)
        begin(b, second)
        with pytest.raises(StateError, match="place of another"):
            move(b, row, Publication.INTENDED)

    def test_a_newer_publication_supersedes(self, bench: MakeBench) -> None:
        """Of the same work, other bytes, at another place; the journal is listed by item and state."""
        b = bench(PUBLISHED)
        claimed = published(b)
        old = move(b, begin(b, claimed), *STEPS[Publication.COMMITTED], token=claimed.token)
        new = b.catalog.write(
            lambda tx: tx.open_publication(
                claimed, replace(journal(claimed, "y", "t/i~v2"), supersedes=old.id)
            )
        )
        assert (new.id != old.id, new.supersedes) == (True, old.id)
        move(b, old, Publication.SUPERSEDED, token=claimed.token)
        assert begin(b, claimed, content="x", target="t/i~v3").id not in (old.id, new.id)
        with b.catalog.read() as view:
            assert [row.id for row in view.publications(claimed.item)][:2] == [old.id, new.id]
            assert [row.id for row in view.publications(states=[Publication.SUPERSEDED])] == [old.id]
            assert view.publications(after=old.id, limit=1)[0].id == new.id
            assert [row.id for row in view.publications(claimed.item, newest=True)][-2:] == [new.id, old.id]
            assert new.id not in [row.id for row in view.publications(after=new.id, newest=True)]
            assert view.publications(item=999) == []
            told = [event for event in view.events(item=claimed.item) if event.type == "publication"]
        assert told[1].data["state"] == "copied"

    def test_an_unknown_publication_is_said(self, bench: MakeBench) -> None:
        """By its number."""
        b = bench(PUBLISHED)
        claimed = published(b)
        with pytest.raises(NotFoundError):
            move(b, replace(journal(claimed), id=99), Publication.FAILED)

    # ---- work that is not a stage
    def test_a_scan_is_work(self, bench: MakeBench) -> None:
        """It is claimed, repeated at a time, ended with an error, and tried again by a person."""
        b = bench(PUBLISHED)
        queue = (PIPELINE, "scan", "incoming")
        first = b.catalog.write(lambda tx: tx.add_work(queue, payload={"since": 3}))
        assert b.catalog.write(lambda tx: tx.add_work(queue, payload={"since": 4})) == first
        (claimed,) = b.catalog.write(lambda tx: tx.claim_other(queue, 5, lease=LEASE, owner=b.owner))
        assert (claimed.work, claimed.token, claimed.payload) == (first, 1, {"since": 3})
        assert b.catalog.write(lambda tx: tx.finish(claimed, again=tx.now() - 1))
        assert not b.catalog.write(lambda tx: tx.finish(claimed))
        (claimed,) = b.catalog.write(lambda tx: tx.claim_other(queue, 5, lease=LEASE, owner=b.owner))
        assert (claimed.token, claimed.deaths, claimed.attempts) == (2, 1, 1)
        b.catalog.write(lambda tx: tx.finish(claimed, error="disk"))
        with b.catalog.read() as view:
            row = view.work_row(first)
        assert (row.state, row.note, row.attempts) == (State.FAILED, "disk", 1)
        assert b.catalog.write(lambda tx: tx.retry([first], "ann")) == 1
        (claimed,) = b.catalog.write(lambda tx: tx.claim_other(queue, 5, lease=LEASE, owner=b.owner))
        assert b.catalog.write(lambda tx: tx.finish(claimed))
        with b.catalog.read() as view:
            assert view.work_row(first).state is State.DONE

    # ---- outbox
    def test_messages_of_a_subject_leave_in_order(self, bench: MakeBench) -> None:
        """Of each destination and subject only the lowest unsent one is claimed (R13)."""
        b = bench(PUBLISHED)
        queue = ("", "message", "hook")

        def post(subject: str, destination: str = "hook") -> int:
            return b.catalog.write(lambda tx: tx.post(destination, subject, {"s": subject}))

        def claim() -> list[Claimed]:
            return b.catalog.write(lambda tx: tx.claim_other(queue, 10, lease=LEASE, owner=b.owner))

        first = [post("A"), post("A"), post("B"), post("A#1"), post("A")]
        elsewhere = post("A", "mail")
        claims = claim()
        assert [claimed.work for claimed in claims] == [first[0], first[2], first[3]]
        assert [claimed.payload["subject"] for claimed in claims] == ["A", "B", "A#1"]
        assert claims[0].payload == {"subject": "A", "seq": 1, "body": {"s": "A"}}
        assert claim() == []
        with b.catalog.read() as view:
            assert view.claimable([queue]) == []
            due = view.next_due([queue])
        assert due is not None
        b.catalog.write(lambda tx: tx.finish(claims[0], again=tx.now() + 1000, error="busy"))
        assert claim() == []
        with b.catalog.read() as view:
            assert (
                view.next_due([queue]) == due
            )  # of those that are being sent; none that must wait for another
            assert view.claimable([("", "message", "mail")]) != []
        b.catalog.write(lambda tx: tx.set_due(first[0], 1.0))
        (again,) = claim()
        assert (again.work, again.attempts) == (first[0], 2)
        b.catalog.write(lambda tx: tx.finish(again, error="refused"))
        assert claim() == []  # a person decides: the line is not broken
        b.catalog.write(lambda tx: tx.retry([first[0]], "ann"))
        (again,) = claim()
        b.catalog.write(lambda tx: tx.finish(again))
        assert [claimed.work for claimed in claim()] == [first[1]]
        b.catalog.write(lambda tx: tx.stop([first[1]], "ann", "give it up"))
        assert [claimed.work for claimed in claim()] == [first[4]]
        with b.catalog.read() as view:
            assert view.work_row(elsewhere).state.value == "ready"

    def test_a_message_is_posted_with_its_transaction(self, bench: MakeBench) -> None:
        """Rolled back, it was never there; numbers rise."""
        b = bench(PUBLISHED)

        def fail(tx: Any) -> None:
            tx.post("hook", "A", {})
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            b.catalog.write(fail)
        works = [b.catalog.write(lambda tx: tx.post("hook", "A", {})) for _ in range(3)]
        assert works == sorted(set(works))

    # ---- other processes
    def test_waiting_is_a_hint(self, bench: MakeBench) -> None:
        """It ends at once after a change, and at the time-out without one; closing and flushing are harmless."""
        b = bench(PUBLISHED)
        watch = b.catalog.watch()
        while watch.wait(0.05):  # what was written before
            pass
        b.add("i")
        assert watch.wait(5.0)
        while watch.wait(0.05):
            pass
        watch.close()
        b.catalog.flush()
        assert b.state("a", b.add("i")[0]).value == "ready"

    @pytest.mark.parametrize("every", [0.002, 0.02])
    def test_each_watch_is_told_of_a_change(self, bench: MakeBench, every: float) -> None:
        """One that is told takes it from no other, and what happens between two waits is told by the next one."""
        b = bench(PUBLISHED)
        watches = [b.catalog.watch(every), b.catalog.watch(every), b.catalog.watch()]
        for key in "ij":
            for watch in watches:
                while watch.wait(0.05):
                    pass
            b.add(key)
            assert [watch.wait(5.0) for watch in watches] == [True] * 3
        watches[0].close()
        b.add("k")
        assert [watch.wait(5.0) for watch in watches[1:]] == [True] * 2  # the catalog closes them
