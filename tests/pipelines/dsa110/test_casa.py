"""CASA reads what the pipeline writes. Only where TOWPATH_CASA names a Python that has casatasks and casadata (it is large)."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from towpath.pipelines.dsa110.science import ladder
from towpath.pipelines.dsa110.science.calibrate import calibrate_set
from towpath.pipelines.dsa110.science.calibration_set import read_set
from towpath.pipelines.dsa110.science.convert import convert
from towpath.pipelines.dsa110.science.flagging import FlagSettings
from towpath.pipelines.dsa110.science.instrument import load_profile
from towpath.pipelines.dsa110.science.measurement_set import read_visibilities
from towpath.pipelines.dsa110.simulate import Settings, simulate, write_profile

PYTHON = os.environ.get("TOWPATH_CASA", "")
APPLY = """
import sys
from casatasks import applycal
tables = [f"{sys.argv[2]}/{name}" for name in ("bandpass.B", "gains.G", "gains-short.G")]
applycal(sys.argv[1], gaintable=tables, interp=["nearest"] * 3, calwt=False, parang=False, applymode="calonly")
"""
CONFIG = """
import casadata
datapath = [casadata.datapath]
measurespath = rundata = casadata.datapath
measures_auto_update = data_auto_update = False
"""


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="TOWPATH_CASA names no Python with CASA")
def test_casa_applies_the_tables_as_we_do(tmp_path: Path) -> None:
    settings = Settings(stations=8, channels=2, integrations=6, tiles=1, calibrator_tile=0)
    truth = simulate(tmp_path / "in", settings=settings)
    instrument = write_profile(tmp_path / "instrument.toml", truth.profile)
    ours, theirs = tmp_path / "ours.ms", tmp_path / "theirs.ms"
    convert(truth.observations[0].files, ours, load_profile(instrument))
    shutil.copytree(ours, theirs)
    group = ladder.group_of([(ours, "one")], str(instrument), calibrators=None, reference=None)
    choice = ladder.choose(group.members, None, ladder.Limits())
    ladder.solve_bandpass(group, choice, tmp_path / "begun", min_snr=5.0, pre_phase=60.0, uv_min=0.0)
    ladder.solve_gains(tmp_path / "begun", tmp_path / "set", min_snr=3.0, short=60.0)
    calibrate_set(
        ours, tmp_path / "done.ms", read_set(tmp_path / "set"), flags=FlagSettings(), solved=truth.time[0]
    )
    (tmp_path / ".casa").mkdir()
    (tmp_path / ".casa" / "config.py").write_text(CONFIG)
    subprocess.run(
        [PYTHON, "-c", APPLY, str(theirs), str(tmp_path / "set")],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    mine = read_visibilities(tmp_path / "done.ms", column="CORRECTED_DATA")
    peer = read_visibilities(theirs, column="CORRECTED_DATA")
    good = ~mine.flags & mine.is_cross[:, None, None]
    assert good.mean() > 0.5
    np.testing.assert_allclose(mine.data[good], peer.data[good], rtol=1e-5)
