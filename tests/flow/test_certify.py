"""Certify through a real site: science waits for its calibration, takes the valid one, and runs again when it is remade."""

from pathlib import Path

import pytest

from towpath import Site
from towpath.base.errors import StateError

PLUGIN = """
from towpath import Calibration, Context, One, Plugin, Record, Stage


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


plugin = Plugin("CALIBRATED", stages=[MakeBias, Reduce])
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
