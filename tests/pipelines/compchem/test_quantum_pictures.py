"""Pictures of calculations show what the file gives, with areas that are those of the intensities."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from scipy.constants import N_A, c, e, epsilon_0, m_e

from towpath.pipelines.compchem.science.outcome import Outcome, Status
from towpath.pipelines.compchem.science.quantum import read_quantum
from towpath.pipelines.compchem.science.quantum_pictures import (
    absorption,
    draw_infrared,
    draw_optimisation,
    draw_quantum,
    draw_scf,
    draw_uvvis,
    infrared,
)
from towpath.pipelines.compchem.science.quantum_spectra import read_table

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "compchem"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared files of computational chemistry are absent"
)

DRAWN = {
    "FChk_basicGaussian16_dvb_gopt.fchk": {"structure"},
    "Gaussian_basicGaussian16_dvb_gopt.out": {"structure", "scf", "optimisation"},
    "Gaussian_basicGaussian16_dvb_ir.out": {"structure", "ir"},  # its SCF took one cycle
    "MOPAC_basicMOPAC2016_dvb_gopt.out": {"structure", "optimisation"},
    "ORCA_basicORCA5.0_dvb_td.out": {"structure", "uvvis", "scf"},
    "Psi4_basicPsi4-1.7_dvb_gopt_rks.out": {"structure", "scf", "optimisation"},
    "QChem_basicQChem5.1_dvb_ir.out": {"structure", "ir", "scf"},
}
FAST = (
    "FChk_basicGaussian16_dvb_gopt.fchk",
    "MOPAC_basicMOPAC2016_dvb_gopt.out",
    "ORCA_basicORCA5.0_dvb_td.out",
)


def draw_file(path: Path, folder: Path) -> Outcome:
    """Read a file and draw what was read."""
    read = read_quantum({"output": [path]}, folder)
    return draw_quantum({name: folder / file for name, file in read.files.items()}, folder)


def inked(path: Path) -> tuple[float, float]:
    """Shares of a picture's pixels that are not white, and that have a colour."""
    pixels = imread(path)[:, :, :3]
    return float((pixels.min(axis=2) < 0.9).mean()), float((np.ptp(pixels, axis=2) > 0.2).mean())


@needs_data
@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in DRAWN]
)
def test_what_a_file_gives_is_drawn(name: str, tmp_path: Path) -> None:
    outcome = draw_file(DATA / name, tmp_path)
    assert outcome.status is Status.SUCCESS
    assert set(outcome.files) == DRAWN[name]
    assert {path.name for path in tmp_path.glob("*.png")} == set(outcome.files.values())
    for what, file in outcome.files.items():
        dark, coloured = inked(tmp_path / file)
        assert 0.002 < dark < 0.6
        assert coloured > 0.001 or what == "structure"
        assert imread(tmp_path / file).shape[1] <= 1200


@needs_data
def test_equal_files_give_equal_pictures(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        draw_file(DATA / "ORCA_basicORCA6.0_dvb_ir.out", tmp_path / name)
    pictures = sorted(path.name for path in (tmp_path / "a").glob("*.png"))
    assert pictures == ["ir.png", "scf.png", "structure.png"]
    for name in pictures:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@needs_data
def test_a_cut_file_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    part = tmp_path / "part.out"
    part.write_bytes((DATA / "Gaussian_basicGaussian16_dvb_gopt.out").read_bytes()[:105_000])
    assert set(draw_file(part, tmp_path).files) == {"structure", "scf", "optimisation"}


def test_nothing_to_draw_is_told(tmp_path: Path) -> None:
    (tmp_path / "metadata.json").write_text(json.dumps({"formula": "He"}), encoding="utf-8")
    outcome = draw_quantum({"metadata": tmp_path / "metadata.json"}, tmp_path)
    assert (outcome.status, dict(outcome.files)) == (Status.PARTIAL, {})
    assert "Nothing was drawn" in outcome.sentence
    assert draw_quantum({}, tmp_path).status is Status.PARTIAL


def test_the_area_of_an_infrared_line_is_its_intensity() -> None:
    """∫ε dν̃ = A / ln 10, and 1 km/mol is 100 L/(mol cm²); 1 % of a Lorentz line lies beyond 64 half widths."""
    axis = np.linspace(0.0, 4000.0, 40_001)
    curve = infrared(axis, np.array([1000.0, 3000.0]), np.array([50.0, 20.0]))
    area = np.trapezoid(curve, axis)
    assert area == pytest.approx(100.0 * 70.0 / np.log(10.0), rel=0.01)
    assert axis[curve.argmax()] == pytest.approx(1000.0)
    half = curve > curve.max() / 2.0
    assert np.ptp(axis[half]) == pytest.approx(16.0, abs=0.3)


def test_the_area_of_a_band_is_its_oscillator_strength() -> None:
    """The dimensionless strength is 4 ε₀ mₑ c² ln 10 / (N_A e²) times ∫ε dν̃ in SI units (m²/mol and 1/m)."""
    axis = np.linspace(0.0, 80_000.0, 8001)
    curve = absorption(axis, np.array([40_000.0]), np.array([1.17]))
    factor = 4.0 * epsilon_0 * m_e * c**2 * np.log(10.0) / (N_A * e**2)
    assert factor * 10.0 * np.trapezoid(curve, axis) == pytest.approx(1.17, rel=1e-3)
    assert 40_000.0 < curve.max() < 50_000.0  # near 4.1e4 L/(mol cm) for f = 1, as spectra of this width have


def table(folder: Path, text: str) -> Path:
    """A table in a file."""
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_spectra_without_strength_are_not_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "no.png"
    silent = table(tmp_path, "mode,wavenumber_cm-1,ir_intensity_km_per_mol,symmetry\n1,100.5,0,Ag\n")
    assert read_table(silent)["symmetry"] == ["Ag"]
    assert not draw_infrared(picture, read_table(silent), "")
    assert not draw_infrared(picture, {"mode": [1.0], "wavenumber_cm-1": [100.0]}, "")
    assert not draw_uvvis(picture, {"energy_cm-1": [3e4], "oscillator_strength": [0.0]}, "")
    assert not draw_uvvis(picture, {"energy_cm-1": [3e4]}, "")
    assert not draw_scf(picture, {"history": [[1.0]], "criteria": []}, "")
    assert not draw_optimisation(picture, {}, "")
    assert not picture.exists()


def test_imaginary_modes_and_gaps_do_no_harm(tmp_path: Path) -> None:
    modes = {"wavenumber_cm-1": [-500.0, 800.0], "ir_intensity_km_per_mol": [30.0, 10.0]}
    assert draw_infrared(tmp_path / "ir.png", modes, "C2H4")
    criteria = [
        {"name": "energy change", "unit": "hartree", "target": 1e-6},
        {"name": "other", "unit": "", "target": None},
    ]
    history = [[None, 0.0], [1e-3, 0.0], [0.0, None]]
    assert draw_scf(tmp_path / "scf.png", {"history": history, "criteria": criteria, "steps": 3}, "")
    geometry = {
        "history": history,
        "criteria": criteria,
        "energies_hartree": [-1.0, -1.2, -1.2],
        "converged": False,
    }
    assert draw_optimisation(tmp_path / "optimisation.png", geometry, "")
    assert all(inked(tmp_path / f"{name}.png")[1] > 0.0001 for name in ("ir", "scf", "optimisation"))
