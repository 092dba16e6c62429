"""A model of the sky: point and Gaussian sources with spectra.

Promises that columns are of equal length and in the units said. Predicting visibilities is in `predict`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sky:
    """Sources, a column each.

    Parameters
    ----------
    ra, dec : (n,)
        Radians, ICRS.
    flux : (n,)
        Integrated Stokes I in Jy at `reference`, as seen without a primary beam.
    reference : float
        Hz.
    spectrum : (n, k)
        S(ν) = flux · 10**(spectrum[0] x + spectrum[1] x² + …) with x = log10(ν / reference).
    major, minor : (n,)
        FWHM of the Gaussian in radians; 0 for a point.
    position_angle : (n,)
        Of the major axis, from north through east, in radians.
    names
        One each, or empty.
    """

    ra: Floats
    dec: Floats
    flux: Floats
    reference: float
    spectrum: Floats
    major: Floats
    minor: Floats
    position_angle: Floats
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many sources."""
        return len(self.ra)

    def take(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "Sky":
        """Those of a mask or of numbers."""
        numbers = np.arange(len(self))[which]
        return Sky(
            self.ra[numbers],
            self.dec[numbers],
            self.flux[numbers],
            self.reference,
            self.spectrum[numbers],
            self.major[numbers],
            self.minor[numbers],
            self.position_angle[numbers],
            tuple(self.names[number] for number in numbers) if self.names else (),
        )

    def flux_at(self, frequency: Floats) -> Floats:
        """Flux density in Jy at frequencies in Hz: shape (n, frequency)."""
        x = np.log10(np.asarray(frequency) / self.reference)
        powers = (
            np.stack([x ** (k + 1) for k in range(self.spectrum.shape[1])])
            if self.spectrum.size
            else 0.0 * x[None]
        )
        exponent = self.spectrum @ powers if self.spectrum.size else np.zeros((len(self), len(x)))
        found: Floats = self.flux[:, None] * 10.0**exponent
        return found


def points(ra: Floats, dec: Floats, flux: Floats, reference: float, index: float = 0.0) -> Sky:
    """Point sources that share one spectral index (S ∝ ν**index)."""
    n = len(ra)
    zeros = np.zeros(n)
    return Sky(
        np.asarray(ra, float),
        np.asarray(dec, float),
        np.asarray(flux, float),
        reference,
        np.full((n, 1), index),
        zeros,
        zeros,
        zeros,
    )


def joined(skies: Sequence[Sky]) -> Sky:
    """Several skies of one reference frequency as one.

    Raises
    ------
    ValueError
        If their reference frequencies differ.
    """
    if len({sky.reference for sky in skies}) != 1:
        raise ValueError("skies of different reference frequencies cannot be joined")
    terms = max(sky.spectrum.shape[1] for sky in skies)
    spectra = [np.pad(sky.spectrum, ((0, 0), (0, terms - sky.spectrum.shape[1]))) for sky in skies]
    names = [name for sky in skies for name in (sky.names or ("",) * len(sky))]
    return Sky(
        np.concatenate([sky.ra for sky in skies]),
        np.concatenate([sky.dec for sky in skies]),
        np.concatenate([sky.flux for sky in skies]),
        skies[0].reference,
        np.concatenate(spectra),
        np.concatenate([sky.major for sky in skies]),
        np.concatenate([sky.minor for sky in skies]),
        np.concatenate([sky.position_angle for sky in skies]),
        tuple(names),
    )
