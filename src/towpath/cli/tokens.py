"""`towpath tokens`: who may use the server, and as what."""

from typing import Annotated

import typer
from rich.text import Text

from towpath.base import clock
from towpath.base.errors import UsageError
from towpath.cli import opening, screen
from towpath.cli.options import call_of
from towpath.cli.screen import Screen

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Make, list and revoke the tokens that the server asks for.")
app.add_typer(group, name="tokens")


@group.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Whom it is for; events tell this name.")],
    role: Annotated[
        list[str],
        typer.Option(
            help="viewer, operator, scientist, publisher or admin, or ROLE@PIPELINE; several times for several."
        ),
    ],
    expires: Annotated[
        str, typer.Option(help='How long it lasts, such as "90 d"; "never" for ever.')
    ] = "90 d",
) -> None:
    """Make a token. Its secret is printed this once, and kept only as a hash."""
    call = call_of(context)
    try:
        lasts = None if expires == "never" else clock.duration(expires)
    except ValueError as error:
        raise UsageError(f"--expires: {error}") from None
    with opening.opened(call) as site:
        made = site.make_token(name, role, lasts=lasts)
    told = {"id": made.row.id, "name": made.row.name, "grants": list(made.row.grants), "token": made.secret}
    until = f", until {clock.text(made.row.expires)}" if made.row.expires else ""
    Screen(call.is_json).answer(
        told, Text(f"{made.secret}\ntoken {made.row.id} for {name}: {', '.join(made.row.grants)}{until}")
    )


@group.command("list")
def list_tokens(
    context: typer.Context,
    is_all: Annotated[bool, typer.Option("--all", help="Also those that expired or were revoked.")] = False,
) -> None:
    """List tokens: whose, as what, until when, last used when. Secrets cannot be shown again."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.tokens(every=is_all)
    made = screen.table(
        "no.", "name", "may", "made", "by", "expires", "last used", "revoked", right=("no.",), fold=("may",)
    )
    for one in found:
        times = [
            f"{clock.text(time)[:16]}Z" if time else ""
            for time in (one.created, one.expires, one.seen, one.revoked)
        ]
        made.add_row(
            str(one.id), one.name, ", ".join(one.grants), times[0], one.by, times[1], times[2], times[3]
        )
    Screen(call.is_json).answer(found, made)


@group.command("revoke")
def revoke(
    context: typer.Context, number: Annotated[int, typer.Argument(help="The token's number, as listed.")]
) -> None:
    """Refuse a token from now on, and every login that was made with it."""
    call = call_of(context)
    with opening.opened(call) as site:
        site.revoke_token(number)
    Screen(call.is_json).answer({"revoked": number}, Text(f"token {number} is refused from now on"))
