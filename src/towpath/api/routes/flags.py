"""Flags: quality marks on an item or a part of it."""

from typing import Any

from towpath.api import shapes, telling
from towpath.api.asking import Asker
from towpath.api.routes.routing import Number, may, router
from towpath.contracts.auth import Permission

routes = router("flags")


@routes.get("/items/{item}/flags", response_model=list[shapes.FlagShape], dependencies=may(Permission.VIEW))
def flags(asker: Asker, item: Number) -> Any:
    """The flags on an item."""
    found = asker.item(item)
    with asker.site.catalog.read() as view:
        return [telling.told(one) for one in view.flags(found.id)]


@routes.post(
    "/items/{item}/flags", response_model=shapes.FlagShape, status_code=201, dependencies=may(Permission.FLAG)
)
def flag(asker: Asker, item: Number, wanted: shapes.NewFlag) -> Any:
    """Put a quality mark on an item or a part of it; work that consumes flags is done again."""
    found = asker.item(item, Permission.FLAG)
    number = asker.site.flag(found.name, wanted.value, part=wanted.part, comment=wanted.comment)
    with asker.site.catalog.read() as view:
        return next(telling.told(one) for one in view.flags(found.id) if one.id == number)
