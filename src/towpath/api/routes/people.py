"""People: who asks and what they may, tokens, what they are told, the items that they follow."""

from typing import Annotated, Any

from fastapi import Query, Response

from towpath.api import shapes, sight, telling
from towpath.api.asking import Asked, Asker
from towpath.api.routes.items import After, Limit
from towpath.api.routes.routing import Number, may, router
from towpath.contracts.auth import Permission

routes = router("people")


@routes.get("/me", response_model=shapes.Me)
def me(asker: Asker) -> Any:
    """Who asks, and what they may do."""
    names = ["", *asker.pipelines()]
    return {
        "name": asker.person.name,
        "how": asker.how,
        "grants": [str(grant) for grant in asker.person.grants],
        "permissions": {
            name: [one.value for one in Permission if asker.may(one, pipeline=name)] for name in names
        },
    }


# ---- tokens
@routes.get("/tokens", response_model=list[shapes.TokenShape], dependencies=may(Permission.MANAGE))
def tokens(
    asker: Asker, every: Annotated[bool, Query(description="also those that are over")] = False
) -> Any:
    """The tokens of people; no secrets."""
    asker.need(Permission.MANAGE)
    return [telling.told(one) for one in asker.site.tokens(every=every)]


@routes.post("/tokens", response_model=shapes.MadeToken, status_code=201, dependencies=may(Permission.MANAGE))
def make(asker: Asker, wanted: shapes.NewToken, response: Response) -> Any:
    """A token for somebody. Its secret is told this once: it is kept nowhere, not as the answer to a key either."""
    asker.need(Permission.MANAGE)
    response.headers["Cache-Control"] = "no-store"
    made = asker.site.make_token(wanted.name, wanted.grants, lasts=wanted.lasts)
    return telling.told(made.row, secret=made.secret)


@routes.delete("/tokens/{number}", status_code=204, dependencies=may(Permission.MANAGE))
def revoke(asker: Asker, number: Number) -> None:
    """Refuse a token from now on, with every login that was made with it."""
    asker.need(Permission.MANAGE)
    asker.site.revoke_token(number)


# ---- what they follow
@routes.put("/items/{item}/subscription", status_code=204, dependencies=may(Permission.SUBSCRIBE))
def follow(asker: Asker, item: Number) -> None:
    """Be told what happens to an item."""
    found = asker.item(item, Permission.SUBSCRIBE)
    asker.site.subscribe(found.name)


@routes.delete("/items/{item}/subscription", status_code=204, dependencies=may(Permission.SUBSCRIBE))
def leave(asker: Asker, item: Number) -> None:
    """No longer be told what happens to an item."""
    asker.site.unsubscribe(asker.item(item).name)


def names_of(asker: Asked) -> list[str]:
    """Under which names somebody is told things: their own, and those of their roles."""
    return [asker.person.name, *(f"role:{role.value}" for role in sorted(asker.person.roles()))]


@routes.get("/notices", response_model=shapes.Notices, dependencies=may(Permission.VIEW))
def notices(asker: Asker, unread: bool = False, after: After = 0, limit: Limit = 100) -> dict[str, Any]:
    """What the asker was told, and how much of it is unread."""
    names = names_of(asker)
    found = sight.notices(asker, names, unread=unread, after=after, limit=limit)
    return {"items": [telling.told(one) for one in found], "unread": sight.unread(asker, names)}


@routes.post("/notices/read", response_model=shapes.Done, dependencies=may(Permission.VIEW))
def seen(asker: Asker, wanted: shapes.Seen) -> Any:
    """Notices were read."""
    return {"touched": asker.site.read_notices(names_of(asker), wanted.ids)}
