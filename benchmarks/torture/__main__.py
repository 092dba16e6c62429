"""`python -m torture`, in the folder `benchmarks`: the long form. Ends with status 1 if anything was lost, torn or doubled."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from torture.chaos import PASSED, Figures, fault_points, random_kills
from towpath.testing.postgres import Server


def main() -> int:
    """Torture a site on the catalogs that are asked for, and say what it cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many kills at random instants")
    parser.add_argument("--seed", type=int, default=1, help="what the instants are drawn from")
    parser.add_argument("--catalog", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--points", default="all", help="fault points, separated by commas; all or none")
    asked = parser.parse_args()
    if asked.catalog == "sqlite":
        return torture(asked, "", "")
    with Server() as server:
        return torture(asked, server.database(), server.database())


def torture(asked: argparse.Namespace, first: str, second: str) -> int:
    """Both programmes; the catalogs are at these URLs."""
    points = {"all": PASSED, "none": []}.get(asked.points, asked.points.split(","))
    with tempfile.TemporaryDirectory() as folder:
        found = []
        if asked.kills:
            found.append(timed(lambda: random_kills(Path(folder) / "kills", asked.kills, asked.seed, first)))
        if points:
            found.append(timed(lambda: fault_points(Path(folder) / "points", points, asked.seed, second)))
    return 0 if all(figures.is_clean for figures in found) else 1


def timed(programme) -> Figures:  # type: ignore[no-untyped-def]  # a function without arguments
    """Run a programme and print its figures."""
    began = time.monotonic()
    figures = programme()
    print(figures.line(), f"in {time.monotonic() - began:.0f} s", flush=True)
    for name in ("unforced", "lost", "torn", "differences", "not_passed"):
        for line in getattr(figures, name)[:20]:
            print(f"  {name}: {line}", flush=True)
    return figures


if __name__ == "__main__":
    sys.exit(main())
