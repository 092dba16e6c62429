"""The page of one item, as `towpath show` prints it: facts, stages, products, verdicts, flags, publications."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from towpath.app.looking import Details
from towpath.base import clock
from towpath.base.model import Run
from towpath.cli import screen
from towpath.cli.screen import section

_LONGEST = 120  # letters of an attribute; --json has the whole


def page(
    details: Details, folder: Path, places: Mapping[int, Path], archived: Callable[[str, str], Path]
) -> Iterator[RenderableType]:
    """The parts of an item's page; those without content are left out.

    `places` are those of its products by id; `archived` gives the place of an archive root and a path in it.
    """
    yield screen.heading(details.item.name)
    yield screen.pairs(_facts(details))
    yield section("stages", _stages(details))
    if details.products:
        yield section("products", _products(details, folder, places))
    if details.let_go:
        yield section("let go", _let_go(details))
    if details.features:
        yield section("features", _features(details))
    if details.verdicts:
        yield section("verdicts", _verdicts(details))
    if details.flags:
        yield section("flags", _flags(details))
    if details.pins:
        yield section("pins", _pins(details))
    if details.publications:
        yield section("publications", _publications(details, folder, archived))


def _facts(details: Details) -> Iterator[tuple[str, RenderableType]]:
    item = details.item
    yield "registered", Text(f"{clock.text(item.registered)}  (definition {item.definition})")
    if item.span:
        yield "time", Text(f"{clock.text(item.span.begin)} – {clock.text(item.span.end)}")
    if item.footprint:
        box = item.footprint
        yield "footprint", Text(f"{box.west:g}° – {box.east:g}° E, {box.south:g}° – {box.north:g}° N")
    for name, value in item.attributes.items():
        yield name, Text(_short(value))
    if details.milestones:
        yield "milestones", Text(" → ".join(name for name, _ in details.milestones))
    if details.members:
        keys = [member.key for member in details.members]
        more = f" and {len(keys) - 10} more" if len(keys) > 10 else ""
        yield "members", Text(f"{len(keys)}: {', '.join(keys[:10])}{more}")


def _short(value: object) -> str:
    """An attribute on one line or two."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _stages(details: Details) -> Table:
    last: dict[int, Run] = {run.work: run for run in details.runs}
    tried = {row.id: sum(run.work == row.id for run in details.runs) for row in details.work}
    made = screen.table(
        "stage",
        "state",
        "run",
        "runs",
        "seconds",
        "what it says",
        right=("runs", "seconds"),
        fold=("what it says",),
    )
    for row in details.work:
        run = last.get(row.id)
        progress = f" {row.progress:.0%}" if row.progress is not None else ""
        made.add_row(
            row.stage,
            screen.state(row.state.value, progress),
            run.name if run else "",
            str(tried[row.id] or ""),
            f"{run.seconds:.2f}" if run else "",
            _says(row.note, run),
        )
    return made


def _says(note: str, run: Run | None) -> Text:
    if note:
        return Text(note)
    if run is None:
        return Text("")
    measures = [f"{one.name} {screen.number(one.value)} {one.unit}".rstrip() for one in run.measures]
    caveats = [f"but: {caveat}" for caveat in run.caveats]
    return Text("; ".join([*caveats, *measures]), style="" if caveats else "dim")


def _products(details: Details, folder: Path, places: Mapping[int, Path]) -> Table:
    made = screen.table("made by", "output", "size", "state", "place", right=("size",), fold=("place",))
    for product in details.products:
        output = f"{product.output} {product.part}".rstrip()
        state = screen.state(product.state.value, " (by hand)" if product.manual else "")
        made.add_row(
            product.stage or "(raw)",
            output,
            screen.size(product.size),
            state,
            Text(short(places[product.id], folder)),
        )
    return made


def _let_go(details: Details) -> Table:
    """What was let go by policy, and is made again when something reads it."""
    made = screen.table("made by", "output", "size", "state", "when", "why", right=("size",))
    for one in details.let_go:
        product = one.product
        output = f"{product.output} {product.part}".rstrip()
        state = screen.state(product.state.value)
        made.add_row(product.stage, output, screen.size(product.size), state, clock.text(one.time), one.why)
    return made


def _features(details: Details) -> Table:
    made = screen.table("stage", "kind", "features", right=("features",))
    for one in details.features:
        made.add_row(one.stage, Text(one.kind), str(one.count))
    return made


def _verdicts(details: Details) -> Table:
    made = screen.table("stage", "verdict", "rule", "value", "limit", "result", fold=("rule",))
    for stage, verdict, _, accepted in details.verdicts:
        first = [Text(stage), screen.state(verdict.result, f", accepted by {accepted}" if accepted else "")]
        for rule in verdict.rules:
            value = f"{screen.number(rule.value)} {rule.unit}".rstrip()
            if value.startswith("not measured"):
                value = "not measured"  # why is told with the stage
            limit = f"{rule.op} {screen.number(rule.limit)}"
            made.add_row(*first, Text(rule.rule), Text(value), Text(limit), screen.state(rule.result))
            first = [Text(""), Text("")]
        if not verdict.rules:
            made.add_row(*first, "", "", "", "")
    return made


def _flags(details: Details) -> Table:
    made = screen.table("part", "flag", "comment", "by", "when", fold=("comment",))
    for flag in details.flags:
        part = ", ".join(f"{name} {value}" for name, value in flag.part.items()) or "all of it"
        made.add_row(part, flag.value, flag.comment, flag.author, screen.when(flag.time))
    return made


def _pins(details: Details) -> Table:
    made = screen.table("product", "kept by", "until", "why", fold=("product", "why"))
    for pin in details.pins:
        name = f"{pin.product.stage or 'raw'} {pin.product.path}"
        made.add_row(name, pin.author, screen.when(pin.until) if pin.until else "unpinned", pin.why)
    return made


def _publications(details: Details, folder: Path, archived: Callable[[str, str], Path]) -> Table:
    made = screen.table(
        "state", "place", "files", "what it says", right=("files",), fold=("place", "what it says")
    )
    for row in details.publications:
        place = archived(row.archive, row.target)
        made.add_row(
            screen.state(row.state.value), Text(short(place, folder)), str(len(row.files)), Text(row.error)
        )
    return made


def short(place: Path, folder: Path) -> str:
    """A place relative to the site's folder where it is in it."""
    return str(place.relative_to(folder)) if place.is_relative_to(folder) else str(place)
