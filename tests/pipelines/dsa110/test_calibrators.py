"""The table of calibrators has the published numbers, and finds what a drifting beam passes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from towpath.pipelines.dsa110.science.calibrators import (
    BUILT_IN,
    Calibrator,
    CalibratorError,
    add,
    find_calibrator,
    read_table,
    sky_of,
    write_table,
)

BY_NAME = {one.name: one for one in BUILT_IN}
BEAM = np.radians(1.4)


def drifting(ra: float, dec: float, n: int = 24) -> np.ndarray:
    """Pointings of a beam at rest: 12.88 s of sidereal time apart, about the middle (degrees)."""
    return np.radians(
        np.column_stack([(ra + 15.041 * 12.885 / 3600 * (np.arange(n) - (n - 1) / 2)) % 360, np.full(n, dec)])
    )


@pytest.mark.parametrize(
    ("name", "older"),
    # Perley & Butler 2013, ApJS 204, 19: independent fits to partly the same data, which agree within 3 %.
    [
        ("3C123", (1.8077, -0.8018, -0.1157)),
        ("3C196", (1.2969, -0.8690, -0.1788, 0.0305)),
        ("3C295", (1.4866, -0.7871, -0.3440, 0.0749)),
    ],
)
def test_flux_standards_agree_with_the_older_scale(name: str, older: tuple[float, ...]) -> None:
    x = np.log10(1.405)
    expected = 10.0 ** sum(a * x**k for k, a in enumerate(older))
    assert BY_NAME[name].flux(np.array([1.405e9]))[0] == pytest.approx(expected, rel=0.03)


def test_the_flux_of_3c286_is_near_that_of_the_oldest_scale() -> None:
    # 14.41 Jy at 1465 MHz (Baars et al. 1977), which later scales raised by a few per cent.
    assert BY_NAME["3C286"].flux(np.array([1.465e9]))[0] == pytest.approx(14.41, rel=0.04)


def test_outside_its_frequencies_a_model_is_not_used() -> None:
    with pytest.raises(CalibratorError, match=r"3C138: found 0\.1–0\.1 GHz; its model holds for 0\.2–50 GHz"):
        BY_NAME["3C138"].flux(np.array([1e8]))
    assert find_calibrator(BUILT_IN, drifting(80.3, 16.6), radius=BEAM, frequency=1e8) is None


def test_the_sky_of_a_calibrator_has_its_spectrum() -> None:
    frequency = np.linspace(1.311e9, 1.499e9, 7)
    for one in BUILT_IN:
        sky = sky_of(one, 1.405e9)
        np.testing.assert_allclose(sky.flux_at(frequency)[0], one.flux(frequency), rtol=1e-10)
        assert (np.degrees(sky.ra[0]), np.degrees(sky.dec[0])) == pytest.approx((one.ra, one.dec))


def test_a_calibrator_in_the_beam_is_found_with_its_transit() -> None:
    one = BY_NAME["3C286"]
    found = find_calibrator(BUILT_IN, drifting(one.ra - 0.25, one.dec + 0.3), radius=BEAM)
    assert found is not None and found.calibrator == one
    assert found.separation == pytest.approx(0.3, abs=0.03)
    assert found.nearest == 16  # a quarter of a degree is 60 s: 4.6 integrations after the middle
    assert found.transit == pytest.approx(0.25 / 360 * 86164.09, rel=1e-6)
    assert find_calibrator(BUILT_IN, drifting(one.ra + 3.5, one.dec), radius=BEAM) is None
    assert find_calibrator(BUILT_IN, drifting(one.ra, one.dec), radius=BEAM, faintest=20.0) is None


def test_right_ascension_may_wrap() -> None:
    one = replace(BY_NAME["3C286"], name="wrap", ra=0.05, dec=10.0, declinations=(9.0, 11.0))
    found = find_calibrator([one], drifting(359.95, 10.0), radius=BEAM)
    assert found is not None
    assert found.transit == pytest.approx(0.1 / 360 * 86164.09, rel=1e-6)


def test_standards_go_before_others_and_then_the_brighter() -> None:
    one = BY_NAME["3C48"]
    bright = replace(one, name="bright", coefficients=(3.0,), primary=False)
    brighter = replace(one, name="brighter", coefficients=(1.5,))
    centres = drifting(one.ra, one.dec)
    for table, expected in (((bright, one), "3C48"), ((bright, one, brighter), "brighter")):
        found = find_calibrator(table, centres, radius=BEAM)
        assert found is not None and found.calibrator.name == expected


def test_declination_range_and_extent_exclude() -> None:
    one = BY_NAME["3C123"]
    centres = drifting(one.ra, one.dec)
    assert find_calibrator([one], centres, radius=BEAM) is None
    assert find_calibrator([one], centres, radius=BEAM, largest=60.0) is not None
    other = replace(one, declinations=(40.0, 50.0))
    assert find_calibrator([other], centres, radius=BEAM, largest=60.0) is None


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_table(tmp_path / "calibrators.ecsv", BUILT_IN)
    assert read_table(tmp_path / "calibrators.ecsv") == BUILT_IN


def test_calibrators_are_added_by_right_ascension() -> None:
    one = replace(BY_NAME["3C48"], name="new", ra=100.0)
    table = add(BUILT_IN, one)
    assert [c.ra for c in table] == sorted(c.ra for c in table)
    with pytest.raises(CalibratorError, match="in the table already"):
        add(table, one)
    assert len(add(table, replace(one, size=3.0), replace=True)) == len(table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ra": 400.0}, r"ra_deg: found 400\.0; expected 0 to 360"),
        ({"declinations": (5.0, 1.0)}, "dec_min_deg, dec_max_deg: found"),
        ({"error": 2.0}, r"error: found 2\.0"),
        ({"coefficients": (float("nan"),)}, "a0 …: found"),
        ({"name": " "}, "name: found ' '"),
    ],
)
def test_a_wrong_calibrator_is_named(change: dict, message: str, tmp_path: Path) -> None:
    wrong: Calibrator = replace(BY_NAME["3C48"], **change)
    with pytest.raises(CalibratorError, match=message):
        add((), wrong)
    write_table(tmp_path / "t.ecsv", [BY_NAME["3C286"], wrong])
    with pytest.raises(CalibratorError, match=r"t\.ecsv, row 2, "):
        read_table(tmp_path / "t.ecsv")


def test_what_is_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(CalibratorError, match="no such file"):
        read_table(tmp_path / "none.ecsv")
    (tmp_path / "text.ecsv").write_text("name,ra\n3C48,24\n")
    with pytest.raises(CalibratorError, match="not ECSV"):
        read_table(tmp_path / "text.ecsv")
    write_table(tmp_path / "t.ecsv", BUILT_IN)
    words = (tmp_path / "t.ecsv").read_text().replace("dec_min_deg", "lowest")
    (tmp_path / "t.ecsv").write_text(words)
    with pytest.raises(CalibratorError, match="found no column 'dec_min_deg'"):
        read_table(tmp_path / "t.ecsv")
