"""Vibrations told of as NWChem 7 tells of them, and molecules as XYZ: files of a real format whose truth is known.

The lines that carry numbers are where readers of NWChem's output look for them. The energy is that of a force field, and the
iterations that lead to it are made up; the head of the file says so.
"""

from collections.abc import Iterator

from .vibrating import HARTREE_KCAL, KM_MOL, Vibrations

DEBYE_KM_MOL = 42.2561  # km/mol for one (debye/angstrom)^2/amu
_COLUMNS = 6  # of a table of modes


def xyz(found: Vibrations, title: str) -> str:
    """A molecule as an XYZ file; coordinates in ångström."""
    rows = [
        f"{s:2} {x:14.8f} {y:14.8f} {z:14.8f}"
        for s, (x, y, z) in zip(found.symbols, found.positions, strict=True)
    ]
    return "\n".join([str(len(rows)), f"{title}, MMFF94", *rows, ""])


def nwchem_output(found: Vibrations, title: str) -> str:
    """Vibrations as NWChem 7 tells of them at the end of a frequency calculation.

    The energy is that of the force field; the iterations that lead to it are made up.
    """
    return "\n".join(
        [
            "          Northwest Computational Chemistry Package (NWChem) 7.0.2",
            "          (simulated by towpath.pipelines.compchem.simulate: MMFF94, not a result of NWChem)",
            "    nwchem branch   = 7.0.2",
            "    nwchem revision = N/A",
            "",
            *_geometry(found, title),
            *_iterations(found),
            *_thermochemistry(found),
            *_modes(found),
            *_intensities(found),
            "                                     CITATION",
            "                                     --------",
            " Total times  cpu:        0.4s     wall:        0.5s",
            "",
        ]
    )


def _geometry(found: Vibrations, title: str) -> Iterator[str]:
    yield from [
        "                                NWChem Input Module",
        "                                -------------------",
    ]
    yield from [
        "",
        "",
        title.center(80),
        "",
        ' Scaling coordinates for geometry "geometry" by  1.889725989',
        "",
    ]
    yield from [
        '                             Geometry "geometry" -> ""',
        "                             -------------------------",
    ]
    yield from ["", " Output coordinates in angstroms (scale by  1.889725989 to convert to a.u.)", ""]
    yield "  No.       Tag          Charge          X              Y              Z"
    yield " ---- ---------------- ---------- -------------- -------------- --------------"
    for number, (symbol, z, place) in enumerate(
        zip(found.symbols, found.numbers, found.positions, strict=True), 1
    ):
        yield f"{number:5d} {symbol:16s} {z:10.4f} " + " ".join(f"{value:14.8f}" for value in place)
    yield from ["", "      Atomic Mass", "      -----------", ""]
    for symbol, mass in dict(zip(found.symbols, found.masses, strict=True)).items():
        yield f"      {symbol:16s} {mass:10.6f}"
    yield ""


def _iterations(found: Vibrations) -> Iterator[str]:
    electrons = sum(found.numbers)
    line = " " + "-" * 78
    yield from [
        ' Summary of "ao basis" -> "ao basis" (cartesian)',
        line,
        "       Tag                 Description            Shells   Functions and Types",
    ]
    yield " ---------------- ------------------------------  ------  ---------------------"
    for symbol in dict.fromkeys(found.symbols):  # a force field has none, and readers ask for one
        yield f" {symbol:16s} {'none':30s} {1:6d} {1:8d}   1s"
    yield ""
    yield from [
        "                                 NWChem DFT Module",
        "                                 -----------------",
        "",
    ]
    yield from [
        "            General Information",
        "            -------------------",
        "          SCF calculation type: DFT",
    ]
    yield from [
        "          Wavefunction type:  closed shell.",
        f"          No. of atoms     : {len(found.symbols):5d}",
    ]
    yield from [f"          No. of electrons : {electrons:5d}", "          Charge           :     0"]
    yield from ["          Spin multiplicity:     1", "          Convergence on energy requested:  1.00D-07"]
    yield from [
        "          Convergence on density requested:  1.00D-05",
        "          Convergence on gradient requested:  5.00D-04",
        "",
    ]
    yield from [
        "              XC Information",
        "              --------------",
        "                       MMFF94 Method XC Potential",
        "",
    ]
    yield from ["   convergence    iter        energy       DeltaE   RMS-Dens  Diis-err    time"]
    yield " ---------------- ----- ----------------- --------- --------- ---------  ------"
    for step in range(1, 7):
        error = 10.0 ** (-1.5 * step)
        changes = f"{-9 * error:9.2E} {error:9.2E} {error / 10:9.2E}".replace("E-", "D-").replace("E+", "D+")
        yield f" d= 0,ls=0.0,diis {step:5d} {found.energy + error:17.10f} {changes} {step / 10:7.1f}"
    yield from ["", "", f"         Total DFT energy = {found.energy:20.12f}", ""]


def _thermochemistry(found: Vibrations) -> Iterator[str]:
    yield from [
        "",
        f" Temperature                      = {found.temperature:8.2f}K",
        " frequency scaling parameter      =   1.0000",
        "",
    ]
    for name, value in (
        ("Zero-Point correction to Energy  ", found.zero_point),
        ("Thermal correction to Enthalpy   ", found.enthalpy),
    ):
        yield f" {name}= {value * HARTREE_KCAL:8.3f} kcal/mol  ({value:10.6f} au)"
    yield from ["", f" Total Entropy                    = {found.entropy:8.3f} cal/mol-K", ""]


def _modes(found: Vibrations) -> Iterator[str]:
    count = 3 * len(found.symbols)
    yield from [
        "          -------------------------------------------------",
        "          NORMAL MODE EIGENVECTORS IN CARTESIAN COORDINATES",
    ]
    yield from [
        "          -------------------------------------------------",
        "             (Projected Frequencies expressed in cm-1)",
    ]
    for first in range(0, count, _COLUMNS):
        block = range(first, min(first + _COLUMNS, count))
        yield ""
        yield "         " + "".join(f"{number + 1:12d}" for number in block)
        yield " "
        yield " P.Frequency " + "".join(f"{found.wavenumbers[number]:12.2f}" for number in block)
        yield " "
        for row in range(count):
            values = (found.modes[number].ravel()[row] for number in block)
            yield f"{row + 1:12d}" + "".join(f"{value:12.5f}" for value in values)
    yield ""


def _intensities(found: Vibrations) -> Iterator[str]:
    line = " " + "-" * 76
    yield from ["", line, " Normal Eigenvalue ||           Projected Infra Red Intensities"]
    yield from [
        "  Mode   [cm**-1]  || [atomic units] [(debye/angs)**2] [(KM/mol)] [arbitrary]",
        " ------ ---------- || -------------- ----------------- ---------- -----------",
    ]
    most = max(float(found.intensities.max()), 1e-9)
    for number, (value, strength) in enumerate(zip(found.wavenumbers, found.intensities, strict=True), 1):
        units = f"{strength / KM_MOL:11.6f} {strength / DEBYE_KM_MOL:15.3f} {strength:13.3f}"
        yield f"{number:5d} {value:12.3f} || {units} {100 * strength / most:11.3f}"
    yield from [line, ""]
