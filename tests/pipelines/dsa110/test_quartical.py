"""QuartiCal finds the gains that we find. Only where TOWPATH_QUARTICAL names a Python that has it, with libraries of its own."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import makearrcoldesc, table

from towpath.pipelines.dsa110.science.beam import beam_of
from towpath.pipelines.dsa110.science.convert import convert
from towpath.pipelines.dsa110.science.instrument import load_profile
from towpath.pipelines.dsa110.science.measurement_set import read_visibilities
from towpath.pipelines.dsa110.science.predict import apparent_flux, predict
from towpath.pipelines.dsa110.science.solve import solve_bandpass
from towpath.pipelines.dsa110.simulate import Settings, simulate, write_profile

PYTHON = os.environ.get("TOWPATH_QUARTICAL", "")
READ = """
import sys
import numpy as np
from daskms.experimental.zarr import xds_from_zarr
(found,) = xds_from_zarr(f"{sys.argv[1]}::B")
np.savez(sys.argv[2], gains=found.gains.values, flags=found.gain_flags.values, names=found.antenna.values.astype(str))
"""


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="TOWPATH_QUARTICAL names no Python with QuartiCal")
def test_quartical_finds_the_same_bandpass(tmp_path: Path) -> None:
    """Per channel and hand on a known model: both minimise the same sum, so they differ by where they stop alone.

    QuartiCal solves per field, and an integration of a drift scan is a field: its copy of the rows bears field 0 throughout,
    which a model in a column does not heed. Phases are compared relative to the reference station.
    """
    settings = Settings(stations=10, channels=2, integrations=6, tiles=1, calibrator_tile=0)
    truth = simulate(tmp_path / "in", settings=settings)
    profile = load_profile(write_profile(tmp_path / "instrument.toml", truth.profile))
    path = tmp_path / "a.ms"
    convert(truth.observations[0].files, path, profile)
    vis = read_visibilities(path)
    flux = apparent_flux(truth.sky, beam_of(profile.beam, profile.dish), vis.centres, vis.frequency)
    seen = predict(
        truth.sky, flux, uvw=vis.uvw, field=vis.field, centres=vis.centres, frequency=vis.frequency
    )
    model = np.repeat(seen[:, :, None], 2, axis=2)
    mine = solve_bandpass(vis, model, min_snr=0.0, pre_phase=None, fill_gaps=0)
    with table(str(path), readonly=False, ack=False) as rows:
        rows.addcols(makearrcoldesc("MODEL_DATA", 0j, valuetype="complex", shape=list(model.shape[1:])))
        rows.putcol("MODEL_DATA", model)
        rows.putcol("FIELD_ID", np.zeros(len(model), np.int32))
    options = (
        f"input_ms.path={path} input_ms.weight_column=WEIGHT_SPECTRUM input_model.recipe=MODEL_DATA solver.terms=[B] "
        "solver.iter_recipe=[500] solver.convergence_criteria=1e-7 solver.convergence_fraction=1 solver.propagate_flags=false "
        "B.type=diag_complex B.time_interval=0 B.freq_interval=1 output.flags=false dask.threads=1 "
        f"output.gain_directory={tmp_path}/gains.qc output.log_directory={tmp_path}/logs.qc"
    )
    program = Path(PYTHON).with_name("goquartical")
    subprocess.run([program, *options.split()], check=True, cwd=tmp_path)
    subprocess.run([PYTHON, "-c", READ, f"{tmp_path}/gains.qc", f"{tmp_path}/gains.npz"], check=True)
    peer = np.load(tmp_path / "gains.npz")
    assert tuple(peer["names"]) == mine.stations
    theirs, ours = peer["gains"][0, :, :, 0].swapaxes(0, 1), mine.gains[0]
    good = ~mine.flags[0]
    assert (
        good.any(axis=(1, 2)).sum() == settings.stations and not peer["flags"][0, :, good.all((1, 2))].any()
    )
    turned = [one * np.conj(one[mine.reference] / np.abs(one[mine.reference])) for one in (ours, theirs)]
    difference = np.abs(turned[0] - turned[1])[good] / np.abs(ours)[good]
    assert difference.max() < 1e-3 and np.median(difference) < 1e-5
