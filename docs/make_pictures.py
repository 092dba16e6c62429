"""Makes the pictures of the documentation from the demonstrations and their pages: `python docs/make_pictures.py [SITE]`.

Promises pictures of moderate size in docs/pictures, and that equal products give equal pictures; those of pages tell times.
"""

import json
import math
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from towpath import Site

PICTURES = Path(__file__).parent / "pictures"
EXAMPLE = Path(__file__).parents[1] / "examples" / "picks"
HOST, SOMEBODY = "observatory", "ada"  # what pictures tell of where and by whom they were made
WIDTH = 1280  # pixels
LARGEST = 300_000  # bytes
DEMOS = {
    "gam": "archive/gam/simulated-survey/detect-quicklook.png",
    "dsa110": "archive/dsa110/*/*/mosaic-quicklook.png",
    "compchem": "records/caffeine/caffeine-structure-1-preview-structure.png",
}
DESK: Mapping[str, Any] = {"viewport": {"width": WIDTH, "height": 800}}
TALL: Mapping[str, Any] = {"viewport": {"width": WIDTH, "height": 1500}}
DARK: Mapping[str, Any] = {**DESK, "color_scheme": "dark"}
PHONE: Mapping[str, Any] = {"viewport": {"width": 390, "height": 800}, "device_scale_factor": 2}
# Of each site: the picture's name, the page, and how it is looked at.
PAGES: Mapping[str, tuple[tuple[str, str, Mapping[str, Any]], ...]] = {
    "dsa110": (
        ("overview", "/", DESK),
        ("overview-dark", "/", DARK),
        ("calibrations", "/calibrations", DESK),
    ),
    "gam": (
        ("item", "/items/1", TALL),
        ("item-phone", "/items/1", PHONE),
        ("run", "/runs/6.1", DESK),
        ("inventory", "/inventory", DESK),
    ),
    "compchem": (("processing", "/pipelines/compchem/processing?record=trouble", TALL),),
    "picks": (
        ("work", "/items", DESK),
        ("orders", "/orders", DESK),
        ("order", "/orders/2", DESK),
        ("publications", "/publications", DESK),
        ("sources", "/sources", DESK),
        ("events", "/events", DESK),
        ("people", "/people", DESK),
        ("configuration", "/configuration?pipeline=picks", DESK),
    ),
}


def demonstrate(pipeline: str, folder: Path) -> None:
    """Run a pipeline's demonstration in a folder, as a user does, on a machine with a name of its own."""
    named = f"import socket; socket.gethostname = lambda: {HOST!r}; import runpy; runpy.run_module('towpath')"
    subprocess.run([sys.executable, "-c", named, "demo", pipeline, "--site", str(folder)], check=True)


# ---- a day at a desk, with the example of picks
def trace(file: Path, number: int) -> None:
    """40 s of noise, with waves that begin after 12 s and 20 s."""
    noise = random.Random(number)
    rows = ["time,velocity"]
    for step in range(2000):
        time, velocity = step / 50, noise.gauss(0.0, 1.0)
        for begin, size in ((12.0, 20.0), (20.0, 80.0)):
            if time >= begin:
                velocity += size * math.exp((begin - time) / 3.0) * math.sin(20.0 * (time - begin))
        rows.append(f"{time:.2f},{velocity:.4f}")
    file.write_text("\n".join(rows) + "\n")


def work_at_a_desk(folder: Path) -> None:
    """Records that arrived; some were picked, one wrongly, one was let go, one cannot be read."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "incoming").mkdir()
    for number in range(12):
        trace(folder / "incoming" / f"quake-{number:02}.csv", number)
    (folder / "incoming" / "torn.csv").write_text("time;velocity\n0.00;1\n")
    picks = folder / "picks.csv"
    with Site.open(folder) as site:
        site.run(patience=2)
        orders = site.orders(kind="handoff")
        for number, one in enumerate(orders[:5]):
            analyst = site.by("ada" if number % 2 else "inge")
            analyst.claim_order(one.row.id)
            picks.write_text(f"phase,time\nP,12.02\nS,{'soon' if number == 1 else '20.01'}\n")
            if number < 4:
                analyst.deliver(one.row.id, [picks], comment="clear onsets")
        site.run(patience=2)
        site.by("grace").approve(orders[0].item, why="agrees with the candidates")
        site.run(patience=2)


# ---- pictures
@contextmanager
def served(folder: Path) -> Iterator[tuple[str, str]]:
    """Serve a site; gives its address and a token."""
    with Site.open(folder) as site:
        token = site.make_token(SOMEBODY, ["admin"]).secret
    command = [sys.executable, "-m", "towpath", "--json", "serve", "--port", "0"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"], token
    finally:
        process.terminate()
        process.wait()


def photograph(
    folder: Path, pages: tuple[tuple[str, str, Mapping[str, Any]], ...]
) -> Iterator[tuple[str, Path]]:
    """Look at pages of a site; gives the name of each picture and where it is."""
    with served(folder) as (url, token), sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for name, path, look in pages:
            context = browser.new_context(base_url=url, **look)
            context.request.post("/login", form={"token": token})
            page = context.new_page()
            page.goto(path)
            if page.query_selector("#pulse"):
                page.wait_for_selector("#pulse.on")
            page.wait_for_timeout(4000)  # previews
            page.screenshot(path=folder / f"{name}.png")
            context.close()
            yield f"page-{name}", folder / f"{name}.png"
        browser.close()


def shrink(source: Path, target: Path) -> int:
    """Write a picture at moderate size; returns its bytes."""
    with Image.open(source) as picture:
        width = min(picture.width, WIDTH)
        height = round(picture.height * width / picture.width)
        small = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
        small.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1).save(target, optimize=True)
    return target.stat().st_size


def main(wanted: list[str]) -> int:
    """Make the pictures of these sites, or all; the exit code is 1 if one is too large."""
    PICTURES.mkdir(exist_ok=True)
    os.environ["LOGNAME"] = SOMEBODY
    socket.gethostname = lambda: HOST
    largest = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, pages in PAGES.items():
            if wanted and name not in wanted:
                continue
            site = Path(folder) / name
            pictures: list[tuple[str, Path]] = []
            if name in DEMOS:
                demonstrate(name, site)
                pictures.append((name, min(site.glob(DEMOS[name]))))
            else:
                work_at_a_desk(site)
            for picture, file in [*pictures, *photograph(site, pages)]:
                size = shrink(file, PICTURES / f"{picture}.png")
                largest = max(largest, size)
                sys.stdout.write(f"{picture}.png: {size} bytes\n")
    return int(largest >= LARGEST)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
