"""Makes the pictures of the documentation from what the demonstrations publish: `python docs/make_pictures.py`.

Promises pictures of moderate size in docs/pictures, and that equal products give equal pictures.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PICTURES = Path(__file__).parent / "pictures"
WIDTH = 1280  # pixels
LARGEST = 300_000  # bytes
DEMOS = {
    "gam": "archive/gam/simulated-survey/detect-quicklook.png",
    "dsa110": "archive/dsa110/*/*/mosaic-quicklook.png",
}


def demonstrate(pipeline: str, folder: Path) -> None:
    """Run a pipeline's demonstration in a folder, as a user does."""
    subprocess.run([sys.executable, "-m", "towpath", "demo", pipeline, "--site", str(folder)], check=True)


def shrink(source: Path, target: Path) -> int:
    """Write a picture at moderate size; returns its bytes."""
    with Image.open(source) as picture:
        height = round(picture.height * WIDTH / picture.width)
        small = picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
        small.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1).save(target, optimize=True)
    return target.stat().st_size


def main() -> int:
    """Make all pictures; the exit code is 1 if one is too large."""
    PICTURES.mkdir(exist_ok=True)
    largest = 0
    with tempfile.TemporaryDirectory() as folder:
        for pipeline, made in DEMOS.items():
            site = Path(folder) / pipeline
            demonstrate(pipeline, site)
            size = shrink(min(site.glob(made)), PICTURES / f"{pipeline}.png")
            largest = max(largest, size)
            sys.stdout.write(f"{pipeline}.png: {size} bytes\n")
    return int(largest >= LARGEST)


if __name__ == "__main__":
    sys.exit(main())
