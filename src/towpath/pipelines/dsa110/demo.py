"""Prepares a site that shows the pipeline on a simulated array: two mosaics of six observations each."""

import shutil
from pathlib import Path

SITE = """\
# A site of Towpath that shows the pipeline dsa110. Every setting is explained by `towpath config`.
[site]
name = "dsa110 demo"
workers = 2

# A small array: twenty stations, groups of six. Everything else is as the pipeline file has it.
[pipelines.dsa110.override.items.observation.stages.convert]
params = {{ instrument = "{instrument}" }}
resources = {{ cores = 1, memory = "2 GB", disk = "100 MB" }}
keep = "always"

[pipelines.dsa110.override.items.observation.stages.apply]
resources = {{ cores = 1, memory = "2 GB", disk = "100 MB" }}
keep = "always"

[pipelines.dsa110.override.items.observation.stages.image]
params = {{ instrument = "{instrument}", size = {size}, cell = {cell} }}
resources = {{ cores = 1, memory = "2 GB", disk = "100 MB" }}
keep = "always"

[pipelines.dsa110.override.items.calibration.group]
size = 6

[pipelines.dsa110.override.items.calibration.stages.solve_bandpass]
resources = {{ cores = 1, memory = "2 GB" }}

[pipelines.dsa110.override.items.calibration.stages.solve_gain]
resources = {{ cores = 1, memory = "2 GB" }}

[pipelines.dsa110.override.items.mosaic.group]
size = 6

[pipelines.dsa110.override.items.mosaic.stages.mosaic]
resources = {{ cores = 1, memory = "2 GB", disk = "100 MB" }}

[pipelines.dsa110.override.items.mosaic.stages.crossmatch]
enabled = true

[pipelines.dsa110.override.items.mosaic.stages.compare]
enabled = true

[pipelines.dsa110.override.items.mosaic.publish]
products = ["mosaic", "crossmatch"]
"""
IMAGE, CELL = 2400, 4.0  # pixels, arcsec


def demo(folder: Path, data: Path | None = None) -> None:
    """Write a site and its input into a folder; what is there already stays.

    Parameters
    ----------
    folder
        The site's folder.
    data
        Not taken: an observation is many files. Put those into the site's folder `incoming`.
    """
    from .simulate import preset, simulate, write_catalogue, write_profile  # optional: slow to load

    if data is not None:
        raise ValueError(
            f"{data}: an observation is many files; put them into the folder {folder / 'incoming'}"
        )
    incoming, truth = folder / "incoming", folder / "truth"
    ready = folder / ".incoming"
    if not incoming.exists():
        shutil.rmtree(ready, ignore_errors=True)
        ready.mkdir(parents=True)
        made = simulate(ready, settings=preset("small"), truth=truth)
        write_profile(truth / "instrument.toml", made.profile)
        (ready / "catalogues" / "reference").mkdir(parents=True)
        write_catalogue(ready / "catalogues" / "reference" / "simulated.csv", made.sky)
        ready.rename(incoming)
    text = SITE.format(instrument=(truth / "instrument.toml").resolve(), size=IMAGE, cell=CELL)
    (folder / "towpath.toml").write_text(text)
