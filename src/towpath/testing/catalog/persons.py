"""The suite's tests of what is known of people: tokens and sessions, subscriptions, notices, answers; and of noted slots."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from towpath.base.errors import NotFoundError, StateError
from towpath.contracts.catalog import LoadedCatalog, Transaction
from towpath.contracts.people import SESSION, AnswerRow, NoticeRow, TokenRow
from towpath.testing.catalog.base import Base, MakeBench
from towpath.testing.plans import kind_plan, sha

ONE = kind_plan("item", {"a": ()})


def token(
    catalog: LoadedCatalog, name: str, *grants: str, parent: int = 0, lasts: float | None = None
) -> TokenRow:
    """A token with the secret of its name; `lasts` seconds from now."""

    def add(tx: Transaction) -> TokenRow:
        kind = SESSION if parent else "person"
        expires = None if lasts is None else tx.now() + lasts
        return tx.add_token(
            TokenRow(0, kind, name, grants, expires=expires, parent=parent, by="root"), sha(name)
        )

    return catalog.write(add)


class PersonSuite(Base):
    """Who is let in, and what they are told."""

    # ---- tokens
    def test_a_token_is_found_by_what_its_secret_hashes_to(self, catalog: LoadedCatalog) -> None:
        """As it was made, with the catalog's time; the secret is nowhere, and no event tells its hash."""
        made = token(catalog, "ann", "operator", "viewer@gam", lasts=60.0)
        with catalog.read() as view:
            assert view.token(sha("ann")) == view.token_row(made.id) == made
            assert view.token(sha("bob")) is view.token_row(made.id + 1) is None
            assert view.tokens() == view.tokens(kind="") == [made] and view.tokens(kind=SESSION) == []
            (event,) = view.events()
            assert abs(made.created - view.now()) < 3600
        assert made == TokenRow(
            made.id, "person", "ann", ("operator", "viewer@gam"), made.created, made.expires, by="root"
        )
        told = {"token": made.id, "kind": "person", "name": "ann", "state": "made", "who": "root"}
        assert (event.type, event.data) == ("token", told)
        with pytest.raises(StateError, match="this secret already"):
            token(catalog, "ann")

    def test_a_revoked_token_takes_its_sessions_with_it(self, catalog: LoadedCatalog) -> None:
        """It is found, and says so; the moment and the event are of the first time."""
        ann, bob = token(catalog, "ann"), token(catalog, "bob")
        first, second = token(catalog, "s1", parent=ann.id), token(catalog, "s2", parent=bob.id)
        revoked = catalog.write(lambda tx: tx.revoke_token(ann.id, "root"))
        assert revoked.revoked is not None and replace(revoked, revoked=None) == ann
        assert catalog.write(lambda tx: tx.revoke_token(ann.id, "eve")) == revoked
        late = token(catalog, "s3", parent=ann.id)
        with catalog.read() as view:
            gone = view.token(sha("s1"))
            assert gone is not None and gone.revoked == late.revoked == revoked.revoked
            assert view.token(sha("s2")) == second
            assert [one.name for one in view.tokens()] == ["bob"]
            assert [one.name for one in view.tokens(every=True)] == ["ann", "bob"]
            assert view.tokens(kind=SESSION) == [second]
            assert [one.id for one in view.tokens(kind=SESSION, every=True)] == [first.id, second.id, late.id]
            told = [event.data for event in view.events() if event.data["state"] == "revoked"]
        assert [(one["token"], one["who"]) for one in told] == [(ann.id, "root")]
        with pytest.raises(NotFoundError, match="no token 99"):
            catalog.write(lambda tx: tx.revoke_token(99, "root"))

    def test_a_session_alone_is_ended(self, catalog: LoadedCatalog) -> None:
        """The token that it began with stays."""
        ann = token(catalog, "ann")
        session = token(catalog, "s", parent=ann.id)
        assert catalog.write(lambda tx: tx.revoke_token(session.id, "ann")).revoked is not None
        with catalog.read() as view:
            assert view.token(sha("ann")) == ann

    def test_a_session_lasts_no_longer_than_its_token(self, catalog: LoadedCatalog) -> None:
        """What has expired is found, and not listed."""
        ann, old = token(catalog, "ann", lasts=60.0), token(catalog, "old", lasts=-1.0)
        short, long = (
            token(catalog, "s1", parent=ann.id, lasts=5.0),
            token(catalog, "s2", parent=ann.id, lasts=600.0),
        )
        assert short.expires is not None and ann.expires is not None and short.expires < ann.expires
        assert long.expires == ann.expires
        over = token(catalog, "s3", parent=old.id)
        assert over.expires == old.expires
        with catalog.read() as view:
            assert view.tokens(kind="") == [ann, short, long]
            assert view.token(sha("old")) == old
        with pytest.raises(StateError, match="a session begins with a token; 99 is none"):
            token(catalog, "s4", parent=99)
        with pytest.raises(StateError, match="is none"):
            token(catalog, "s5", parent=short.id)

    def test_when_a_token_was_seen(self, catalog: LoadedCatalog) -> None:
        """No event: it happens all the time."""
        ann = token(catalog, "ann")
        catalog.write(lambda tx: tx.touch_token(ann.id))
        with catalog.read() as view:
            seen = view.token_row(ann.id)
            assert seen is not None and seen.seen is not None and seen.seen >= ann.created
            assert view.last_event() == 1

    # ---- subscriptions
    def test_people_follow_items(self, bench: MakeBench) -> None:
        """Each once, since the first time."""
        b = bench(ONE)
        i, j = b.add("i", "j")
        c = b.catalog
        first = c.write(lambda tx: tx.subscribe("bob", i))
        c.write(lambda tx: tx.subscribe("ann", i))
        c.write(lambda tx: tx.subscribe("ann", j))
        assert c.write(lambda tx: tx.subscribe("bob", i)) == first
        with c.read() as view:
            assert [(one.who, one.item) for one in view.subscriptions()] == [
                ("ann", i),
                ("bob", i),
                ("ann", j),
            ]
            assert [one.item for one in view.subscriptions(who="ann")] == [i, j]
            assert [one.who for one in view.subscriptions(item=i)] == ["ann", "bob"]
            assert view.subscriptions(who="bob", item=i) == [first]
        assert c.write(lambda tx: tx.unsubscribe("bob", i))
        assert not c.write(lambda tx: tx.unsubscribe("bob", i))
        with c.read() as view:
            assert view.subscriptions(who="bob") == []
        with pytest.raises(NotFoundError, match="no item"):
            c.write(lambda tx: tx.subscribe("bob", 99))

    # ---- notices
    def test_notices_are_read_by_whom_they_are_for(self, catalog: LoadedCatalog) -> None:
        """To a person and to a role, by number, page by page; read once."""
        to = ["ann", "role:operator", "bob", "ann"]
        rows = [
            NoticeRow(0, who, number, 7, f"title {number}", "text\nmore") for number, who in enumerate(to)
        ]
        ids = catalog.write(lambda tx: [tx.add_notice(row) for row in rows])
        mine = ["ann", "role:operator"]
        with catalog.read() as view:
            found = view.notices(mine)
            assert [replace(one, time=0.0) for one in found] == [
                replace(rows[n], id=ids[n]) for n in (0, 1, 3)
            ]
            assert all(abs(one.time - view.now()) < 3600 for one in found)
            assert view.notices(mine, limit=2) == found[:2]
            assert view.notices(mine, after=ids[0], limit=1) == found[1:2]
            assert view.notices([]) == [] and view.unread([]) == 0
            assert view.unread(mine) == view.unread([*mine, "ann"]) == 3
        assert catalog.write(lambda tx: tx.read_notices(mine, ids[:3])) == 2
        assert catalog.write(lambda tx: tx.read_notices(mine, ids[:3])) == 0
        with catalog.read() as view:
            assert [one.id for one in view.notices(mine, unread=True)] == ids[3:]
            assert [one.read is None for one in view.notices(mine)] == [False, False, True]
            assert (view.unread(mine), view.unread(["bob"])) == (1, 1)

    # ---- answers
    def test_a_request_is_answered_once(self, catalog: LoadedCatalog) -> None:
        """Who comes second with its key is given what was answered, or that it is being answered."""
        row = AnswerRow("ann", "k", sha("request"))
        assert catalog.write(lambda tx: tx.reserve_answer(row)) is None
        there = catalog.write(lambda tx: tx.reserve_answer(replace(row, sha256=sha("another"))))
        assert there is not None and (there.sha256, there.status, there.body) == (sha("request"), 0, b"")
        assert catalog.write(lambda tx: tx.reserve_answer(replace(row, who="bob"))) is None
        catalog.write(lambda tx: tx.fill_answer("ann", "k", 201, b'{"id":1}\x00\xff'))
        with catalog.read() as view:
            assert view.answer("ann", "k") == replace(there, status=201, body=b'{"id":1}\x00\xff')
            assert view.answer("ann", "other") is None
        with pytest.raises(NotFoundError, match="no answer to 'other'"):
            catalog.write(lambda tx: tx.fill_answer("ann", "other", 200, b""))

    def test_answers_are_forgotten_from_the_oldest_on(self, catalog: LoadedCatalog) -> None:
        """A step is bounded; what is younger stays."""
        for key in "abc":
            catalog.write(self._reserve(key))
        assert catalog.write(lambda tx: tx.drop_answers(tx.now() - 3600, limit=10)) == 0
        assert catalog.write(lambda tx: tx.drop_answers(tx.now() + 1, limit=2)) == 2
        with catalog.read() as view:
            assert [key for key in "abc" if view.answer("ann", key)] == ["c"]
        assert catalog.write(lambda tx: tx.drop_answers(tx.now() + 1, limit=2)) == 1

    @staticmethod
    def _reserve(key: str) -> Callable[[Transaction], object]:
        return lambda tx: tx.reserve_answer(AnswerRow("ann", key, sha(key)))

    # ---- slots
    def test_what_is_noted_in_the_slots_of_a_rule(self, catalog: LoadedCatalog) -> None:
        """By partition; of no other rule."""
        catalog.write(lambda tx: tx.set_slot(tx.slot("source", "t/b"), {"n": [1]}))
        catalog.write(lambda tx: tx.slot("source", "t/a"))
        catalog.write(lambda tx: tx.set_slot(tx.slot("other", "t/a"), {"n": 2}))
        with catalog.read() as view:
            assert view.noted("source") == {"t/a": {}, "t/b": {"n": [1]}}
            assert list(view.noted("source")) == ["t/a", "t/b"]
            assert view.noted("none") == {}
