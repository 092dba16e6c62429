"""Registration in the real catalog: joins, completeness, time-outs, duplicates, late files, restarts."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate
from towpath.adapters.sources.folder import Folder
from towpath.adapters.storage.local import LocalStorage
from towpath.base import clock
from towpath.base.errors import NotFoundError
from towpath.base.model import Item, Product
from towpath.base.provenance import Fixed
from towpath.base.spacetime import Box, Span
from towpath.base.states import Outcome, Work
from towpath.base.states import Product as ProductState
from towpath.contracts.catalog import Claimed
from towpath.contracts.definition import GATHER, Definition, InputPlan, KindPlan, SourcePlan, StagePlan
from towpath.contracts.executor import Report
from towpath.contracts.source import Arrival, Asset, Intake, Request
from towpath.flow import arrive, register
from towpath.flow.register import Standing, anchors_within, judge

T0 = 1759665600.0
PATTERN = "{time:%Y-%m-%dT%H:%M:%S}_sb{subband:02d}.hdf5"


class Site:
    """A catalog, a folder source and what joins them, as the daemon has it."""

    def __init__(self, folder: Path, *, gathered: bool = True, form: str = "many", **settings: Any) -> None:
        self.root = folder / "incoming"
        self.root.mkdir(exist_ok=True)
        self.now = T0
        own = {
            name: settings.pop(name)
            for name in ("complete", "timeout", "on_timeout", "join_within", "late")
            if name in settings
        }
        chosen = {
            "root": "incoming",
            "pattern": PATTERN,
            "key": "{time}",
            "part": "sb{subband:02d}",
            "settled": "rename",
        }
        self.plan = SourcePlan("dsa", "drop", "folder", "observation", {**chosen, **settings}, "uvh5", **own)
        raw = InputPlan("files", form, "uvh5", producers=(("", ""),))
        record = InputPlan("record", "record")
        fixed = Fixed.of("convert", "1", {})
        stage = StagePlan("dsa", "observation", "convert", 0, "m:C", "1", {}, fixed, (raw, record))
        kind = KindPlan("dsa", "observation", {"convert": stage}, gathered=gathered)
        self.definition = Definition("dsa", "1", b"\1" * 32, {"observation": kind}, {"drop": self.plan})
        self.kind, self.stage = kind, stage
        self.file = folder / "catalog.db"
        migrate(self.file)
        self.catalog = self.open()
        self.source = Folder.of(self.plan, self.root)

    def open(self) -> SqliteCatalog:
        catalog = SqliteCatalog(self.file, now=lambda: self.now)
        catalog.definitions["dsa"] = self.definition
        catalog.write(
            lambda tx: (tx.set_root("incoming", str(self.root)), tx.set_definition(self.definition))
        )
        return catalog

    # -- what the daemon does
    def known(self) -> dict[str, tuple[int, int]]:
        with self.catalog.read() as view:
            files = view.raw_files("incoming")
        return {**files, **self.catalog.write(lambda tx: register.aside(tx, self.plan))}

    def scan(self) -> list[register.Registered]:
        look = self.source.look(self.known())
        intakes, problems = arrive.decide(self.plan, look.settled)
        hashed = arrive.hash_all(LocalStorage({"incoming": self.root}), "incoming", intakes)
        told = [*look.problems, *problems, *hashed.problems]
        self.catalog.write(lambda tx: register.problems(tx, self.plan, told))
        return self.take(hashed.ready)

    def take(self, intakes: Sequence[Intake]) -> list[register.Registered]:
        batches = [intakes[at : at + register.BATCH] for at in range(0, len(intakes), register.BATCH)]
        return [
            self.catalog.write(lambda tx, b=batch: register.register(tx, self.definition, self.plan, b))
            for batch in batches
        ]

    def drop(self, seconds: float, subband: int, content: bytes = b"") -> Path:
        path = self.root / f"{clock.moment(T0 + seconds):%Y-%m-%dT%H:%M:%S}_sb{subband:02d}.hdf5"
        path.write_bytes(content or f"{seconds} {subband}".encode())
        return path

    def begin(self, outcome: Outcome = Outcome.DONE) -> int:
        """Claim and end all that is ready."""
        claimed = self.catalog.write(lambda tx: tx.claim(self.kind, self.stage, 1000, lease=60, owner=1))
        pairs = [(c, Report(c.work, c.token, outcome, began=self.now)) for c in claimed]
        self.catalog.write(lambda tx: tx.complete(self.kind, self.stage, pairs))
        return len(claimed)

    def due(self) -> list[Claimed]:
        return self.catalog.write(
            lambda tx: tx.claim_other(("dsa", "observation", GATHER), 10, lease=60, owner=1)
        )

    # -- what is there
    def items(self) -> list[Item]:
        with self.catalog.read() as view:
            return view.items(pipeline="dsa", limit=10_000)

    def files(self, item: int) -> dict[str, Product]:
        with self.catalog.read() as view:
            return {product.part: product for product in view.products([item], stages=("",))}

    def states(self, item: int) -> dict[str, Work]:
        with self.catalog.read() as view:
            return {row.stage: row.state for row in view.work([item])[item]}

    def events(self, *types: str) -> list[dict[str, Any]]:
        with self.catalog.read() as view:
            return [
                {"type": e.type, "item": e.item, **e.data}
                for e in view.events(limit=100_000)
                if e.type in types
            ]


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Any]:
    made: list[Site] = []

    def make(**settings: Any) -> Site:
        made.append(Site(tmp_path, **settings))
        return made[-1]

    yield make
    for site in made:
        site.catalog.close()


def iso(seconds: float) -> str:
    return clock.moment(T0 + seconds).isoformat().replace("+00:00", "Z")


# ---- decisions


@given(st.lists(st.integers(-300, 300), unique=True), st.integers(-300, 300))
def test_anchors_reach_as_far_as_they_say(anchors: list[int], when: int) -> None:
    found = anchors_within([float(anchor) for anchor in anchors], when, 60.0)
    assert found == sorted(anchor for anchor in anchors if -60 <= anchor - when <= 60)


def product(path: str, content: bytes, state: ProductState = ProductState.CURRENT) -> Product:
    return Product(1, "", "file", "sb01", "uvh5", "incoming", path, 1, 1, content, state=state, id=5)


@pytest.mark.parametrize(
    ("late", "old", "begun", "expected"),
    [
        ("hold", None, False, "add"),
        ("hold", None, True, "late"),
        ("revise", None, True, "revise"),
        ("hold", product("here", b"same"), True, "same"),
        ("hold", product("there", b"same"), True, "duplicate"),
        ("hold", product("there", b"same", ProductState.MISSING), True, "moved"),
        ("hold", product("here", b"other"), False, "replace"),
        ("hold", product("here", b"other"), True, "changed"),
        ("hold", product("there", b"other"), False, "replace"),
        ("hold", product("there", b"other"), True, "late"),
        ("revise", product("there", b"other"), True, "replace"),
    ],
)
def test_what_becomes_of_a_file(late: str, old: Product | None, begun: bool, expected: str) -> None:
    intake = Intake(Arrival("here", 1, 1), "key", "sb01", sha256=b"same")
    standing = Standing({"sb01": old} if old else {}, begun)
    action, why = judge(late, standing, "incoming", intake)
    assert action == expected
    assert bool(why) is (expected in ("late", "duplicate", "changed"))


# ---- one file, one item


def test_a_file_becomes_an_item_that_is_ready(sites: Any) -> None:
    site = sites(gathered=False, duration="309 s")
    site.drop(0, 3, b"bytes")
    (done,) = site.scan()
    (item,) = site.items()
    assert (item.key, item.attributes, item.span) == (iso(0), {"time": iso(0)}, Span(T0, T0 + 309))
    assert done == register.Registered((item.id,), (item.id,), files=1)
    file = site.files(item.id)["sb03"]
    assert (file.type, file.output, file.root, file.size) == ("uvh5", "file", "incoming", 5)
    assert site.states(item.id) == {"convert": Work.READY}
    assert site.begin() == 1


def test_attributes_give_the_time_and_place(sites: Any) -> None:
    site = sites(gathered=False, attributes={"box": [10, -30, 30, -20], "day": "2025-10-05"})
    kind = replace(site.kind, footprint=("box",), time=("day",))
    site.definition = replace(site.definition, kinds={"observation": kind})
    fields = {"n": 1}
    plan = replace(site.plan, settings={**site.plan.settings, "key": "{n}", "part": None})
    (intake,), _ = arrive.decide(plan, [Arrival("a", 1, 1, fields)])
    site.take([intake])
    assert (site.items()[0].footprint, site.items()[0].span) == (
        Box(10, -30, 30, -20),
        Span(1759622400, 1759622400),
    )
    bad = replace(intake, key="2", arrival=Arrival("b", 1, 1), attributes={"box": [0, 0, 0, 95]})
    (done,) = site.take([bad])
    assert (len(site.items()), done.aside) == (1, 1)
    assert "latitude out of" in site.events("problem")[0]["why"]


def test_a_burst_of_two_thousand_files(sites: Any) -> None:
    site = sites(complete=16, timeout=600.0)
    for number in range(2000):
        site.drop(300 * (number // 16), number % 16)
    begin = time.perf_counter()
    done = site.scan()
    seconds = time.perf_counter() - begin
    assert (sum(d.files for d in done), sum(len(d.new) for d in done)) == (2000, 125)
    assert sum(len(d.complete) for d in done) == 125
    assert site.scan() == []
    assert site.begin() == 125
    assert seconds < 20


def test_at_most_a_batch_in_one_transaction(sites: Any) -> None:
    site = sites()
    with pytest.raises(ValueError, match="257 arrivals in one transaction; at most 256"):
        site.catalog.write(
            lambda tx: register.register(
                tx, site.definition, site.plan, [Intake(Arrival("a", 1, 1), "a")] * 257
            )
        )


def test_events_and_scan_both_see_a_file_and_it_is_registered_once(sites: Any) -> None:
    site = sites(complete=2, join_within=60.0)
    site.drop(0, 0)
    look = site.source.look({})
    intakes, _ = arrive.decide(site.plan, look.settled)
    ready = arrive.hash_all(LocalStorage({"incoming": site.root}), "incoming", intakes).ready
    threads = [threading.Thread(target=site.take, args=(ready,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (item,) = site.items()
    assert list(site.files(item.id)) == ["sb00"]
    assert len(site.events("registered")) == 1
    assert site.states(item.id)[GATHER] is Work.WAITING


def test_after_a_restart_nothing_is_registered_again(sites: Any) -> None:
    site = sites(complete=4, join_within=60.0)
    for subband in range(3):
        site.drop(subband, subband)
    site.drop(1, 1, b"other bytes").rename(site.root / "2025-10-05T12:00:30_sb01.hdf5")
    (site.root / "notes.txt").write_text("?")
    site.drop(1, 1)
    site.scan()
    with site.catalog.read() as view:
        before = view.sizes(), view.last_event()
    site.catalog.close()
    site.catalog = site.open()
    site.source = Folder.of(site.plan, site.root)
    assert site.scan() == []
    with site.catalog.read() as view:
        assert (view.sizes()["items"], view.sizes()["products"], view.last_event()) == (
            before[0]["items"], before[0]["products"], before[1],
        )  # fmt: skip


def test_a_bad_name_is_one_event(sites: Any) -> None:
    site = sites()
    (site.root / "notes.txt").write_text("?")
    for _ in range(3):
        site.scan()
        site.source = Folder.of(site.plan, site.root)
    (event,) = site.events("problem")
    assert event["source"] == "drop"
    assert "notes.txt: the name fits no pattern; expected" in event["why"]


# ---- joining


def test_near_times_are_one_item_whose_anchor_is_frozen(sites: Any) -> None:
    site = sites(complete=3, join_within=60.0)
    site.drop(0, 0)
    site.scan()
    site.drop(50, 1)
    site.scan()
    site.drop(100, 2)  # near the second file, not near the anchor
    site.scan()
    assert [item.key for item in site.items()] == [iso(0), iso(100)]
    assert [sorted(site.files(item.id)) for item in site.items()] == [["sb00", "sb01"], ["sb02"]]
    site.drop(-10, 2)
    (done,) = site.scan()
    first, second = site.items()
    assert done.complete == (first.id,)
    assert site.states(first.id) == {GATHER: Work.DONE, "convert": Work.READY}
    assert site.states(second.id) == {GATHER: Work.WAITING, "convert": Work.WAITING}


@pytest.mark.parametrize("gap", [59, 60, 61, 121])
def test_groups_of_files_this_far_apart(sites: Any, gap: int) -> None:
    site = sites(complete=2, join_within=60.0)
    site.drop(0, 0)
    site.drop(gap, 1)
    site.scan()
    assert len(site.items()) == (1 if gap <= 60 else 2)


def test_within_reach_of_two_is_ambiguous_and_not_lost(sites: Any) -> None:
    site = sites(complete=3, join_within=60.0)
    site.drop(0, 0)
    site.drop(100, 0)
    path = site.drop(50, 1)
    site.root.joinpath(path.name).rename(site.root.parent / path.name)
    site.scan()
    (site.root.parent / path.name).rename(path)
    (done,) = site.scan()
    assert (done.files, done.aside) == (0, 1)
    (event,) = site.events("ambiguous")
    assert event["why"] == f"within 60 s of more than one item: {iso(0)} and {iso(100)}"
    assert site.scan() == []
    why = site.catalog.write(lambda tx: register.why_aside(tx, site.plan))
    assert list(why) == [path.name]
    done = site.catalog.write(lambda tx: register.admit(tx, site.definition, site.plan, path.name, iso(100)))
    assert done.files == 1
    assert sorted(site.files(site.items()[1].id)) == ["sb00", "sb01"]
    assert site.scan() == []
    for name, key, message in (
        (path.name, iso(0), "was not set aside"),
        ("x", "none", "no item dsa/observation/none"),
    ):
        with pytest.raises(NotFoundError, match=message):
            site.catalog.write(lambda tx, n=name, k=key: register.admit(tx, site.definition, site.plan, n, k))


def test_a_file_joined_before_a_second_anchor_came_stays_where_it_is(sites: Any) -> None:
    site = sites(complete=3, join_within=60.0)
    site.drop(0, 0)
    site.drop(50, 1)
    look = site.source.look({})
    site.scan()
    site.drop(100, 2)
    site.scan()
    intakes, _ = arrive.decide(site.plan, look.settled)
    again = arrive.hash_all(LocalStorage({"incoming": site.root}), "incoming", intakes).ready
    site.take(again)
    assert site.events("ambiguous") == []
    assert sorted(site.files(site.items()[0].id)) == ["sb00", "sb01"]


def test_partitions_are_joined_apart(sites: Any) -> None:
    site = sites(complete=2, join_within=60.0, key="{beam}/{time}", pattern="{beam}_" + PATTERN)
    for beam in ("east", "west"):
        for subband in range(2):
            (site.root / f"{beam}_2025-10-05T12:00:0{subband}_sb0{subband}.hdf5").write_text(
                beam + str(subband)
            )
    site.scan()
    assert [item.key for item in site.items()] == [f"east/{iso(0)}", f"west/{iso(0)}"]
    assert all(len(site.files(item.id)) == 2 for item in site.items())


def test_the_order_of_arrival_does_not_matter_where_clusters_are_apart(tmp_path: Path) -> None:
    drops = [(0, 0), (20, 1), (300, 0), (320, 1)]
    for number, order in enumerate(permutations(drops)):
        if number % 5:
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        site = Site(folder, complete=2, join_within=60.0)
        for seconds, subband in order:
            site.drop(seconds, subband)
            site.scan()
        assert sorted(len(site.files(item.id)) for item in site.items()) == [2, 2]
        site.catalog.close()


@pytest.mark.parametrize("edge", [0.0, -1e9])
def test_anchors_are_found_across_the_edge_of_a_stretch(sites: Any, edge: float) -> None:
    site = sites(complete=2, join_within=60.0)
    start = 3840.0 * int((T0 + edge) // 3840.0) - T0
    site.drop(start - 10, 0)
    site.scan()
    site.drop(start + 10, 1)
    site.scan()
    assert len(site.items()) == 1


# ---- called after one of its files

LEADER = {"join_within": 60.0, "named_by": {"subband": 0}}


def times(items: Sequence[Item]) -> list[tuple[str, float, str]]:
    """Key, time and the attribute of each item."""
    assert all(item.span for item in items)
    return [(item.key, item.span.begin - T0, item.attributes["time"]) for item in items if item.span]


def test_an_item_is_called_after_the_file_that_leads_else_the_earliest(sites: Any) -> None:
    site = sites(complete=5, **LEADER)
    expected = []
    for seconds, subband, called in ((20, 1, 20), (30, 2, 20), (10, 3, 10), (25, 0, 25)):
        site.drop(seconds, subband)
        site.scan()
        assert times(site.items()) == [(iso(called), called, iso(called))]
        expected.append(called)
    (item,) = site.items()
    assert [(e["from"], e["to"], e["item"]) for e in site.events("renamed")] == [
        (iso(20), iso(10), item.id),
        (iso(10), iso(25), item.id),
    ]
    assert "_sb00" in site.events("renamed")[1]["path"]
    site.drop(5, 4)  # complete: an earlier one is no leader
    (done,) = site.scan()
    assert done.complete == (item.id,)
    assert times(site.items()) == [(iso(25), 25, iso(25))]
    assert sorted(site.files(item.id)) == [f"sb{n:02d}" for n in range(5)]


def test_files_that_come_at_once_give_the_name_at_once(sites: Any) -> None:
    site = sites(complete=3, **LEADER)
    for seconds, subband in ((20, 1), (40, 0), (10, 2)):
        site.drop(seconds, subband)
    site.scan()
    assert times(site.items()) == [(iso(40), 40, iso(40))]
    assert site.events("renamed", "not renamed") == []


def test_the_anchor_stays_where_the_first_file_was(sites: Any) -> None:
    """Joining is not transitive: what is near the new name and not near the first file is another item."""
    site = sites(complete=9, **LEADER)
    for seconds, subband in ((0, 1), (50, 0), (100, 2), (-55, 3)):
        site.drop(seconds, subband)
        site.scan()
    assert [item.key for item in site.items()] == [iso(50), iso(100)]
    assert [sorted(site.files(item.id)) for item in site.items()] == [["sb00", "sb01", "sb03"], ["sb02"]]


@pytest.mark.parametrize("policy", ["hold", "process", "reject"])
def test_a_name_is_frozen_by_the_time_out(sites: Any, policy: str) -> None:
    site = sites(complete=3, timeout=600.0, on_timeout=policy, late="revise", **LEADER)
    site.drop(20, 1)
    site.scan()
    site.now += 700
    (claimed,) = site.due()
    site.catalog.write(lambda tx: register.time_out(tx, site.definition, site.plan, claimed))
    site.drop(25, 0)
    site.scan()
    assert [item.key for item in site.items()] == [iso(20)]
    assert sorted(site.files(site.items()[0].id)) == ["sb00", "sb01"]


def test_a_name_is_frozen_when_a_person_closes_the_item(sites: Any) -> None:
    site = sites(complete=3, late="revise", **LEADER)
    site.drop(20, 1)
    site.scan()
    (item,) = site.items()
    site.catalog.write(lambda tx: register.close(tx, site.kind, item.id, "ann"))
    site.drop(25, 0)
    site.scan()
    assert site.begin() == 1
    site.drop(15, 2)
    site.scan()
    assert times(site.items()) == [(iso(20), 20, iso(20))]
    assert sorted(site.files(item.id)) == ["sb00", "sb01", "sb02"]


def test_a_renamed_item_is_found_by_what_comes_later(sites: Any) -> None:
    """After a restart too: further files, known bytes, other bytes, what was set aside, the time-out."""
    site = sites(complete=5, timeout=600.0, on_timeout="process", **LEADER)
    first = site.drop(20, 1, b"one")
    site.scan()
    site.drop(25, 0)
    site.scan()
    site.catalog.close()
    site.catalog = site.open()
    assert site.scan() == []
    (item,) = site.items()
    site.drop(30, 1, b"one")  # the same bytes again
    site.scan()
    (double,) = site.events("duplicate")
    assert double["item"] == item.id
    first.write_bytes(b"other")
    site.scan()
    assert site.files(item.id)["sb01"].size == 5
    site.drop(130, 9)
    site.scan()
    site.drop(79, 2)  # within reach of both
    site.scan()
    (path,) = [path for path, why in site.catalog.write(lambda tx: register.why_aside(tx, site.plan)).items()
               if why.startswith("ambiguous")]  # fmt: skip
    site.catalog.write(lambda tx: register.admit(tx, site.definition, site.plan, path, iso(25)))
    assert sorted(site.files(item.id)) == ["sb00", "sb01", "sb02"]
    assert [one.key for one in site.items()] == [iso(25), iso(130)]
    site.now += 700
    for claimed in site.due():
        site.catalog.write(lambda tx, c=claimed: register.time_out(tx, site.definition, site.plan, c))
    assert site.begin() == 2
    with site.catalog.read() as view:
        assert view.find("dsa", "observation", iso(20)) is None
        assert [run.item for run in view.runs(item.id)] == [item.id]


def test_a_name_that_is_taken_is_refused_once_and_told(sites: Any) -> None:
    site = sites(complete=9, **LEADER)
    site.catalog.write(lambda tx: tx.add_items(site.kind, [Item("dsa", "observation", iso(25))]))
    for seconds, subband in ((20, 1), (25, 0), (30, 2)):
        site.drop(seconds, subband)
        site.scan()
    taken, item = site.items()
    assert (taken.key, item.key) == (iso(25), iso(20))
    assert site.files(taken.id) == {}
    assert sorted(site.files(item.id)) == ["sb00", "sb01", "sb02"]
    (event,) = site.events("not renamed")
    assert (event["from"], event["to"], event["item"]) == (iso(20), iso(25), item.id)
    assert event["why"] == f"another item is called {iso(25)!r}"


def test_a_name_that_is_taken_when_an_item_begins(sites: Any) -> None:
    """It is called after its first file instead, or its files are set aside: they are not put to a far item."""
    site = sites(complete=9, **LEADER)
    site.catalog.write(lambda tx: tx.add_items(site.kind, [Item("dsa", "observation", iso(25))]))
    site.drop(20, 1)
    site.drop(25, 0)
    site.scan()
    assert [item.key for item in site.items()] == [iso(25), iso(20)]
    assert [event["to"] for event in site.events("not renamed")] == [iso(25)]
    other = sites(complete=9, **LEADER | {"key": "{time:%Y-%m-%d}"})
    other.drop(1000, 1)
    other.drop(2000, 1)
    (done,) = other.scan()
    assert (done.files, done.aside) == (1, 1)
    (event,) = other.events("ambiguous")
    assert event["why"].endswith("is the key of an item that it is not near to")


def test_a_source_that_had_no_leader_keeps_the_names_it_gave(sites: Any) -> None:
    site = sites(complete=9, join_within=60.0)
    site.drop(20, 1)
    site.scan()
    site.plan = replace(site.plan, settings={**site.plan.settings, "named_by": {"subband": 0}})
    site.drop(25, 0)
    site.scan()
    site.plan = replace(site.plan, settings={**site.plan.settings, "named_by": {}})
    site.drop(30, 3)
    site.scan()
    (item,) = site.items()
    assert (item.key, len(site.files(item.id))) == (iso(20), 3)


@pytest.fixture(scope="module")
def one_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("named"), complete=0, **LEADER)
    yield site
    site.catalog.close()


NUMBERS = count(1)


@given(st.data())
def test_any_order_of_arrival_gives_the_same_name_time_and_files(one_site: Site, data: st.DataObject) -> None:
    """Files within reach of one another, one by one or in parts; leaders may come again with another time."""
    start = 10_000.0 * next(NUMBERS)
    offsets = data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=6))
    first = data.draw(st.integers(0, 1))  # 1: the file that leads never comes
    files = [(start + offset, first + number) for number, offset in enumerate(offsets)]
    parts = data.draw(st.lists(st.integers(1, 3), min_size=6, max_size=6))
    waiting = data.draw(st.permutations(files))
    for size in parts:
        intakes = [intake(one_site, *file) for file in waiting[:size]]
        one_site.take(intakes) if intakes else []
        waiting = waiting[size:]
    called = files[0][0] if first == 0 else min(seconds for seconds, _ in files)
    with one_site.catalog.read() as view:
        found = [
            item
            for item in view.items(limit=100_000)
            if item.span and abs(item.span.begin - T0 - start) < 100
        ]
    assert times(found) == [(iso(called), called, iso(called))]
    assert sorted(one_site.files(found[0].id)) == sorted(f"sb{subband:02d}" for _, subband in files)


def intake(site: Site, seconds: float, subband: int) -> Intake:
    """A file as it is registered, without one on a disk."""
    name = f"{clock.moment(T0 + seconds):%Y-%m-%dT%H:%M:%S}_sb{subband:02d}.hdf5"
    fields = site.source.patterns[0].parse(name)
    assert fields is not None
    ((made,), problems) = arrive.decide(site.plan, [Arrival(name, 1, 1, fields)])
    assert not problems
    return replace(made, sha256=name.encode().ljust(32)[:32])


# ---- complete, or not in time


@pytest.mark.parametrize(
    ("policy", "gather", "convert"),
    [
        ("process", Work.DONE, Work.READY),
        ("hold", Work.HELD, Work.WAITING),
        ("reject", Work.REJECTED, Work.WAITING),
    ],
)
def test_what_is_not_complete_in_time(sites: Any, policy: str, gather: Work, convert: Work) -> None:
    site = sites(complete=3, timeout=600.0, on_timeout=policy)
    site.drop(0, 0)
    site.drop(0, 1)
    site.scan()
    (item,) = site.items()
    site.now += 599
    assert site.due() == []
    site.now += 2
    (claimed,) = site.due()
    done = site.catalog.write(lambda tx: register.time_out(tx, site.definition, site.plan, claimed))
    assert done == ((item.id,) if policy == "process" else ())
    assert site.states(item.id) == {GATHER: gather, "convert": convert}
    told = str(site.events("timed-out", "held", "rejected"))
    assert "time-out: 2 of 3 files after 600 s" in told


def test_a_held_item_goes_on_when_the_missing_file_comes(sites: Any) -> None:
    site = sites(complete=2, timeout=600.0)
    site.drop(0, 0)
    site.scan()
    site.now += 700
    (claimed,) = site.due()
    site.catalog.write(lambda tx: register.time_out(tx, site.definition, site.plan, claimed))
    site.drop(0, 1)
    site.scan()
    (item,) = site.items()
    assert site.states(item.id) == {GATHER: Work.DONE, "convert": Work.READY}


def test_a_time_out_that_comes_too_late_does_nothing(sites: Any) -> None:
    site = sites(complete=2, timeout=600.0, on_timeout="reject")
    site.drop(0, 0)
    site.scan()
    site.now += 700
    (claimed,) = site.due()
    site.drop(0, 1)
    site.scan()
    assert site.catalog.write(lambda tx: register.time_out(tx, site.definition, site.plan, claimed)) == ()
    assert site.states(site.items()[0].id) == {GATHER: Work.DONE, "convert": Work.READY}


def test_a_person_closes_an_item(sites: Any) -> None:
    site = sites(complete=16)
    site.drop(0, 0)
    site.scan()
    (item,) = site.items()
    assert site.catalog.write(
        lambda tx: register.close(tx, site.kind, item.id, "ada", "the rest is lost")
    ) == (item.id,)
    assert site.states(item.id) == {GATHER: Work.DONE, "convert": Work.READY}
    assert site.events("closed")[0]["who"] == "ada"


# ---- duplicates and late files


def gone_on(sites: Any, **settings: Any) -> Site:
    """A site whose only item was complete with two files, and converted."""
    site: Site = sites(complete=2, join_within=60.0, **settings)
    site.drop(0, 0)
    site.drop(0, 1)
    site.scan()
    assert site.begin() == 1
    return site


def test_the_same_bytes_again_are_ignored_with_an_event(sites: Any) -> None:
    site = gone_on(sites)
    site.drop(5, 1, b"0 1")
    (done,) = site.scan()
    assert (done.files, done.duplicates) == (0, 1)
    (event,) = site.events("duplicate")
    assert f"incoming:{iso(0)[:-1]}_sb01.hdf5" in event["why"]
    assert site.scan() == []
    assert site.states(site.items()[0].id)["convert"] is Work.DONE


def test_a_touched_file_is_known_again_without_work(sites: Any) -> None:
    site = gone_on(sites)
    site.drop(0, 1)
    site.scan()
    assert site.scan() == []
    assert site.states(site.items()[0].id)["convert"] is Work.DONE


def test_a_late_file_is_held_or_revises(sites: Any, tmp_path: Path) -> None:
    site = gone_on(sites, late="hold")
    path = site.drop(3, 2)
    (done,) = site.scan()
    assert (done.files, done.aside) == (0, 1)
    (item,) = site.items()
    assert site.events("late")[0]["item"] == item.id
    assert site.states(item.id)["convert"] is Work.DONE
    assert site.scan() == []
    site.catalog.write(lambda tx: register.admit(tx, site.definition, site.plan, path.name, item.key))
    assert site.states(item.id)["convert"] is Work.READY
    assert sorted(site.files(item.id)) == ["sb00", "sb01", "sb02"]


def test_a_late_file_revises_by_policy(sites: Any) -> None:
    site = gone_on(sites, late="revise")
    site.drop(3, 2)
    site.scan()
    (item,) = site.items()
    assert site.states(item.id) == {GATHER: Work.DONE, "convert": Work.READY}
    assert site.begin() == 1


def test_until_it_is_claimed_an_item_gains_files(sites: Any) -> None:
    site = sites(complete=2, join_within=60.0, late="hold")
    for subband in range(3):
        site.drop(0, subband)
        site.scan()
    assert sorted(site.files(site.items()[0].id)) == ["sb00", "sb01", "sb02"]


@pytest.mark.parametrize("late", ["hold", "revise"])
def test_overwritten_bytes_after_work_began(sites: Any, late: str) -> None:
    site = gone_on(sites, late=late)
    site.drop(0, 1, b"other bytes")
    site.scan()
    assert site.scan() == []
    (item,) = site.items()
    with site.catalog.read() as view:
        states = {
            p.part: p.state
            for p in view.products([item.id], stages=("",), states=tuple(ProductState))
            if p.size == 3
        }
    if late == "hold":
        assert states["sb01"] is ProductState.CHANGED
        assert site.states(item.id)["convert"] is Work.DONE
    else:
        assert states["sb01"] is ProductState.SUPERSEDED
        assert site.files(item.id)["sb01"].size == 11
        assert site.states(item.id)["convert"] is Work.READY


def test_other_bytes_before_work_began_take_the_place(sites: Any) -> None:
    site = sites(complete=3, join_within=60.0)
    site.drop(0, 1)
    site.scan()
    site.drop(0, 1, b"other bytes")
    site.scan()
    assert site.files(site.items()[0].id)["sb01"].size == 11


def test_a_file_for_a_rejected_item(sites: Any) -> None:
    for late, expected in (("hold", Work.REJECTED), ("revise", Work.DONE)):
        site = sites(complete=2, timeout=600.0, on_timeout="reject", late=late)
        for old in site.root.iterdir():
            old.unlink()
        hour = 3600 if late == "revise" else 0
        site.drop(hour, 0)
        site.scan()
        site.now += 700
        (claimed,) = site.due()
        site.catalog.write(lambda tx, s=site, c=claimed: register.time_out(tx, s.definition, s.plan, c))
        site.drop(hour, 1)
        site.scan()
        assert site.states(site.items()[-1].id)[GATHER] is expected


def test_very_many_set_aside_are_kept_in_parts(sites: Any) -> None:
    site = gone_on(sites)
    intakes = [
        Intake(Arrival(f"copy{n}", n, n), iso(0), "sb09", partition="{}", when=T0, sha256=b"%032d" % n)
        for n in range(1500)
    ]
    assert sum(done.aside for done in site.take(intakes)) == 1500
    aside = site.catalog.write(lambda tx: register.aside(tx, site.plan))
    assert len(aside) == 1500
    assert aside["copy1499"] == (1499, 1499)
    again = site.take(intakes[:10])
    assert [done.aside for done in again] == [0]
    assert len(site.events("late")) == 1500


# ---- fetch sources


def test_requests_become_items_and_changed_assets_change_them(sites: Any) -> None:
    site = sites(gathered=False, form="record")
    tables = [{"key": "other"}, {"key": "survey", "attributes": {"country": "ZA"}}]
    plan = replace(site.plan, kind="fetch", settings={"attributes": {"region": "south"}, "requests": tables})
    request = Request("survey", Box(10, -30, 30, -20), Span(0, 10), {"file": "a.csv"})
    asset = Asset("a.csv", "a.csv", 5, "00" * 32, "CC0-1.0")

    def answer(*answers: tuple[Request, Sequence[Asset]]) -> register.Registered:
        return site.catalog.write(lambda tx: register.answered(tx, site.definition, plan, answers))

    done = answer((request, [asset]))
    (item,) = site.items()
    assert done == register.Registered((item.id,), (item.id,))
    assert (item.key, item.footprint, item.span) == ("survey", request.footprint, request.span)
    assert (item.attributes["region"], item.attributes["country"]) == ("south", "ZA")
    assert item.attributes["request"]["params"] == {"file": "a.csv"}
    assert item.attributes["assets"][0]["licence"] == "CC0-1.0"
    assert site.begin() == 1
    assert answer((request, [asset])) == register.Registered()
    assert site.states(item.id)["convert"] is Work.DONE
    assert answer((request, [replace(asset, size=6)])).changed == (item.id,)
    assert site.states(item.id)["convert"] is Work.READY
    assert answer() == register.Registered()
