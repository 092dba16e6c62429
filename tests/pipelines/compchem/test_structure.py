"""Structures: what is read of real files against numbers that stand in them, cut files, and files that are none."""

import gzip
import json
import random
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from towpath.pipelines.compchem.science.outcome import Outcome, Status, Unreadable
from towpath.pipelines.compchem.science.sniff import content_of
from towpath.pipelines.compchem.science.sniff_structure import sniff_structure
from towpath.pipelines.compchem.science.structure import read_structure

Read = Callable[[str | bytes], Outcome]

NACL = """data_halite
_chemical_name_mineral Halite
_chemical_formula_sum 'Cl Na'
_cell_length_a 5.6402(2)
_cell_length_b 5.6402(2)
_cell_length_c 5.6402(2)
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_cell_formula_units_Z 4
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 0 0 0
Cl1 0.5 0.5 0.5
"""
QUARTZ = """data_quartz
_chemical_formula_sum 'O2 Si'
_cell_length_a 4.913
_cell_length_b 4.913
_cell_length_c 5.405
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
loop_
_symmetry_equiv_pos_as_xyz
x,y,z
-y,x-y,z+2/3
-x+y,-x,z+1/3
y,x,-z
x-y,-y,-z+1/3
-x,-x+y,-z+2/3
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Si1 Si 0.4697 0 0.66667
O1 O 0.4133 0.2672 0.7855
"""


def real(name: str) -> bytes:
    """Give a real file of MDAnalysisTests, without importing it."""
    found = find_spec("MDAnalysisTests")
    assert found is not None and found.submodule_search_locations
    content = (Path(found.submodule_search_locations[0]) / "data" / name).read_bytes()
    return gzip.decompress(content) if name.endswith(".gz") else content


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a file by its name, or by its content, in a folder of its own."""

    def reading(what: str | bytes) -> Outcome:
        path = tmp_path / "arrived.bin"  # the name tells nothing
        path.write_bytes(real(what) if isinstance(what, str) else what)
        return read_structure({"structure": [path]}, tmp_path)

    return reading


def test_a_solvated_box_is_told_by_its_molecules(read: Read, tmp_path: Path) -> None:
    made = read("adk_oplsaa.gro")
    facts = made.facts
    assert made.status is Status.SUCCESS
    assert facts["title"] == "Adenylate Kinase (E. coli) in water (4AKE:A)"  # line 1
    assert facts["n_atoms"] == 47681  # line 2
    assert facts["n_residues"] == 11302  # its last atom is of "11302NA+"
    assert (facts["n_water_molecules"], facts["ions"]) == (11084, {"NA+": 4})
    assert facts["chains"][0]["n_residues"] == 214
    assert facts["chains"][0]["sequence"].startswith("MRIILLGAPGAGKGTQAQFIMEKYGIPQIS")
    assert facts["n_atoms_without_element"] == 11084  # a site MW in each TIP4P water
    # The last line: 8.00170 8.00170 5.65806 0 0 0 0 4.00085 4.00085, the rhombic dodecahedron.
    assert facts["box_nm"] == [[8.0017, 0, 0], [0, 8.0017, 0], [4.00085, 4.00085, 5.65806]]
    assert facts["cell"]["alpha_degree"] == pytest.approx(60.0, abs=1e-3)
    assert facts["cell"]["volume_angstrom3"] == pytest.approx(8.0017**2 * 5.65806 * 1000.0, rel=1e-6)
    assert made.files["view"] == "view.pdb" and facts["view"] == {"n_atoms": 3345, "left_out": "water"}
    view = (tmp_path / "view.pdb").read_text().splitlines()
    assert view[1].startswith("CRYST1   80.017   80.017   80.017  60.00  60.00  90.00")
    assert (
        view[2] == "ATOM      1  N   MET     1      52.020  43.560  31.550  1.00  0.00           N"
    )  # line 3, in nm
    fasta = (tmp_path / "sequence.fasta").read_text().splitlines()
    assert fasta[0].startswith(">1 protein, 214 residues") and len("".join(fasta[1:])) == 214
    assert json.loads((tmp_path / "metadata.json").read_text())["n_atoms"] == 47681


def test_numbers_may_begin_with_their_point(read: Read) -> None:
    """As in the box of water that GROMACS has for every system."""
    head = b"216H2O,WATJP01,SPC216,SPC-MODEL\n    3\n    1SOL     OW    1    .230    .628    .113\n"
    made = read(head + b"    1SOL    HW1    2    .137    .626    .150\n    1SOL    HW2    3    .231    .589    .021\n"
                b"   1.86206   1.86206   1.86206\n")  # fmt: skip
    assert (made.status, made.facts["n_water_molecules"]) == (Status.SUCCESS, 1)


def test_a_chain_of_alpha_carbons_alone_has_no_calcium(read: Read) -> None:
    """Without columns of elements, as models of low resolution and thinned trajectories come."""
    pdb = "".join(
        f"ATOM  {at:>5}  CA  {name} A{at:>4}    {3.8 * at:8.3f}   0.000   0.000  1.00  0.00\n"
        for at, name in enumerate(("ALA", "GLY", "SER"), start=1)
    )
    gro = "trace\n    3\n" + "".join(
        f"{at:>5}{name:<5}   CA{at:>5}{0.38 * at:8.3f}   0.000   0.000\n"
        for at, name in enumerate(("ALA", "GLY", "SER"), start=1)
    )
    for text in (f"{pdb}END\n", f"{gro}   5.0   5.0   5.0\n"):
        facts = read(text.encode()).facts
        assert (facts["elements"], facts["chains"][0]["sequence"]) == ({"C": 3}, "AGS")


def test_pdb_and_gro_of_one_system_agree(read: Read) -> None:
    one, other = read("adk_oplsaa.gro").facts, read("adk_oplsaa.pdb").facts
    for name in ("n_atoms", "n_residues", "composition", "n_water_molecules", "ions"):
        assert one[name] == other[name], name
    assert one["chains"][0]["sequence"] == other["chains"][0]["sequence"]


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        # CRYST1 62.800 62.800 83.500 90.00 90.00 120.00 P 61 12; RESOLUTION. 1.80; SEQRES of A and B: 99
        ("1hvr.pdb", {"resolution_angstrom": 1.8, "spacegroup": {"hermann_mauguin": "P 61", "number": 169}, "z": 12,
                      "declared_residues": {"A": 99, "B": 99}, "method": "X-RAY DIFFRACTION", "pdb_id": "1HVR"}),
        # CRYST1 58.290 86.259 46.299 ... P 21 21 2 8; SEQRES of A and B: 99, of C: 6
        ("4E43.pdb", {"resolution_angstrom": 1.54, "spacegroup": {"hermann_mauguin": "P 21 21 2", "number": 18}, "z": 8,
                      "declared_residues": {"A": 99, "B": 99, "C": 6}}),
        ("nmr_neopetrosiamide.pdb", {"n_models": 24, "method": "SOLUTION NMR", "declared_residues": {"A": 28}}),
        # _cell.length_a 21.937, angle_beta 107.08; Z_PDB 2; d_resolution_high 1.80; GNNQQNY
        ("mmcif/1YJP.cif", {"resolution_angstrom": 1.8, "spacegroup": {"hermann_mauguin": "P 1 21 1", "number": 4},
                            "z": 2, "n_atoms": 66, "n_water_molecules": 7, "pdb_id": "1YJP"}),
        # _refine.ls_d_res_high 1.0; Z_PDB 4; deuterium was seen by neutrons
        ("mmcif/5PTI.cif.gz", {"resolution_angstrom": 1.0, "z": 4, "n_water_molecules": 63}),
    ],
)  # fmt: skip
def test_entries_are_told_as_they_say(read: Read, name: str, facts: dict[str, object]) -> None:
    made = read(name)
    assert made.status is Status.SUCCESS
    assert {key: made.facts[key] for key in facts} == facts
    assert (
        "spacegroup" in made.facts or "NMR" in made.facts["method"]
    )  # the 1 Å cube of NMR entries is no crystal


def test_sequences_of_an_entry_are_those_it_declares(read: Read, tmp_path: Path) -> None:
    made = read("mmcif/1YJP.cif")
    assert made.facts["chains"][0]["sequence"] == "GNNQQNY"  # _entity_poly.pdbx_seq_one_letter_code
    assert made.facts["cell"] == {
        "a_angstrom": 21.937, "b_angstrom": 4.866, "c_angstrom": 23.477,
        "alpha_degree": 90.0, "beta_degree": 107.08, "gamma_degree": 90.0,
        "volume_angstrom3": pytest.approx(21.937 * 4.866 * 23.477 * np.sin(np.radians(107.08)), rel=1e-6),
    }  # fmt: skip
    bpti = read("mmcif/5PTI.cif.gz").facts
    assert bpti["chains"][0]["sequence"] == "RPDFCLEPPYTGPCKARIIRYFYNAKAGLCQTFVYGGCRAKRNNFKSAEDCMRTCGGA"
    assert bpti["elements"]["D"] > 0 and bpti["n_alternate_atoms_left_out"] > 0


def test_a_complex_has_its_five_chains(read: Read) -> None:
    chains = {chain["id"]: chain for chain in read("mmcif/1BD2.cif.gz").facts["chains"]}
    assert list(chains) == ["A", "B", "C", "D", "E"]
    assert chains["C"]["sequence"] == "LLFGYPVYV"  # the Tax peptide
    assert chains["B"]["kind"] == "protein"


def test_a_salt_has_the_density_of_crystallography(read: Read, tmp_path: Path) -> None:
    made = read(NACL.encode())
    facts = made.facts
    assert made.status is Status.SUCCESS
    assert facts["spacegroup"]["hermann_mauguin"] == "F m -3 m" and facts["spacegroup"]["number"] == 225
    assert (facts["z"], facts["z_of_content"], facts["n_atoms"]) == (4, 4, 8)
    assert facts["density_g_cm3"] == pytest.approx(2.165, rel=0.002)  # of halite
    # 4 × 58.4428 g/mol in (5.6402 Å)³
    assert facts["density_g_cm3"] == pytest.approx(4 * 58.4428 / 6.02214076e23 / (5.6402e-8) ** 3, rel=1e-4)
    places = [line.split() for line in (tmp_path / "structure.xyz").read_text().splitlines()[2:]]
    assert sorted(row[0] for row in places) == ["Cl"] * 4 + ["Na"] * 4
    assert 'Lattice="5.640200' in (tmp_path / "structure.xyz").read_text()


def test_quartz_is_found_by_its_operations_alone(read: Read) -> None:
    facts = read(QUARTZ.encode()).facts
    assert (facts["spacegroup"]["hermann_mauguin"], facts["spacegroup"]["number"]) == ("P 32 2 1", 154)
    assert facts["cell_content"] == {"O": 6.0, "Si": 3.0}
    assert (facts["z"], facts["formula"]) == (3, "O2Si")
    assert (
        "2 structures; the first, of data block halite, is shown." in read((NACL + QUARTZ).encode()).sentence
    )
    assert facts["density_g_cm3"] == pytest.approx(2.65, rel=0.002)


def test_a_crystal_that_lacks_atoms_of_its_formula_says_so(read: Read) -> None:
    made = read(QUARTZ.rsplit("\n", 2)[0].encode() + b"\n")
    assert made.status is Status.PARTIAL
    assert "asks for 6 O" in made.sentence and "give 0" in made.sentence


def test_reflections_alone_are_no_structure(read: Read) -> None:
    with pytest.raises(Unreadable, match="reflections and no atoms"):
        read(b"data_x\n_cell_length_a 3\nloop_\n_refln_index_h\n_refln_index_k\n1 2\n")
    with pytest.raises(Unreadable, match="_cell_length_a is absent"):
        read(
            b"data_x\nloop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nC 0 0 0\n"
        )


def test_a_small_molecule_has_formula_bonds_and_charge(read: Read, tmp_path: Path) -> None:
    made = read("mol2/Molecule.mol2")
    assert made.facts["title"] == "FXA101_1"
    assert (made.facts["n_atoms"], made.facts["n_bonds"]) == (49, 51)  # line 3
    assert made.facts["formula"] == "C19H19ClFN3O4S2"
    assert made.facts["net_charge_e"] == pytest.approx(0.0, abs=0.01)
    assert made.files["xyz"] == "structure.xyz"
    assert (tmp_path / "structure.xyz").read_text().splitlines()[2].split() == [
        "N",
        "6.842000",
        "9.990000",
        "22.743000",
    ]
    assert read("mol2/Molecules.mol2").facts["n_molecules"] == 200
    assert read("mol2/Molecule_comments_header.mol2").facts["formula"] == "C2H6O"  # its types are of GAFF


def test_xyz_is_read_by_symbol_or_number_with_all_its_frames(read: Read) -> None:
    made = read("2r9r-1b.xyz")
    assert (made.facts["n_atoms"], made.facts["n_models"]) == (
        1284,
        10,
    )  # line 1; "frame 9" is the last comment
    assert made.files["view"] == "view.xyz"
    water = read(b"3\nwater\n8 0 0 0.1173\n1 0 0.7572 -0.4692\nh 0 -0.7572 -0.4692\n").facts
    assert (water["formula"], water["title"]) == ("H2O", "water")
    cubic = b'1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3\nPo 0 0 0\n'
    assert read(cubic).facts["cell"]["volume_angstrom3"] == 64.0


EXTENDED = {
    "forces before": ("species:S:1:forces:R:3:pos:R:3", "{element} 9.0 9.0 9.0 {place} 7"),
    "number first": ("id:I:1:species:S:1:pos:R:3", "{at} {element} {place}"),
    "place first": ("pos:R:3:move_mask:L:1:Z:I:1", "{place} T {number}"),
    "quoted": ('"id:I:1:species:S:1:pos:R:3"', "{at} {element} {place}"),
    "as usual": ("species:S:1:pos:R:3:charge:R:1", "{element} {place} 0.5"),
}


@pytest.mark.parametrize("name", EXTENDED)
def test_extended_xyz_is_read_by_the_columns_that_it_names(read: Read, tmp_path: Path, name: str) -> None:
    said, form = EXTENDED[name]
    water = [("O", 8, "0.0 0.0 0.1173"), ("H", 1, "0.0 0.7572 -0.4692"), ("H", 1, "0.0 -0.7572 -0.4692")]
    rows = [
        form.format(at=at, element=element, number=number, place=place)
        for at, (element, number, place) in enumerate(water, start=1)
    ]
    frame = "\n".join(["3", f"Properties={said} energy=-2.5 pbc='F F F'", *rows, ""])
    made = read((frame * 2).encode())
    assert (made.status, made.facts["formula"]) == (Status.SUCCESS, "H2O")
    assert (made.facts["n_models"], made.facts["title"]) == (2, "")
    written = [line.split()[1:] for line in (tmp_path / "structure.xyz").read_text().splitlines()[2:]]
    assert written == [[f"{float(one):.6f}" for one in place.split()] for _, _, place in water]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("species:S:1:forces:R:3", "line 2 .* have no positions"),
        ("pos:R:3", "line 2 .* have no elements"),
        ("species:S:pos:R:3", "line 2 .* not all of the form"),
        (
            "species:S:1:pos:R:3:charge:R:1",
            "line 3 is not one: “C 1 2 3”, and Properties on line 2 names 5 col",
        ),
    ],
)
def test_columns_that_give_no_atoms_are_told(read: Read, said: str, told: str) -> None:
    with pytest.raises(Unreadable, match=told):
        read(f"1\nProperties={said}\nC 1 2 3\n".encode())


@pytest.mark.parametrize(
    "comment", ["properties = see: paper", 'properties="from: B3LYP"', "Properties: none"]
)
def test_a_comment_on_properties_is_a_comment(read: Read, comment: str) -> None:
    assert read(f"1\n{comment}\nC 1 2 3\n".encode()).facts["formula"] == "C"


def test_columns_that_nobody_reads_may_have_one_name(read: Read) -> None:
    given = b"1\nProperties=species:S:1:pos:R:3:tag:S:1:tag:S:1\nC 1 2 3 a b\n"
    assert read(given).facts["formula"] == "C"


def test_many_blanks_are_looked_at_in_no_time() -> None:
    """The content is told in the server's own process: what takes long there holds up everybody."""
    began = time.process_time()
    assert sniff_structure(b"3\nProperties=" + b" " * 60_000 + b"\nnone\n") == ""
    assert time.process_time() - began < 5


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
@pytest.mark.parametrize("name", ["two_water_gro.gro", "4E43.pdb", "mmcif/1YJP.cif", "mol2/Molecule.mol2"])
def test_a_structure_is_read_in_the_encoding_of_its_mark(read: Read, name: str, encoding: str) -> None:
    content = f"\ufeff{real(name).decode()}".encode(encoding)
    assert content_of(content[:65536]) == content_of(real(name))
    made, plain = read(content), read(name)
    assert (made.status, made.sentence, made.facts) == (plain.status, plain.sentence, plain.facts)
    assert read(content[: len(content) * 97 // 100]).status is Status.PARTIAL


def test_a_topology_alone_has_no_view(read: Read) -> None:
    made = read("Amber/ache.prmtop")
    assert (made.facts["n_atoms"], made.facts["n_residues"]) == (252, 14)  # POINTERS
    assert set(made.files) == {"metadata", "sequence"}
    assert "no positions" in made.sentence
    solvated = read("Amber/ace_tip3p.parm7").facts
    assert (solvated["n_atoms"], solvated["n_water_molecules"]) == (1398, 464)
    assert solvated["net_charge_e"] == pytest.approx(0.0, abs=1e-3)


def test_beads_have_no_elements(read: Read) -> None:
    facts = read("martini_dppc_chol_bilayer.gro").facts
    assert facts["n_atoms"] == 5040 and facts["elements"] == {}  # line 2
    assert {one["name"]: one["kind"] for one in facts["molecules"]} == {"DPPC": "lipid", "CHOL": "lipid"}


@pytest.mark.parametrize(
    ("name", "keep", "told"),
    [
        ("adk_oplsaa.gro", 1_000_000, "says 47,681 atoms on its second line but has 22,221"),
        ("two_water_gro_multiframe.gro", 500, "Frame 2"),
        ("adk_open.pdb", 100_000, "breaks off within the line of an atom"),
        ("4E43.pdb", 100_000, "none of them of the declared chains B, C"),
        ("nmr_neopetrosiamide.pdb", 300_000, "ends within model 9"),
        ("mmcif/1YJP.cif", -300, "table _atom_site, which begins on line 725, is not whole"),
        ("mmcif/1BD2.cif.gz", 400_000, "CIF breaks off"),
        ("mol2/Molecule.mol2", 2_000, "says 49 atoms but has"),
        ("mol2/Molecules.mol2", 400_000, "the last of the MOL2 file, says"),
        ("2r9r-1b.xyz", 100_000, "Frame 3 of the XYZ file should have 1,284 atoms"),
        ("Amber/ace_tip3p.parm7", 150_000, "should have 1,398 values"),
    ],
)
def test_a_file_that_was_cut_is_partial_and_says_what_it_lacks(
    read: Read, name: str, keep: int, told: str
) -> None:
    made = read(real(name)[:keep])
    assert made.status is Status.PARTIAL
    assert told in made.sentence
    assert "Traceback" not in made.sentence and made.facts["missing"]


def test_positions_that_are_no_numbers_are_left_out(read: Read) -> None:
    lines = real("two_water_gro.gro").decode().splitlines()
    lines[4] = f"{lines[4][:20]}{'nan':>8}{'nan':>8}{'nan':>8}"
    made = read("\n".join(lines).encode())
    assert made.status is Status.PARTIAL and "1 atom of 6" in made.sentence
    assert made.facts["n_atoms"] == 5


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"   \n\n", "empty"),
        (b"Dear colleague,\nplease find the file attached.\n", "begins with “Dear colleague,”"),
        (random.Random(7).randbytes(4000), "binary"),
        (b"\x89PNG\r\n\x1a\n" + random.Random(8).randbytes(4000), "binary"),
        (bytes(100_000), "binary"),
        (b"a" * 20_000_000, "no structure that can be read"),
        (b"3\n\nC 1 2 3\n" + b"a" * 2_000_000, "Line 4 is longer than"),
        (b"-1\n\nC 1 2 3\n", "no structure"),
        (b"HEADER    HYDROLASE\nREMARK   2\n", "no line of an atom"),
        (b"data_1ABC\n_entry.id 1ABC\n", "no list of atoms"),
        (b"data_1ABC\n_entry.id 'open\n", "no list of atoms"),
        (b"@<TRIPOS>MOLECULE\nx\n 49 51\n", "none that can be read"),
        (b"%VERSION\n%FLAG POINTERS\n%FORMAT(10I8)\n", "ends before the names"),
    ],
    ids=range(14),
)
def test_what_is_no_structure_is_refused_with_what_to_do(read: Read, content: bytes, told: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read(content)
    assert told in refused.value.sentence
    assert "Upload" in refused.value.sentence or "Expected" in refused.value.sentence


@pytest.mark.slow
def test_every_structure_of_the_corpus_is_read_or_refused(tmp_path: Path) -> None:
    found = find_spec("MDAnalysisTests")
    assert found is not None and found.submodule_search_locations
    data = Path(found.submodule_search_locations[0]) / "data"
    told = {}
    for suffix in ("gro", "pdb", "cif", "mol2", "xyz", "prmtop", "parm7", "ent"):
        for path in sorted(data.rglob(f"*.{suffix}")):
            try:
                told[str(path.relative_to(data))] = str(
                    read_structure({"structure": [path]}, tmp_path).status
                )
            except Unreadable as refused:
                told[str(path.relative_to(data))] = refused.sentence
    failures = {name for name, status in told.items() if status not in list(Status)}
    assert failures == {
        "Amber/ace_mbondi3.error1.parm7",  # begins with %ERROR
        "Amber/ace_mbondi3.error2.parm7",  # has no POINTERS
        "empty_atom.gro",
        "mol2/BrokenMolecule.mol2",  # says 49 atoms and has none
    }
    assert {name for name, status in told.items() if status == "PARTIAL"} == {
        "Amber/ace_mbondi3.error3.parm7"
    }
    assert len(told) > 80


@pytest.mark.slow
def test_flipped_bytes_never_come_out_as_another_error(tmp_path: Path) -> None:
    chance = random.Random(11)
    for name in (
        "4E43.pdb",
        "capping/aaqaa.gro",
        "mmcif/1YJP.cif",
        "mol2/Molecule.mol2",
        "Amber/ache.prmtop",
        "coordinates/test.xyz",
    ):
        whole = real(name)
        for _ in range(30):
            spoiled = bytearray(whole[: chance.randrange(1, len(whole))] if chance.random() < 0.5 else whole)
            for _ in range(min(20, len(spoiled))):
                spoiled[chance.randrange(len(spoiled))] = chance.randrange(1, 256)
            path = tmp_path / "spoiled"
            path.write_bytes(bytes(spoiled))
            try:
                made = read_structure({"structure": [path]}, tmp_path)
            except Unreadable as refused:
                assert refused.sentence.endswith((".", "”"))
            else:
                assert made.sentence and made.facts["n_atoms"] > 0
