"""AOFlagger flags a Measurement Set from outside, or says why not."""

import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import table

from towpath.pipelines.dsa110.science import aoflagger

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "radio"
NAME = "day2_TDEM0003_10s_norx_1src_1spw.ms"


def program(folder: Path, text: str) -> None:
    """Put a program of this name into a folder."""
    path = folder / aoflagger.PROGRAM
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole search path for programs, and a folder that looks like a Measurement Set."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    ms = tmp_path / "observation.ms"
    ms.mkdir()
    (ms / "table.dat").touch()
    return folder


def test_where_it_is_not_installed_the_error_says_what_to_install(empty_path: Path) -> None:
    assert not aoflagger.is_installed()
    assert aoflagger.version() == ""
    with pytest.raises(aoflagger.FlaggerError, match="apt install aoflagger"):
        aoflagger.run(empty_path.parent / "observation.ms")


def test_its_arguments_and_its_failure_are_told(empty_path: Path) -> None:
    ms, strategy = empty_path.parent / "observation.ms", empty_path.parent / "strategy.lua"
    program(empty_path, 'echo "$@"; exit 3')
    strategy.touch()
    with pytest.raises(
        aoflagger.FlaggerError, match=r"exit status 3: -j 2 -column DATA -strategy .*strategy\.lua"
    ):
        aoflagger.run(ms, strategy)
    with pytest.raises(aoflagger.FlaggerError, match=r"none\.lua: no such file"):
        aoflagger.run(ms, empty_path / "none.lua")
    with pytest.raises(aoflagger.FlaggerError, match="no such table"):
        aoflagger.run(empty_path / "none.ms")


def test_one_that_hangs_is_stopped(empty_path: Path) -> None:
    program(empty_path, f"exec {shutil.which('sleep', path=os.defpath) or '/bin/sleep'} 60")
    with pytest.raises(aoflagger.FlaggerError, match=r"not done after 0\.2 s"):
        aoflagger.run(empty_path.parent / "observation.ms", timeout=0.2)


@pytest.mark.skipif(
    not aoflagger.is_installed() and "CI" not in os.environ, reason="aoflagger is not installed"
)
@pytest.mark.skipif(not DATA.is_dir(), reason="the shared radio data are absent")
def test_a_real_measurement_set_is_flagged(tmp_path: Path) -> None:
    with tarfile.open(DATA / f"{NAME}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    with table(str(tmp_path / NAME), readonly=False, ack=False) as ms:
        data, before = ms.getcol("DATA"), ms.getcol("FLAG")
        data[:, 20] += 100.0 * np.abs(data).max()
        ms.putcol("DATA", data)
    aoflagger.run(tmp_path / NAME)
    with table(str(tmp_path / NAME), ack=False) as ms:
        after = ms.getcol("FLAG")
    assert after[:, 20].mean() > 0.95
    assert before.mean() < after.mean() < 0.6
    assert aoflagger.version().startswith("AOFlagger")
