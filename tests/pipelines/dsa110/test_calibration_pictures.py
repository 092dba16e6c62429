"""Pictures of a calibration show something, and the same again for the same input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from towpath.pipelines.dsa110.science.calibration_pictures import (
    draw_bandpass,
    draw_coverage,
    draw_gains,
    draw_waterfall,
)
from towpath.pipelines.dsa110.science.solve import solve_bandpass, solve_gains


@pytest.fixture(scope="module")
def solutions(calibrator_field: Any) -> dict[str, Any]:
    vis, model = calibrator_field.vis, calibrator_field.model
    bandpass = solve_bandpass(vis, model)
    bandpass.flags[0, 3] = True
    return {
        "bandpass": bandpass,
        "one": solve_gains(vis, model, bandpass=bandpass),
        "many": solve_gains(vis, model, bandpass=bandpass, interval=12.9),
    }


def coloured(path: Path) -> float:
    """Share of pixels that are neither white nor grey."""
    pixels = imread(path)[:, :, :3]
    return float((np.ptp(pixels, axis=2) > 0.2).mean())


@pytest.mark.parametrize("name", ["bandpass", "one", "many"])
def test_solutions_are_drawn(name: str, solutions: dict[str, Any], tmp_path: Path) -> None:
    draw = draw_bandpass if name == "bandpass" else draw_gains
    draw(tmp_path / "a.png", solutions[name])
    draw(tmp_path / "b.png", solutions[name])
    assert coloured(tmp_path / "a.png") > 0.001
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_flags_and_coverage_are_drawn(calibrator_field: Any, tmp_path: Path) -> None:
    vis = calibrator_field.vis
    waterfall = np.zeros((10, 24))
    waterfall[3], waterfall[:, 7] = 1.0, 0.5
    draw_waterfall(tmp_path / "w.png", waterfall, np.unique(vis.time), vis.frequency)
    draw_coverage(tmp_path / "c.png", vis.uvw, vis.frequency)
    assert coloured(tmp_path / "w.png") > 0.01
    assert coloured(tmp_path / "c.png") > 0.0002
