"""A state machine that plays at random on a catalog and checks the catalog's rules after every step.

An adapter's tests subclass `CatalogMachine` and write `make`; where they can watch rows change, also `moves`. Needs
hypothesis.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from towpath.base import states
from towpath.base.errors import StateError
from towpath.base.hashing import Content
from towpath.base.model import Flag, Item, Product, Run, WorkRow
from towpath.base.spacetime import Span
from towpath.base.states import Outcome, Publication
from towpath.base.states import Product as ProductState
from towpath.base.states import Work as State
from towpath.contracts.catalog import (
    Claimed,
    InputRow,
    LoadedCatalog,
    PublicationRow,
    Transaction,
    View,
)
from towpath.contracts.definition import GATHER, GroupPlan, Keep, KindPlan, StagePlan
from towpath.contracts.executor import Report
from towpath.testing.plans import (
    LEASE,
    OVER,
    PIPELINE,
    Bench,
    calibration,
    facts,
    kind_plan,
    measured,
    product_of,
    products_of_members,
    sha,
)

T = TypeVar("T")
_Run = tuple[int, int]
_Place = tuple[KindPlan, StagePlan]  # as they were when it was claimed
_NO_RUN = (Outcome.UNCHANGED, Outcome.DRAINED, Outcome.BLOCKED)
_LIVE = (ProductState.CURRENT, ProductState.MISSING, ProductState.CHANGED)
_IN_USE = (*_LIVE, *states.LET_GO)
_ENDS = [one for one in Outcome if one not in (Outcome.UNCHANGED, Outcome.STOPPED, Outcome.ADOPTED)]


def _item_kind(version: str) -> KindPlan:
    """A diamond whose branches read facts and a calibration, then a publication."""
    return kind_plan(
        "item",
        {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "p": ("d",)},
        inputs={
            "a": [product_of("")],
            "b": [product_of("a"), facts("record"), facts("flags"), facts("verdicts")],
            "c": [product_of("a"), calibration()],
        },
        settings={
            "a": {"reaches": "Made", "rejects": "Bad", "keep": {"out": Keep("consumed")}},
            "b": {"version": version, "backoff": 0.0, "attempts": 3, "keep": {"out": Keep("age", 0.0)}},
            "d": {"keep": {"out": Keep("consumed")}},
            "p": {"service": "publish", "outputs": {}},
        },
        reaches="Seen",
    )


GROUP = kind_plan(
    "group",
    {"s": (), "t": ("s",)},
    group=GroupPlan("item", "d"),
    inputs={"s": [products_of_members("d"), facts("record")]},
)
FRAME = kind_plan("frame", {"m": ()})
_STAGES = [("item", stage) for stage in "abcdp"] + [("group", stage) for stage in "st"] + [("frame", "m")]


class _Undone(Exception):
    """Raised inside a transaction to roll it back."""


class CatalogMachine(RuleBasedStateMachine):
    """Rules that a person, the flow and misfortune follow; invariants that the catalog's rules promise."""

    def make(self) -> LoadedCatalog:
        """Make an empty, migrated catalog."""
        raise NotImplementedError("an adapter's test makes its catalog")

    def moves(self) -> Sequence[tuple[str, str, str]]:
        """Every change of a state since the last call: table, was, now; nothing where it cannot be watched."""
        return ()

    @initialize(is_calibrated=st.booleans(), is_made=st.booleans(), at_once=st.sampled_from([1, 2, 1000]))
    def begin(self, is_calibrated: bool, is_made: bool, at_once: int) -> None:
        """A site with two items and a frame, perhaps certified, perhaps with a group of them, and all of it done.

        Large changes are those of more rows than `at_once`.
        """
        self.inside: View | None = None
        self.bench = Bench(self.make(), _item_kind("1"), GROUP, FRAME)
        self.version = "1"
        self.items: list[int] = []
        self.groups: list[int] = []
        self.held: list[tuple[_Place, Claimed]] = []
        self.runs: dict[_Run, str] = {}
        self.revisions: dict[int, tuple[int, int]] = {}
        self.seen_events = 0
        self.withdrawn: set[int] = set()
        self.certified: dict[int, int] = {}
        self.add_item("x")
        self.add_item("y")
        (frame,) = self.bench.add("f", kind="frame")
        if is_calibrated:
            (claimed,) = self.bench.claim("m", kind="frame")
            self.bench.finish([claimed], "m", kind="frame")
            self.runs[claimed.work, claimed.token] = "done"
            (product,) = self.bench.products(frame)
            self.certified[self.write(lambda tx: tx.certify(product.id, "bias", "", 0, 10))] = product.id
        if is_made:
            self.groups.append(self.bench.add_group("g0", self.items))
            self.bench.drain()
            self.runs = self._recorded()
        self.bench.catalog.at_once = at_once

    def teardown(self) -> None:
        """Close the catalog."""
        if hasattr(self, "bench"):
            self.bench.catalog.close()

    # ---- looking
    def read(self, look: Callable[[View], T]) -> T:
        """What a short read gives, or the transaction that we are in."""
        if self.inside is not None:
            return look(self.inside)
        with self.bench.catalog.read() as view:
            return look(view)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """What a transaction returns."""
        return self.bench.catalog.write(work)

    def settled(self, check: Callable[[], None]) -> None:
        """Check what must hold once the changes that spread have reached all, and leave them as far as they are."""

        def write(tx: Transaction) -> None:
            while tx.spread():
                pass
            self.inside = tx
            try:
                check()
            finally:
                self.inside = None
            raise _Undone

        if self.read(lambda view: view.spreading()):
            with suppress(_Undone):
                self.write(write)
        else:
            check()

    def rows(self) -> list[WorkRow]:
        """All work rows of stages."""
        numbers = [item.id for item in self.read(lambda view: view.items(limit=1000))]
        return [row for rows in self.read(lambda view: view.work(numbers)).values() for row in rows]

    def products(self, *wanted: ProductState) -> list[Product]:
        """All products in these states."""
        return self.read(lambda view: view.products(states=wanted))

    def pick(self, data: st.DataObject, things: Sequence[T]) -> T:
        """One of several."""
        return things[data.draw(st.integers(0, len(things) - 1))]

    def works(self, data: st.DataObject) -> list[int]:
        """Some work rows."""
        rows = self.rows()
        return sorted({self.pick(data, rows).id for _ in range(data.draw(st.integers(1, 2)))})

    # ---- arrival
    @precondition(lambda self: len(self.items) < 3)
    @rule(content=st.sampled_from("xy"))
    def add_item(self, content: str) -> None:
        """An item arrives with its raw file; the third has no time."""
        key = f"i{len(self.items)}"
        span = Span(5, 5) if len(self.items) < 2 else None

        def write(tx: Transaction) -> int:
            (item,) = tx.add_items(self.bench.kind(), [Item(PIPELINE, "item", key, {}, span)])
            tx.add_raw([self._raw(item, content)])
            return item

        self.items.append(self.write(write))

    @staticmethod
    def _raw(item: int, content: str) -> Product:
        return Product(item, "", "file", "", "raw/file", "store", f"in/{item}", 1, 1, sha(content))

    @precondition(lambda self: self.items)
    @rule(data=st.data(), content=st.sampled_from("xy"))
    def replace_raw(self, data: st.DataObject, content: str) -> None:
        """The raw file arrives again, perhaps with other bytes."""
        item = self.pick(data, self.items)
        self.write(lambda tx: tx.add_raw([self._raw(item, content)]))

    @precondition(lambda self: len(self.groups) < 2)
    @rule(data=st.data(), close=st.booleans())
    def add_group(self, data: st.DataObject, close: bool) -> None:
        """A group of some items, complete or not."""
        members = [item for item in self.items if data.draw(st.booleans())]
        self.groups.append(self.bench.add_group(f"g{len(self.groups)}", members, close=close))

    @precondition(lambda self: self.groups and self.items)
    @rule(data=st.data(), late=st.booleans())
    def join(self, data: st.DataObject, late: bool) -> None:
        """A member joins; a late one revises, as the flow does."""
        group, item = self.pick(data, self.groups), self.pick(data, self.items)
        row = self.bench.row("s", group)

        def write(tx: Transaction) -> None:
            tx.add_members(group, [item])
            if row.token or late:
                tx.revise([row.id], "a member came late")

        self.write(write)

    @precondition(lambda self: self.groups)
    @rule(data=st.data())
    def gathered(self, data: st.DataObject) -> None:
        """A group is complete."""
        group = self.pick(data, self.groups)
        self.write(lambda tx: tx.gathered(GROUP, group))

    @rule(data=st.data())
    @precondition(lambda self: self.items)
    def change_facts(self, data: st.DataObject) -> None:
        """An item's attributes or time change, or it is flagged."""
        item, number = self.pick(data, self.items), data.draw(st.integers(0, 2))
        what = data.draw(st.sampled_from(["attributes", "span", "flag"]))
        if what == "attributes":
            self.write(lambda tx: tx.update_item(item, attributes={"n": number}))
        elif what == "span":
            self.write(lambda tx: tx.update_item(item, span=Span(number, number)))
        else:
            self.write(lambda tx: tx.add_flag(Flag(item, {"n": number}, "bad", "", "ann", 0.0)))

    # ---- runs
    @rule(data=st.data(), limit=st.integers(1, 3), lease=st.sampled_from([LEASE, LEASE, OVER]))
    def claim(self, data: st.DataObject, limit: int, lease: float) -> None:
        """A worker claims some rows of a stage, perhaps to lose them at once."""
        self._claim(*self.pick(data, self.open_stages() or _STAGES), limit, lease)

    def _claim(self, kind: str, stage: str, limit: int, lease: float) -> None:
        before = {row.id: row for row in self.rows() if row.state is State.RUNNING}
        claims = self.bench.claim(stage, limit, kind=kind, lease=lease)
        plan = self.bench.kind(kind)
        self.held += [((plan, plan.stages[stage]), claimed) for claimed in claims]
        for row in self.rows():
            old = before.get(row.id)
            if old and (row.token != old.token or row.state is not State.RUNNING):
                self.runs[row.id, old.token] = "lost"

    def open_stages(self) -> list[tuple[str, str]]:
        """The kinds and stages that have something to claim."""
        queues = [(PIPELINE, *one) for one in _STAGES]
        return [(queue.kind, queue.stage) for queue in self.read(lambda view: view.claimable(queues))]

    @rule(data=st.data(), rounds=st.integers(1, 3))
    def work_a_little(self, data: st.DataObject, rounds: int) -> None:
        """Some stages are done without trouble."""
        for _ in range(rounds):
            if self.open_stages():
                self.claim(data, 3, LEASE)
                if self.held:
                    self._end(
                        self.held[-1][0], lambda claimed: self._report(data, claimed, Outcome.DONE, "key")
                    )

    @rule(data=st.data())
    def work_much(self, data: st.DataObject) -> None:
        """More of them."""
        self.work_a_little(data, 8)

    @rule(data=st.data(), content=st.sampled_from(["key", "same"]))
    def work_to_the_end(self, data: st.DataObject, content: str) -> None:
        """All that can be done is done, after somebody has put things right."""
        works = [row.id for row in self.rows()]

        def put_right(tx: Transaction) -> None:
            tx.retry(works, "ann")
            tx.release(works, "ann")
            tx.add_route(self.bench.kind(), self.items)
            tx.add_route(GROUP, self.groups)

        self.write(put_right)
        self.bench.spread()
        for _ in range(60):
            if not self.open_stages():
                return
            self.claim(data, 3, LEASE)
            if self.held:
                self._end(
                    self.held[-1][0], lambda claimed: self._report(data, claimed, Outcome.DONE, content)
                )
        raise AssertionError("work does not come to an end")

    @precondition(lambda self: self.items)
    @rule(data=st.data(), content=st.sampled_from("xyz"))
    def work_on_another_file(self, data: st.DataObject, content: str) -> None:
        """A raw file is replaced, and all that follows from it is done."""
        self.replace_raw(data, content)
        self.work_to_the_end(data, "key")

    @precondition(lambda self: self.held)
    @rule(data=st.data(), content=st.sampled_from(["key", "key", "same", "random"]))
    def complete(self, data: st.DataObject, content: str) -> None:
        """Some reports of one stage come back, late ones among them."""
        place = self.pick(data, self.held)[0]
        outcome = data.draw(st.sampled_from([Outcome.DONE, Outcome.DONE, Outcome.DONE, *_ENDS]))
        self._end(place, lambda claimed: self._report(data, claimed, outcome, content))

    def _end(self, place: _Place, report: Callable[[Claimed], Report]) -> None:
        mine = [claimed for where, claimed in self.held if where == place]
        pairs = [(claimed, report(claimed)) for claimed in mine]
        self.held = [one for one in self.held if one[0] != place]
        running = {(row.id, row.token) for row in self.rows() if row.state is State.RUNNING}
        plan, stage = place
        finished = self.write(lambda tx: tx.complete(plan, stage, pairs))
        fitting = [pair for pair in pairs if (pair[0].work, pair[0].token) in running]
        assert len(finished.dropped) == len(pairs) - len(fitting)
        for claimed, told in fitting:
            if told.outcome not in _NO_RUN:
                self.runs[claimed.work, claimed.token] = told.outcome.value

    def _report(self, data: st.DataObject, claimed: Claimed, outcome: Outcome, content: str) -> Report:
        if claimed.unchanged and outcome is Outcome.DONE:
            return Report(claimed.work, claimed.token, Outcome.UNCHANGED)
        text = {"key": None, "same": "same", "random": f"r{len(self.runs)}"}[content]
        more: dict[str, Any] = {"measures": measured(n=len(text or ""))}
        if outcome is Outcome.BLOCKED:
            products = [row.product.id for row in claimed.inputs if row.product]
            what = data.draw(st.sampled_from(["missing", "changed"]))
            more["changed"] = tuple((product, what) for product in products[:1])
        if outcome in (Outcome.HELD, Outcome.REJECTED):
            more["verdict"] = {"result": outcome.value, "rules": []}
        return self.bench.report(claimed, outcome, text, **more)

    @rule(give_back=st.booleans())
    def die(self, give_back: bool) -> None:
        """The process dies: its leases expire."""
        self.write(lambda tx: tx.expire(self.bench.owner, give_back=give_back))

    @rule(is_killed=st.booleans())
    def spread(self, is_killed: bool) -> None:
        """Somebody goes on with large changes, perhaps to be killed before it is committed."""

        def write(tx: Transaction) -> None:
            tx.spread()
            if is_killed:
                raise _Undone

        with suppress(_Undone):
            self.write(write)

    @rule()
    def roll_back(self) -> None:
        """A transaction that does a lot is rolled back."""

        def fail(tx: Transaction) -> None:
            tx.add_items(self.bench.kind(), [Item(PIPELINE, "item", "never")])
            tx.post("hook", "never", {})
            tx.event("never", pipeline=PIPELINE)
            raise _Undone

        with suppress(_Undone):
            self.write(fail)

    # ---- people
    @precondition(lambda self: self.items)
    @rule(data=st.data(), force=st.booleans())
    def revise(self, data: st.DataObject, force: bool) -> None:
        """Somebody says that work is to be done again."""
        works = self.works(data)
        self.write(lambda tx: tx.revise(works, "said so", force=force))

    @precondition(lambda self: self.items)
    @rule(
        data=st.data(),
        what=st.sampled_from(["hold", "release", "accept", "retry", "retire", "route", "priority"]),
    )
    def say(self, data: st.DataObject, what: str) -> None:
        """Somebody holds, releases, retries, retires."""
        works = self.works(data)
        items = [*self.items]
        verbs: dict[str, Callable[[Transaction], object]] = {
            "hold": lambda tx: tx.hold(works, "doubt", "ann"),
            "release": lambda tx: tx.release([row.id for row in self.rows()], "ann"),
            "accept": lambda tx: tx.release(works, "ann", "fine", accept=True),
            "retry": lambda tx: tx.retry([row.id for row in self.rows()], "ann"),
            "retire": lambda tx: tx.retire(works, "left"),
            "route": lambda tx: [tx.add_route(self.bench.kind(), items), tx.add_route(GROUP, self.groups)],
            "priority": lambda tx: tx.set_priority(works, 3),
        }
        self.write(verbs[what])

    @precondition(lambda self: self.items)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        """Somebody stops work."""
        works = self.works(data)
        for run in self.write(lambda tx: tx.stop(works, "ann")):
            self.runs[run] = "stopped"

    @precondition(lambda self: self.items)
    @rule(data=st.data())
    def reload(self, data: st.DataObject) -> None:
        """Another version of a stage is loaded; stale work is adopted, applied or left."""
        self.version = "2" if self.version == "1" else "1"
        self.bench.load(_item_kind(self.version), GROUP, FRAME)
        stage = self.bench.kind().stages["b"]
        for work, item in self.read(lambda view: view.stale(stage)):
            then = data.draw(st.sampled_from(["adopt", "apply", "leave"]))
            key, row = self.bench.key("b", item), self.bench.row("b", item)
            if then == "adopt" and key is not None:
                with suppress(StateError):
                    self.write(lambda tx, w=work, k=key: tx.adopt_stale(w, k, "ann", "fine"))  # type: ignore[misc]
                    self.runs[work, row.token + 1] = "adopted"
            elif then == "apply":
                self.write(lambda tx, w=work: tx.revise([w], "applied"))  # type: ignore[misc]

    # ---- findings
    @rule(data=st.data(), state=st.sampled_from(_LIVE))
    def find(self, data: st.DataObject, state: ProductState) -> None:
        """A product is found missing, changed or back."""
        products = self.products(*_LIVE)
        if products:
            number = self.pick(data, products).id
            self.write(lambda tx: tx.mark([number], state, "looked"))

    @rule(data=st.data(), content=st.sampled_from(["mine", "same"]))
    def adopt(self, data: st.DataObject, content: str) -> None:
        """Somebody adopts changed bytes."""
        products = self.products(ProductState.CHANGED)
        if products:
            number = self.pick(data, products).id
            self.write(lambda tx: tx.adopt(number, Content(2, 2, sha(content)), "ann", "better"))

    @rule()
    def sweep(self) -> None:
        """What nobody reads goes to trash, then for good."""
        for product in self.read(lambda view: view.sweepable(view.now() + 1)):
            self.write(lambda tx, n=product.id: tx.mark([n], ProductState.TRASH))  # type: ignore[misc]
        for product, _ in self.read(lambda view: view.trash())[:1]:
            then = ProductState.SPENT if product.state is ProductState.SHED else ProductState.DELETED
            self.write(lambda tx, n=product.id, s=then: tx.mark([n], s))  # type: ignore[misc]

    @rule(limit=st.integers(1, 8), is_deleted=st.booleans())
    def let_go(self, limit: int, is_deleted: bool) -> None:
        """What was read, or is old, is let go, and perhaps its bytes are deleted."""
        self.write(lambda tx: tx.let_go_of(tx.now() + 1e9, limit=limit))
        if is_deleted:
            self.write(lambda tx: tx.leave_trash(-1.0, limit=limit, shed_before=tx.now() + 1))

    @rule(number=st.integers(0, 3))
    def remap(self, number: int) -> None:
        """A disk is moved: one row, and nothing else changes."""
        before = self.products(*_LIVE), self.rows()
        self.write(lambda tx: tx.set_root("spare", f"/disks/spare{number}"))
        assert (self.products(*_LIVE), self.rows()) == before

    @rule(data=st.data(), root=st.sampled_from(["store", "spare"]), number=st.integers(0, 9))
    def move(self, data: st.DataObject, root: str, number: int) -> None:
        """Reconcile finds a product by its hash at another place; it is current again, with the same bytes."""
        products = self.products(*_LIVE)
        if products:
            old = self.pick(data, products)
            self.write(lambda tx: tx.set_root("spare", "/disks/spare"))
            self.write(lambda tx: tx.move_product(old.id, f"moved/{number}", root=root))
            new = self.read(lambda view: view.product(old.id))
            assert (new.state, new.root, new.path) == (ProductState.CURRENT, root, f"moved/{number}")
            assert (new.sha256, new.run) == (old.sha256, old.run)

    @rule(data=st.data(), begin=st.integers(0, 5), length=st.integers(1, 8))
    def certify(self, data: st.DataObject, begin: int, length: int) -> None:
        """A frame is certified as a calibration; overlaps are refused."""
        products = [one for one in self.products(ProductState.CURRENT) if one.stage == "m"]
        if products:
            number = self.pick(data, products).id
            with suppress(StateError):
                made = self.write(lambda tx: tx.certify(number, "bias", "", begin, begin + length))
                self.certified[made] = number
                self.withdrawn.discard(made)

    @precondition(lambda self: self.certified)
    @rule(data=st.data())
    def decertify(self, data: st.DataObject) -> None:
        """A calibration is withdrawn."""
        number = self.pick(data, sorted(self.certified))
        self.write(lambda tx: tx.decertify(number, "ann", "bad"))
        self.withdrawn.add(number)

    # ---- publications
    @rule(data=st.data(), steps=st.integers(1, 5), any_state=st.booleans())
    def publish(self, data: st.DataObject, steps: int, any_state: bool) -> None:
        """The owner of a publication opens it and moves it on, if it is still the owner."""
        if ("item", "p") in self.open_stages():
            self._claim("item", "p", 1, LEASE)
        mine = [claimed for (_, stage), claimed in self.held if stage.name == "p"]
        if not mine:
            return
        claimed = self.pick(data, mine)
        choices = [data.draw(st.integers(0, 9)) for _ in range(steps)]
        row = PublicationRow(
            0, claimed.work, claimed.token, claimed.item, "archive", f"t/{claimed.item}", Publication.INTENDED,
            claimed.key or b"",
        )  # fmt: skip

        def write(tx: Transaction) -> None:
            now = tx.open_publication(claimed, row)
            for choice in choices:
                after = [
                    state for state in Publication if any_state or (now.state, state) in states.PUBLICATION
                ]
                now = (
                    tx.move_publication(now, after[choice % len(after)], token=claimed.token)
                    if after
                    else now
                )
                assert now.state is not Publication.PLACING or not tx.spreading()

        with suppress(StateError):
            self.write(write)

    # ---- what must hold
    @invariant()
    def tokens_and_revisions_never_go_back(self) -> None:
        """R5; and counts stay in their bounds."""
        for row in self.rows():
            token, revision = self.revisions.get(row.id, (0, 0))
            assert row.token >= token
            assert row.revision >= revision
            self.revisions[row.id] = (row.token, row.revision)
            assert 0 <= row.deaths <= 4
            assert row.attempts >= 0
            assert (row.owner == "") or row.state is State.RUNNING, row

    @invariant()
    def states_change_only_as_the_tables_say(self) -> None:
        """The tables of `base.states`."""
        allowed = {"work": states.WORK, "products": states.PRODUCT, "publications": states.PUBLICATION}
        for table, was, now in self.moves():
            assert (was, now) in allowed[table], f"{table}: {was} → {now}"

    @invariant()
    def one_product_in_use_per_output(self) -> None:
        """The products' table; each made by a run that is recorded."""
        products = self.products(*_IN_USE)
        places = [(one.item, one.stage, one.output, one.part) for one in products]
        assert len(places) == len(set(places))
        for product in products:
            if product.stage:
                assert self.runs[product.run] in ("done", "held")

    @invariant()
    def nothing_is_deleted_that_a_run_reads(self) -> None:
        """R7: what was let go is there, as long as runs go on that were told to read it."""
        running = {(row.id, row.token) for row in self.rows() if row.state is State.RUNNING}
        deleted = {one.id: one for one in self.products(ProductState.SPENT, ProductState.WANTED)}
        for _, claimed in self.held:
            if (claimed.work, claimed.token) in running and not claimed.unchanged:
                read = {row.product.id for row in claimed.inputs if row.product}
                assert not read & deleted.keys(), (claimed, deleted)

    @invariant()
    def events_have_no_gap(self) -> None:
        """R2."""
        last = self.read(lambda view: view.last_event())
        fresh = self.read(lambda view: view.events(self.seen_events, limit=10_000))
        assert [event.seq for event in fresh] == list(range(self.seen_events + 1, last + 1))
        assert "never" not in {event.type for event in fresh}
        self.seen_events = last

    @invariant()
    def every_attempt_that_ended_has_its_run(self) -> None:
        """And nothing else has one."""
        assert self._recorded() == self.runs

    def _recorded(self) -> dict[_Run, str]:
        return {
            (run.work, run.token): run.outcome.value
            for item in self.read(lambda view: view.items(limit=1000))
            for run in self.read(lambda view, n=item.id: view.runs(n, limit=10_000))  # type: ignore[misc]
        }

    @invariant()
    def what_is_done_is_done_with_what_is_there(self) -> None:
        """R8: its key is that of its inputs now, all before it is done, and its products are there."""
        self.settled(self._done_is_done)

    def _done_is_done(self) -> None:
        standing = {(row.item, row.stage): row for row in self.rows()}
        for kind in self.bench.definition.kinds.values():
            for stage in kind.stages.values():
                stale = {item for _, item in self.read(lambda view, s=stage: view.stale(s))}  # type: ignore[misc]
                done = [
                    r
                    for r in standing.values()
                    if (r.kind, r.stage, r.state) == (kind.name, stage.name, State.DONE)
                ]
                needs = self.read(lambda view, k=kind, s=stage, d=done: view.needs(k, s, [r.item for r in d]))  # type: ignore[misc]
                for row in done:
                    self._is_passed(kind, stage.before, row, standing)
                    need = needs[row.item]
                    if row.item not in stale and not need.problem and stage.name != "c":
                        assert row.key == need.key, row
                    assert row.item in stale or row.key is not None

    def _is_passed(
        self, kind: KindPlan, before: Sequence[str], row: WorkRow, standing: dict[tuple[int, str], WorkRow]
    ) -> None:
        for name in [*before, *([GATHER] if kind.gathered and not before else [])]:
            assert standing[row.item, name].state is State.DONE, (row, name)

    @invariant()
    def what_is_ready_may_begin(self) -> None:
        """All before it is done, members have passed, and its inputs are good."""
        self.settled(self._ready_may_begin)

    def _ready_may_begin(self) -> None:
        standing = {(row.item, row.stage): row for row in self.rows()}
        for row in standing.values():
            kind = self.bench.definition.kinds[row.kind]
            if row.state is not State.READY or row.stage not in kind.stages:
                continue
            stage = kind.stages[row.stage]
            self._is_passed(kind, stage.before, row, standing)
            need = self.read(lambda view, k=kind, s=stage, i=row.item: view.needs(k, s, [i])[i])  # type: ignore[misc]
            members = self.read(lambda view, i=row.item: view.members(i))  # type: ignore[misc]
            assert need.problem == "" or (kind.group and not members), row
            if kind.group and not stage.before:
                assert all(standing[member.id, "d"].state is State.DONE for member in members)

    @invariant()
    def nothing_that_may_begin_waits(self) -> None:
        """R1: recomputing all of it finds nothing to repair."""

        def count(tx: Transaction) -> None:
            while tx.spread():
                pass
            found = [tx.recompute(kind, ()) for kind in self.bench.definition.kinds.values()]
            assert found == [0] * len(found)
            raise _Undone

        with suppress(_Undone):
            self.write(count)

    @invariant()
    def calibrations_in_force_do_not_overlap(self) -> None:
        """R10; and nothing is done with one that was withdrawn."""
        rows = self.read(lambda view: view.calibrations())
        spans = sorted((row.begin, row.end) for row in rows)
        assert all(one[1] <= other[0] for one, other in pairwise(spans))
        self.settled(self._withdrawn_is_not_used)

    def _withdrawn_is_not_used(self) -> None:
        bad = {product for number, product in self.certified.items() if number in self.withdrawn}
        good = {product for number, product in self.certified.items() if number not in self.withdrawn}
        for row in self.rows():
            if row.stage == "c" and row.state is State.DONE:
                last = max(
                    run.token for run in self.read(partial(_runs_of, work=row.id)) if run.key == row.key
                )
                used = {
                    given.product.id
                    for given in self.read(partial(_inputs_of, work=row.id, token=last))
                    if given.name == "bias" and given.product
                }
                assert not used & (bad - good), row

    @invariant()
    def a_place_is_of_one_publication(self) -> None:
        """R12."""
        rows = self.read(lambda view: view.publications(limit=1000))
        free = (Publication.FAILED, Publication.CONFLICT, Publication.WITHDRAWN)
        places = [(row.archive, row.target) for row in rows if row.state not in free]
        assert len(places) == len(set(places))


def _runs_of(view: View, work: int) -> list[Run]:
    return view.runs(work=work)


def _inputs_of(view: View, work: int, token: int) -> list[InputRow]:
    return view.inputs(work, token)
