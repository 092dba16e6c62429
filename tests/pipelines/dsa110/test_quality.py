"""Measures tell what was put in, and pictures are drawn whole."""

import math
from pathlib import Path

import numpy as np
import pytest
from astropy.wcs import WCS
from matplotlib.image import imread

from towpath.pipelines.dsa110.science import quality, quicklook

BEAM = (25 / 3600, 15 / 3600, 30.0)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    values = np.random.default_rng(1).normal(0, 2e-3, (400, 600)).astype(np.float32)
    values[200, 300] = 1.0
    return values


def test_noise_and_range_ignore_sources(image: np.ndarray) -> None:
    assert quality.robust_rms(image) == pytest.approx(2e-3, rel=0.01)
    assert quality.dynamic_range(image) == pytest.approx(500, rel=0.01)
    crowded = image.copy()
    crowded[::7, ::7] += 0.1
    assert quality.robust_rms(crowded) == pytest.approx(2e-3, rel=0.04)
    assert quality.noise_over_theory(image, 1e-3) == pytest.approx(2.0, rel=0.01)


def test_noise_of_a_large_image_is_that_of_all_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "MOST", 60_000)
    values = np.random.default_rng(3).normal(0, 1.0, (400, 600))
    values[:, ::4] *= 10.0  # a step of 4 pixels would see only these
    assert quality.robust_rms(values) == pytest.approx(1.25, abs=0.3)


def test_blank_and_holes_are_counted(image: np.ndarray) -> None:
    half = image.copy()
    half[:100] = np.nan
    assert quality.finite_fraction(half) == 0.75
    assert quality.artefact_score(image) == 0.0
    half[300, :10] = -0.5
    assert quality.artefact_score(half) == pytest.approx(10 / 11)
    assert quality.negative_ratio(half) == pytest.approx(0.5)
    blank = np.full((4, 4), np.nan)
    assert math.isnan(quality.robust_rms(blank))
    assert math.isnan(quality.dynamic_range(blank))


def test_theory_is_that_of_the_radiometer() -> None:
    # 96 stations, 187.5 MHz, 309.24 s, two polarisations, 5800 Jy.
    expected = 5800 / math.sqrt(2 * 96 * 95 * 187.5e6 * 309.24)
    assert quality.theoretical_noise(5800, 96, 187.5e6, 309.24) == pytest.approx(expected)
    assert expected == pytest.approx(1.78e-4, rel=0.01)


def test_all_measures_are_numbers(image: np.ndarray) -> None:
    noisy_edge = image.copy()
    noisy_edge[:20] *= 3
    noisy_edge[-20:] *= 3
    assert quality.edge_ratio(noisy_edge) > 1.2
    found = quality.measures(image, beam=BEAM, noise=np.full(image.shape, 2e-3), theory=2e-3)
    assert found["noise_chi"] == pytest.approx(1.0, rel=0.01)
    assert found["beam_axial_ratio"] == pytest.approx(25 / 15)
    assert found["edge_ratio"] == pytest.approx(1.0, abs=0.03)
    assert set(found) >= {"rms", "peak", "finite", "artefacts", "effective_noise", "noise_over_theory"}
    assert all(math.isfinite(one) for one in found.values())
    assert quality.LIMITS["mosaic_rms_most"] == (None, 0.0186)


def make_wcs() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.crval = [0.0, 37.0]
    wcs.wcs.crpix = [301.0, 201.0]
    wcs.wcs.cdelt = [-6 / 3600, 6 / 3600]
    wcs.wcs.set()
    return wcs


def test_reducing_keeps_the_sky_in_place(image: np.ndarray) -> None:
    wcs = make_wcs()
    small, where, step = quicklook.reduced(image, wcs, 200)
    assert small.shape == (133, 200)
    assert step == 3
    assert small[66, 100] == pytest.approx(image[198:201, 300:303].mean(), rel=1e-4)
    np.testing.assert_allclose(where.wcs_pix2world(66, 50, 0), wcs.wcs_pix2world(66 * 3 + 1, 50 * 3 + 1, 0))


def test_reducing_keeps_the_sky_in_place_where_a_header_has_a_matrix(image: np.ndarray) -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---SIN", "DEC--SIN"], [0.0, 37.0], [301.0, 201.0]
    wcs.wcs.cd = [[-5e-3, 1e-3], [1e-3, 5e-3]]
    wcs.wcs.set()
    _, where, _ = quicklook.reduced(image, wcs, 200)
    np.testing.assert_allclose(where.wcs_pix2world(66, 50, 0), wcs.wcs_pix2world(66 * 3 + 1, 50 * 3 + 1, 0))


def test_sources_outside_leave_a_picture_as_it_is(image: np.ndarray, tmp_path: Path) -> None:
    wcs = make_wcs()
    for name, x in (("inside.png", 100.0), ("outside.png", 5000.0)):
        ra, dec = wcs.wcs_pix2world([x], [200.0], 0)
        quicklook.draw_mosaic(tmp_path / name, image, wcs, BEAM, ra=ra, dec=dec)
    inside, outside = (imread(tmp_path / name)[..., :3] for name in ("inside.png", "outside.png"))
    assert (np.abs(inside - outside).max(axis=-1) > 0.02).mean() < 0.01  # a ring, no more


def test_pictures_are_drawn_and_equal_in_bytes(image: np.ndarray, tmp_path: Path) -> None:
    wcs = make_wcs()
    ra, dec = wcs.wcs_pix2world([300.0, 100.0], [200.0, 50.0], 0)
    for name in ("a.png", "b.png"):
        quicklook.draw_mosaic(tmp_path / name, image, wcs, BEAM, ra=ra, dec=dec, matched=[True, False])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    plain = tmp_path / "plain.png"
    quicklook.draw_mosaic(plain, image, wcs, BEAM)
    first, second = imread(tmp_path / "a.png"), imread(plain)
    amber = np.array([0xF5, 0xA6, 0x23]) / 255
    assert (np.abs(first[..., :3] - amber).max(axis=-1) < 0.05).sum() > 20  # a ring
    assert second.shape[1] == first.shape[1]


def test_what_was_missed_has_a_mark_of_its_own(image: np.ndarray, tmp_path: Path) -> None:
    """Amber rings, blue squares and green crosses, each where its source is and nowhere else."""
    wcs, places = make_wcs(), {"matched": 150.0, "alone": 300.0, "missed": 450.0}
    ra, dec = wcs.wcs_pix2world(list(places.values()), [200.0] * 3, 0)
    quicklook.draw_mosaic(
        tmp_path / "a.png", image, wcs, BEAM, ra=ra[:2], dec=dec[:2], matched=[True, False], missed=(ra[2:], dec[2:])
    )  # fmt: skip
    quicklook.draw_mosaic(tmp_path / "b.png", image, wcs, BEAM, missed=(ra[2:], dec[2:]))
    both = [imread(tmp_path / name)[..., :3] for name in ("a.png", "b.png")]
    found = {}
    for name, colour in (("matched", "f5a623"), ("alone", "2fb1ee"), ("missed", "5fd068")):
        near = [np.abs(one - np.array(list(bytes.fromhex(colour))) / 255).max(axis=-1) < 0.05 for one in both]
        below = np.nonzero(near[0][150:700])[1]  # beneath the legend
        assert len(below) > 20, name
        found[name] = float(np.median(below))
        assert (near[1].sum() > 20) == (name == "missed"), name
    assert found["matched"] < found["alone"] < found["missed"]
    step = found["alone"] - found["matched"]
    assert found["missed"] - found["alone"] == pytest.approx(step, rel=0.05)


@pytest.mark.parametrize("count", [0, 1, 60])
def test_comparisons_are_drawn_for_any_number(count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    ratio = 1 + rng.normal(0, 0.1, count)
    quicklook.draw_flux_ratios(
        tmp_path / "f.png",
        rng.uniform(0.05, 1, count),
        ratio,
        median=float(np.median(ratio)) if count else math.nan,
    )
    quicklook.draw_offsets(tmp_path / "o.png", ratio - 1, ratio - 1, radius=5.0, beam=BEAM)
    assert imread(tmp_path / "f.png").shape[1] > 800
    assert imread(tmp_path / "o.png").shape[1] > 700


def test_tiles_and_histograms_are_drawn(image: np.ndarray, tmp_path: Path) -> None:
    quicklook.draw_tile(tmp_path / "t.png", image, image, make_wcs(), BEAM, caption="noise 2 mJy/beam")
    quicklook.draw_residual_histogram(tmp_path / "h.png", image)
    assert imread(tmp_path / "t.png").shape[1] == 1680
    bars = imread(tmp_path / "h.png")[..., :3]
    assert (np.abs(bars - np.array([0x9F, 0xB6, 0xCC]) / 255).max(axis=-1) < 0.02).mean() > 0.05
