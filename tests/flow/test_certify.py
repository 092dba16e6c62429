"""Certify through a real site: science waits for its calibration, takes the valid one, and runs again when it is remade."""

import json
from pathlib import Path
from typing import Any

import pytest

from towpath import Calibration, Context, Site, Stage
from towpath.base import clock
from towpath.base.errors import DefinitionError, NotFoundError, StateError, UsageError
from towpath.base.model import Item, Product
from towpath.base.spacetime import Span
from towpath.base.states import Product as ProductState
from towpath.contracts.catalog import CalibrationRow
from towpath.flow.certify import BEGIN, END, Fit, fitted
from towpath.testing import run_stage

PLUGIN = """
import json

from towpath import Calibration, Context, One, Plugin, Record, Reject, Stage


class MakeBias(Stage):
    consumes = {"record": Record()}
    produces = {"bias": "bias/text"}
    level: int = 1

    def run(self, context: Context) -> None:
        with context.output("bias", "bias.txt") as path:
            path.write_text(f"{context.item.key} {self.level}")
        context.measure("noise", 0.5)


class Reduce(Stage):
    consumes = {"bias": Calibration("bias", selector="camera")}
    produces = {"image": "image/text"}

    def run(self, context: Context) -> None:
        with context.output("image", "image.txt") as path:
            path.write_text("reduced with " + context.inputs["bias"].read_text())


class Borrow(Stage):
    consumes = {"bias": Calibration("bias", selector="camera", within=3600.0)}
    produces = {"image": "image/text"}

    def run(self, context: Context) -> None:
        (given,) = context.sources["bias"]
        assert given.path == context.inputs["bias"]
        with context.output("image", "image.txt") as path:
            path.write_text(json.dumps({"item": given.item, **given.attributes}))


class Solve(Stage):
    consumes = {"known": Calibration("bias", selector="camera", optional=True), "record": Record()}
    produces = {"bias": "bias/text"}

    def run(self, context: Context) -> None:
        if context.inputs["known"]:
            raise Reject("there is a valid one")
        with context.output("bias", "bias.txt") as path:
            path.write_text(context.item.key)


class Look(Stage):
    consumes = {"table": Calibration("table")}
    produces = {"seen": "seen/text"}

    def run(self, context: Context) -> None:
        with context.output("seen", "seen.txt") as path:
            path.write_text(context.inputs["table"].read_text())


plugin = Plugin("CALIBRATED", stages=[MakeBias, Reduce, Borrow, Solve, Look])
"""
PIPELINE = """
[pipeline]
name = "CALIBRATED"
[sources.dark]
kind = "submit"
item = "dark"
[sources.science]
kind = "submit"
item = "science"
[items.dark]
route = "make_bias -> certify"
[items.dark.certify]
calibration = "bias"
product = "make_bias.bias"
selector = "camera"
valid_before = "1 h"
valid_after = "1 h"
quality = "noise"
[items.science]
route = "reduce"

[sources.borrower]
kind = "submit"
item = "borrower"
[items.borrower]
route = "borrow"

[sources.flat]
kind = "submit"
item = "flat"
[items.flat]
route = "solve -> certify"
[items.flat.certify]
calibration = "bias"
product = "solve"
selector = "camera"
valid_before = "1 h"
valid_after = "1 h"
overlap = "clip"

[sources.side]
kind = "submit"
item = "side"
[items.side]
route = "make_bias -> certify"
[items.side.certify]
calibration = "bias"
product = "make_bias"
selector = "camera"
valid_before = "1 h"
valid_after = "1 h"
overlap = "clip"

[sources.table]
kind = "submit"
item = "table"
[items.table]
route = "certify"
[items.table.certify]
calibration = "table"
product = "file"
valid_before = "always"
valid_after = "always"
overlap = "replace"
[sources.reader]
kind = "submit"
item = "reader"
[items.reader]
route = "look"
"""
SITE = """
[site]
executor = "inline"
[pipelines.CALIBRATED]
file = "pipeline.toml"
plugin = "CALIBRATED:plugin"
"""
NOON = "2026-03-01T12:00:00Z"


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    name = f"certify_{abs(hash(request.node.name))}"
    for file, text in ((f"{name}.py", PLUGIN), ("pipeline.toml", PIPELINE), ("towpath.toml", SITE)):
        (tmp_path / file).write_text(text.replace("CALIBRATED", name))
    return tmp_path


def submit(site: Site, kind: str, key: str, time: str = NOON, camera: str = "a") -> None:
    site.submit(kind, [{"key": key, "time": [time], "attributes": {"camera": camera}}])


def image(site: Site, key: str) -> str:
    return site.place(site.show(f"science/{key}").products[-1]).read_text()


def states(site: Site, name: str) -> dict[str, str]:
    return {row.stage: row.state.value for row in site.show(name).work}


def test_science_waits_for_its_calibration_and_goes_on_by_itself(folder: Path) -> None:
    with Site.open(folder) as site:
        submit(site, "science", "s1")
        submit(site, "science", "other camera", camera="b")
        submit(site, "science", "too late", time="2026-03-01T14:00:00Z")
        site.run()
        assert states(site, "science/s1") == {"reduce": "waiting"}
        (told,) = site.explain("science/s1")[0].reasons
        assert told.code == "calibration" and told.facts == {"input": "bias", "calibration": "bias"}
        assert told.text.startswith(
            "input bias: no certified calibration 'bias' is valid at the item's time.mid, 2026-"
        )
        submit(site, "dark", "d1")
        site.run()
        assert states(site, "dark/d1") == {"make_bias": "done", "certify": "done"}
        assert image(site, "s1") == "reduced with d1 1"
        assert (
            states(site, "science/other camera") == states(site, "science/too late") == {"reduce": "waiting"}
        )
        with site.catalog.read() as view:
            (row,) = view.calibrations("bias")
        assert (row.selector, row.quality, row.end - row.begin) == ("a", 0.5, 7200.0)


def test_a_calibration_made_again_takes_the_place_of_the_old_one(folder: Path) -> None:
    with Site.open(folder) as site:
        submit(site, "science", "s1")
        submit(site, "dark", "d1")
        site.run()
    pipeline = folder / "pipeline.toml"
    pipeline.write_text(pipeline.read_text() + "[items.dark.stages.make_bias]\nparams = { level = 2 }\n")
    with Site.open(folder) as site:
        site.apply()
        site.run()
        assert image(site, "s1") == "reduced with d1 2"
        with site.catalog.read() as view:
            assert len(view.calibrations("bias")) == 1
        assert site.run().did_nothing


def test_an_overlap_with_another_items_calibration_fails_with_the_reason(folder: Path) -> None:
    with Site.open(folder) as site:
        submit(site, "dark", "d1")
        site.run()
        submit(site, "dark", "d2", time="2026-03-01T12:30:00Z")
        site.run()
        assert states(site, "dark/d2") == {"make_bias": "done", "certify": "failed"}
        assert "overlaps" in site.show("dark/d2").work[-1].note
        with pytest.raises(StateError, match="overlaps"), site.catalog.read() as view:
            product = view.calibrations("bias")[0].product.id
            site.catalog.write(lambda tx: tx.certify(product, "bias", "a", 0.0, 2e9))


def test_an_item_without_a_time_cannot_be_certified(folder: Path) -> None:
    with Site.open(folder) as site:
        site.submit("dark", [{"key": "timeless", "attributes": {"camera": "a"}}])
        site.run()
        assert "has no time" in site.show("dark/timeless").work[-1].note


# ---- borrowed calibrations


def borrowed(site: Site, key: str) -> Any:
    return json.loads(site.place(site.show(f"borrower/{key}").products[-1]).read_text())


def test_a_stage_is_told_what_calibration_it_was_given(folder: Path) -> None:
    """And looked at again, nothing is to be done: all that it was told comes from rows."""
    with Site.open(folder) as site:
        submit(site, "borrower", "near", time="2026-03-01T13:30:00Z")
        submit(site, "borrower", "inside")
        submit(site, "borrower", "far", time="2026-03-01T14:00:01Z")
        submit(site, "dark", "d1")
        site.run()
        noon = clock.seconds(NOON)
        told = {
            "item": "d1", "calibration": 1, "kind": "bias", "selector": "a", "begin": noon - 3600.0,
            "end": noon + 3600.0, "quality": 0.5, "is_valid": False, "age": 1800.0,
        }  # fmt: skip
        assert borrowed(site, "near") == told
        assert borrowed(site, "inside") == {**told, "is_valid": True, "age": 0.0}
        assert states(site, "borrower/far") == {"borrow": "waiting"}
        assert "or within 3600 s of it" in site.explain("borrower/far")[0].sentences[0]
        for key in ("near", "inside"):
            work = site.show(f"borrower/{key}").work[0].id
            site.catalog.write(lambda tx, work=work: tx.revise([work], "a test"))  # type: ignore[misc]
        assert site.run().runs == {"unchanged": 2}
        (asked,) = site.explain("borrower/near")
        assert asked.differences == ()


def test_what_changed_of_a_calibration_is_explained(folder: Path) -> None:
    with Site.open(folder) as site:
        submit(site, "borrower", "near", time="2026-03-01T13:30:00Z")
        submit(site, "dark", "d1")
        site.run()
        submit(site, "dark", "d2", time="2026-03-01T14:30:00Z")
        site.run()
        assert borrowed(site, "near")["item"] == "d1"  # a better one later: kept, and told
        (asked,) = site.explain("borrower/near")
        changed = {one.component: (one.was, one.now) for one in asked.differences}
        assert changed["inputs.bias.told.age"] == (1800.0, 0.0)
        assert changed["inputs.bias.told.is_valid"] == (False, True)
        assert "since its last run these changed: inputs.bias" in asked.sentences[1]


def test_a_withdrawn_calibration_is_not_certified_again_by_itself(folder: Path) -> None:
    with Site.open(folder) as site:
        submit(site, "borrower", "near", time="2026-03-01T13:30:00Z")
        submit(site, "dark", "d1")
        site.run()
        (row,) = site.calibrations("bias")
        assert (row.item.rpartition("/")[2], row.used_by, row.bytes_are, row.is_bad) == (
            "d1", 1, "current", False,
        )  # fmt: skip
        site.decertify(row.number, why="clouds")
        site.run()
        assert states(site, "borrower/near") == {"borrow": "waiting"}
        assert states(site, "dark/d1") == {"make_bias": "done", "certify": "done"}
        assert site.calibrations() == []
        assert [one.state for one in site.calibrations(state="")] == ["decertified"]
        site.catalog.write(lambda tx: tx.revise([site.show("dark/d1").work[-1].id], "a test"))
        site.run()
        assert states(site, "dark/d1")["certify"] == "rejected"
        assert "was withdrawn" in site.show("dark/d1").runs[-1].reasons[0]
        site.rerun("dark/d1", "certify")
        site.run()
        assert states(site, "dark/d1")["certify"] == "done"
        assert states(site, "borrower/near") == {"borrow": "done"}
        assert borrowed(site, "near")["calibration"] == 2
        with pytest.raises(NotFoundError, match="no calibration with number 9"):
            site.decertify(9, why="")
        with pytest.raises(UsageError, match="no state 'good'"):
            site.calibrations(state="good")


def test_an_item_does_not_find_its_own_calibration(folder: Path) -> None:
    """It would reject itself on a new run; others find it, and what it certified stands."""
    with Site.open(folder) as site:
        submit(site, "flat", "f1")
        site.run()
        assert states(site, "flat/f1") == {"solve": "done", "certify": "done"}
        site.rerun("flat/f1")
        site.run()
        assert states(site, "flat/f1") == {"solve": "done", "certify": "done"}
        assert [row.number for row in site.calibrations()] == [1]
        submit(site, "flat", "f2", time="2026-03-01T12:10:00Z")
        site.run()
        assert states(site, "flat/f2") == {"solve": "rejected", "certify": "waiting"}


def test_run_stage_tells_of_a_valid_calibration_unless_said_otherwise(tmp_path: Path) -> None:
    class Tell(Stage):
        consumes = {"bias": Calibration("bias")}
        produces = {}

        def run(self, context: Context) -> None:
            (given,) = context.sources["bias"]
            for name in ("kind", "is_valid", "age"):
                context.measure(name, given.attributes[name])

    file = tmp_path / "bias.txt"
    file.write_text("1")
    plain = run_stage(Tell(), {"bias": file}, tmp_path)
    assert {name: one.value for name, one in plain.measures.items()} == {
        "kind": "bias", "is_valid": True, "age": 0.0,
    }  # fmt: skip
    old = run_stage(Tell(), {"bias": file}, tmp_path, told={"bias": {"is_valid": False, "age": 60.0}})
    assert (old.measures["is_valid"].value, old.measures["age"].value) == (False, 60.0)


# ---- overlap


def certified(number: int, begin: float, end: float, item: int = 1) -> CalibrationRow:
    product = Product(item, "solve", "bias", "", "bias/text", "store", "x", 1, 1, bytes(32))
    return CalibrationRow(number, product, "bias", "", begin, end, 0.0, "certified")


NEW = Item("p", "k", "new", span=Span(100.0, 110.0), id=5)
POINT = Item("p", "k", "point", span=Span(100.0, 100.0), id=5)


@pytest.mark.parametrize(
    ("item", "others", "expected"),
    [
        (NEW, [], Fit(50, 160)),
        (NEW, [certified(1, 0, 80)], Fit(80, 160)),
        (NEW, [certified(1, 0, 100), certified(2, 110, 300)], Fit(100, 110)),
        (NEW, [certified(1, 0, 50), certified(2, 160, 300)], Fit(50, 160)),
        (NEW, [certified(1, 90, 95), certified(2, 60, 70), certified(3, 150, 155)], Fit(95, 150)),
        (POINT, [certified(1, 90, 100)], Fit(100, 160)),
        (POINT, [certified(1, 101, 120)], Fit(50, 101)),
    ],
)
def test_a_validity_is_clipped_to_what_is_free(
    item: Item, others: list[CalibrationRow], expected: Fit
) -> None:
    assert fitted("clip", item, (50.0, 160.0), others) == expected


@pytest.mark.parametrize(
    ("item", "other"),
    [
        (NEW, certified(7, 0, 101)),
        (NEW, certified(7, 104, 105)),
        (NEW, certified(7, 109, 300)),
        (POINT, certified(7, 100, 101)),
    ],
)
def test_what_covers_the_items_own_time_is_named(item: Item, other: CalibrationRow) -> None:
    refused = fitted("clip", item, (50.0, 160.0), [certified(3, 0, 60), other]).refused
    assert refused.startswith("calibration 7, valid from 1970-01-01T00:0")
    assert refused.endswith("covers the item's own time")


def test_what_is_replaced_and_what_is_not() -> None:
    """Those of items that were registered earlier; where a later one is in force this is no longer the newest."""
    old, new = certified(1, 0, 100, item=4), certified(2, 200, 300, item=6)
    assert fitted("replace", NEW, (50.0, 160.0), [old, new]) == Fit(50.0, 160.0, (1,))
    assert "registered later" in fitted("replace", NEW, (50.0, 260.0), [old, new]).refused
    assert fitted("refuse", NEW, (50.0, 260.0), [old, new]) == Fit(50.0, 260.0)


def test_a_clipped_calibration_and_one_whose_time_is_taken(folder: Path) -> None:
    """The second of two that solved side by side is a result, not an error; done again it comes to the same."""
    with Site.open(folder) as site:
        submit(site, "side", "f1")
        submit(site, "side", "late", time="2026-03-01T13:10:00Z")
        submit(site, "side", "taken", time="2026-03-01T12:30:00Z")
        site.run()
        noon = clock.seconds(NOON)
        found = {one.item.rpartition("/")[2]: (one.begin, one.end) for one in site.calibrations()}
        assert found == {
            "f1": (noon - 3600.0, noon + 3600.0),
            "late": (noon + 3600.0, noon + 7800.0),
        }
        assert states(site, "side/taken") == {"make_bias": "done", "certify": "rejected"}
        number = next(one.number for one in site.calibrations() if one.item.endswith("/f1"))
        (reason,) = site.show("side/taken").runs[-1].reasons
        assert reason.startswith(
            f"calibration {number}, valid from 2026-03-01T11:00:00.000Z to 2026-03-01T13:00"
        )
        for key in ("f1", "late"):
            work = site.show(f"side/{key}").work[-1].id
            site.catalog.write(lambda tx, work=work: tx.revise([work], "a test"))  # type: ignore[misc]
        site.run()
        assert {one.item.rpartition("/")[2]: (one.begin, one.end) for one in site.calibrations()} == found
        assert len(site.calibrations(state="")) == 2


# ---- raw files, always valid


def put(site: Site, folder: Path, key: str, text: str) -> None:
    file = folder / "incoming" / f"{key}.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    site.submit("table", [{"key": key, "files": [file]}])


def seen(site: Site) -> str:
    return site.place(site.show("reader/r").products[-1]).read_text()


def test_a_raw_file_is_certified_for_all_time_until_a_newer_item_takes_its_place(folder: Path) -> None:
    (folder / "towpath.toml").write_text((folder / "towpath.toml").read_text() + "[roots]\n")
    with Site.open(folder) as site:
        submit(site, "reader", "r")
        put(site, folder, "v1", "one")
        site.run()
        (row,) = site.calibrations("table")
        assert (row.begin, row.end, row.root) == (BEGIN, END, "incoming")
        assert clock.text(row.begin) == "0001-01-01T00:00:00.000Z"
        assert seen(site) == "one"
        put(site, folder, "v2", "two")
        site.run()
        (now,) = site.calibrations("table")
        assert now.item.endswith("/v2")
        assert [one.state for one in site.calibrations("table", state="")] == ["superseded", "certified"]
        assert seen(site) == "one"  # kept: a newer one is no reproach to the older
        site.rerun("reader/r")
        site.run()
        assert seen(site) == "two"
        site.rerun("table/v1")
        site.run()
        assert states(site, "table/v1") == {"certify": "rejected"}
        assert "registered later" in site.show("table/v1").runs[-1].reasons[0]
        assert [one.number for one in site.calibrations("table")] == [now.number]


def test_what_can_be_certified_is_checked_when_the_file_is_read(folder: Path) -> None:
    pipeline = folder / "pipeline.toml"
    text = pipeline.read_text()
    for old, new, told in (
        ('product = "solve"', 'product = "file"', None),
        ('product = "make_bias.bias"', 'product = "files"', "an earlier stage"),
        ('overlap = "clip"', 'overlap = "cut"', "overlap"),
        ('valid_before = "always"', 'valid_before = "ever"', "or 'always'"),
        (
            "[sources.table]",
            '[sources.more]\nkind = "submit"\nitem = "table"\ntype = "b"\n[sources.table]',
            "types",
        ),
    ):
        pipeline.write_text(text.replace(old, new, 1))
        if told is None:
            Site.open(folder).close()
        else:
            with pytest.raises(DefinitionError, match=told):
                Site.open(folder)


# ---- on disk


def test_a_calibration_without_its_bytes_is_named_and_waited_for(folder: Path) -> None:
    with Site.open(folder) as site:
        submit(site, "dark", "d1")
        site.run()
        (row,) = site.calibrations()
        place = site.place(site.show("dark/d1").products[0])
        kept = place.read_bytes()
        place.write_bytes(b"something else")
        assert [(one.bytes_are, one.is_bad) for one in site.calibrations()] == [("changed", True)]
        submit(site, "science", "s1")
        (found,) = site.verify()[1]
        assert (found.what, found.calibration) == ("changed", f"calibration {row.number}, bias")
        site.run()
        assert states(site, "science/s1") == {"reduce": "waiting"}
        (reason,) = site.explain("science/s1")[0].reasons
        assert reason.code == "calibration"
        assert reason.text == f"input bias: calibration {row.number}: {row.root}:{row.path} is changed"
        assert "towpath rerun dark/d1 --stage make_bias" in reason.do
        place.write_bytes(kept)
        site.check()
        site.run()
        assert image(site, "s1") == "reduced with d1 1"
        place.unlink()
        assert [one.bytes_are for one in site.calibrations()] == ["missing"]
        submit(site, "science", "s2")
        site.run()  # a product of a stage is made again, equal
        assert image(site, "s2") == "reduced with d1 1"


def test_a_run_looks_at_its_calibration_before_it_begins(folder: Path) -> None:
    with Site.open(folder) as site:
        submit(site, "dark", "d1")
        site.run()
        site.place(site.show("dark/d1").products[0]).write_bytes(b"something else")
        submit(site, "science", "s1")
        site.run(check=False)
        assert states(site, "science/s1") == {"reduce": "waiting"}
        assert site.show("dark/d1").products[0].state is ProductState.CHANGED
