"""Real subbands become a Measurement Set: pyuvdata reads it as it reads the files; faults are refused by name."""

import hashlib
import importlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from towpath.pipelines.dsa110.science.convert import convert
from towpath.pipelines.dsa110.science.coordinates import frame, mean_direction, rotate
from towpath.pipelines.dsa110.science.instrument import load_profile
from towpath.pipelines.dsa110.science.invariants import check_measurement_set
from towpath.pipelines.dsa110.science.measurement_set import extend, read_visibilities
from towpath.pipelines.dsa110.science.uvh5 import SubbandError, check_subband, read_header


@pytest.fixture
def pair(data: Path) -> list[Path]:
    return sorted((data / "radio").glob("ata*.uvh5"), reverse=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ata_pair_equals_pyuvdata(pair: list[Path], tmp_path: Path) -> None:
    pyuvdata = importlib.import_module("pyuvdata")
    target = tmp_path / "ata.ms"
    facts = convert(pair, target, load_profile("ata"))
    assert (facts.n_rows, facts.n_channels, facts.missing) == (406, 32, ())
    ours = pyuvdata.UVData.from_file(str(target), file_type="ms", run_check=False)
    peers = [pyuvdata.UVData.from_file(str(one), file_type="uvh5", run_check=False) for one in pair[::-1]]
    for peer in peers:
        peer.conjugate_bls("ant1<ant2")
    joined = np.concatenate([one.data_array for one in peers], axis=1)
    order = [list(peers[0].polarization_array).index(one) for one in ours.polarization_array]
    np.testing.assert_array_equal(ours.data_array, joined[:, :, order])
    # The files' uvw are those of half an integration away from their times: 15 s of rotation over the baseline.
    turn = 7.2921e-5 * 30.0155 / 2
    assert np.abs(ours.uvw_array - peers[0].uvw_array).max() < turn * 283 * 1.02
    assert np.ptp(np.linalg.norm(ours.uvw_array, axis=1) - np.linalg.norm(peers[0].uvw_array, axis=1)) < 2e-3


def test_missing_subband_is_flagged(pair: list[Path], tmp_path: Path) -> None:
    facts = convert(pair[:1], tmp_path / "one.ms", load_profile("ata"))
    found = read_visibilities(tmp_path / "one.ms")
    assert facts.missing == (0,)
    assert found.flags[:, :16].all() and not found.weights[:, :16].any() and not found.flags[:, 16:].any()


def test_duplicate_truncated_and_foreign_files_are_refused(pair: list[Path], tmp_path: Path) -> None:
    with pytest.raises(SubbandError, match="has too"):
        convert([pair[0], pair[0]], tmp_path / "a.ms", load_profile("ata"))
    short = tmp_path / "short.hdf5"
    short.write_bytes(pair[0].read_bytes()[:200_000])
    with pytest.raises(SubbandError, match="whole HDF5"):
        check_subband(short)
    lacks = tmp_path / "lacks.hdf5"
    shutil.copy(pair[0], lacks)
    with h5py.File(lacks, "a") as file:
        del file["Data/flags"]
    with pytest.raises(SubbandError, match="Data/flags"):
        read_header(lacks)
    with pytest.raises(SubbandError, match="freq_array"):
        convert(pair, tmp_path / "b.ms", load_profile("dsa110"))


def test_clock_too_far_off_is_refused_and_near_is_joined(pair: list[Path], tmp_path: Path) -> None:
    for seconds, good in ((10.0, True), (20.0, False)):
        late = tmp_path / f"late{seconds}.hdf5"
        shutil.copy(pair[1], late)
        with h5py.File(late, "a") as file:
            file["Header/time_array"][...] += seconds / 86400
        if good:
            convert([late, pair[0]], tmp_path / "near.ms", load_profile("ata"))
            assert not read_visibilities(tmp_path / "near.ms").flags.any()
        else:
            with pytest.raises(SubbandError, match="half an integration"):
                convert([late, pair[0]], tmp_path / "far.ms", load_profile("ata"))


def test_extended_set_leaves_its_source_alone(pair: list[Path], tmp_path: Path) -> None:
    source, target = tmp_path / "a.ms", tmp_path / "b.ms"
    convert(pair, source, load_profile("ata"))
    sums = {
        one: hashlib.sha256(one.read_bytes()).digest()
        for one in source.rglob("*")
        if one.is_file() and one.name != "table.lock"
    }
    before = read_visibilities(source)
    extend(source, target, corrected=2 * before.data, flags=~before.flags)
    assert all(hashlib.sha256(one.read_bytes()).digest() == kept for one, kept in sums.items())
    after = read_visibilities(target, column="CORRECTED_DATA")
    np.testing.assert_array_equal(after.data, 2 * before.data)
    assert after.flags.all() and not read_visibilities(source).flags.any()
    assert any(one.stat().st_nlink == 2 for one in target.iterdir())


def test_invariants_name_what_is_broken(pair: list[Path], tmp_path: Path) -> None:
    convert(pair, tmp_path / "a.ms", load_profile("ata"))
    other = replace(load_profile("ata"), telescope="other", uvw=(20.0, 100.0))
    problems = check_measurement_set(tmp_path / "a.ms", other)
    assert len(problems) == 2 and "TELESCOPE_NAME" in problems[0] and "lengths" in problems[1]


def test_hera_rows_are_phased_to_their_zenith(data: Path, tmp_path: Path) -> None:
    path = next((data / "radio").glob("zen*.uvh5"))
    header = read_header(path)
    profile = replace(
        load_profile("ata"), name="HERA", telescope="HERA", subbands=1, channels=4, width=header.width,
        lowest=float(header.frequency[0]), polarisations=("XX", "YY"), integration=float(header.interval[0]),
    )  # fmt: skip
    facts = convert([path], tmp_path / "hera.ms", profile)
    found = read_visibilities(tmp_path / "hera.ms")
    assert facts.n_rows == 200 and found.centres.shape == (20, 2)
    # Towards the zenith of the array's own place, w is what the stations differ in height by.
    assert np.abs(found.uvw[:, 2]).max() < 0.5
    np.testing.assert_allclose(np.degrees(found.centres[0]), [200.2413, -30.6193], atol=1e-3)


def test_rotation_keeps_a_source_in_place() -> None:
    rng = np.random.default_rng(1)
    centres = np.array([[6.28, 0.3], [0.01, 0.3]])
    uvw, field = rng.normal(0, 800, (40, 3)), np.arange(40, dtype=np.int32) % 2
    frequency = 1.3e9 + 2.5e5 * np.arange(130)
    source = frame([0.002, 0.301])[2]

    def predict(uvw: np.ndarray, centre: np.ndarray) -> np.ndarray:
        offset = np.array([frame(one) @ source for one in centre]) - [0, 0, 1]
        path = np.einsum("rc,rc->r", uvw, offset)[:, None] * frequency / 299792458.0
        return np.exp(2j * np.pi * path)[:, :, None].astype(np.complex64)

    new = np.array(mean_direction(centres))
    assert min(new[0], 2 * np.pi - new[0]) < 0.01
    data, turned = rotate(predict(uvw, centres[field]), uvw, frequency, field, centres, new)
    np.testing.assert_allclose(data, predict(turned, np.broadcast_to(new, (40, 2))), atol=1e-5)


CONVERT = """
import sys
from pathlib import Path
from towpath.pipelines.dsa110.science.convert import convert
from towpath.pipelines.dsa110.science.instrument import load_profile
convert([Path(name) for name in sys.argv[2:]], Path(sys.argv[1]), load_profile("ata"))
"""


def test_equal_files_give_equal_bytes_whatever_the_memory_held(pair: list[Path], tmp_path: Path) -> None:
    """The C library fills memory with a byte of its own here, so that what is written without being set would differ."""
    found = []
    for fill in ("0", "85", "170"):
        target = tmp_path / f"{fill}.ms"
        environment = {**os.environ, "MALLOC_PERTURB_": fill}
        subprocess.run(
            [sys.executable, "-c", CONVERT, str(target), *map(str, pair)], check=True, env=environment
        )
        files = sorted(path for path in target.rglob("*") if path.is_file())
        found.append({str(path.relative_to(target)): path.read_bytes() for path in files})
    assert found[0] == found[1] == found[2]
