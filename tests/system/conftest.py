"""Makes the pipeline `plainpipe`, the modules beside these tests and `torture` importable by their plain names."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "benchmarks")]
