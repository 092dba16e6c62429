"""The drill of point-in-time recovery that the documentation describes is passed on a server of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from towpath.testing.postgres import programs

DRILL = Path(__file__).resolve().parents[2] / "deploy" / "postgresql" / "recovery-drill.sh"


@pytest.mark.slow
@pytest.mark.usefixtures("postgres")  # it says so where there is no server to be had
def test_a_catalog_comes_back_from_a_wrong_deletion() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOWPATH_")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PGBIN": str(programs()),
        "COLUMNS": "150",
    }
    done = subprocess.run(
        [DRILL],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the drill is passed" in done.stdout
    assert "series/third" not in done.stderr
    place = re.search(r"host=(\S+towpath-drill-\w+)", done.stdout)
    assert place is not None
    assert not Path(place[1]).exists()
