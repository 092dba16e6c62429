"""Writes candidates as a GeoPackage of points in WGS84.

Equal candidates give equal bytes: the time stamp inside is fixed. An existing file is never overwritten.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

import geopandas
import pandas as pd
import pyogrio

from .candidates import Candidate

LAYER = "candidates"
FIXED_TIME = "1980-01-01T00:00:00.000Z"


def write_candidates(path: Path | str, candidates: Iterable[Candidate]) -> None:
    """Write candidates, in their order, to the layer `candidates` of a new GeoPackage.

    Columns are those of `Candidate`, units in their names; the geometry is longitude and latitude (EPSG:4326).
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path.name} exists")
    table = _table(candidates)
    frame = geopandas.GeoDataFrame(
        table, geometry=geopandas.points_from_xy(table["longitude"], table["latitude"]), crs="EPSG:4326"
    )
    with _fixed_time():
        pyogrio.write_dataframe(frame, path, layer=LAYER, driver="GPKG", geometry_type="Point")


def read_candidates(path: Path | str) -> tuple[Candidate, ...]:
    """Read candidates back from a GeoPackage that `write_candidates` made."""
    frame = pyogrio.read_dataframe(path, layer=LAYER, read_geometry=False)
    return tuple(Candidate(**row) for row in frame.to_dict("records"))


def _table(candidates: Iterable[Candidate]) -> pd.DataFrame:
    """Make the table with typed columns, also when it is empty."""
    columns = {field.name: "int64" if field.name == "sign" else "float64" for field in fields(Candidate)}
    return pd.DataFrame([asdict(one) for one in candidates], columns=list(columns)).astype(columns)


@contextmanager
def _fixed_time() -> Iterator[None]:
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": FIXED_TIME})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})
