"""A small pipeline for tests of the panel: reads texts that say what is to become of them, and draws a picture."""

import json
import struct
import time
import zlib
from pathlib import Path

from towpath import Context, One, Plugin, Reject, Stage
from towpath.pipelines.compchem.plugin import plugin as real

WATER = "3\nwater\nO 0.0 0.0 0.119\nH 0.0 0.763 -0.477\nH 0.0 -0.763 -0.477\n"


class Parse(Stage):
    """Does what the first word of a text says."""

    version = "1"
    consumes = {"text": One("deposit/text")}
    produces = {"metadata": "chem/metadata", "table": "text/csv", "geometry": "chem/xyz"}

    def run(self, context: Context) -> None:
        """Read it."""
        word, _, rest = context.inputs["text"].read_text().partition(" ")
        context.log.info("reading %s", context.item.key)
        if word == "garbage":
            raise Reject(f"{rest}: no program is known that writes such a file")
        if word == "broken":
            context.log.error("ERROR: the scale slipped")
            raise ValueError("the reader is broken: <b>markup</b>")
        if word == "partial":
            context.caveat(f"{rest}: the last step is cut off")
        if word == "fine":
            context.measure("sentence", "all of 3 energies were read")
        line = 0
        while word == "slow" and line < 400:
            context.progress(0.25, "still reading")
            context.log.info("ERROR: line %d" if line == 3 else "line %d", line)
            line += 1
            time.sleep(0.05)
        facts = {"program": {"name": "ORCA", "version": "6.0.1"}, "atoms": 3}
        for name, file, text in (
            ("metadata", "metadata.json", json.dumps(facts)),
            ("table", "table.csv", "mode,wavenumber\n1,1595.0\n2,3657.0\n"),
            ("geometry", "final.xyz", WATER),
        ):
            with context.output(name, file) as path:
                path.write_text(text)


class Draw(Stage):
    """A picture."""

    version = "1"
    consumes = {"metadata": One("chem/metadata")}
    produces = {"picture": "image/png"}

    def run(self, context: Context) -> None:
        """Draw it."""
        with context.output("picture", "picture.png") as path:
            path.write_bytes(_png(60, 40))


def _png(width: int, height: int) -> bytes:
    """A picture of stripes."""
    rows = b"".join(b"\0" + bytes(255 * (x // 6 % 2) for x in range(width)) for _ in range(height))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


plugin = Plugin(
    "compchem",
    stages=(Parse, Draw),
    pipeline_file=str(Path(__file__).parent / "panel.toml"),
    routes=real.routes,
    pages=real.pages,
    frames=real.frames,
    static=real.static,
    viewers=real.viewers,
)
