"""A small pipeline for the tests of the server: samples are weighed, judged, let go by a person, and published."""

import json
import time
from html import escape
from pathlib import Path
from typing import Any

from towpath import Context, Flags, Item, One, Plugin, Record, Site, Stage


class Weigh(Stage):
    """Writes the weight that the sample says it has; does what its attribute `trouble` says."""

    version = "1"
    consumes = {"sample": Record()}
    produces = {"weight": "json/weight"}

    def run(self, context: Context) -> None:
        """Weigh it."""
        attributes = context.inputs["sample"]["attributes"]
        context.log.info("weighing %s", context.item.key)
        if attributes.get("trouble") == "fails":
            raise ValueError("the scale is broken: ünïcode <b>and markup</b>")
        until = time.monotonic() + float(attributes.get("seconds", 0))
        while time.monotonic() < until:
            context.progress(0.5, "waiting for the scale")
            time.sleep(0.05)
        context.measure("weight", float(attributes.get("weight", 1.0)), "g")
        with context.output("weight", "weight.json") as path:
            path.write_text(json.dumps({"weight": attributes.get("weight", 1.0)}) + "\n")
        context.log.info("weighed")


class Report(Stage):
    """A table of what is known."""

    version = "1"
    consumes = {"weight": One("json/weight"), "flags": Flags()}
    produces = {"report": "text/report"}

    def run(self, context: Context) -> None:
        """Write it."""
        with context.output("report", "report.txt") as path:
            path.write_text(
                f"{context.item.key}: {json.loads(context.inputs['weight'].read_text())['weight']} g\n"
            )


class Discreet:
    """An authorizer to whom samples named secret are nobody's business."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def allows(self, person: Any, permission: Any, item: Item) -> bool:
        """Whether somebody may."""
        return item.key != "secret"


def board(site: Site, limit: str = "10") -> str:
    """A page: the samples as a list."""
    items = site.items(pipeline="lab", limit=int(limit))
    return f"<ul id=board>{''.join(f'<li>{escape(item.name)}</li>' for item in items)}</ul>"


def mine(site: Site, asker: Any, **query: str) -> str:
    """A page that shows who asks, and what they asked."""
    return f"<p id=mine>{escape(asker.person.name)} {sorted(query)}</p>"


def window(**query: str) -> str:
    """A frame for other sites, which knows nothing of this one."""
    return f"<p id=window>{sorted(query)}</p>"


plugin = Plugin(
    "lab",
    stages=(Weigh, Report),
    routes={"/lab": "lab_routes:routes"},
    pages={"board": "lab:board", "mine": mine},
    frames={"window": "lab:window"},
    static=Path(__file__).parent / "lab_static",
    viewers={"text/report": "board"},
)
