"""Towpath on the trivial workload of the peers: write N small files, hash each, collect all.

Run it through the peers' harness (`bench.py --peer .../peer_ours.py`), whose `common.py` holds the three functions.
Every file is a product: hashed, registered, with a run, its key and its history. Options: ``w1``, ``w2`` (workers),
``side`` (the files are side effects and no products, as most peers have them), ``power`` (durability), ``again`` (nothing is
submitted: a run of what is there), ``nocheck`` (products are not compared with the disk before). With ``--dsn`` the catalog
is in that PostgreSQL database, in a schema of its own for each folder.
"""

import os
import resource
import sys
import time
from pathlib import Path

import common as c

SITE = """\
[site]
workers = {workers}
durability = "{durability}"
{catalog}
[pipelines.trivial]
file = "trivial.toml"
plugin = "peer_ours_stages:plugin"
path = "{here}"
"""
PIPELINE = """\
[pipeline]
name = "trivial"
[sources.asked]
kind = "submit"
item = "file"
[items.file]
route = "write -> hash"
[items.file.stages.write]
uses = "trivial.Write{side}"
params = {{ folder = "{folder}" }}
[items.file.stages.hash]
uses = "trivial.Hash{side}"
params = {{ folder = "{folder}" }}
[items.all]
group = {{ of = "file", at = "hash", size = {n}, key = "all" }}
route = "collect"
[items.all.stages.collect]
uses = "trivial.Collect{side}"
params = {{ folder = "{folder}", n = {n} }}
"""


def main() -> int:
    """Prepare a site beside the harness's folders, and run it once."""
    asked = c.args()
    options = asked.opt.split("-")
    folder = Path(asked.dir)
    workers = next((int(option[1:]) for option in options if option[:1] == "w"), asked.workers)
    settings = {
        "workers": workers,
        "durability": "power" if "power" in options else "crash",
        "here": Path(__file__).parent,
        "catalog": f'catalog = "{asked.dsn}"\ncatalog_schema = "s{time.time_ns()}"' if asked.dsn else "",
    }
    if not (folder / "towpath.toml").exists():  # else it is run again, on the catalog that it has
        (folder / "towpath.toml").write_text(SITE.format(**settings))
    side = "Aside" if "side" in options else ""
    (folder / "trivial.toml").write_text(PIPELINE.format(side=side, folder=folder, n=asked.n))
    import alembic.command  # noqa: F401  imports are left out of the time, as with all peers; a new catalog needs this
    import sqlalchemy  # noqa: F401

    from towpath import Site

    with c.timed(), Site.open(folder) as site:
        if "again" not in options:
            site.submit("file", [{"key": str(number)} for number in range(asked.n)])
        summary = site.run(check="nocheck" not in options)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(f"{summary}\nMEMORY {most / 1024:.0f} MiB\n")
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
