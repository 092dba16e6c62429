"""`towpath demo`: a pipeline's demonstration, from file to published product, in a site of its own."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from towpath.app import plugins
from towpath.app.looking import Details
from towpath.app.settings import FILE
from towpath.app.site import Site
from towpath.base.errors import NotFoundError, UsageError
from towpath.base.states import Publication
from towpath.cli import screen
from towpath.cli.item import short
from towpath.cli.look import summary
from towpath.cli.options import call_of
from towpath.cli.run import Done, work
from towpath.cli.screen import Screen

app = typer.Typer()

_PICTURES = (".png", ".svg", ".jpg")
_STANDING = (Publication.COMMITTED, Publication.RELEASED)
_SHOWN = 20  # items


@app.command()
def demo(
    context: typer.Context,
    pipeline: Annotated[
        str, typer.Argument(help="An installed pipeline.", autocompletion=plugins.installed)
    ] = "gam",
    data: Annotated[
        Path | None,
        typer.Option(
            help="A file (or folder, where a pipeline takes one) of your own instead of simulated data."
        ),
    ] = None,
) -> None:
    """Run a pipeline's demonstration from file to published product. --site says where (default: demo-PIPELINE)."""
    call = call_of(context)
    plugin = plugins.load(pipeline)
    if plugin.demo is None:
        raise NotFoundError(f"the pipeline {pipeline} has no demonstration")
    if data is not None and not data.exists():
        raise UsageError(f"--data: there is no file {data}")
    folder = call.site or Path(f"demo-{pipeline}")
    if data is not None or not (folder / FILE).exists():
        Screen(call.is_json).note(f"preparing the demonstration of {pipeline} in {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        plugin.demo(folder, data.absolute() if data else None)
    with Site.open(folder, overrides=call.settings) as site:
        done = work(site, call)
        details = [site.show(item.name) for item in site.items(pipeline=pipeline, limit=_SHOWN + 1)]
        shown = {
            **done.document(site),
            "folder": site.folder,
            "items": [_document(site, one) for one in details[:_SHOWN]],
        }
        Screen(call.is_json).answer(shown, *_parts(site, done, details))
    if code := done.code(is_watching=False):
        raise typer.Exit(code)


def _published(site: Site, one: Details) -> list[Path]:
    """Where the standing publications of an item are."""
    return [site.storage.path(row.archive, row.target) for row in one.publications if row.state in _STANDING]


def _seconds(one: Details) -> float:
    return sum(run.seconds for run in one.runs)


def _verdict(one: Details) -> str:
    """The last word of the rules: of the last stage that judged."""
    return one.verdicts[-1][1].result if one.verdicts else ""


def _document(site: Site, one: Details) -> dict[str, Any]:
    return {
        "item": one.item.name,
        "states": {row.stage: row.state for row in one.work},
        "verdict": _verdict(one) or None,
        "published": _published(site, one),
        "seconds": round(_seconds(one), 3),
    }


def _parts(site: Site, done: Done, details: list[Details]) -> Iterator[RenderableType]:
    if done.summary.did_nothing:
        yield Text("Nothing to do: the demonstration has run already.")
    else:
        yield screen.heading(
            f"{screen.count(sum(done.summary.runs.values()), 'run')} in {screen.seconds(done.summary.seconds)}"
        )
    yield Text()
    yield _table(site, details[:_SHOWN])
    if len(details) > _SHOWN:
        yield screen.dim(f"and more: {_program()} items --site {_named(site.folder)} lists all")
    yield Text()
    for picture in _pictures(site, details)[:1]:
        yield screen.path(f"Look at the picture: {picture}")
    yield screen.path(f"Look around: {_program()} status --site {_named(site.folder)}")


def _program() -> str:
    """The command as a person here would call it: where it is not found by its name, as it was called."""
    called = Path(sys.argv[0])
    return "towpath" if called.name != "towpath" or shutil.which("towpath") else _named(called.absolute())


def _table(site: Site, details: list[Details]) -> Table:
    """The items; of a pipeline that publishes what was published, of another what its stages say."""
    is_publishing = any(_published(site, one) for one in details)
    heads = ("verdict", "published") if is_publishing else ("what it says",)
    made = screen.table("item", "state", *heads, "seconds", right=("seconds",), fold=("item", heads[-1]))
    for one in details:
        places = "\n".join(short(place, site.folder) for place in _published(site, one))
        verdict = screen.state(_verdict(one)) if one.verdicts else screen.dim("–")
        cells = (verdict, Text(places)) if is_publishing else (Text(_says(one)),)
        made.add_row(f"{one.item.kind}/{one.item.key}", summary(one.work), *cells, f"{_seconds(one):.1f}")
    return made


def _says(one: Details) -> str:
    """What the stages say for people: reasons and caveats, or else the first sentence."""
    doubts = [text for run in one.runs for text in (*run.reasons, *run.caveats)]
    told = [str(measure.value) for run in one.runs for measure in run.measures if measure.name == "sentence"]
    return " ".join(dict.fromkeys(doubts)) or next(iter(told), "")


def _pictures(site: Site, details: list[Details]) -> list[str]:
    """The pictures that were published or else made, quick-looks first, as a person here would name them."""
    found: list[Path] = []
    for place in (place for one in details for place in _published(site, one)):
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        found += [file for file in files if file.suffix.lower() in _PICTURES]
    if not found:
        made = (product for one in details for product in one.products)
        places = (site.storage.path(product.root, product.path) for product in made)
        found = [place for place in places if place.suffix.lower() in _PICTURES]
    found.sort(key=lambda file: "quicklook" not in file.name)
    return [_named(file) for file in found]


def _named(place: Path) -> str:
    """A place as seen from the current folder, if it is in it."""
    return short(place, Path.cwd())
