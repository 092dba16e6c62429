"""`towpath orders`, `approve` and `reject`: what waits for people, and what they do about it."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from towpath.app.ordering import OrderDetails
from towpath.base import clock
from towpath.base.states import Delivery
from towpath.cli import opening, screen
from towpath.cli.options import call_of
from towpath.cli.screen import Screen

app = typer.Typer()
group = typer.Typer(
    no_args_is_help=True, help="List what is handed to people; take it, give it back, deliver."
)
app.add_typer(group, name="orders")

Number = Annotated[str, typer.Argument(metavar="ORDER", help="The order, such as 12 or order-12.")]
Why = Annotated[str, typer.Option(help="Why; kept with your name.")]


@app.command()
def approve(
    context: typer.Context,
    item: Annotated[str, typer.Argument(help="The item.", autocompletion=opening.offer_items)],
    stage: Annotated[str, typer.Argument(help="The gate, where the item waits at several.")] = "",
    why: Why = "",
) -> None:
    """Let an item go on at a gate."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.approve(item, stage, why=why)
    line = f"{found.item} {found.row.stage}: approved; `towpath run` goes on"
    Screen(call.is_json).answer(_document(found), Text(line))


@app.command()
def reject(
    context: typer.Context,
    item: Annotated[str, typer.Argument(help="The item.", autocompletion=opening.offer_items)],
    why: Annotated[str, typer.Option(help="Why; it is the reason of the rejection, kept with your name.")],
    stage: Annotated[str, typer.Argument(help="The gate, where the item waits at several.")] = "",
) -> None:
    """End an item's way at a gate."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.reject(item, stage, why=why)
    Screen(call.is_json).answer(_document(found), Text(f"{found.item} {found.row.stage}: rejected: {why}"))


@group.command("list")
def list_orders(
    context: typer.Context,
    kind: Annotated[str, typer.Option(help="Only gate or handoff.")] = "",
    item: Annotated[str, typer.Option(help="Only of this item.", autocompletion=opening.offer_items)] = "",
    is_all: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    after: Annotated[int, typer.Option(help="Those with a number above this one: the next page.")] = 0,
    limit: Annotated[int, typer.Option(help="So many at most.")] = 100,
) -> None:
    """List what waits for people: gates and work orders, who has each, and until when."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.orders(kind=kind, item=item, every=is_all, after=after, limit=limit)
    made = screen.table("", "kind", "item", "title", "state", "with", "until", right=("",), fold=("title",))
    for one in found:
        row = one.row
        made.add_row(
            str(row.id),
            row.kind,
            one.item,
            row.title,
            screen.state(row.state.value),
            row.who,
            _moment(row.due),
        )
    Screen(call.is_json).answer(
        [_document(one) for one in found], made if found else Text("Nothing waits for people.")
    )


@group.command()
def show(context: typer.Context, order: Number) -> None:
    """Show an order: what is asked, what is given, where it is to be delivered, and what was delivered."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.order(site.find_order(order))
    Screen(call.is_json).answer(_document(found), *_shown(found))


@group.command()
def claim(context: typer.Context, order: Number) -> None:
    """Take an order. It is yours until it is delivered, given back, or its date has passed."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.claim_order(site.find_order(order))
    Screen(call.is_json).answer(_document(found), *_shown(found))


@group.command()
def assign(
    context: typer.Context,
    order: Number,
    whom: Annotated[str, typer.Argument(help="The name of whoever is to do it.")],
    why: Why = "",
) -> None:
    """Give an order to somebody, whoever has it."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.assign_order(site.find_order(order), whom, why=why)
    line = f"{found.row.name} is with {whom} until {_moment(found.row.due)}"
    Screen(call.is_json).answer(_document(found), Text(line))


@group.command("return")
def give_back(context: typer.Context, order: Number, why: Why = "") -> None:
    """Give an order back: anybody may take it."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.return_order(site.find_order(order), why=why)
    Screen(call.is_json).answer(_document(found), Text(f"{found.row.name} is open again"))


@group.command()
def deliver(
    context: typer.Context,
    order: Number,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE", help="The files; without any, what lies in the drop box is looked at."
        ),
    ] = None,
    comment: Annotated[str, typer.Option(help="What a reader should know.")] = "",
) -> None:
    """Deliver files to an order that you have taken, or have its drop box looked at now. Exit code 1 if not accepted."""
    call = call_of(context)
    with opening.opened(call) as site:
        number = site.find_order(order)
        found = site.deliver(number, files, comment=comment) if files else site.check_order(number)
        row = site.order(number).row
    told = found.state.value if found.state else "not whole yet"
    lines = [
        Text(f"{row.name}: {'verified; `towpath run` goes on' if found.state is Delivery.VERIFIED else told}")
    ]
    lines += [Text(f"  {reason}") for reason in found.reasons]
    document = {"order": row.id, "delivery": told, "reasons": list(found.reasons), "state": row.state.value}
    Screen(call.is_json).answer(document, *lines)
    if found.state is not Delivery.VERIFIED:
        raise typer.Exit(1)


@group.command()
def take(
    context: typer.Context,
    order: Number,
    why: Annotated[
        str, typer.Option(help="Why it is good although it was not accepted; kept with your name.")
    ],
    delivery: Annotated[int, typer.Option(help="Which delivery, by number; the last one by default.")] = 0,
) -> None:
    """Take a delivery that came late, was rejected or put aside, as it is."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.take_delivery(site.find_order(order), why=why, delivery=delivery)
    Screen(call.is_json).answer(
        _document(found), Text(f"{found.row.name}: its delivery is taken; `towpath run` goes on")
    )


def _moment(seconds: float | None) -> str:
    return clock.text(seconds).replace(".000Z", "Z") if seconds else ""


def _shown(found: OrderDetails) -> list[RenderableType]:
    row, body = found.row, found.row.body
    about = [
        ("item", f"{found.item} {row.stage}"),
        ("state", row.state.value + (f", with {row.who}" if row.who else "")),
        ("until", _moment(row.due)),
        ("why", row.why),
        ("for", ", ".join(body["people"])),
        ("claim", str(row.token) if found.box and row.token else ""),
    ]
    parts: list[RenderableType] = [
        Text(f"{row.name}: {row.title}"),
        screen.pairs((name, value) for name, value in about if value),
    ]
    if body["instructions"]:
        parts.append(Text(body["instructions"]))
    asked = [
        f"{one['file']} ({one['type']}{', optional' if one['optional'] else ''})"
        for one in body.get("deliver", ())
    ]
    told = [
        line
        for one in found.deliveries
        for line in (
            f"{one.id}: {one.state.value}, by {one.who} at {_moment(one.time)}",
            *(f"  {reason}" for reason in one.reasons),
        )
    ]
    lists = {
        "given": [str(path) for path in found.inputs],
        "to deliver": asked,
        "drop box": [str(found.box)] if found.box else [],
        "delivered": told,
    }
    return [*parts, *(_listed(title, lines) for title, lines in lists.items() if lines)]


def _listed(title: str, lines: list[str]) -> Text:
    """Lines under their title, never cut or folded: paths can be copied."""
    return Text.assemble("\n", (title, "bold"), *(f"\n  {line}" for line in lines))


def _document(found: OrderDetails) -> dict[str, Any]:
    row = found.row
    return {
        "order": row.id,
        "kind": row.kind,
        "item": found.item,
        "stage": row.stage,
        "title": row.title,
        "state": row.state.value,
        "token": row.token,
        "who": row.who,
        "why": row.why,
        "due": _moment(row.due) or None,
        "opened": _moment(row.opened),
        "box": str(found.box) if found.box else None,
        "asked": dict(row.body),
        "inputs": [str(path) for path in found.inputs],
        "deliveries": [
            {
                "delivery": one.id,
                "state": one.state.value,
                "who": one.who,
                "time": _moment(one.time),
                "reasons": list(one.reasons),
                "manifest": dict(one.manifest),
            }
            for one in found.deliveries
        ],
    }
