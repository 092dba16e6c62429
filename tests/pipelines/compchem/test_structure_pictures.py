"""Pictures of structures: areas and depth of what is painted, bonds, cells put together, and whole pictures."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from towpath.pipelines.compchem.science.bonds import find_bonds, whole_molecules
from towpath.pipelines.compchem.science.cells import cell_of, vectors_of
from towpath.pipelines.compchem.science.outcome import Status, Unreadable
from towpath.pipelines.compchem.science.rendering import Rods, Spheres, affordable, render
from towpath.pipelines.compchem.science.scenes import scene_of, scene_of_crystal
from towpath.pipelines.compchem.science.structure import read_structure
from towpath.pipelines.compchem.science.structure_pictures import draw_structure, read_view
from towpath.pipelines.compchem.science.view import write_view

NOTHING = Rods(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3)))
UREA = """data_urea
_chemical_formula_sum 'C H4 N2 O'
_cell_length_a 5.565
_cell_length_b 5.565
_cell_length_c 4.684
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P -4 21 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
C C 0 0.5 0.3260
O O 0 0.5 0.5953
N N 0.1459 0.6459 0.1766
H1 H 0.2575 0.7575 0.2827
H2 H 0.1441 0.6441 -0.0380
"""


def real(name: str) -> Path:
    """Give the path of a real file of MDAnalysisTests, without importing it."""
    found = find_spec("MDAnalysisTests")
    assert found is not None and found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "data" / name


def draw(path: Path, folder: Path) -> bytes:
    made = read_structure({"structure": [path]}, folder)
    told = draw_structure({name: folder / file for name, file in made.files.items()}, folder)
    assert told.status is Status.SUCCESS and told.files == {"picture": "structure.png"}
    return (folder / "structure.png").read_bytes()


# --- rendering -------------------------------------------------------------------------------------------------------


def test_a_sphere_covers_the_area_of_its_disc() -> None:
    picture = render(
        Spheres(np.zeros((1, 3)), np.array([2.0]), np.array([[1.0, 0.0, 0.0]])), NOTHING, 240, 200
    )
    area = float(picture.pixels[..., 3].sum()) / picture.pixels_per_angstrom**2
    assert area == pytest.approx(np.pi * 4.0, rel=0.01)
    assert picture.place(np.zeros(3)) == (120.0, 100.0)
    middle = picture.pixels[100, 120]
    assert middle[0] > 0.6 and middle[1] < 0.35 and middle[3] == 1.0


def test_a_tilted_rod_covers_its_shortened_length() -> None:
    begin, end = np.array([[-3.0, 0.0, -4.0]]), np.array([[3.0, 0.0, 4.0]])  # 10 Å long, 6 Å as seen
    rods = Rods(begin, end, np.array([0.5]), np.array([[0.0, 0.0, 1.0]]))
    none = Spheres(np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3)))
    picture = render(none, rods, 300, 200)
    area = float(picture.pixels[..., 3].sum()) / picture.pixels_per_angstrom**2
    # Its ends are open, so what is seen is a band of 6 Å by the diameter whose ends are bowed alike.
    assert area == pytest.approx(6.0 * 1.0, rel=0.02)


def test_what_is_nearer_hides_what_is_farther() -> None:
    colours = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    for order in ([0, 1], [1, 0]):
        centres = np.array([[0.0, 0.0, 3.0], [0.0, 0.0, -3.0]])[order]
        picture = render(Spheres(centres, np.array([1.0, 1.6])[order], colours[order]), NOTHING, 200, 200)
        red, _, blue, _ = picture.pixels[100, 100]
        assert red > blue  # the red one lies nearer
        column = 100 + round(1.3 * picture.pixels_per_angstrom)
        assert (
            picture.pixels[100, column, 2] > picture.pixels[100, column, 0]
        )  # beside it the blue one is seen


def test_many_spheres_in_one_place_are_painted_in_bounded_time() -> None:
    many = Spheres(np.zeros((20_000, 3)), np.full(20_000, 2.0), np.full((20_000, 3), 0.5))
    few, _ = affordable(many, NOTHING, 100.0)
    assert len(few.radii) == 488  # each 41st: 20,000 × (402 pixels)² is 40.4 times too much
    assert affordable(few, NOTHING, 100.0)[0] is few


# --- bonds and cells -------------------------------------------------------------------------------------------------


def test_bonds_are_those_of_the_mol2_file(tmp_path: Path) -> None:
    read_structure({"structure": [real("mol2/Molecule.mol2")]}, tmp_path)
    atoms = read_view(tmp_path / "structure.xyz")
    assert atoms.positions is not None
    found = {tuple(sorted(pair)) for pair in find_bonds(atoms.elements, atoms.positions).tolist()}
    lines = (
        real("mol2/Molecule.mol2")
        .read_text()
        .split("@<TRIPOS>BOND")[1]
        .split("@<TRIPOS>")[0]
        .strip()
        .splitlines()
    )
    told = {tuple(sorted(int(word) - 1 for word in line.split()[1:3])) for line in lines}
    assert len(told) == 51 and found == told


def test_cells_go_from_lengths_and_angles_to_vectors_and_back() -> None:
    cell = (5.1, 7.3, 9.8, 81.0, 97.0, 112.0)
    assert cell_of(vectors_of(*cell)) == pytest.approx(cell)
    with pytest.raises(ValueError, match="do not close"):
        vectors_of(5.0, 5.0, 5.0, 170.0, 20.0, 20.0)


def test_molecules_that_a_cell_cuts_are_put_together_and_salts_are_not(tmp_path: Path) -> None:
    (tmp_path / "urea.cif").write_text(UREA)
    made = read_structure({"structure": [tmp_path / "urea.cif"]}, tmp_path)
    atoms, box = read_view(tmp_path / "structure.xyz"), vectors_of(5.565, 5.565, 4.684, 90.0, 90.0, 90.0)
    assert atoms.positions is not None and made.facts["formula"] == "CH4N2O"
    assert (
        len(find_bonds(atoms.elements, atoms.positions)) < 14
    )  # as listed within the cell, molecules are cut
    whole = whole_molecules(atoms.elements, atoms.positions, box)
    assert whole is not None
    assert len(find_bonds(atoms.elements, whole)) == 14  # seven in each of two molecules
    moved = (whole - atoms.positions) @ np.linalg.inv(box)
    assert np.allclose(moved, np.round(moved), atol=1e-4)
    salt = np.array(
        [
            [0, 0, 0],
            [0, 0.5, 0.5],
            [0.5, 0, 0.5],
            [0.5, 0.5, 0],
            [0.5, 0.5, 0.5],
            [0.5, 0, 0],
            [0, 0.5, 0],
            [0, 0, 0.5],
        ]
    )
    assert whole_molecules(np.array(["Na"] * 4 + ["Cl"] * 4), salt * 5.64, np.eye(3) * 5.64) is None


def test_a_cubic_salt_is_drawn_with_the_atoms_of_all_its_faces(tmp_path: Path) -> None:
    elements = np.array(["Na"] * 4 + ["Cl"] * 4)
    places = 5.64 * np.array(
        [
            [0, 0, 0],
            [0, 0.5, 0.5],
            [0.5, 0, 0.5],
            [0.5, 0.5, 0],
            [0.5, 0.5, 0.5],
            [0.5, 0, 0],
            [0, 0.5, 0],
            [0, 0, 0.5],
        ]
    )
    (tmp_path / "structure.xyz").write_text(
        "8\n\n"
        + "\n".join(f"{name} {x} {y} {z}" for name, (x, y, z) in zip(elements, places.tolist(), strict=True))
    )
    scene = scene_of_crystal(read_view(tmp_path / "structure.xyz"), np.eye(3) * 5.64)
    assert len(scene.spheres.radii) == 27  # 14 sodium and 13 chlorine atoms of the textbook's cube
    assert [letter for letter, _ in scene.letters] == ["a", "b", "c"]


# --- pictures and views ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mol2/Molecule.mol2", "1hvr.pdb"])
def test_a_picture_shows_something_and_is_always_drawn_alike(name: str, tmp_path: Path) -> None:
    first = draw(real(name), tmp_path)
    if name.startswith("mol2"):
        assert draw(real(name), tmp_path) == first
    image = imread(tmp_path / "structure.png")
    assert image.shape[:2] == (800, 1200)
    inked = (image[80:790, :850, :3] < 0.97).any(axis=-1)
    assert 0.02 < inked.mean() < 0.9


def test_a_crystal_and_a_bilayer_are_drawn(tmp_path: Path) -> None:
    (tmp_path / "urea.cif").write_text(UREA)
    assert len(draw(tmp_path / "urea.cif", tmp_path)) > 20_000
    assert len(draw(real("martini_dppc_chol_bilayer.gro"), tmp_path)) > 100_000


def test_a_protein_that_its_box_cuts_is_drawn_in_one_piece(tmp_path: Path) -> None:
    read_structure({"structure": [real("adk_oplsaa.gro")]}, tmp_path)
    atoms = read_view(tmp_path / "view.pdb")
    assert atoms.positions is not None
    box = np.array([[80.017, 0, 0], [0, 80.017, 0], [40.0085, 40.0085, 56.5806]])
    trace = atoms.positions[atoms.names == "CA"]
    assert np.linalg.norm(np.diff(trace, axis=0), axis=1).max() > 40.0  # in the file it is cut
    parted, whole = scene_of(atoms, None), scene_of(atoms, box)
    assert len(whole.rods.radii) == 213 * 8 > len(parted.rods.radii)
    steps = np.linalg.norm(whole.rods.ends - whole.rods.begins, axis=1)
    assert steps.max() < 1.0


def test_a_topology_has_no_picture(tmp_path: Path) -> None:
    read_structure({"structure": [real("Amber/ache.prmtop")]}, tmp_path)
    with pytest.raises(Unreadable, match="no positions"):
        draw_structure({"metadata": tmp_path / "metadata.json"}, tmp_path)


def test_a_view_leaves_out_what_matters_least_until_it_fits(tmp_path: Path) -> None:
    count = 4_000
    names = np.array(["N", "CA", "C", "O"] * 500 + ["OW", "HW1", "HW2", "MW"] * 500)
    resnames = np.array(["ALA"] * 2_000 + ["SOL"] * 2_000)
    resids = np.repeat(np.arange(1, 1_001), 4)
    elements = np.array(["N", "C", "C", "O"] * 500 + ["O", "H", "H", ""] * 500)
    places = np.arange(3.0 * count).reshape(-1, 3) / 10.0
    chains = np.full(count, "")
    left = {}
    for most in (400_000, 200_000, 60_000, 20_000):
        view = write_view(
            tmp_path / "view", elements, names, resnames, resids, chains, places, most_bytes=most
        )
        assert view.path.stat().st_size <= most
        left[most] = view.left_out, len(view.kept)
    assert left == {
        400_000: ("", 4_000),
        200_000: ("water", 2_000),
        60_000: ("water, all of polymers but their trace", 500),
        20_000: ("water, all of polymers but their trace, all but one in 3 residues", 167),
    }
    kept = read_view(view.path)
    assert kept.positions is not None
    assert np.allclose(kept.positions, places[view.kept], atol=5e-4)


def test_a_view_without_residues_is_xyz(tmp_path: Path) -> None:
    none = np.full(2, "")
    view = write_view(
        tmp_path / "view", np.array(["C", ""]), none, none, np.zeros(2, dtype=np.int64), none, np.eye(3)[:2]
    )
    assert view.path.name == "view.xyz"
    assert view.path.read_text().splitlines()[0] == "2"
    assert view.path.read_text().splitlines()[3].split()[0] == "X"
