"""A small pipeline for tests of the routes of workflows: texts that say what is to become of them, and pairs of files."""

import time
from typing import Any

from towpath import Context, One, Plugin, Reject, Stage, Transient


class Parse(Stage):
    """Copies a text, and does what its first word says."""

    version = "1"
    consumes = {"text": One("deposit/text")}
    produces = {"copy": "text/plain"}

    def run(self, context: Context) -> None:
        """Read it."""
        text = context.inputs["text"].read_text()
        word, _, rest = text.partition(" ")
        context.log.info("reading %s", context.item.key)
        if word == "garbage":
            raise Reject(f"{rest}: no program is known that writes such a file")
        if word == "broken":
            raise ValueError("the reader is broken: ünïcode <b>and markup</b>")
        if word == "later":
            raise Transient("the licence server is away", after=60.0)
        if word == "partial":
            context.caveat(f"{rest}: the last step is cut off")
        if word == "short":
            context.measure("status", "PARTIAL")
            context.measure("sentence", "energies were read, frequencies were not there")
        if word == "fine":
            context.measure("sentence", "all of 3 energies were read")
        while word == "endless":
            context.progress(0.5, "still reading")
            time.sleep(0.02)
        with context.output("copy", "copy.txt") as path:
            path.write_text(text)
        context.log.info("read")


plugin = Plugin(
    "compchem", stages=(Parse,), routes={"/workflows": "towpath.pipelines.compchem.routes:routes"}
)


class Discreet:
    """An authorizer to whom records named secret, and those that are not there, are nobody's business."""

    def __init__(self, site: Any) -> None:
        self.site = site

    def allows(self, person: Any, permission: Any, item: Any) -> bool:
        """Whether somebody may."""
        return item.attributes.get("record") == "open"
