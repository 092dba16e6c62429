"""Kills a site's processes at random instants and at every named fault point, and says what that cost."""

import sys
from pathlib import Path

# The pipeline that is tortured is the one of the tests of the whole line.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "system"))
