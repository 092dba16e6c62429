"""Trajectories are described by numbers that MDAnalysis gives independently; what is cut keeps its whole frames."""

import csv
import importlib.resources
import os
import shutil
import signal
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from towpath.pipelines.compchem.science import trajectory
from towpath.pipelines.compchem.science.apart import follow_apart
from towpath.pipelines.compchem.science.outcome import Outcome, Status, Unreadable
from towpath.pipelines.compchem.science.superposition import (
    keep_together,
    make_whole,
    radius_of_gyration,
    rmsd_after_superposition,
)
from towpath.pipelines.compchem.science.trajectory import read_trajectory, sample

MDA = Path(str(importlib.resources.files("MDAnalysisTests") / "data"))
RANDOM = np.random.default_rng(4_1_2)


def read(topology: Path, moving: Path, folder: Path) -> Outcome:
    return read_trajectory({"topology": [topology], "trajectory": [moving]}, folder)


def table(folder: Path) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    with (folder / "table.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    values = np.array([[float(one or "nan") for one in row] for row in rows[1:]])
    return dict(zip(rows[0], values.T, strict=True))


def universe(*files: Path) -> Any:
    import MDAnalysis

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own, of guessed elements
        return MDAnalysis.Universe(*map(str, files), in_memory=False)


def test_rotated_and_shifted_is_the_same() -> None:
    positions = RANDOM.normal(size=(40, 3))
    turned = Rotation.random(random_state=3).apply(positions) + np.array([3.0, -2.0, 9.0])
    assert rmsd_after_superposition(turned, positions) < 1e-7
    assert (
        rmsd_after_superposition(positions * [-1, 1, 1], positions) > 0.5
    )  # a mirror image is another molecule


def test_noise_is_recovered() -> None:
    """With noise σ in each of 3n coordinates, of which six are fitted away, n rmsd² has the mean (3n - 6) σ²."""
    n, sigma = 400, 0.02
    positions = RANDOM.normal(size=(n, 3))
    found = rmsd_after_superposition(positions + RANDOM.normal(scale=sigma, size=(n, 3)), positions)
    assert found == pytest.approx(sigma * np.sqrt((3 * n - 6) / n), rel=5.0 / np.sqrt(6 * n))


def test_gyration_of_a_rod() -> None:
    """Two masses m₁, m₂ at a distance d: √(m₁ m₂) d / (m₁ + m₂)."""
    found = radius_of_gyration(np.array([[0.0, 0, 0], [0, 0, 5.0]]), np.array([1.0, 4.0]))
    assert found == pytest.approx(2.0)


def test_molecules_across_walls_are_joined() -> None:
    box = np.array([[4.0, 0, 0], [0, 4.0, 0], [2.0, 2.0, 2.83]])
    chain = np.cumsum(RANDOM.normal(scale=0.1, size=(60, 3)), axis=0)
    starts = [0, 25]
    chain[25:] += [1.0, 0.5, 0.0]
    cut = chain + RANDOM.integers(-2, 3, size=(60, 3)) @ box
    whole, moved = make_whole(cut, box, starts)
    assert moved
    for part in (slice(0, 25), slice(25, 60)):
        assert whole[part] - whole[part][0] == pytest.approx(chain[part] - chain[part][0], abs=1e-9)
    placed, apart = keep_together(whole, box, starts, None)
    again, _ = keep_together(
        whole + np.repeat([[0, 0, 0], box[2] - box[0]], [25, 35], axis=0), box, starts, apart
    )
    assert again - again[0] == pytest.approx(placed - placed[0], abs=1e-9)
    assert make_whole(chain, box, starts) == (chain, False)


@pytest.mark.parametrize("topology", ["adk_oplsaa.tpr", "adk_oplsaa.gro"])
def test_adenylate_kinase_against_mdanalysis(tmp_path: Path, topology: str) -> None:
    """Every frame has the protein across a wall: the oracle joins it by its bonds, we by the order of its atoms."""
    from MDAnalysis.analysis.rms import rmsd

    outcome = read(MDA / topology, MDA / "adk_oplsaa.xtc", tmp_path)
    assert outcome.status is Status.SUCCESS
    facts = outcome.facts
    assert (facts["frames"], facts["number_of_atoms"], facts["time_between_frames_ps"]) == (10, 47_681, 100.0)
    assert facts["length_ns"] == 0.9
    assert facts["described_atoms"]["count"] == 3341
    assert facts["superposed_atoms"] == {"name": "alpha carbons", "count": 214}
    assert facts["frames_made_whole"] == 10
    shutil.copy(MDA / "adk_oplsaa.xtc", tmp_path / "oracle.xtc")
    oracle = universe(MDA / "adk_oplsaa.tpr", tmp_path / "oracle.xtc")
    protein, alphas = oracle.select_atoms("protein"), oracle.select_atoms("protein and name CA")
    found, first = table(tmp_path), None
    for i in (0, 4, 9):
        oracle.trajectory[i]
        protein.unwrap(reference=None)
        first = alphas.positions.copy() if first is None else first
        assert found["rmsd_nm"][i] == pytest.approx(
            rmsd(alphas.positions, first, superposition=True) / 10, abs=2e-6
        )
        assert found["radius_of_gyration_nm"][i] == pytest.approx(protein.radius_of_gyration() / 10, rel=2e-6)
        assert found["volume_nm3"][i] == pytest.approx(oracle.trajectory.ts.volume / 1000, rel=1e-5)
        assert found["time_ps"][i] == pytest.approx(oracle.trajectory.ts.time, abs=1e-4)
    oracle.trajectory.close()


@pytest.mark.parametrize(
    ("topology", "moving", "frames", "step", "atoms"),
    [
        ("cobrotoxin.tpr", "cobrotoxin.xtc", 3, 50.0, 19_385),
        ("cobrotoxin_2024_4.tpr", "cobrotoxin.trr", 3, 50.0, 19_385),
        ("Amber/ace_tip3p.parm7", "Amber/ace_tip3p.nc", 10, 1.0, 1398),
        ("adk.psf", "adk_dims2.dcd", 102, 1.0, 3341),
        ("tip125_tric_C36.psf", "tip125_tric_C36.dcd", 10, 1.0, 375),
    ],
)
def test_formats(tmp_path: Path, topology: str, moving: str, frames: int, step: float, atoms: int) -> None:
    before = sorted((MDA / moving).parent.iterdir())
    outcome = read(MDA / topology, MDA / moving, tmp_path)
    facts = outcome.facts
    assert outcome.status is Status.SUCCESS
    assert (facts["frames"], facts["number_of_atoms"]) == (frames, atoms)
    assert facts["time_between_frames_ps"] == pytest.approx(step, rel=1e-5)
    assert facts["is_evenly_spaced"]
    assert len(table(tmp_path)["time_ps"]) == frames
    assert sorted((MDA / moving).parent.iterdir()) == before  # nothing is left beside the input
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(outcome.files.values())
    assert (tmp_path / "view.pdb").stat().st_size < 2_000_000


def test_all_formats_give_the_same_numbers(tmp_path: Path) -> None:
    a = read(MDA / "cobrotoxin.tpr", MDA / "cobrotoxin.xtc", tmp_path).facts
    b = read(MDA / "cobrotoxin.tpr", MDA / "cobrotoxin.trr", tmp_path).facts
    for name in ("rmsd_to_first_frame_nm", "radius_of_gyration_nm"):
        assert a[name] == pytest.approx(b[name], abs=5e-4)  # xtc keeps 0.001 nm
    assert a["box"] == b["box"]


def test_the_thinned_trajectory_and_the_view(tmp_path: Path) -> None:
    read(MDA / "cobrotoxin.tpr", MDA / "cobrotoxin.xtc", tmp_path)
    thin = universe(MDA / "cobrotoxin.tpr", tmp_path / "thinned.xtc")
    shutil.copy(MDA / "cobrotoxin.xtc", tmp_path / "oracle.xtc")
    whole = universe(MDA / "cobrotoxin.tpr", tmp_path / "oracle.xtc")
    assert len(thin.trajectory) == 3
    for ours, theirs in zip(thin.trajectory, whole.trajectory, strict=True):
        assert ours.time == theirs.time
        assert np.abs(ours.positions - theirs.positions).max() < 0.0101  # Å: both are rounded to 0.001 nm
        assert ours.dimensions == pytest.approx(theirs.dimensions, abs=1e-3)
    seen = universe(tmp_path / "view.pdb").atoms
    assert set(seen.resnames) & {"SOL", "HOH"} == set()
    protein = whole.select_atoms("protein")
    whole.trajectory[0]
    assert len(seen) == len(protein) + 19  # NA 8 and CL 11
    assert np.abs(seen.positions[: len(protein)] - protein.positions).max() < 0.0011
    thin.trajectory.close()
    whole.trajectory.close()


def test_long_trajectories_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sample(2_000, 100) == range(0, 2_000, 1)
    assert len(sample(1_000_001, 100)) <= 2_000
    assert len(sample(50_000, 10_000_000)) == 100
    assert len(sample(30, 100_000_000)) == 30
    monkeypatch.setattr(trajectory, "MOST_READ", 30)
    monkeypatch.setattr(trajectory, "LEAST_READ", 30)
    monkeypatch.setattr(trajectory, "MOST_KEPT", 10)
    outcome = read(MDA / "adk.psf", MDA / "adk_dims2.dcd", tmp_path)
    assert "of which every 4th was read" in outcome.sentence
    assert (outcome.facts["frames"], outcome.facts["frames_read"]) == (102, 26)
    assert outcome.facts["time_between_frames_ps"] == pytest.approx(1.0, rel=1e-5)
    assert table(tmp_path)["frame"].tolist() == list(range(0, 102, 4))
    thin = universe(MDA / "adk.psf", tmp_path / "thinned.xtc")
    assert [round(one.time) for one in thin.trajectory] == [12 * i for i in range(9)]
    thin.trajectory.close()


@pytest.mark.parametrize(
    ("topology", "moving", "left", "whole"),
    [
        ("cobrotoxin.tpr", "cobrotoxin.xtc", -7, 2),
        ("cobrotoxin.tpr", "cobrotoxin.trr", -7, 2),
        ("Amber/ace_tip3p.parm7", "Amber/ace_tip3p.nc", -7, 9),
        ("Amber/ace_tip3p.parm7", "Amber/ace_tip3p.nc", 252_414, 4),
        ("adk.psf", "adk_dims2.dcd", -7, 101),
    ],
)
def test_a_cut_file_keeps_its_whole_frames(
    tmp_path: Path, topology: str, moving: str, left: int, whole: int
) -> None:
    cut = tmp_path / "in"
    cut.write_bytes((MDA / moving).read_bytes()[:left])
    outcome = read(MDA / topology, cut, tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "so only whole frames were used. Upload the whole trajectory" in outcome.sentence
    assert outcome.facts["frames"] == whole == len(table(tmp_path)["time_ps"])
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(["in", *outcome.files.values()])


@pytest.mark.parametrize(
    ("moving", "left"),
    [("cobrotoxin.xtc", 500), ("cobrotoxin.trr", 500), ("cobrotoxin.trr", 50), ("Amber/ace_tip3p.nc", 500),
     ("adk_dims2.dcd", 50), ("adk_dims2.dcd", 500)],
)  # fmt: skip
def test_not_one_whole_frame(tmp_path: Path, moving: str, left: int) -> None:
    (tmp_path / "in").write_bytes((MDA / moving).read_bytes()[:left])
    with pytest.raises(Unreadable, match="Upload it again"):
        read(MDA / "cobrotoxin.tpr", tmp_path / "in", tmp_path)


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(
        Unreadable, match=r"The topology has 3341 atoms and the trajectory 19385, so they do not belong"
    ):
        read(MDA / "adk.psf", MDA / "cobrotoxin.xtc", tmp_path)


def test_more_than_one_trajectory_is_said(tmp_path: Path) -> None:
    given = [MDA / "Amber/ace_mbondi3.nc"] * 2
    outcome = read_trajectory({"topology": [MDA / "Amber/ace_mbondi3.parm7"], "trajectory": given}, tmp_path)
    assert outcome.status is Status.PARTIAL
    assert outcome.sentence.endswith("Only the first of 2 trajectories was read; join them with gmx trjcat.")


def test_coordinates_that_are_no_numbers_end_it(tmp_path: Path) -> None:
    whole = bytearray((MDA / "cobrotoxin.trr").read_bytes())
    frame = len(whole) // 3
    whole[2 * frame + 84 + 36 + 40 : 2 * frame + 84 + 36 + 44] = struct.pack(">f", float("nan"))
    (tmp_path / "in").write_bytes(whole)
    outcome = read(MDA / "cobrotoxin.tpr", tmp_path / "in", tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "Frame 2 is damaged, so only frames before it were used." in outcome.sentence
    assert (outcome.facts["frames"], outcome.facts["frames_read"]) == (2, 2)


def test_a_damaged_frame_that_kills_the_decoder_keeps_those_before_it(tmp_path: Path) -> None:
    """The library's decoder divides by zero here: without care the whole process ends."""
    whole = bytearray((MDA / "cobrotoxin.xtc").read_bytes())
    middle = 100_000  # within the second frame
    whole[middle : middle + 2000] = np.random.default_rng(0).bytes(2000)
    (tmp_path / "in").write_bytes(whole)
    outcome = read(MDA / "cobrotoxin.tpr", tmp_path / "in", tmp_path)
    assert outcome.status is Status.PARTIAL
    assert "Frame 1 is damaged, so only frames before it were used." in outcome.sentence
    assert outcome.facts["frames_read"] == 1 == len(table(tmp_path)["time_ps"])
    thin = universe(MDA / "cobrotoxin.tpr", tmp_path / "thinned.xtc")
    assert len(thin.trajectory) == 1
    thin.trajectory.close()


@pytest.mark.parametrize(("end", "told"), [("kill", "SIGKILL"), ("raise", "error"), ("", "")])
def test_what_a_child_told_is_kept(end: str, told: str) -> None:
    def work(tell: Callable[[tuple[float, ...]], None]) -> None:
        tell((1.0, 2.0))
        tell((3.0, 4.0))
        if end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if end:
            raise ValueError(end)

    assert follow_apart(work, 2) == ([(1.0, 2.0), (3.0, 4.0)], told)


def test_large_xtc_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(struct.pack(">iiif", 2023, 400_000_000, 0, 0.0) + b"\0" * 400)
    with pytest.raises(Unreadable, match="an xtc of the kind for more than 298,261,617 atoms"):
        read(MDA / "adk.psf", tmp_path / "in", tmp_path)


GARBAGE = {
    "nothing": b"",
    "text": b"hello world\n" * 40,
    "noise": bytes((i * 7919 + 13) % 251 for i in range(4000)),
    "zeros": b"\0" * 4000,
    "one line": b"a" * 20_000_000,
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" * 20,
    "a head of netCDF": b"CDF\1" + b"\7" * 400,
    "a head of dcd": struct.pack("<i4s", 84, b"CORD") + b"\7" * 400,
    "a head of xtc": struct.pack(">iii", 1995, 19_385, 0) + b"\7" * 400,
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_for_a_trajectory(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x.xtc").write_bytes(GARBAGE[kind])
    with pytest.raises(Unreadable, match=r"^The (xtc )?trajectory .+ Upload .+\.$"):
        read(MDA / "adk.psf", tmp_path / "x.xtc", tmp_path)


@pytest.mark.parametrize("suffix", [".gro", ".pdb", ".psf", ".tpr", ".parm7", ".xyz"])
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_for_a_topology(tmp_path: Path, kind: str, suffix: str) -> None:
    (tmp_path / f"x{suffix}").write_bytes(GARBAGE[kind])
    with pytest.raises(Unreadable, match=r"^The topology .+ Upload .+\.$"):
        read(tmp_path / f"x{suffix}", MDA / "cobrotoxin.xtc", tmp_path)


def test_a_topology_in_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.gro").write_text((MDA / "two_water_gro.gro").read_text(), encoding="utf-16")
    with pytest.raises(Unreadable, match=r"a text in UTF-16, .* Upload it in that encoding"):
        read(tmp_path / "x.gro", MDA / "cobrotoxin.xtc", tmp_path)


@pytest.mark.parametrize("name", ["adk_oplsaa.gro", "Amber/ace_tip3p.parm7", "cobrotoxin.tpr"])
def test_a_cut_topology(tmp_path: Path, name: str) -> None:
    cut = tmp_path / f"cut{Path(name).suffix}"
    cut.write_bytes((MDA / name).read_bytes()[:100_000])
    with pytest.raises(Unreadable, match="cut, damaged or too new"):
        read(cut, MDA / "cobrotoxin.xtc", tmp_path)
