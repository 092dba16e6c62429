"""An example: a program finds candidates, a person picks, a program compares, and another person lets it go out."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from towpath import Context, One, Plugin, Stage

SHORT, LONG = 20, 200  # samples
LATEST = 2.0  # seconds between a pick and the nearest candidate that are worth a remark


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Candidates(Stage):
    """Times at which the mean of a short window rises above three times that of a long one (Allen 1978)."""

    version = "1"
    consumes = {"trace": One("table/trace")}
    produces = {"candidates": "table/candidates"}

    ratio: float = 3.0

    def run(self, context: Context) -> None:
        """Find them."""
        rows = read(context.inputs["trace"])
        size = [abs(float(row["velocity"])) for row in rows]
        sums = [0.0]
        for value in size:
            sums.append(sums[-1] + value)
        found, above = [], False
        for end in range(LONG, len(size)):
            short = (sums[end] - sums[end - SHORT]) / SHORT
            long = (sums[end] - sums[end - LONG]) / LONG
            if short > self.ratio * long and not above:
                found.append(rows[end - SHORT]["time"])
            above = short > self.ratio * long
        with context.output("candidates", "candidates.csv") as path:
            path.write_text("time\n" + "".join(f"{time}\n" for time in found))
        context.measure("n_candidates", len(found))


class Compare(Stage):
    """How far each pick is from the nearest candidate."""

    version = "1"
    consumes = {"picks": One("table/picks"), "candidates": One("table/candidates")}
    produces = {"report": "json/comparison"}

    def run(self, context: Context) -> None:
        """Compare them."""
        candidates = [float(row["time"]) for row in read(context.inputs["candidates"])]
        apart = {
            row["phase"]: min((abs(float(row["time"]) - one) for one in candidates), default=None)
            for row in read(context.inputs["picks"])
        }
        for phase, seconds in apart.items():
            if seconds is None or seconds > LATEST:
                context.caveat(f"{phase}: no candidate within {LATEST} s")
        with context.output("report", "comparison.json") as path:
            path.write_text(json.dumps(apart, indent=2, sort_keys=True) + "\n")


def problems(files: Mapping[str, Path], order: Mapping[str, Any]) -> list[str]:
    """What is wrong with a delivery of picks: the order's `check`."""
    rows = read(files["picks"])
    if not rows or set(rows[0]) != {"phase", "time"}:
        return [f"columns: found {', '.join(rows[0]) if rows else 'none'}; expected phase, time"]
    found = []
    for number, row in enumerate(rows, start=2):
        if row["phase"] not in ("P", "S"):
            found.append(f"line {number}, phase: found {row['phase']!r}; expected P or S")
        try:
            float(row["time"])
        except ValueError:
            found.append(f"line {number}, time: found {row['time']!r}; expected seconds")
    if not any(row["phase"] == "P" for row in rows):
        found.append("found no P arrival; expected one")
    return found


plugin = Plugin("picks", stages=(Candidates, Compare))
