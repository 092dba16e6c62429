"""`towpath calibrations`: what is certified, for when, whether its bytes are there and who uses it; and withdrawing one."""

from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from towpath.app.calibrating import CalibrationStatus
from towpath.base import clock
from towpath.cli import opening, screen
from towpath.cli.options import call_of
from towpath.cli.screen import Screen
from towpath.flow.certify import BEGIN, END

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="List certified calibrations, and withdraw one.")
app.add_typer(group, name="calibrations")


@group.command("list")
def list_calibrations(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="Only of this kind, such as bandpass.")] = "",
    selector: Annotated[str | None, typer.Option(help="Only those for this selector.")] = None,
    is_all: Annotated[bool, typer.Option("--all", help="Also superseded and withdrawn ones.")] = False,
) -> None:
    """List calibrations: kind, selector, validity, quality, the item that made each, its state, how much work uses it.

    The disk is looked at: those in force whose bytes are missing or changed are named.
    """
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.calibrations(kind, selector=selector, state="" if is_all else "certified")
    made = screen.table(
        "", "kind", "selector", "valid from", "until", "quality", "item", "state", "used by",
        right=("", "quality", "used by"),
    )  # fmt: skip
    for one in found:
        made.add_row(
            str(one.number), one.kind, one.selector, _moment(one.begin), _moment(one.end), screen.number(one.quality),
            one.item, screen.state(one.state), str(one.used_by),
        )  # fmt: skip
    parts: list[RenderableType] = [made] if found else [Text("No calibration is certified.")]
    bad = [one for one in found if one.is_bad]
    parts += [
        Text(f"calibration {one.number}: {one.root}:{one.path} is {one.bytes_are}; what needs it waits")
        for one in bad
    ]
    Screen(call.is_json).answer([_document(one) for one in found], *parts)


@group.command()
def decertify(
    context: typer.Context,
    number: Annotated[int, typer.Argument(help="The calibration's number, as the list says it.")],
    why: Annotated[str, typer.Option(help="Why; kept with your name.")],
) -> None:
    """Withdraw a calibration. Work that used it waits for another one and runs again."""
    call = call_of(context)
    with opening.opened(call) as site:
        former = site.decertify(number, why=why)
    line = f"calibration {number} ({former.kind} of {former.item}) is withdrawn: {why}; "
    line += f"{screen.count(former.used_by, 'run')} that used it {'is' if former.used_by == 1 else 'are'} to be done again"
    Screen(call.is_json).answer({**_document(former), "state": "decertified", "why": why}, Text(line))


def _moment(seconds: float) -> str:
    return "always" if seconds in (BEGIN, END) else clock.text(seconds).replace(".000Z", "Z")


def _document(one: CalibrationStatus) -> dict[str, object]:
    names = CalibrationStatus.__dataclass_fields__
    told = {name: getattr(one, name) for name in names}
    return {**told, "begin": clock.text(one.begin), "end": clock.text(one.end), "is_bad": one.is_bad}
