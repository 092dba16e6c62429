"""What an instrument does to visibilities, for simulation: gains, bandpass, interference, dead stations and noise.

Promises the convention of `solutions`: the Measurement Set's visibility is ``g_p conj(g_q)`` times the true one. In UVH5,
whose visibilities are the complex conjugates, it is ``conj(g_p) g_q``. Noise passes through the gains, as a receiver's does.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange

Floats = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
Integers = npt.NDArray[np.int32]

DEGREES_PER_HOUR = math.pi / 180.0 / 3600.0
PORTIONS = 2  # in which noise is drawn, a thread each


@dataclass(frozen=True, slots=True)
class Interference:
    """Interference of one place: `levels` (t, channel) in Jy at every baseline, and `phasors` (station,) of its path."""

    levels: npt.NDArray[np.float32]
    phasors: Complex


def noise_of(sefd: float, width: float, interval: float) -> float:
    """Standard deviation of the real (and of the imaginary) part of one visibility, in Jy.

    SEFD / √(2 Δν τ) for one polarisation and a lossless correlator (Wrobel & Walker 1999, ASP Conf. Ser. 180, 171,
    section 2). `sefd` in Jy, `width` in Hz, `interval` in seconds.
    """
    return sefd / math.sqrt(2.0 * width * interval)


def choose_stations(positions: Floats, count: int) -> npt.NDArray[np.intp]:
    """Choose stations whose baselines differ much from one another: their numbers, ascending.

    Begins in the middle, and takes the station whose new baselines are, in logarithmic length and in direction, farthest in
    the mean from those there are. `positions` (n, 3) in metres.
    """
    total = len(positions)
    if not 2 <= count <= total:
        raise ValueError(f"{count} stations wanted; expected 2 to {total}")
    if count == total:
        return np.arange(total)
    plane = _plane(positions)
    chosen = [int(np.argmin(np.hypot(*(plane - np.median(plane, axis=0)).T)))]
    while len(chosen) < count:
        existing = _scaled(_baselines(plane[chosen]))
        scores = np.full(total, -np.inf)
        for candidate in sorted(set(range(total)) - set(chosen)):
            new = _scaled(plane[chosen] - plane[candidate])
            both = np.concatenate([existing, -existing, -new])
            apart = np.linalg.norm(new[:, None] - both[None], axis=2).min(axis=1)
            scores[candidate] = apart.mean()
        chosen.append(int(np.argmax(scores)))
    return np.array(sorted(chosen), np.intp)


def _plane(positions: Floats) -> Floats:
    """Places in the plane that fits them best, in metres."""
    offset = positions - positions.mean(axis=0)
    axes = np.linalg.svd(offset, full_matrices=False)[2][:2]
    found: Floats = offset @ axes.T
    return found


def _baselines(plane: Floats) -> Floats:
    first, second = np.triu_indices(len(plane), 1)
    found: Floats = plane[first] - plane[second]
    return found


def _scaled(baselines: Floats) -> Floats:
    """Lengths to logarithms: ln(1 + length / 30 m), directions kept."""
    length = np.hypot(baselines[:, 0], baselines[:, 1])[:, None]
    found: Floats = baselines / np.maximum(length, 1e-9) * np.log1p(length / 30.0)
    return found


def draw_gains(
    rng: np.random.Generator,
    seconds: Floats,
    stations: int,
    receptors: int,
    *,
    amplitude: float,
    drift: float,
) -> Complex:
    """Gains over time: shape (t, station, receptor).

    Amplitudes scatter by the share `amplitude` around 1 and swing by a tenth of that within hours; phases are any, and drift at
    a rate that scatters by `drift` degrees an hour. `seconds` (t,) from any moment.
    """
    shape = (stations, receptors)
    level = np.clip(1.0 + amplitude * rng.normal(size=shape), 0.4, 1.8) if amplitude else np.ones(shape)
    phase = rng.uniform(-np.pi, np.pi, shape) if amplitude or drift else np.zeros(shape)
    rate = drift * DEGREES_PER_HOUR * rng.normal(size=shape)
    period, begin = rng.uniform(3.0, 9.0, shape) * 3600.0, rng.uniform(0.0, 2.0 * np.pi, shape)
    time = seconds[:, None, None]
    swing = 1.0 + 0.1 * amplitude * np.sin(2.0 * np.pi * time / period + begin)
    found: Complex = level * swing * np.exp(1j * (phase + rate * time))
    return found


def draw_bandpass(
    rng: np.random.Generator, frequency: Floats, stations: int, receptors: int, *, ripple: float
) -> Complex:
    """Bandpasses: shape (station, channel, receptor), of root mean square 1 over channels.

    Two waves of relative amplitude `ripple` in all, a roll-off to 0.6 at the edges of the band, and a slope of phase of up to
    one radian from edge to edge. All are 1 where `ripple` is 0.
    """
    if ripple == 0.0:
        return np.ones((stations, len(frequency), receptors), complex)
    shape = (stations, 1, receptors)
    x = np.linspace(-1.0, 1.0, len(frequency))[None, :, None] if len(frequency) > 1 else np.zeros((1, 1, 1))
    waves = rng.uniform(0.3, 0.7, shape) * np.sin(rng.uniform(2, 5, shape) * x + rng.uniform(0, 6.3, shape))
    waves = waves + 0.3 * np.sin(rng.uniform(9, 14, shape) * x + rng.uniform(0, 6.3, shape))
    amplitude = (1.0 + ripple * waves) * (1.0 - 0.4 * np.abs(x) ** rng.uniform(24.0, 40.0, shape))
    phase = rng.uniform(-0.5, 0.5, shape) * x + 0.5 * ripple * np.cos(rng.uniform(2, 6, shape) * x)
    amplitude = amplitude / np.sqrt(np.mean(amplitude**2, axis=1, keepdims=True))
    found: Complex = amplitude * np.exp(1j * phase)
    return found


def draw_interference(
    rng: np.random.Generator, moments: int, channels: int, stations: int, *, sigma: float
) -> Interference:
    """A carrier that stays, short bursts over a quarter of the band, and a carrier that moves through the band.

    Levels are 8 to 60 times `sigma`, the noise of one visibility in Jy. There is one burst in about 24 integrations.
    """
    levels = np.zeros((moments, channels))
    levels[:, int(rng.integers(channels))] += sigma * rng.uniform(30.0, 60.0, moments)
    for moment in rng.choice(moments, max(1, moments // 24), replace=False):
        first = int(rng.integers(0, max(1, channels - channels // 4)))
        levels[moment, first : first + max(1, channels // 4)] += sigma * rng.uniform(8.0, 20.0)
    first, span = int(rng.integers(channels)), min(moments, 48)
    begin = int(rng.integers(0, moments - span + 1))
    moving = (first + np.arange(span) * max(1, channels // 32)) % channels
    levels[begin + np.arange(span), moving] += sigma * 25.0
    phasors = np.exp(1j * rng.uniform(-np.pi, np.pi, stations))
    return Interference(levels.astype(np.float32), phasors)


def observe(
    seed: tuple[int, ...],
    model: npt.NDArray[np.complex64],
    *,
    antenna1: Integers,
    antenna2: Integers,
    moment: npt.NDArray[np.int32],
    receptors: npt.NDArray[np.int32],
    gains: Complex,
    bandpass: Complex,
    interference: Interference,
    dead: npt.NDArray[np.bool_],
    sigma: float,
    system: float,
) -> npt.NDArray[np.complex64]:
    """What the correlator writes (UVH5's convention): shape (row, channel, product).

    Parameters
    ----------
    seed
        Of the noise.
    model : (row, channel)
        True Stokes I visibilities in Jy.
    antenna1, antenna2, moment : (row,)
        Numbers of stations, and of the integration in `gains` and the interference's levels.
    receptors : (product, 2)
        Numbers of the receptors; the sky is unpolarised, so only equal ones see it.
    gains : (t, station, receptor), bandpass : (station, channel, receptor)
        Factors.
    interference
        Levels for the same times and channels.
    dead : (station,)
        Which give noise only.
    sigma
        Noise of the real part of a visibility before the gains, in Jy.
    system
        System equivalent flux density in Jy: what an autocorrelation holds besides the sky.
    """
    out = np.empty((*model.shape, len(receptors)), np.complex64)
    _draw_noise(out, seed)
    _observe(
        out,
        model,
        antenna1,
        antenna2,
        moment,
        receptors,
        gains.astype(np.complex64),
        bandpass.astype(np.complex64),
        interference.levels,
        interference.phasors.astype(np.complex64),
        dead,
        np.float32(sigma),
        np.float32(system),
    )
    return out


def _draw_noise(out: npt.NDArray[np.complex64], seed: tuple[int, ...]) -> None:
    """Fill with unit normal numbers, equal for equal seeds whatever the threads."""
    flat = out.reshape(-1).view(np.float32)
    edges = np.linspace(0, len(flat), PORTIONS + 1).astype(int)

    def fill(portion: int) -> None:
        rng = np.random.default_rng([*seed, portion])
        rng.standard_normal(dtype=np.float32, out=flat[edges[portion] : edges[portion + 1]])

    with ThreadPoolExecutor(PORTIONS) as pool:
        list(pool.map(fill, range(PORTIONS)))


@njit(cache=True, parallel=True, fastmath=True)  # type: ignore[untyped-decorator]  # numba has no types
def _observe(
    out: npt.NDArray[np.complex64],
    model: npt.NDArray[np.complex64],
    antenna1: Integers,
    antenna2: Integers,
    moment: Integers,
    receptors: Integers,
    gains: npt.NDArray[np.complex64],
    bandpass: npt.NDArray[np.complex64],
    levels: npt.NDArray[np.float32],
    phasors: npt.NDArray[np.complex64],
    dead: npt.NDArray[np.bool_],
    sigma: np.float32,
    system: np.float32,
) -> None:
    """Turn unit noise in `out` into visibilities."""
    for row in prange(model.shape[0]):
        p, q, t = antenna1[row], antenna2[row], moment[row]
        is_dead = dead[p] or dead[q]
        path = phasors[p].conjugate() * phasors[q]
        for channel in range(model.shape[1]):
            for product in range(receptors.shape[0]):
                a, b = receptors[product, 0], receptors[product, 1]
                noise = out[row, channel, product] * sigma
                seen = np.complex64(0.0)
                if a == b:
                    seen = model[row, channel] + levels[t, channel] * path
                if p == q and a == b:
                    noise = np.complex64(np.float32(1.4142135) * noise.real)
                    seen += system
                if not is_dead:
                    first = gains[t, p, a] * bandpass[p, channel, a]
                    second = gains[t, q, b] * bandpass[q, channel, b]
                    noise = first.conjugate() * second * (seen + noise)
                out[row, channel, product] = noise
