"""People: their tokens, and what each role may do."""

from typing import Annotated

from fastapi import Form, Request, Response

from towpath.api import shapes
from towpath.api.asking import Asked, Asker
from towpath.api.errors import Refused, refused
from towpath.api.pages.page import Said, Viewer, attempt, render, router, stream_of
from towpath.api.routes import people as rest
from towpath.api.routes.routing import Number
from towpath.base import clock
from towpath.base.errors import TowpathError
from towpath.contracts.auth import POLICY, Permission, Role

routes = router()

_HERE = "/people"
_DAY = 86400.0
_ROLES = {
    Role.VIEWER: "looks, reads logs and products, follows items",
    Role.OPERATOR: "runs the site: submits, runs, stops, holds, pauses sources, flags, takes orders",
    Role.SCIENTIST: "judges: decides gates and held items, assigns orders, flags, certifies calibrations",
    Role.PUBLISHER: "lets products go out",
    Role.ADMIN: "everything, also settings and tokens",
}


@routes.get(_HERE)
def page(request: Request, asker: Viewer, every: bool = False) -> Response:
    """Whose tokens there are."""
    asker.need(Permission.MANAGE)
    return _page(request, asker, every)


def _page(
    request: Request,
    asker: Asked,
    every: bool = False,
    *,
    secret: str = "",
    problem: str = "",
    name: str = "",
) -> Response:
    policy = asker.access.policy
    changes = {
        pipeline: {permission.value: sorted(roles) for permission, roles in changed.items()}
        for pipeline, changed in policy.changes.items()
    }
    return render(
        request,
        asker,
        "people.html",
        status=422 if problem else 200,
        stream=stream_of(asker, type="token"),
        title="People",
        page=_HERE,
        tokens=asker.site.tokens(every=every),
        every=every,
        secret=secret,
        made=name,
        told=Said(problem, is_problem=True) if problem else None,
        roles=[(role.value, text) for role, text in _ROLES.items()],
        allowed=[(one.value, {role.value for role in Role if one in POLICY[role]}) for one in Permission],
        changes=changes,
        pipelines=list(asker.site.definitions),
        now=clock.now(),
    )


@routes.post(_HERE)
def make(
    request: Request,
    asker: Asker,
    name: Annotated[str, Form(max_length=200)] = "",
    role: Annotated[list[str], Form()] = [],  # noqa: B006  read only
    pipeline: Annotated[str, Form(max_length=200)] = "",
    days: Annotated[float | None, Form(gt=0, le=36_500)] = None,
) -> Response:
    """Make a token. The answer is the page with its secret, which no other page has."""
    asker.need(Permission.MANAGE)
    grants = [f"{one}@{pipeline}" if pipeline else one for one in role]
    try:
        if not name.strip() or not grants:
            raise Refused(422, "invalid", "Say whom the token is for, and choose at least one role.")
        wanted = shapes.NewToken(name=name.strip()[:100], grants=grants, lasts=days * _DAY if days else None)
        made = rest.make(asker, wanted, Response())
    except (Refused, TowpathError) as error:
        return _page(request, asker, problem=refused(error).message)
    return _page(request, asker, secret=made["secret"], name=made["name"])


@routes.post("/people/{number}/revoke")
def revoke(asker: Asker, number: Number) -> Response:
    """Refuse a token from now on."""

    def do() -> str:
        rest.revoke(asker, number)
        return f"Token {number} is refused from now on, with every login that was made with it."

    return attempt(_HERE, do)
