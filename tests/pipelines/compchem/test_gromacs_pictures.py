"""What readers make of molecular dynamics can be drawn: right size, equal bytes for equal inputs, no warning."""

import importlib.resources
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib.image
import pytest

from towpath.pipelines.compchem.science.energies import read_energies
from towpath.pipelines.compchem.science.gromacs_pictures import draw_energies, draw_tpr, draw_trajectory
from towpath.pipelines.compchem.science.outcome import Outcome, Status, Unreadable
from towpath.pipelines.compchem.science.tpr import read_tpr
from towpath.pipelines.compchem.science.trajectory import read_trajectory

MDA = Path(str(importlib.resources.files("MDAnalysisTests") / "data"))
Draw = Callable[[Mapping[str, Path], Path], Outcome]


def drawn(draw: Draw, outcome: Outcome, folder: Path, name: str) -> bytes:
    """Draw twice; the picture is at most 1200 wide, not empty, and the same both times."""
    made = {output: folder / file for output, file in outcome.files.items()}
    told = draw(made, folder)
    assert (told.status, dict(told.files)) == (Status.SUCCESS, {name: f"{name}.png"})
    first = (folder / f"{name}.png").read_bytes()
    pixels = matplotlib.image.imread(folder / f"{name}.png")
    assert 800 <= pixels.shape[1] <= 1200
    assert 250 <= pixels.shape[0] <= 1200
    assert float(pixels[..., :3].std()) > 0.02
    draw(made, folder)
    assert (folder / f"{name}.png").read_bytes() == first
    return first


def test_run_inputs(tmp_path: Path) -> None:
    for name in ("tprs/2lyz_gmx_2021.tpr", "tprs/ala_nnpot_gmx_2026_0.tpr"):
        drawn(draw_tpr, read_tpr({"tpr": [MDA / name]}, tmp_path), tmp_path, "composition")


def test_names_that_could_be_mathematics(tmp_path: Path) -> None:
    facts = {"main_information": {"title": "a $\\frac{ b $", "molecules": [{"name": "$x_", "count": 2}] * 30}}
    (tmp_path / "annotation.json").write_text(json.dumps(facts))
    drawn(draw_tpr, Outcome(Status.SUCCESS, "", {"annotation": "annotation.json"}), tmp_path, "composition")


def test_no_molecules_are_said(tmp_path: Path) -> None:
    (tmp_path / "annotation.json").write_text("{}")
    with pytest.raises(Unreadable, match="nothing to draw"):
        draw_tpr({"annotation": tmp_path / "annotation.json"}, tmp_path)


@pytest.mark.parametrize(
    ("topology", "moving"),
    [("cobrotoxin.tpr", "cobrotoxin.xtc"), ("Amber/ace_mbondi3.parm7", "Amber/ace_mbondi3.nc")],
)
def test_trajectories(tmp_path: Path, topology: str, moving: str) -> None:
    outcome = read_trajectory({"topology": [MDA / topology], "trajectory": [MDA / moving]}, tmp_path)
    drawn(draw_trajectory, outcome, tmp_path, "course")


@pytest.mark.parametrize("name", ["test.edr", "single_frame.edr", "test.xvg"])
def test_energies(tmp_path: Path, name: str) -> None:
    drawn(draw_energies, read_energies({"energies": [MDA / name]}, tmp_path), tmp_path, "energies")
