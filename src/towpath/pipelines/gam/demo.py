"""Prepares a site that shows the pipeline on a simulated survey, or on a file of the user's own."""

import shutil
from pathlib import Path

SITE = """\
# A site of Towpath that shows the pipeline gam. Every setting is explained by `towpath config`.
[site]
name = "gam demo"
workers = 2

[pipelines.gam.override.sources.surveys]
settings = {{ root = "{root}" }}
requests = [
    {{ key = "{key}", file = "{file}", params = {{ {params} }} }},
]
"""
SIMULATED = (
    'licence = "CC0-1.0", redistribute = "yes", citation = "Simulated by towpath.pipelines.gam.simulate"'
)
OWN = 'redistribute = "yes"'


def demo(folder: Path, data: Path | None = None) -> None:
    """Write a site and its input into a folder; what is there already stays.

    Parameters
    ----------
    folder
        The site's folder.
    data
        A survey of one's own (`.ast` or `.ast.xz`); a simulated one is made otherwise.
    """
    incoming = folder / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    if data is not None and not data.is_file():
        raise ValueError(f"{data}: found a folder; expected a file of stations")
    if data is None:
        name, params = _simulated(incoming), SIMULATED
    else:
        shutil.copyfile(data, incoming / data.name)
        name, params = data.name, OWN
    key = name.partition(".")[0]
    text = SITE.format(root=incoming.resolve(), key=key, file=name, params=params)
    (folder / "towpath.toml").write_text(text)


def _simulated(incoming: Path) -> str:
    from .simulate import simulate_survey, write_survey  # optional: the science libraries are slow to load

    if not (incoming / "simulated-survey.ast.xz").exists():
        write_survey(incoming, simulate_survey(1), "simulated-survey")
    return "simulated-survey.ast.xz"
