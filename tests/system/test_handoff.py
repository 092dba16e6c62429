"""The example with a hand-off and a gate, on a real site: from a trace that arrives to picks that are published."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from towpath import Site
from towpath.base.errors import StateError
from towpath.base.hashing import content
from towpath.base.states import Delivery, Order
from towpath.contracts.orders import MANIFEST

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "picks"
RATE, P, S = 50.0, 12.0, 20.0


def write_trace(path: Path, seed: int = 1) -> None:
    """Noise of 1, and waves of 20 that begin at the two arrivals."""
    random = np.random.default_rng(seed)
    time = np.arange(0.0, 40.0, 1.0 / RATE)
    velocity = random.normal(0.0, 1.0, len(time))
    for begin, size in ((P, 20.0), (S, 80.0)):
        after = time >= begin
        velocity[after] += size * np.exp(-(time[after] - begin) / 3.0) * np.sin(20.0 * (time[after] - begin))
    rows = "".join(f"{t:.2f},{v:.4f}\n" for t, v in zip(time, velocity, strict=True))
    path.write_text(f"time,velocity\n{rows}")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "site"
    shutil.copytree(EXAMPLE, folder)
    (folder / "incoming").mkdir()
    write_trace(folder / "incoming" / "quake.csv")
    with Site.open(folder, overrides=["site.executor=inline"]) as site:
        site.run()
        yield site


def states(site: Site) -> dict[str, str]:
    return {row.stage: row.state.value for row in site.show("quake").work}


def picks(folder: Path, *rows: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "quake-picks.csv"
    path.write_text("phase,time\n" + "".join(f"{row}\n" for row in rows))
    return path


def close(box: Path, order: int, token: int, path: Path, **more: str) -> None:
    """Write the manifest of one file."""
    made = content(path)
    files = [{"path": path.name, "bytes": made.size, "sha256": made.sha256.hex()}]
    (box / MANIFEST).write_text(json.dumps({"order": order, "token": token, "files": files, **more}))


def test_from_the_trace_to_the_published_picks(site: Site, tmp_path: Path) -> None:
    assert states(site) == {
        "candidates": "done", "pick": "held", "compare": "waiting", "release": "waiting", "publish": "waiting"
    }  # fmt: skip
    (order,) = site.orders()
    assert (order.row.title, order.row.state) == ("Pick the arrivals of quake", Order.OPEN)
    assert [path.name for path in order.inputs if not path.exists()] == []
    told = json.loads((order.box / "ORDER.json").read_text())
    assert told["deliver"][0]["file"] == "*.csv" and "phase and time" in told["instructions"]
    assert "nobody has taken it" in site.explain("quake", "pick")[0].reasons[0].text

    claimed = site.claim_order(order.row.id)
    assert claimed.row.state is Order.CLAIMED and claimed.row.due is not None
    wrong = site.deliver(order.row.id, [picks(tmp_path / "work", "P,soon", "Q,20.1")])
    assert wrong.state is Delivery.REJECTED
    assert wrong.reasons == (
        "line 2, time: found 'soon'; expected seconds", "line 3, phase: found 'Q'; expected P or S"
    )  # fmt: skip
    assert site.order(order.row.id).row.state is Order.REJECTED
    right = site.deliver(order.row.id, [picks(tmp_path / "work", "P,12.02", "S,20.05")], comment="clear")
    assert right.state is Delivery.VERIFIED
    site.run()
    assert states(site)["pick"] == "done" and states(site)["release"] == "held"
    assert site.order(order.row.id).row.state is Order.ACCEPTED
    (product,) = [one for one in site.show("quake").products if one.stage == "pick"]
    assert site.place(product).read_text() == "phase,time\nP,12.02\nS,20.05\n"
    assert [name for name, _ in site.show("quake").milestones] == ["Waits for an analyst", "Picked"]

    (gate,) = site.orders(kind="gate")
    assert "it waits at a gate" in site.explain("quake", "release")[0].reasons[0].text
    site.approve("quake", why="agrees with the candidates")
    site.run()
    assert set(states(site).values()) == {"done"}
    assert site.order(gate.row.id).row.state is Order.ACCEPTED
    published = {path.name for path in (site.folder / "archive").rglob("*") if path.is_file()}
    assert {"pick-picks.csv", "compare-report.json", "provenance.json"} <= published
    assert site.run().runs == {}  # nothing is asked twice


def test_a_gate_that_is_closed_ends_the_way(site: Site, tmp_path: Path) -> None:
    (order,) = site.orders()
    site.claim_order(order.row.id)
    site.deliver(order.row.id, [picks(tmp_path / "work", "P,12.02")])
    site.run()
    with pytest.raises(StateError, match="needs its reason"):
        site.reject("quake", why="")
    site.reject("quake", why="the P is late")
    site.run()
    assert states(site)["release"] == "rejected"
    assert "the P is late" in site.explain("quake", "release")[0].reasons[0].text
    assert "Not released" in [name for name, _ in site.show("quake").milestones]
    site.rerun("quake", "release")
    site.run()
    assert states(site)["release"] == "held" and len(site.orders(kind="gate")) == 1


def test_an_order_whose_inputs_changed_is_asked_anew(site: Site, tmp_path: Path) -> None:
    (order,) = site.orders()
    site.claim_order(order.row.id)
    parameters = "pipelines.picks.override.items.record.stages.candidates.params.ratio=2.0"
    with Site.open(site.folder, overrides=["site.executor=inline", parameters]) as changed:
        changed.apply(write=True)
        changed.run()
        states = {one.row.id: one.row.state for one in changed.orders(every=True)}
        assert states == {order.row.id: Order.CANCELLED, order.row.id + 1: Order.OPEN}
        path = picks(tmp_path / "work", "P,12.02")
        with pytest.raises(StateError, match="take it first"):
            changed.deliver(order.row.id, [path])


def test_what_comes_by_the_drop_box_is_taken_when_it_is_whole(site: Site, tmp_path: Path) -> None:
    (order,) = site.orders()
    claimed = site.claim_order(order.row.id)
    assert claimed.box is not None
    path = picks(tmp_path / "work", "P,12.02")
    close(claimed.box, order.row.id, claimed.row.token, path, operator="ann")
    site.run()
    assert site.order(order.row.id).row.state is Order.CLAIMED  # the file is not there yet
    assert not site.order(order.row.id).deliveries
    shutil.copy(path, claimed.box / path.name)
    site.run()
    assert states(site)["pick"] == "done"
    (delivery,) = site.order(order.row.id).deliveries
    assert (delivery.state, delivery.who) == (Delivery.VERIFIED, "ann")


def test_a_delivery_to_a_claim_that_was_given_back_is_late_and_can_be_taken(
    site: Site, tmp_path: Path
) -> None:
    (order,) = site.orders()
    site.claim_order(order.row.id)
    box = site.order(order.row.id).box
    assert box is not None
    site.assign_order(order.row.id, "ben")
    path = picks(tmp_path / "work", "P,12.02")
    shutil.copy(path, box / path.name)
    close(box, order.row.id, 1, path)
    assert site.check_order(order.row.id).state is Delivery.LATE
    assert site.check_order(order.row.id).state is Delivery.LATE  # the same manifest is one delivery
    assert len(site.order(order.row.id).deliveries) == 1
    site.run()
    assert states(site)["pick"] == "held"
    site.take_delivery(order.row.id, why="it is good")
    site.run()
    assert states(site)["pick"] == "done"


def test_a_file_that_is_changed_after_it_was_verified_never_enters(site: Site, tmp_path: Path) -> None:
    (order,) = site.orders()
    site.claim_order(order.row.id)
    assert site.deliver(order.row.id, [picks(tmp_path / "work", "P,12.02")]).state is Delivery.VERIFIED
    box = site.order(order.row.id).box
    assert box is not None
    (box / "quake-picks.csv").write_text("phase,time\nP,99.0\n")
    site.run()
    assert states(site)["pick"] == "held"
    found = site.order(order.row.id)
    assert found.row.state is Order.CLAIMED and "not what was verified" in found.row.why
    assert not [one for one in site.show("quake").products if one.stage == "pick"]


def test_whoever_delivers_by_the_drop_box_finds_there_what_its_next_manifest_must_say(
    site: Site, tmp_path: Path
) -> None:
    (order,) = site.orders()
    box = site.claim_order(order.row.id).box
    assert box is not None

    def deliver(*rows: str) -> None:
        path = picks(tmp_path / "work", *rows)
        shutil.copy(path, box / path.name)
        close(box, order.row.id, json.loads((box / "ORDER.json").read_text())["token"], path)

    for wrong in ("P,soon", "P,later"):
        deliver(wrong)
        site.run()
        assert site.order(order.row.id).row.state is Order.REJECTED
    deliver("P,12.0")
    assert site.check_order(order.row.id).state is Delivery.VERIFIED
    (box / "quake-picks.csv").write_text("phase,time\nP,99.0\n")
    site.run()
    assert site.order(order.row.id).row.state is Order.CLAIMED
    deliver("P,12.02")
    site.run()
    assert states(site)["pick"] == "done"
