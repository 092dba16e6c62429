"""Catalogues of all column sets are read, and sources are matched with them anywhere on the sky."""

import math
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.wcs import WCS

from towpath.pipelines.dsa110.science.catalogues import Catalogue, CatalogueError, read_catalogue
from towpath.pipelines.dsa110.science.crossmatch import (
    JOINED,
    crossmatch,
    is_isolated,
    joined_table,
    match,
    median_error,
    offsets,
)
from towpath.pipelines.dsa110.science.sources import COLUMNS, SourceTable


def table_of(ra: np.ndarray, dec: np.ndarray, flux: np.ndarray) -> SourceTable:
    columns = {name: np.ones(len(ra)) for name in COLUMNS if name != "flags"}
    columns |= {"ra": ra, "dec": dec, "flux": flux, "peak": flux}
    return SourceTable(**columns, flags=np.zeros(len(ra), np.int32))


def catalogue_of(ra: np.ndarray, dec: np.ndarray, flux: np.ndarray) -> Catalogue:
    names = tuple(f"S{k}" for k in range(len(ra)))
    return Catalogue("generic", names, ra, dec, flux, np.full(len(ra), np.nan), 1.4e9)


COLUMN_SETS = {
    "nvss.csv": (
        "NVSS,RAJ2000,DEJ2000,S1.4,e_S1.4",
        "235957-0100,23 59 57.5,-01 00 30,123.4,3.7",
        "000003+3700,00 00 03.0,+37 00 00,50.0,1.6",
    ),
    "first.csv": (
        "FIRST,RAJ2000,DEJ2000,Fpeak,Fint,Rms",
        "J2359,359.98958333,-1.00833333,100.0,123.4,0.14",
        "J0000,0.0125,37.0,49.0,50.0,0.15",
    ),
    "vlass.csv": (
        "Component_name,RA,DEC,Total_flux,E_Total_flux,Peak_flux",
        "VLASS1,359.98958333,-1.00833333,123.4,0.5,100",
        "VLASS2,0.0125,37.0,50.0,0.4,49",
    ),
    "racs.csv": (
        "Source_ID,RA,Dec,Total_flux_Source,E_Total_flux_Source",
        "R1,359.98958333,-1.00833333,123.4,0.5",
        "R2,0.0125,37.0,50.0,0.4",
    ),
    "demo.csv": ("name,ra,dec,flux_mjy", "a,359.98958333,-1.00833333,123.4", "b,0.0125,37.0,50.0"),
}
FREQUENCIES = {
    "nvss.csv": 1.4e9,
    "first.csv": 1.4e9,
    "vlass.csv": 3e9,
    "racs.csv": 887.5e6,
    "demo.csv": 1.4e9,
}


@pytest.mark.parametrize("name", COLUMN_SETS)
def test_every_column_set_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("\n".join(COLUMN_SETS[name]) + "\n")
    found = read_catalogue(tmp_path / name)
    np.testing.assert_allclose(found.ra, [359.98958333, 0.0125], atol=1e-6)
    np.testing.assert_allclose(found.dec, [-1.00833333, 37.0], atol=1e-6)
    np.testing.assert_allclose(found.flux, [0.1234, 0.05])
    assert found.frequency == FREQUENCIES[name]
    assert len(found.names) == 2
    assert len(set(found.names)) == 2


@pytest.mark.parametrize("ending", ["fits", "vot"])
def test_units_of_the_file_hold(ending: str, tmp_path: Path) -> None:
    table = Table(
        {
            "_RAJ2000": np.array([1.0, 2.0]) * units.rad,
            "_DEJ2000": [0.1, 0.2] * units.rad,
            "Fint": [1.0, np.nan],
        }
    )
    table["Fint"].unit = "Jy"
    table.write(tmp_path / f"mine.{ending}", format="votable" if ending == "vot" else "fits")
    found = read_catalogue(tmp_path / f"mine.{ending}", survey="first")
    np.testing.assert_allclose(found.ra, [np.degrees(1.0)])  # the row without a flux density is left out
    np.testing.assert_allclose(found.flux, [1.0])
    assert found.names == ("first-1",)


def test_texts_of_fits_and_places_left_blank_are_read(tmp_path: Path) -> None:
    columns = {"NVSS": ["a", "b"], "RAJ2000": ["23 59 57.5", ""], "DEJ2000": ["-01 00 30", "+37 00 00"]}
    Table({**columns, "S1.4": [123.4, 50.0]}).write(tmp_path / "t.fits")
    (tmp_path / "t.csv").write_text(
        "NVSS,RAJ2000,DEJ2000,S1.4\na,23 59 57.5,-01 00 30,123.4\nb,,+37 00 00,50\n"
    )
    for name in ("t.fits", "t.csv"):
        found = read_catalogue(tmp_path / name)
        assert found.names == ("a",)
        np.testing.assert_allclose(found.ra, [359.98958333], atol=1e-6)
        np.testing.assert_allclose(found.dec, [-1.00833333], atol=1e-6)


def test_a_survey_is_told_by_a_word_of_the_name_not_by_letters(tmp_path: Path) -> None:
    content = "ra,dec,Total_flux\n1,2,3\n"
    for name in ("my_racs_1.csv", "RACSlow.csv"):
        (tmp_path / name).write_text(content)
        found = read_catalogue(tmp_path / name)
        assert (found.survey, found.frequency) == ("racs", 0.8875e9)
        np.testing.assert_allclose(found.flux, [3e-3])
    (tmp_path / "terracs.csv").write_text(content)
    with pytest.raises(CatalogueError, match="column Total_flux: no unit"):
        read_catalogue(tmp_path / "terracs.csv")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for content, expected in (
        (
            "a,dec,flux_mjy\n1,2,3\n",
            "no column of right ascension; found a, dec, flux_mjy; expected one of ra,",
        ),
        ("ra,dec,other\n1,2,3\n", "no column of flux density; found ra, dec, other"),
        ("ra,dec,flux\n1,2,3\n", "column flux: no unit"),
        ("ra,dec,flux_jy\nx:y,2,3\n", "column ra: not angles"),
    ):
        (tmp_path / "bad.csv").write_text(content)
        with pytest.raises(CatalogueError, match=expected):
            read_catalogue(tmp_path / "bad.csv")
    with pytest.raises(CatalogueError, match=r"ending '\.doc'; expected"):
        read_catalogue(tmp_path / "a.doc")
    with pytest.raises(CatalogueError, match="no such file"):
        read_catalogue(tmp_path / "none.csv")


def test_a_spectral_index_scales_fluxes() -> None:
    one = catalogue_of(np.array([1.0]), np.array([1.0]), np.array([2.0]))
    scaled = one.scaled(2.8e9, -0.7)
    assert scaled.flux[0] == pytest.approx(2.0 * 2**-0.7)
    assert scaled.frequency == 2.8e9


@pytest.mark.parametrize("dec", [0.0, 37.0, 89.99, -89.99])
def test_matches_are_those_of_astropy_at_poles_and_zero_hours(dec: float) -> None:
    rng = np.random.default_rng(4)
    centre = SkyCoord(0.0, dec, unit="deg")
    reference = centre.directional_offset_by(
        rng.uniform(0, 360, 300) * units.deg, rng.uniform(0, 0.5, 300) * units.deg
    )
    moved = reference.directional_offset_by(
        rng.uniform(0, 360, 300) * units.deg, rng.uniform(0, 8, 300) * units.arcsec
    )
    found = match(moved.ra.deg, moved.dec.deg, reference.ra.deg, reference.dec.deg, 5.0)
    nearest, separation, _ = moved.match_to_catalog_sky(reference)
    expected = np.flatnonzero(separation.arcsec <= 5.0)
    assert set(zip(found.first, found.second, strict=True)) <= set(
        zip(expected, nearest[expected], strict=True)
    )
    # Of two that claim the same, one has it.
    np.testing.assert_array_equal(np.sort(found.second), np.unique(nearest[expected]))
    np.testing.assert_allclose(found.separation, separation.arcsec[found.first], atol=1e-6)
    everything = match(moved.ra.deg, moved.dec.deg, reference.ra.deg, reference.dec.deg, 60.0, mode="all")
    count = len(reference.search_around_sky(moved, 60.0 * units.arcsec)[0])
    assert len(everything.first) == count


def test_offsets_are_those_that_were_made() -> None:
    ra, dec = np.array([0.0005, 120.0, 10.0]), np.array([37.0, -60.0, 89.5])
    east, north = np.array([3.0, -2.0, 1.0]), np.array([-1.0, 4.0, 2.0])
    moved_ra = (ra + east / 3600 / np.cos(np.radians(dec))) % 360
    found = offsets(moved_ra, dec + north / 3600, ra, dec)
    np.testing.assert_allclose(found[0], east, atol=2e-3)
    np.testing.assert_allclose(found[1], north, atol=2e-3)


def scattered(count: int = 200) -> tuple[SourceTable, Catalogue, WCS]:
    rng = np.random.default_rng(6)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.crval = [0.0, 37.0]
    wcs.wcs.crpix = [1001.0, 1001.0]
    wcs.wcs.cdelt = [-6 / 3600, 6 / 3600]
    wcs.wcs.set()
    ra, dec = wcs.wcs_pix2world(rng.uniform(20, 1980, count), rng.uniform(20, 1980, count), 0)
    flux = rng.uniform(0.02, 0.5, count)
    seen = rng.uniform(size=count) < 0.8
    moved = (ra + (0.8 + rng.normal(0, 0.5, count)) / 3600 / math.cos(math.radians(37.0))) % 360
    sources = table_of(
        moved[seen],
        (dec + (-0.4 + rng.normal(0, 0.5, count)) / 3600)[seen],
        (flux * 1.07 * (1 + rng.normal(0, 0.05, count)))[seen],
    )
    return sources, catalogue_of(ra % 360, dec, flux), wcs


def test_scale_offset_and_completeness_are_recovered() -> None:
    sources, catalogue, wcs = scattered()
    noise = np.full((2000, 2000), 1e-3, np.float32)
    noise[:, :1000] = 1.0  # nothing is expected there
    found = crossmatch(sources, catalogue, noise=noise, wcs=wcs)
    assert found.flux_ratio == pytest.approx(1.07, abs=4 * found.flux_ratio_error)
    assert 0.003 < found.flux_ratio_error < 0.01
    assert found.flux_ratio_n > 100
    assert found.offset_east == pytest.approx(0.8, abs=0.2)
    assert found.offset_north == pytest.approx(-0.4, abs=0.2)
    assert found.offset_rms == pytest.approx(0.5 * math.sqrt(2), rel=0.2)
    assert found.completeness is not None
    assert 70 < found.completeness.expected < 110
    assert found.completeness.value == pytest.approx(0.8, abs=0.12)
    assert len(found.missed) == found.completeness.expected - found.completeness.found
    assert not set(found.missed) & set(found.pairs.second)
    x, _ = wcs.wcs_world2pix(catalogue.ra[found.missed], catalogue.dec[found.missed], 0)
    assert (x > 999.0).all() and (catalogue.flux[found.missed] >= 0.05).all()
    table = joined_table(sources, catalogue, found)
    assert len(table) == len(sources)
    assert (table["reference_name"] != "").sum() == len(found.pairs.first)
    assert np.nanmedian(table["flux_ratio"]) == pytest.approx(1.07, abs=0.02)
    assert str(table["separation"].unit) == "arcsec"
    assert all(table[name].description and table[name].meta["ucd"] for name in ("reference_name", *JOINED))


def test_too_few_or_none_are_said_so() -> None:
    sources, catalogue, wcs = scattered(4)
    noise = np.full((2000, 2000), 1e-3)
    few = crossmatch(sources, catalogue, noise=noise, wcs=wcs)
    assert few.completeness is not None
    assert few.completeness.value is None
    nothing = crossmatch(table_of(np.zeros(0), np.zeros(0), np.zeros(0)), catalogue)
    assert nothing.flux_ratio_n == 0
    assert math.isnan(nothing.flux_ratio)
    assert nothing.completeness is None and len(nothing.missed) == 0
    assert math.isnan(median_error(np.zeros(0))[0])
    with pytest.raises(ValueError, match="expected 'nearest' or 'all'"):
        match([1.0], [1.0], [1.0], [1.0], 5.0, mode="some")


def test_isolation_looks_across_zero_hours() -> None:
    alone = is_isolated([359.999, 0.001, 5.0], [0.0, 0.0, 0.0], 30.0)
    np.testing.assert_array_equal(alone, [False, False, True])
