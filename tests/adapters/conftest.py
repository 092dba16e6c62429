"""Makes the modules beside these tests importable, by their plain names: workers import the stages in them too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
