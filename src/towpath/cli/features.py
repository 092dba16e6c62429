"""`towpath features`: point results of runs by place, kind and item. Reads only."""

from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from towpath.app import documents
from towpath.cli import opening, screen
from towpath.cli.options import call_of
from towpath.cli.screen import Screen

app = typer.Typer()


@app.command()
def features(
    context: typer.Context,
    near: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Only around this place, in degrees.", metavar="LON LAT"),
    ] = None,
    radius: Annotated[float, typer.Option(help="How far from --near at most, in degrees.")] = 0.0,
    kind: Annotated[str, typer.Option(help="Only of this kind of feature.")] = "",
    item: Annotated[str, typer.Option(help="Only of this item.", autocompletion=opening.offer_items)] = "",
    pipeline: Annotated[
        str, typer.Option(help="Only of this pipeline.", autocompletion=opening.offer_pipelines)
    ] = "",
    frame: Annotated[str, typer.Option(help="Only of this frame.", metavar="icrs|wgs84")] = "",
    after: Annotated[int, typer.Option(help="Begin after the feature of this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 50,
) -> None:
    """List point results of runs, by place and filter, page by page."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.features(
            near=near,
            radius=radius,
            kind=kind,
            item=item,
            pipeline=pipeline,
            frame=frame,
            after=after,
            limit=limit + 1,
        )
    found, more = found[:limit], len(found) > limit
    made = screen.table(
        "number", "kind", "name", "frame", "lon", "lat", "run", right=("number", "lon", "lat")
    )
    for one in found:
        place = (f"{one.longitude:.6f}", f"{one.latitude:.6f}")
        made.add_row(
            str(one.id), Text(one.kind), Text(one.name), one.frame, *place, f"{one.run[0]}.{one.run[1]}"
        )
    parts: list[RenderableType] = [made] if found else [screen.dim("no such features")]
    if more:
        parts.append(screen.dim(f"more: towpath features --after {found[-1].id}"))
    document = {"features": documents.plain(found), "next": found[-1].id if more else None}
    Screen(call.is_json).answer(document, *parts)
