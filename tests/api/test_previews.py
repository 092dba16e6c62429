"""Previews of products: real small files of each kind, and files that are broken, endless or hostile."""

import bz2
import gzip
import json
import lzma
import os
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS

from towpath.api import preview_maker, preview_tables
from towpath.api.previews import Made, Previews
from towpath.base.hashing import digest


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Previews:
    return Previews(tmp_path_factory.mktemp("previews") / "kept")


@pytest.fixture
def shown(store: Previews, tmp_path: Path) -> Callable[[Path], Made]:
    return lambda place: store.of(digest(str(tmp_path / place)), tmp_path / place)


def told(made: Made) -> dict[str, Any]:
    assert made.media == "application/json"
    document: dict[str, Any] = json.loads(made.data)
    return document


def size_of(made: Made) -> tuple[int, int]:
    assert made.media == "image/png"
    width, height = struct.unpack(">II", made.data[16:24])
    return width, height


def png(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + os.urandom(width) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


# ---- pictures
def test_a_small_picture_is_shown_as_it_is(shown: Callable[[Path], Made], tmp_path: Path) -> None:
    data = png(30, 20)
    (tmp_path / "plot.png").write_bytes(data)
    assert shown(Path("plot.png")) == Made(data, "image/png")


def test_a_huge_picture_is_scaled_down(shown: Callable[[Path], Made], tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    (tmp_path / "plot.png").write_bytes(png(2400, 1200))
    assert size_of(shown(Path("plot.png"))) == (1600, 800)


def test_a_picture_of_too_many_pixels_is_not_sent_on(shown: Callable[[Path], Made], tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    rows = zlib.compress(bytes(1_000_000), 9)
    head = b"\x00\x00\x00\rIHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    head += struct.pack(">I", zlib.crc32(head[4:]))
    data = struct.pack(">I", len(rows)) + b"IDAT" + rows + struct.pack(">I", zlib.crc32(b"IDAT" + rows))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + data)
    assert "exceeds limit" in told(shown(Path("bomb.png")))["none"]


def test_a_fits_image_is_drawn_on_the_sky(shown: Callable[[Path], Made], tmp_path: Path) -> None:
    sky = WCS(naxis=2)
    sky.wcs.ctype, sky.wcs.crval = ["RA---SIN", "DEC--SIN"], [150.0, 30.0]
    sky.wcs.cdelt, sky.wcs.crpix = [-0.01, 0.01], [50, 40]
    header = sky.to_header()
    header["BUNIT"] = "Jy/beam"
    data = np.random.default_rng(1).normal(size=(1, 80, 100)).astype(np.float32)
    data[0, 3, 4] = np.nan
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, header)]).writeto(tmp_path / "image.fits")
    width, height = size_of(shown(Path("image.fits")))
    assert width > 500 and height > 400


def test_a_fits_table_shows_its_head(shown: Callable[[Path], Made], tmp_path: Path) -> None:
    columns = [
        fits.Column("flux", "D", "Jy", array=np.arange(70.0)),
        fits.Column("name", "4A", array=["a"] * 70),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "table.fits")
    document = told(shown(Path("table.fits")))
    assert document["columns"] == ["flux [Jy]", "name"]
    assert (document["total"], len(document["rows"]), document["rows"][3]) == (70, 50, [3.0, "a"])


def test_the_largest_array_of_an_hdf5_file_is_drawn(shown: Callable[[Path], Made], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "scan.hdf5", "w") as file:
        file.create_dataset(
            "spectra/tod", data=np.random.default_rng(2).normal(size=(2, 3, 40, 60)) + 1j, chunks=True
        )
        file.create_dataset("spectra/small", data=np.zeros((9, 9)))
        file.attrs["name"] = "one"
    assert size_of(shown(Path("scan.hdf5")))[0] > 900


def test_an_hdf5_file_without_a_plane_tells_its_tree(shown: Callable[[Path], Made], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "list.hdf5", "w") as file:
        file["group/numbers"] = np.arange(5)
    assert told(shown(Path("list.hdf5")))["text"] == "/group/numbers  5  int64"


def test_what_points_out_of_an_hdf5_file_is_not_followed(
    shown: Callable[[Path], Made], tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["secret"] = np.ones((50, 50))
    layout = h5py.VirtualLayout(shape=(50, 50), dtype="f8")
    layout[:] = h5py.VirtualSource(tmp_path / "other.hdf5", "secret", shape=(50, 50))
    with h5py.File(tmp_path / "links.hdf5", "w") as file:
        file["away"] = h5py.ExternalLink("other.hdf5", "/secret")
        file["around"] = h5py.SoftLink("/")
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset(
            "beside", (20, 20), "f8", external=[(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)]
        )
    assert told(shown(Path("links.hdf5"))) == {"none": "there is no array in it"}


def test_the_largest_array_of_a_zarr_tree_is_drawn(shown: Callable[[Path], Made], tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "grid.zarr", mode="w")
    grid = root.create_array("anomaly", shape=(64, 48), chunks=(16, 16), dtype="f4")
    grid[:] = np.random.default_rng(3).normal(size=(64, 48))
    grid.attrs["units"] = "mGal"
    assert size_of(shown(Path("grid.zarr")))[0] > 900


def test_a_slice_takes_the_axes_that_are_worth_it() -> None:
    from towpath.api.preview_pictures import _axes

    assert _axes((4, 100, 200)) == (1, 2)
    assert _axes((5000, 1, 384, 2)) == (0, 2)
    assert _axes((3, 4, 2)) == (0, 1)


# ---- tables and texts
def test_a_table_of_text_shows_its_head(shown: Callable[[Path], Made], tmp_path: Path) -> None:
    lines = ["# by hand", "time;value", *(f"{n};{n}.5" for n in range(80))]
    (tmp_path / "picks.csv").write_text("\n".join(lines) + "\n")
    document = told(shown(Path("picks.csv")))
    assert (document["columns"], document["rows"][1], document["total"]) == (
        ["time", "value"],
        ["1", "1.5"],
        80,
    )
    assert len(document["rows"]) == preview_tables.ROWS


@pytest.mark.parametrize(("name", "kind"), [("sources.ecsv", "ascii.ecsv"), ("sources.vot", "votable")])
def test_astronomers_tables_show_their_units(
    shown: Callable[[Path], Made], tmp_path: Path, name: str, kind: str
) -> None:
    found = QTable({"flux": np.array([1.5, np.nan, 3.0]), "id": ["a", "b", "c"]}, units={"flux": "Jy"})
    found.write(tmp_path / name, format=kind)
    document = told(shown(Path(name)))
    assert document["columns"] == ["flux [Jy]", "id"]
    assert (document["rows"][0], document["rows"][1], document["total"]) == ([1.5, "a"], [None, "b"], 3)


def test_a_parquet_file_shows_its_head_or_says_what_is_missing(
    shown: Callable[[Path], Made], tmp_path: Path
) -> None:
    try:
        import pyarrow.parquet  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError:
        (tmp_path / "t.parquet").write_bytes(b"PAR1....PAR1")
        assert told(shown(Path("t.parquet"))) == {
            "none": "a preview of this needs pyarrow: pip install pyarrow"
        }
        return
    pyarrow.parquet.write_table(pyarrow.table({"n": list(range(70))}), tmp_path / "t.parquet")
    document = told(shown(Path("t.parquet")))
    assert (document["columns"], document["rows"][2], document["total"]) == (["n"], [2], 70)


def test_texts_show_their_head(shown: Callable[[Path], Made], tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("first line\n" + "x" * 100_000)
    (tmp_path / "made.json").write_text('{"a":[1,"é"]}')
    document = told(shown(Path("log.txt")))
    assert document["text"].startswith("first line\nxxx") and document["is_cut"]
    assert told(shown(Path("made.json"))) == {"text": '{\n  "a": [\n    1,\n    "é"\n  ]\n}', "is_cut": False}


@pytest.mark.parametrize("opened", [gzip.open, lzma.open, bz2.open], ids=["gzip", "lzma", "bz2"])
def test_packed_texts_show_their_head(
    shown: Callable[[Path], Made], tmp_path: Path, opened: Callable[..., Any]
) -> None:
    with opened(tmp_path / "stations.txt", "wt") as file:
        file.write("name lon lat\n" * 10_000)
    document = told(shown(Path("stations.txt")))
    assert document["text"].startswith("name lon lat\nname") and document["is_cut"]


def test_a_database_shows_its_first_table(shown: Callable[[Path], Made], tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "candidates.gpkg")) as made, made:
        made.execute("CREATE TABLE gpkg_contents (name TEXT)")
        made.execute('CREATE TABLE "odd ""name" (id INTEGER, depth REAL, geom BLOB)')
        made.executemany(
            'INSERT INTO "odd ""name" VALUES (?, ?, ?)', [(n, n / 2, b"\0" * 21) for n in range(60)]
        )
    document = told(shown(Path("candidates.gpkg")))
    assert (document["columns"], document["rows"][3]) == (["id", "depth", "geom"], [3, 1.5, "(21 bytes)"])
    assert (len(document["rows"]), document["total"]) == (50, 60)


def test_a_tree_shows_its_files(shown: Callable[[Path], Made], tmp_path: Path) -> None:
    (tmp_path / "image.ms" / "ANTENNA").mkdir(parents=True)
    (tmp_path / "image.ms" / "ANTENNA" / "table.dat").write_bytes(b"12345")
    (tmp_path / "image.ms" / "table.info").write_bytes(b"1")
    document = told(shown(Path("image.ms")))
    assert document["rows"] == [["table.info", 1], ["ANTENNA/table.dat", 5]]
    assert (document["total"], document["bytes"]) == (2, 6)


# ---- what goes wrong
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("broken.fits", b"SIMPLE  =                    T" + b" " * 5000),
        ("broken.hdf5", b"\x89HDF\r\n\x1a\n" + b"\xff" * 500),
        ("broken.vot", b"<?xml version='1.0'?><VOTABLE><RESOURCE><TABLE>"),
        ("unknown.bin", bytes(range(256)) * 10),
        ("empty.txt", b""),
        ("gone.txt", None),
        ("bomb.vot", b"<!DOCTYPE b [<!ENTITY a0 'x'>" + b"".join(b"<!ENTITY a%d '%s'>" % (n, b"&a%d;" % (n - 1) * 50)
                     for n in range(1, 12)) + b"]><VOTABLE>&a11;</VOTABLE>"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_shown_says_why(
    shown: Callable[[Path], Made], tmp_path: Path, name: str, data: bytes | None
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    assert told(shown(Path(name)))["none"]


def test_a_table_that_names_another_file_is_not_followed(
    shown: Callable[[Path], Made], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"\x00\x00\x00\x2a")
    (tmp_path / "away.vot").write_text(
        '<?xml version="1.0"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
        '<FIELD name="n" datatype="int"/><DATA><BINARY>'
        f'<STREAM href="file://{tmp_path / "secret"}"/></BINARY></DATA></TABLE></RESOURCE></VOTABLE>'
    )
    assert "a preview needs no such thing" in told(shown(Path("away.vot")))["none"]


def test_an_endless_file_costs_one_attempt(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless")
    store = Previews(tmp_path / "kept", lasts=1.0)
    assert told(store.of(b"1", tmp_path / "endless")) == {"none": "making it took longer than 1 s"}
    begun = len(list((tmp_path / "kept").iterdir()))
    assert told(store.of(b"1", tmp_path / "endless")) == {"none": "making it took longer than 1 s"}
    assert begun == len(list((tmp_path / "kept").iterdir())) == 1


def test_a_maker_is_bounded_and_may_start_nothing(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys",
        "from towpath.api import preview_maker as maker, previews",
        "maker.bound()",
        "try: bytearray(maker.MEMORY)",
        "except MemoryError: print('memory')",
        "try:",
        "    with open(sys.argv[1], 'wb') as file: file.write(bytes(previews.LARGEST + 1))",
        "except OSError: print('size')",
        "try: subprocess.run(['true'])",
        "except PermissionError: print('process')",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code), tmp_path / "o"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["memory", "size", "process"]


# ---- what is kept
def test_what_a_killed_server_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("here")
    left = tmp_path / "kept" / ".part.1.1"
    left.parent.mkdir()
    left.write_text("half")
    os.utime(left, (1e9, 1e9))
    Previews(tmp_path / "kept").of(b"1", tmp_path / "note.txt")
    assert not left.exists()


def test_a_preview_is_made_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "note.txt").write_text("here")
    store = Previews(tmp_path / "kept")
    first = store.of(b"1", tmp_path / "note.txt")
    (tmp_path / "note.txt").unlink()
    assert (
        store.of(b"1", tmp_path / "note.txt") == Previews(tmp_path / "kept").of(b"1", tmp_path / "x") == first
    )
    assert "none" in told(store.of(b"1", tmp_path / "note.txt", "another part"))


def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    store = Previews(tmp_path / "kept", kept=2500)
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(str(number) * 950)
        store.of(bytes([number]), tmp_path / f"{number}.txt")
        for path in (tmp_path / "kept").glob("*.made"):
            if path.read_text()[10] == str(number):
                os.utime(path, (1e9 + number, 1e9 + number))
        if number == 1:
            store.of(b"\0", tmp_path / "0.txt")  # used again
    assert sorted(path.read_text()[10] for path in (tmp_path / "kept").glob("*.made")) == ["0", "2"]


def test_the_same_preview_is_made_once_for_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "note.txt").write_text("here")
    store = Previews(tmp_path / "kept")
    runs: list[Path] = []
    run = store._run
    monkeypatch.setattr(store, "_run", lambda place, part: (runs.append(place), run(place, part))[1])
    found: list[Made] = []
    threads = [
        threading.Thread(target=lambda: found.append(store.of(b"1", tmp_path / "note.txt"))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 1 and len(set(found)) == 1 and len(found) == 6


def test_closing_ends_what_is_being_made(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless")
    store = Previews(tmp_path / "kept")
    found: list[Made] = []
    thread = threading.Thread(target=lambda: found.append(store.of(b"1", tmp_path / "endless")))
    thread.start()
    while not store._running:
        time.sleep(0.01)
    store.close()
    thread.join(10)
    assert [told(one) for one in found] == [{"none": "the server is ending"}]
    assert told(store.of(b"2", tmp_path / "endless")) == {"none": "the server is ending"}


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(place: Path, out: Path) -> None:
        raise ModuleNotFoundError("No module named 'PIL'", name="PIL.Image")

    monkeypatch.setattr(preview_maker, "maker_of", lambda place: missing)
    assert preview_maker.make(tmp_path, tmp_path / "out") == 4
    assert json.loads((tmp_path / "out").read_text()) == {
        "none": "a preview of this needs pillow: pip install pillow"
    }


def test_a_preview_is_answered_to_those_who_may_read_the_product(server: Any) -> None:
    server.sample("a", weight=2.5)
    server.run()
    product = next(one for one in server.site.show("a").products if one.output == "report")
    answer = server.as_("viewer").ask("GET", f"/products/{product.id}/preview")
    assert json.loads(answer.content) == {"text": "a: 2.5 g\n", "is_cut": False}
    assert server.as_().ask("GET", f"/products/{product.id}/preview").status_code == 401
    assert server.as_("viewer").ask("GET", f"/products/{product.id}/preview?path=x").status_code == 422
    assert server.as_("viewer").ask("GET", "/products/999/preview").status_code == 404
