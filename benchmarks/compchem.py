"""A thousand files of mixed kinds dropped at once: when all are processed, and what share of the workers' time parsers had.

    python benchmarks/compchem.py [--files 1000] [--workers 2] [--data ../shared/data/compchem]

The files are real ones, from the folder `--data` (outputs of quantum chemistry) and the package MDAnalysisTests, each as
often as needed, on ten records of a folder. Parsers had what `parser_seconds` of the runs add up to; the workers' time is
their number times the time from the first run's begin to the last one's end.
"""

import argparse
import itertools
import os
import shutil
import tempfile
import time
from collections import Counter
from importlib.resources import files
from pathlib import Path

from towpath import Site

SITE = """
[site]
workers = {workers}
[repositories.records]
root = "records"
settle = 0.0
[pipelines.compchem]
"""
MDA = Path(str(files("MDAnalysisTests"))) / "data"
# Of a hundred files: how many are of each kind, and which they are.
MIXED = {
    "quantum": (34, ()),
    "simulation": (14, ("tprs/2lyz_gmx_2021.tpr", "tprs/ala_nnpot_gmx_2026_0.tpr", "tprs/2lyz_gmx_4.5.tpr")),
    "structure": (
        24,
        ("adk_open.pdb", "mmcif/1YJP.cif", "mol2/Molecule.mol2", "2r9r-1b.xyz", "adk_oplsaa.gro"),
    ),
    "trajectory": (14, ("cobrotoxin.xtc", "adk_oplsaa.xtc")),
    "energies": (14, ("test.edr",)),
}
TOPOLOGY = {"cobrotoxin.xtc": "cobrotoxin.tpr", "adk_oplsaa.xtc": "adk_oplsaa.gro"}


def drop(root: Path, count: int, data: Path) -> Counter[str]:
    """Put the files on records; how many of each kind. A trajectory has its topology beside it, which is a file too."""
    outputs = sorted(path for path in data.iterdir() if path.suffix in (".out", ".log", ".fchk"))
    made: Counter[str] = Counter()
    kinds = [kind for kind, (share, _) in MIXED.items() for _ in range(share)]
    sources = {
        kind: itertools.cycle([MDA / name for name in names] or outputs) for kind, (_, names) in MIXED.items()
    }
    for number in range(count):
        kind = kinds[(number * 37) % len(kinds)]
        source = next(sources[kind])
        record = root / f"r{number % 10}"
        record.mkdir(parents=True, exist_ok=True)
        name = f"f{number:04d}{source.suffix}"
        shutil.copyfile(source, record / name)
        made[kind] += 1
        if kind == "trajectory":
            topology = MDA / TOPOLOGY[source.name]
            shutil.copyfile(topology, record / f"f{number:04d}{topology.suffix}")
            made[{".tpr": "simulation", ".gro": "structure"}[topology.suffix]] += 1
    return made


def main() -> None:
    """Drop, run, tell."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--files", type=int, default=1000)
    asked.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked.add_argument("--data", type=Path, default=Path("../shared/data/compchem"))
    chosen = asked.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "towpath.toml").write_text(SITE.format(workers=chosen.workers))
        made = drop(folder / "records", chosen.files, chosen.data)
        with Site.open(folder) as site:
            began = time.monotonic()
            summary = site.run(check=False)
            seconds = time.monotonic() - began
            tell(site, made, dict(summary.runs), seconds, chosen.workers)


def tell(site: Site, made: Counter[str], outcomes: dict[str, int], seconds: float, workers: int) -> None:
    """The table."""
    parsers: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    first, last, items = float("inf"), 0.0, 0
    after = 0
    while page := site.items(after=after, limit=500):
        for item in page:
            items += 1
            details = site.show(item.name)
            ended[", ".join(dict.fromkeys(row.state.value for row in details.work))] += 1
            for run in details.runs:
                told = {measure.name: measure.value for measure in run.measures}
                if "parser_seconds" in told:
                    parsers[run.stage] += float(told["parser_seconds"])
                    runs[run.stage] += run.seconds
                    first, last = min(first, run.began), max(last, run.began + run.seconds)
        after = page[-1].id
    total = sum(parsers.values())
    print(
        f"{sum(made.values())} files, {items} processings, {workers} workers, load {os.getloadavg()[0]:.1f}"
    )
    print(f"runs: {outcomes}; processings: {dict(ended)}")
    print(f"whole: {seconds:.1f} s; from the first run of a parser to the last: {last - first:.1f} s")
    print(f"{'stage':10} {'parsers s':>10} {'runs s':>10}")
    for stage in parsers:
        print(f"{stage:10} {parsers[stage]:10.1f} {runs[stage]:10.1f}")
    share, of_runs = total / (workers * (last - first)), total / sum(runs.values())
    print(f"parsers had {share:.1%} of the workers' time ({of_runs:.1%} of their runs)")


if __name__ == "__main__":
    main()
