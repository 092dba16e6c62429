"""Prepares a site that shows the pipeline on simulated records, or on a folder of files of one's own."""

import shutil
from pathlib import Path

SITE = """\
# A site of Towpath that shows the pipeline compchem. Every setting is explained by `towpath config`.
[site]
name = "compchem demo"
workers = 2

# The repository: a folder with a folder of files for each record. Put more files there while the site runs.
[repositories.records]
kind = "folder"
root = "records"

[pipelines.compchem]
"""
WORKFLOWS = ("quantum", "simulation", "structure", "trajectory", "energies")


def demo(folder: Path, data: Path | None = None) -> None:
    """Write a site and its records into a folder; what is there already stays.

    Parameters
    ----------
    folder
        The site's folder.
    data
        A file, or a folder of files, of one's own: they become the record ``own``. Simulated records are made otherwise.
    """
    records = folder / "records"
    if data is not None:
        _copy(data, records / "own")
    elif not records.exists():
        from .simulate import simulate  # optional: the science libraries are slow to load

        ready = folder / ".records" / "records"
        shutil.rmtree(ready.parent, ignore_errors=True)
        simulate(ready)
        ready.rename(records)
        (ready.parent / "truth.json").rename(folder / "truth.json")
        ready.parent.rmdir()
    lines = [f'[pipelines.compchem.override.sources.{name}]\nscan_every = "1 s"\n' for name in WORKFLOWS]
    (folder / "towpath.toml").write_text(SITE + "\n" + "\n".join(lines), encoding="utf-8")


def _copy(data: Path, record: Path) -> None:
    """The file, or the files of a folder, as a record."""
    record.mkdir(parents=True, exist_ok=True)
    for path in sorted(data.iterdir()) if data.is_dir() else [data]:
        if path.is_file() and not (record / path.name).exists():
            shutil.copyfile(path, record / path.name)
