"""`towpath calibrators`: the table of calibrators that the ladder looks into.

The table is a file in the site's folder of arrivals; it is certified when it arrives, so that every solution knows the
table that it was chosen from.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from towpath import Command, TowpathError

FILE = "catalogues/calibrators.ecsv"

app = typer.Typer(help="Known calibrators: list them, or add one.", no_args_is_help=True)


def _place(command: Command) -> Path:
    return command.site.storage.path("incoming", FILE)


@app.command("list")
def list_(context: typer.Context) -> None:
    """List the calibrators that are in force."""
    from .science.calibrators import BUILT_IN, read_table  # optional: the science libraries are slow to load

    with Command(context) as command:
        path = _place(command)
        table = read_table(path) if path.exists() else BUILT_IN
        rows = [
            (
                one.name,
                round(one.ra, 5),
                round(one.dec, 5),
                round(10 ** one.coefficients[0], 2),
                f"{one.declinations[0]:+.2f} to {one.declinations[1]:+.2f}",
                "yes" if one.primary else "no",
                one.source,
            )
            for one in table
        ]
        headers = ("name", "RA (deg)", "Dec (deg)", "Jy at 1 GHz", "used at Dec (deg)", "standard", "source")
        where = (
            f"From {path}."
            if path.exists()
            else "These ship with the pipeline; `add` begins a table of your own."
        )
        command.answer([asdict(one) for one in table], where, headers=headers, rows=rows)


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="As people call it.")],
    ra: Annotated[float, typer.Option(help="Right ascension, degrees (ICRS).")],
    dec: Annotated[float, typer.Option(help="Declination, degrees (ICRS).")],
    flux: Annotated[float, typer.Option(help="Flux density in Jy at 1 GHz.")],
    index: Annotated[float, typer.Option(help="Spectral index.")] = -0.7,
    size: Annotated[float, typer.Option(help="Largest extent, arcsec.")] = 0.0,
    half_range: Annotated[
        float, typer.Option(help="Half the range of declinations in which it is used, degrees.")
    ] = 1.5,
    error: Annotated[float, typer.Option(help="Relative error of the flux density.")] = 0.1,
    source: Annotated[str, typer.Option(help="Where the numbers come from.")] = "",
    replace: Annotated[bool, typer.Option(help="Replace the one of this name.")] = False,
) -> None:
    """Add a calibrator to the site's table."""
    import numpy as np  # optional: see list_

    from .science import calibrators as science  # optional: see list_

    new = science.Calibrator(
        name=name,
        ra=ra,
        dec=dec,
        coefficients=(float(np.log10(flux)) if flux > 0 else float("nan"), index),
        valid=(0.3, 10.0),
        declinations=(max(-90.0, dec - half_range), min(90.0, dec + half_range)),
        size=size,
        error=error,
        primary=False,
        source=source or "added by hand",
    )
    with Command(context) as command:
        path = _place(command)
        try:
            table = science.read_table(path) if path.exists() else science.BUILT_IN
            table = science.add(table, new, replace=replace)
        except science.CalibratorError as problem:
            raise TowpathError(str(problem)) from None
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}")
        science.write_table(beside, table)
        beside.replace(path)
        command.answer(asdict(new), f"{name} is in the table of {len(table)} calibrators: {path}")
