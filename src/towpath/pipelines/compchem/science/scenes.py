"""Makes spheres and rods of atoms: balls and sticks, the trace of chains, beads, the cell of a crystal.

Promises camera coordinates from the principal axes of what is drawn, so that the flat side of a molecule faces the eye, and
colours that the legend repeats. It paints nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import gemmi
import numpy as np
from scipy.interpolate import CubicSpline

from .bonds import covalent_radii, find_bonds, periodic_bonds, whole_molecules
from .composition import (
    ION,
    LIPID,
    NUCLEIC,
    OTHER,
    POLYMERS,
    Atoms,
    FloatArray,
    IntArray,
    TextArray,
    kind_of,
    residue_starts,
)
from .rendering import Rods, Spheres

BALLS_AND_STICKS = 300
"""Atoms up to which every atom is a ball."""
MOST_SPHERES = 24_000
MOST_LIGAND_ATOMS = 6_000
CELL_COLOUR = "#3d4a5c"
CHAIN_COLOURS = (
    "#3b7dd8",
    "#e08a2e",
    "#3fa66b",
    "#c9506b",
    "#8a63c9",
    "#2aa5b5",
    "#b59a2c",
    "#d46fb0",
    "#6b7f92",
    "#8c5a3c",
)
LIPID_HEADS = ("P", "P8", "P1", "PO4", "ROH", "O3")
LIPID_COLOUR, GREY = "#c9b26b", "#9aa5b1"
_CPK = {
    "H": "#eceff2", "D": "#dfe7ef", "C": "#59626d", "N": "#3f63d6", "O": "#dd3b32", "F": "#8fd35f", "Na": "#9a5bd6",
    "Mg": "#5faa3c", "Al": "#b9a4a4", "Si": "#d8b183", "P": "#f08a24", "S": "#e6c73a", "Cl": "#3fbf4a", "K": "#8044b8",
    "Ca": "#55b05a",
    "Ti": "#a9adb3", "Mn": "#9b6fc2", "Fe": "#d0672f", "Co": "#e08099", "Ni": "#55c263", "Cu": "#c57b3a", "Zn": "#7d81b3",
    "Br": "#a33b2c", "I": "#8d2fa0", "Pb": "#565f66", "Au": "#f0c936", "Ag": "#b9bcc4",
}  # fmt: skip
_STRIDE = {"CA": 5.0, "P": 9.5, "BB": 6.5, "C4'": 9.0, "C4*": 9.0}  # Å between neighbours of a trace
_SAMPLES = 8  # pieces of a tube per residue
_NO_LETTERS: tuple[tuple[str, FloatArray], ...] = ()
_STICK, _BALL, _TUBE = 0.16, 0.28, 0.85


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the legend: colour, or colours of a ramp, and words."""

    colours: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Scene:
    """What is painted, in camera coordinates, the legend, and letters with their places."""

    spheres: Spheres
    rods: Rods
    legend: tuple[Entry, ...]
    letters: tuple[tuple[str, FloatArray], ...] = ()


@cache
def rgb(colour: str) -> tuple[float, float, float]:
    """Give red, green and blue, from 0 to 1, of a colour like #3b7dd8."""
    return tuple(int(colour[at : at + 2], 16) / 255.0 for at in (1, 3, 5))  # type: ignore[return-value] # three


@cache
def element_colour(element: str) -> str:
    """Give the colour of an element, in the tradition of Corey, Pauling and Koltun."""
    if element in _CPK or not element:
        return _CPK.get(element, GREY)
    number = gemmi.Element(element).atomic_number
    return ("#7fa8b8", "#b88f6a", "#8fb87f", "#a98fb8", "#b8a97f", "#6f9fb0")[number % 6]


def scene_of(atoms: Atoms, box: FloatArray | None) -> Scene:
    """Make the scene of a molecule or a system.

    Parameters
    ----------
    atoms : Atoms
        What a view has, positions in ångström.
    box : numpy.ndarray, optional
        Vectors of the periodic cell, drawn as edges around systems that fill it, shape (3, 3).

    Returns
    -------
    Scene
        Balls and sticks of up to `BALLS_AND_STICKS` atoms, traces of chains with what is bound to them, else spheres.
    """
    assert atoms.positions is not None
    if box is not None:
        atoms = _whole_chains(atoms, box)
    traces = _traces(atoms)
    long = any(len(trace) >= 6 for trace in traces)
    if not long or (len(atoms) <= BALLS_AND_STICKS and sum(map(len, traces)) < 25):
        return _scene_of_atoms(atoms, box)
    return _scene_of_chains(atoms, traces, box)


def scene_of_crystal(atoms: Atoms, box: FloatArray) -> Scene:
    """Make the scene of a unit cell: its edges, molecules put together or, in minerals, the atoms at its borders too."""
    assert atoms.positions is not None
    elements, positions = atoms.elements, whole_molecules(atoms.elements, atoms.positions, box)
    is_network = positions is None
    if positions is None:
        source, positions = _with_neighbours(*_with_borders(atoms, box), atoms, box)
        elements = atoms.elements[source]
    turn = _crystal_camera(box)
    spheres, rods = _balls_and_sticks(elements, positions @ turn, network=is_network)
    edges, letters = _edges(box, turn, np.zeros(3), clear=float(spheres.radii.max()))
    legend = _element_legend(atoms)
    return Scene(spheres, _join_rods([rods, edges]), legend, letters)


# --- atoms -----------------------------------------------------------------------------------------------------------


def _scene_of_atoms(atoms: Atoms, box: FloatArray | None) -> Scene:
    assert atoms.positions is not None
    chosen = np.arange(len(atoms))[:: max(1, -(-len(atoms) // MOST_SPHERES))]
    positions = atoms.positions[chosen]
    turn, centre = _camera(positions, box)
    placed = (positions - centre) @ turn
    beads = bool((atoms.elements == "").mean() > 0.5)
    if beads:
        spheres, legend = _beads(atoms, chosen, placed)
        rods = _no_rods()
    elif len(chosen) <= 4_000:
        spheres, rods = _balls_and_sticks(atoms.elements[chosen], placed, network=False)
        legend = _element_legend(atoms)
    else:
        spheres, rods, legend = _packed(atoms, chosen, placed), _no_rods(), _element_legend(atoms)
    if box is not None and _fills(atoms.positions, box):
        edges, letters = _edges(box, turn, centre)
        return Scene(spheres, _join_rods([rods, edges]), legend, letters)
    return Scene(spheres, rods, legend)


def _balls_and_sticks(elements: TextArray, placed: FloatArray, *, network: bool) -> tuple[Spheres, Rods]:
    bonds = find_bonds(elements, placed)
    alone = np.ones(len(elements), dtype=bool)
    alone[bonds.ravel()] = False
    radii = _BALL * np.clip(covalent_radii(elements) / 0.76, 0.62, 2.1)
    if network:
        radii = _network_radii(elements)
    elif len(bonds):
        radii = np.where(alone, 1.7 * radii, radii)
    else:
        radii = 3.0 * radii
    colours = np.array([rgb(element_colour(str(one))) for one in elements.tolist()])
    return Spheres(placed, radii, colours), _sticks(
        bonds, placed, colours, _STICK if len(elements) < 1_500 else 0.2
    )


def _network_radii(elements: TextArray) -> FloatArray:
    """Give radii of atoms of a salt or mineral: anions larger than they are in molecules, metals smaller."""
    metals = np.array([bool(one) and gemmi.Element(str(one)).is_metal for one in elements.tolist()])
    if metals.all() or not metals.any():
        return 0.42 * covalent_radii(elements)
    return np.where(metals, 0.30, 0.62) * covalent_radii(elements)


def _sticks(bonds: IntArray, placed: FloatArray, colours: FloatArray, radius: float) -> Rods:
    """Make two rods of a bond, each in the colour of its atom."""
    one, other = bonds.T
    middle = (placed[one] + placed[other]) / 2.0
    return Rods(
        np.concatenate([placed[one], middle]),
        np.concatenate([middle, placed[other]]),
        np.full(2 * len(bonds), radius),
        np.concatenate([colours[one], colours[other]]),
    )


def _packed(atoms: Atoms, chosen: IntArray, placed: FloatArray) -> Spheres:
    elements = [str(one) for one in atoms.elements[chosen].tolist()]
    radii = np.array([float(gemmi.Element(one).vdw_r) if one else 1.4 for one in elements])
    return Spheres(placed, 0.85 * radii, np.array([rgb(element_colour(one)) for one in elements]))


def _beads(atoms: Atoms, chosen: IntArray, placed: FloatArray) -> tuple[Spheres, tuple[Entry, ...]]:
    """Draw beads in colours by residue, heads of lipids apart."""
    resnames = atoms.resnames[chosen] if any(atoms.resnames.tolist()) else atoms.names[chosen]
    unique, counts = np.unique(resnames, return_counts=True)
    order = unique[np.argsort(-counts)].tolist()
    colour = {name: CHAIN_COLOURS[at % len(CHAIN_COLOURS)] for at, name in enumerate(order)}
    colours = np.array([rgb(colour[name]) for name in resnames.tolist()])
    heads = np.isin(atoms.names[chosen], ("NC3", "NH3", "PO4", "ROH", "P"))
    colours = np.where(heads[:, None], 0.45 * colours, colours)
    near = 2.0 if len(placed) > 1 else 1.0
    legend = tuple(Entry((colour[name],), f"beads of {name}" if name else "beads") for name in order[:9])
    return Spheres(placed, np.full(len(placed), near), colours), legend


def _element_legend(atoms: Atoms) -> tuple[Entry, ...]:
    unique, counts = np.unique(atoms.elements, return_counts=True)
    order = np.argsort(-counts)[:9]
    return tuple(
        Entry((element_colour(str(unique[at])),), f"{unique[at] or 'no element'}  ×{counts[at]:,}")
        for at in order
    )


# --- chains ----------------------------------------------------------------------------------------------------------


def _whole_chains(atoms: Atoms, box: FloatArray) -> Atoms:
    """Put each chain together whose residues a periodic cell has parted, by the nearest image of residue after residue."""
    assert atoms.positions is not None
    starts = residue_starts(atoms)
    ends = np.append(starts[1:], len(atoms))
    positions, inverse, last = atoms.positions.copy(), np.linalg.inv(box), -1
    for begin, end in zip(starts.tolist(), ends.tolist(), strict=True):
        at = _trace_atom(atoms, begin, end)
        if at < 0:
            continue
        if last >= 0 and atoms.chains[at] == atoms.chains[last] and atoms.resids[at] > atoms.resids[last]:
            gap = positions[at] - positions[last]
            near = gap - np.round(gap @ inverse) @ box
            if np.linalg.norm(near) < _STRIDE.get(str(atoms.names[at]), 5.0):
                positions[begin:end] += near - gap
        last = at
    return replace(atoms, positions=positions)


def _traces(atoms: Atoms) -> list[IntArray]:
    """Give the atoms along each chain, broken where neighbours are too far from one another."""
    assert atoms.positions is not None
    starts = residue_starts(atoms)
    ends = np.append(starts[1:], len(atoms))
    traces: list[list[int]] = []
    last = -1
    for begin, end in zip(starts.tolist(), ends.tolist(), strict=True):
        at = _trace_atom(atoms, begin, end)
        if at < 0:
            continue
        gap = np.linalg.norm(atoms.positions[at] - atoms.positions[last]) if last >= 0 else np.inf
        goes_on = atoms.chains[at] == atoms.chains[last] and atoms.names[at] == atoms.names[last]
        if goes_on and gap < _STRIDE.get(str(atoms.names[at]), 5.0):
            traces[-1].append(at)
        else:
            traces.append([at])
        last = at
    return [np.array(trace, dtype=np.int64) for trace in traces]


def _trace_atom(atoms: Atoms, begin: int, end: int) -> int:
    kind = kind_of(str(atoms.resnames[begin]))
    if kind not in POLYMERS:
        return -1
    names = atoms.names[begin:end].tolist()
    wanted = ("P", "C4'", "C4*") if kind == NUCLEIC else ("CA", "BB")
    return next((begin + names.index(name) for name in wanted if name in names), -1)


def _scene_of_chains(atoms: Atoms, traces: Sequence[IntArray], box: FloatArray | None) -> Scene:
    assert atoms.positions is not None
    traces = [trace for trace in traces if len(trace) >= 2]
    shown = np.concatenate(traces)
    framed = box is not None and _has_lipids(atoms) and _fills(atoms.positions, box)
    turn, centre = _camera(atoms.positions if framed else atoms.positions[shown], box if framed else None)
    placed = (atoms.positions - centre) @ turn
    chains = list(dict.fromkeys(atoms.chains[shown].tolist()))
    spheres, rods = [], []
    for trace in traces:
        tint = _tints(atoms, trace, chains, shown)
        balls, tube = _tube(placed[trace], tint)
        spheres.append(balls)
        rods.append(tube)
    others, sticks, legend = _bound(atoms, placed)
    edges, letters = _no_rods(), _NO_LETTERS
    if box is not None and framed:
        edges, letters = _edges(box, turn, centre)
    joined = _join_spheres([*spheres, others])
    return Scene(
        joined, _join_rods([*rods, sticks, edges]), (*_chain_legend(atoms, chains, shown), *legend), letters
    )


def _has_lipids(atoms: Atoms) -> bool:
    return any(kind_of(str(name)) == LIPID for name in np.unique(atoms.resnames).tolist())


def ramp(parts: FloatArray) -> FloatArray:
    """Give colours from blue by green and yellow to red for parts from 0 to 1, shape (n, 3)."""
    stops = np.array([rgb(one) for one in ("#3a56c4", "#2f9fd0", "#43b883", "#d8c544", "#e88a35", "#cf3f3f")])
    at = np.linspace(0.0, 1.0, len(stops))
    colours: FloatArray = np.stack([np.interp(parts, at, stops[:, channel]) for channel in range(3)], axis=-1)
    return colours


def _tints(atoms: Atoms, trace: IntArray, chains: Sequence[str], shown: IntArray) -> FloatArray:
    """Colour a trace by chain, or, where there is one, from its first residue to its last."""
    if len(chains) == 1:
        order = np.searchsorted(np.sort(shown), trace)
        return ramp(order / max(len(shown) - 1, 1))
    colour = CHAIN_COLOURS[chains.index(atoms.chains[trace[0]]) % len(CHAIN_COLOURS)]
    return np.tile(rgb(colour), (len(trace), 1))


def _tube(points: FloatArray, colours: FloatArray) -> tuple[Spheres, Rods]:
    """Lead a tube through points, the inner ones a little smoothed."""
    smooth = points.copy()
    smooth[1:-1] = 0.25 * points[:-2] + 0.5 * points[1:-1] + 0.25 * points[2:]
    knots = np.arange(len(points), dtype=np.float64)
    fine = np.linspace(0.0, len(points) - 1.0, (len(points) - 1) * _SAMPLES + 1)
    line = (
        CubicSpline(knots, smooth)(fine)
        if len(points) > 2
        else np.array([np.interp(fine, knots, smooth[:, i]) for i in range(3)]).T
    )
    tint = np.array([np.interp(fine, knots, colours[:, channel]) for channel in range(3)]).T
    radii = np.full(len(fine), _TUBE)
    return Spheres(line, radii, tint), Rods(line[:-1], line[1:], radii[1:], tint[:-1])


def _chain_legend(atoms: Atoms, chains: Sequence[str], shown: IntArray) -> tuple[Entry, ...]:
    if len(chains) == 1:
        colours = tuple(
            "#" + "".join(f"{round(255 * one):02x}" for one in row)
            for row in ramp(np.linspace(0, 1, 12)).tolist()
        )
        name = f"chain {chains[0]}" if chains[0].strip() else "chain"
        first, last = int(atoms.resids[shown[0]]), int(atoms.resids[shown[-1]])
        return (Entry(colours, f"{name}, residue {first} to {last}"),)
    counts = {chain: int((atoms.chains[shown] == chain).sum()) for chain in chains}
    told = [
        Entry((CHAIN_COLOURS[at % len(CHAIN_COLOURS)],), f"chain {chain}  {counts[chain]:,} residues")
        for at, chain in enumerate(chains[:8])
    ]
    return (*told, Entry((), f"and {len(chains) - 8} more chains")) if len(chains) > 8 else tuple(told)


def _bound(atoms: Atoms, placed: FloatArray) -> tuple[Spheres, Rods, tuple[Entry, ...]]:
    """Draw what is no polymer and no water: ions as spheres, ligands as sticks, of lipids the heads."""
    kinds = np.array([kind_of(str(name)) for name in atoms.resnames.tolist()])
    elements = np.array([str(one) for one in atoms.elements.tolist()])
    ions, ligands = np.flatnonzero(kinds == ION), np.flatnonzero((kinds == OTHER) & (elements != "H"))
    lipids = np.flatnonzero((kinds == LIPID) & np.isin(atoms.names, LIPID_HEADS))[:MOST_SPHERES]
    colours = np.array([rgb(element_colour(one)) for one in elements.tolist()])
    ligands = ligands[:MOST_LIGAND_ATOMS]
    bonds = find_bonds(elements[ligands], placed[ligands])
    sticks = _sticks(ligands[bonds], placed, colours, 0.3)
    spheres = _join_spheres(
        [
            Spheres(placed[ions], np.full(len(ions), 1.3), colours[ions]),
            Spheres(placed[ligands], np.full(len(ligands), 0.42), colours[ligands]),
            Spheres(placed[lipids], np.full(len(lipids), 1.8), np.tile(rgb(LIPID_COLOUR), (len(lipids), 1))),
        ]
    )
    return spheres, sticks, _bound_legend(atoms, kinds)


def _bound_legend(atoms: Atoms, kinds: TextArray) -> tuple[Entry, ...]:
    starts = residue_starts(atoms)
    told = []
    for kind, words in ((OTHER, "ligand"), (ION, ION), (LIPID, "heads of lipids")):
        names, counts = np.unique(atoms.resnames[starts][kinds[starts] == kind], return_counts=True)
        for at in np.argsort(-counts)[:3].tolist():
            first = int(np.flatnonzero(atoms.resnames == names[at])[0])
            colour = LIPID_COLOUR if kind == LIPID else element_colour(str(atoms.elements[first]))
            told.append(Entry((colour,), f"{names[at]}  ×{counts[at]:,}  ({words})"))
    return tuple(told)


# --- cells and cameras -----------------------------------------------------------------------------------------------


def _camera(positions: FloatArray, box: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Give the turn (columns: right, up, to the eye) and the middle: along principal axes, or the cell standing up."""
    centre = positions.mean(axis=0)
    if box is not None and _fills(positions, box):
        return _crystal_camera(box), centre
    if len(positions) < 3:
        return np.eye(3), centre
    _, axes = np.linalg.eigh(np.cov((positions - centre).T))
    turn = axes[:, ::-1].copy()
    for column in (0, 1):  # the sign of an axis is free: let its largest part be positive
        turn[:, column] *= np.sign(turn[np.abs(turn[:, column]).argmax(), column])
    turn[:, 2] = np.cross(turn[:, 0], turn[:, 1])
    return turn, centre


def _crystal_camera(box: FloatArray) -> FloatArray:
    """Look at a cell a little from its right and from above, its third vector standing."""
    up = box[2] / np.linalg.norm(box[2])
    right = box[1] - (box[1] @ up) * up
    right /= np.linalg.norm(right)
    toward = np.cross(right, up)
    side, lift = np.radians(24.0), np.radians(13.0)
    around = np.array(
        [[np.cos(side), 0.0, -np.sin(side)], [0.0, 1.0, 0.0], [np.sin(side), 0.0, np.cos(side)]]
    )
    over = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(lift), np.sin(lift)], [0.0, -np.sin(lift), np.cos(lift)]])
    turn: FloatArray = np.stack([right, up, toward], axis=1) @ around.T @ over.T
    return turn


def _fills(positions: FloatArray, box: FloatArray) -> bool:
    """Tell whether atoms fill the cell: in two directions at least, as membranes and solvents do."""
    part = np.ptp(positions @ np.linalg.inv(box), axis=0)
    return int((part > 0.8).sum()) >= 2 and float(part.max()) < 1.6


def _edges(
    box: FloatArray, turn: FloatArray, centre: FloatArray, *, clear: float = 0.0
) -> tuple[Rods, tuple[tuple[str, FloatArray], ...]]:
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=np.float64)
    pairs = [(one, one + step) for step in (1, 2, 4) for one in range(8) if not one & step]
    placed = (corners @ box - centre) @ turn
    begins, ends = placed[[one for one, _ in pairs]], placed[[other for _, other in pairs]]
    radius = 0.0045 * float(np.linalg.norm(box.sum(axis=0)))
    letters = tuple(
        (letter, placed[at] + _out(placed[at] - placed.mean(axis=0), 9.0 * radius + clear))
        for letter, at in (("a", 4), ("b", 2), ("c", 1))
    )
    rods = Rods(begins, ends, np.full(len(pairs), radius), np.tile(rgb(CELL_COLOUR), (len(pairs), 1)))
    return rods, letters


def _out(direction: FloatArray, length: float) -> FloatArray:
    """Give a step of a length, as seen, in a direction."""
    flat = direction * (1.0, 1.0, 0.0)
    step: FloatArray = flat * (length / max(float(np.linalg.norm(flat)), 1e-9))
    return step


def _with_borders(atoms: Atoms, box: FloatArray) -> tuple[IntArray, FloatArray]:
    """Give the atoms of a cell, and images of those on a face, an edge or a corner of it that lie on the opposite ones."""
    assert atoms.positions is not None
    parts, source = atoms.positions @ np.linalg.inv(box), np.arange(len(atoms))
    parts = parts - np.floor(parts + 1e-4)
    for axis in range(3):
        near = np.abs(parts[:, axis]) < 0.01
        moved = parts[near].copy()
        moved[:, axis] += 1.0
        parts, source = np.concatenate([parts, moved]), np.concatenate([source, source[near]])
    return source, parts @ box


def _with_neighbours(
    source: IntArray, positions: FloatArray, atoms: Atoms, box: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Add to atoms with three or four neighbours, as silicon has in quartz, those that lie outside of the cell."""
    assert atoms.positions is not None
    one, other, shifts = periodic_bonds(atoms.elements, atoms.positions, box)
    degree = np.bincount(one, minlength=len(atoms))
    central = np.isin(degree, (3, 4)) & (atoms.elements != "H")
    wanted = central[one] & ~central[other]
    steps = atoms.positions[other] + shifts @ box - atoms.positions[one]
    drawn = {tuple(place) for place in np.round(positions, 2).tolist()}
    sources, places = [], []
    for at, place in zip(source.tolist(), positions, strict=True):
        for bond in np.flatnonzero(wanted & (one == at)).tolist():
            new = place + steps[bond]
            key = tuple(np.round(new, 2).tolist())
            if key not in drawn and np.linalg.norm(positions - new, axis=1).min() > 0.1:
                drawn.add(key)
                sources.append(int(other[bond]))
                places.append(new)
    if not places:
        return source, positions
    return np.concatenate([source, np.array(sources)]), np.concatenate([positions, np.array(places)])


def _no_rods() -> Rods:
    return Rods(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3)))


def _join_rods(rods: Sequence[Rods]) -> Rods:
    return Rods(
        *(
            np.concatenate([getattr(one, name) for one in rods])
            for name in ("begins", "ends", "radii", "colours")
        )
    )


def _join_spheres(spheres: Sequence[Spheres]) -> Spheres:
    return Spheres(
        *(np.concatenate([getattr(one, name) for one in spheres]) for name in ("centres", "radii", "colours"))
    )
