"""Which function reads or draws what, what it needs imported, and which versions of the parsers are installed.

Imports none of them.
"""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

_HERE = "towpath.pipelines.compchem.science"

READERS = MappingProxyType(
    {
        "quantum": f"{_HERE}.quantum:read_quantum",
        "simulation": f"{_HERE}.tpr:read_tpr",
        "structure": f"{_HERE}.structure:read_structure",
        "trajectory": f"{_HERE}.trajectory:read_trajectory",
        "energies": f"{_HERE}.energies:read_energies",
    }
)
DRAWERS = MappingProxyType(
    {
        "quantum": f"{_HERE}.quantum_pictures:draw_quantum",
        "simulation": f"{_HERE}.gromacs_pictures:draw_tpr",
        "structure": f"{_HERE}.structure_pictures:draw_structure",
        "trajectory": f"{_HERE}.gromacs_pictures:draw_trajectory",
        "energies": f"{_HERE}.gromacs_pictures:draw_energies",
    }
)
# What a kind is, after "reading this file as".
WORDS = MappingProxyType(
    {
        "quantum": "the output of a program of quantum chemistry",
        "simulation": "a run input file of GROMACS",
        "structure": "a structure",
        "trajectory": "a trajectory with its topology",
        "energies": "energies of a simulation",
    }
)
# The distributions whose versions say what came out of reading or drawing.
PARSERS = MappingProxyType(
    {
        "quantum": ("cclib", "rdkit"),
        "simulation": ("MDAnalysis",),
        "structure": ("gemmi",),
        "trajectory": ("MDAnalysis",),
        "energies": ("pyedr",),
    }
)
PAINTERS = MappingProxyType(
    {
        "quantum": ("matplotlib", "rdkit"),
        "simulation": ("matplotlib",),
        "structure": ("matplotlib",),
        "trajectory": ("matplotlib",),
        "energies": ("matplotlib",),
    }
)
ABSENT = "absent"


# What the module of a reader imports only when it is called; a picture's fonts are looked up on the first import.
_LATE = MappingProxyType(
    {
        READERS["simulation"]: ("MDAnalysis.topology.TPRParser", "MDAnalysis.coordinates.TPR"),
        READERS["trajectory"]: ("MDAnalysis",),
        READERS["energies"]: ("pyedr.pyedr",),
        **dict.fromkeys(DRAWERS.values(), ("matplotlib.font_manager",)),
    }
)


def preload(target: str) -> tuple[str, ...]:
    """The modules to import before the first child that calls `target`."""
    return (target.partition(":")[0], *_LATE.get(target, ()))


def versions(names: Iterable[str]) -> dict[str, str]:
    """The installed version of each distribution, ``"absent"`` where there is none."""
    return {name: _version(name) for name in names}


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ABSENT


def versioned(own: str, *names: str) -> str:
    """A stage's version with those of its parsers: ``"1 cclib 1.9rc1"``, so that a newer parser makes results stale."""
    return " ".join([own, *(f"{name} {found}" for name, found in versions(names).items())])
