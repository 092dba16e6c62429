"""How every route is made: under one tag, done once for each `Idempotency-Key`, with the errors that it may answer."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path

from towpath.api import shapes
from towpath.api.asking import needs
from towpath.api.once import Route
from towpath.contracts.auth import Permission

Number = Annotated[int, Path(ge=0, le=shapes.MOST, description="its number")]

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": shapes.ErrorAnswer, "description": text}
    for status, text in (
        (400, "what was sent cannot be read"),
        (401, "a token is needed, or is no longer in force"),
        (403, "this may not be done by the asker"),
        (404, "there is no such thing, as far as the asker may know"),
        (408, "the body came too slowly"),
        (409, "it is not in a state that allows this; the answer tells the state"),
        (413, "the body is too large"),
        (422, "what was sent is wrong; the answer tells where"),
        (503, "the site's catalog or a disk cannot work now"),
    )
}


def router(tag: str) -> APIRouter:
    """A router for the routes of one noun."""
    return APIRouter(tags=[tag], route_class=Route, responses=ERRORS)


def may(permission: Permission) -> list[Any]:
    """The dependencies of a route that this permission is needed for."""
    return [Depends(needs(permission))]
