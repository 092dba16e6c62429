"""Chooses the map projection of a survey, and moves coordinates between degrees and metres.

The projection is a Mercator true to scale at the survey's middle latitude and centred on its middle longitude, so a
survey across the antimeridian is in one piece. It depends on nothing but the stations.
"""

from typing import Any

import numpy as np
from pyproj import CRS, Transformer
from pyproj.enums import TransformDirection

from .arrays import FloatArray

HIGHEST_LATITUDE = 80.0


def survey_crs(latitude: FloatArray, longitude: FloatArray) -> CRS:
    """Choose the projection of a survey.

    Parameters
    ----------
    latitude, longitude : numpy.ndarray
        Stations, in degrees.

    Returns
    -------
    pyproj.CRS
        Mercator on WGS84 in metres; its parameters are rounded to a tenth of a degree, so that a few stations
        more do not change it.

    Raises
    ------
    ValueError
        When a station is nearer to a pole than Mercator can serve.
    """
    if np.abs(latitude).max() > HIGHEST_LATITUDE:
        raise ValueError(
            f"a Mercator grid reaches to latitude {HIGHEST_LATITUDE:g}, "
            f"but a station is at {latitude[np.abs(latitude).argmax()]:g}"
        )
    middle = round(float(latitude.min() + latitude.max()) / 2.0, 1)
    centre = round(_middle_longitude(longitude), 1)
    return CRS.from_dict(
        {"proj": "merc", "lat_ts": middle, "lon_0": centre, "datum": "WGS84", "units": "m", "type": "crs"}
    )


def project(crs: CRS, latitude: FloatArray, longitude: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn degrees into easting and northing in metres."""
    return _transform(crs, longitude, latitude, TransformDirection.FORWARD)


def unproject(crs: CRS, easting: FloatArray, northing: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn easting and northing in metres into latitude and longitude in degrees."""
    longitude, latitude = _transform(crs, easting, northing, TransformDirection.INVERSE)
    return latitude, longitude


def _transform(
    crs: CRS, x: FloatArray, y: FloatArray, direction: TransformDirection
) -> tuple[FloatArray, FloatArray]:
    """Coordinates in the other system. A single place goes as two numbers: pyproj takes an array of one for a number."""
    given: tuple[Any, Any] = (float(x[0]), float(y[0])) if np.shape(x) == (1,) else (x, y)
    transformer = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    found = transformer.transform(given[0], given[1], direction=direction)
    return np.atleast_1d(np.asarray(found[0], np.float64)), np.atleast_1d(np.asarray(found[1], np.float64))


def _middle_longitude(longitude: FloatArray) -> float:
    """Return the middle of the shortest arc that holds all longitudes."""
    turned = np.unique(np.mod(longitude, 360.0))
    gaps = np.diff(np.append(turned, turned[0] + 360.0))
    start = int(np.argmax(gaps)) + 1
    arc = 360.0 - float(gaps.max())
    west = float(turned[start % turned.size])
    return (west + arc / 2.0 + 180.0) % 360.0 - 180.0
