"""The stages: they read files, call the science, and write files.

A stage sees only what it declares in `consumes`; all of that, its parameters and its version make the key of a run. Change
`version` when the same input would give another result.
"""

import csv

from towpath import Context, One, Reject, Stage

from .science.series import clean


class Clean(Stage):
    """Set values aside that stick out of the series."""

    version = "1"
    consumes = {"series": One("raw/csv")}
    produces = {"cleaned": "series/csv"}

    limit: float = 5.0  # how far a value may lie from the median, in robust standard deviations

    def run(self, context: Context) -> None:
        """Read the series, clean it, write it."""
        with context.inputs["series"].open(newline="") as file:
            rows = [(float(row["time"]), float(row["value"])) for row in csv.DictReader(file)]
        if not rows:
            raise Reject("the series is empty")
        context.progress(0.2, f"{len(rows)} values")
        kept = clean(rows, self.limit)
        with context.output("cleaned", "cleaned.csv") as path, path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["time", "value"])
            writer.writerows(kept)
        context.measure("set aside", len(rows) - len(kept))
