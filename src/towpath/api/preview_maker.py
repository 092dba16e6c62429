"""The process that makes one preview: ``python -m towpath.api.preview_maker PLACE OUT``.

Promises to write nothing but OUT, to start nothing, to speak to nobody, and to end by its limits. What a file is says its
content, not its name. It ends with 0 if OUT is a preview, 3 if OUT says why there is none, 4 if a library is missing.
"""

import json
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from towpath.api import preview_pictures as pictures
from towpath.api import preview_tables as tables
from towpath.api.previews import LARGEST, MISSING_LIBRARY

SECONDS, MEMORY = 25, 6 << 30
_NONE = 3
_REFUSED = frozenset(
    {"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "urllib.Request", "subprocess.Popen",
     "os.exec", "os.posix_spawn", "os.fork", "os.system", "pickle.find_class"}
)  # fmt: skip
_HEAD = 4096
_PACKAGES = {"PIL": "pillow"}

Maker = Callable[[Path, Path], None]


def maker_of(place: Path) -> Maker:
    """What makes the preview of a file or folder, by its first bytes."""
    if place.is_dir():
        is_zarr = any((place / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))
        return pictures.zarr if is_zarr else tables.listing
    with place.open("rb") as file:
        head = file.read(_HEAD)
    for magic, maker in _BY_MAGIC:
        if head.startswith(magic):
            return maker
    if b"<VOTABLE" in head:
        return tables.votable
    if head.startswith(b"# %ECSV"):
        return tables.ecsv
    if place.suffix.lower() in (".csv", ".tsv"):
        return tables.csv
    if place.suffix.lower() in (".fz", ".gz") and ".fit" in place.name.lower():
        return pictures.fits
    return tables.text


_BY_MAGIC: tuple[tuple[bytes, Maker], ...] = (
    (b"\x89PNG\r\n\x1a\n", pictures.picture),
    (b"\xff\xd8\xff", pictures.picture),
    (b"SIMPLE  =", pictures.fits),
    (b"\x89HDF\r\n\x1a\n", pictures.hdf5),
    (b"PAR1", tables.parquet),
    (b"SQLite format 3\0", tables.sqlite),
)


def bound() -> None:
    """Bound what this process may use, and refuse what no preview needs."""
    for what, most in (
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, LARGEST),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # the system, or a limit that is lower already
            resource.setrlimit(what, (most, most))
    sys.addaudithook(_refuse)


def _refuse(event: str, _arguments: Any) -> None:
    if event in _REFUSED:
        raise PermissionError(f"{event}: a preview needs no such thing")


def make(place: Path, out: Path) -> int:
    """Make the preview of `place`; returns what the process ends with."""
    try:
        maker_of(place)(place, out)
    except ModuleNotFoundError as error:
        package = (error.name or "a library").partition(".")[0]
        package = _PACKAGES.get(package, package)
        return _tell(out, f"a preview of this needs {package}: pip install {package}", MISSING_LIBRARY)
    except tables.NoPreview as error:
        return _tell(out, str(error), _NONE)
    except MemoryError:
        return _tell(out, "reading it took too much memory", _NONE)
    except Exception as error:  # whatever a library says of a broken file  # noqa: BLE001
        return _tell(out, f"it could not be read: {type(error).__name__}: {error}"[:300], _NONE)
    return 0


def _tell(out: Path, why: str, code: int) -> int:
    out.write_text(json.dumps({"none": why}), encoding="utf-8")
    return code


if __name__ == "__main__":
    bound()
    sys.exit(make(Path(sys.argv[1]), Path(sys.argv[2])))
