"""Who asks, and what they may: a bearer's token, a login's cookie, a ticket of a stream, or nobody.

Promises that a request which changes something and came with a cookie was meant by the page that it came from, that
what somebody may not see looks as if it were not there, and that the permission is asked on every request.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import HTTPConnection

from towpath.api import panels
from towpath.api.bearers import Bearers
from towpath.api.errors import Refused
from towpath.app.site import Site
from towpath.base import ids
from towpath.base.errors import NotFoundError, Transient
from towpath.base.model import Item
from towpath.base.signing import RUN_PREFIX
from towpath.contracts.auth import Authorizer, Grant, Permission, Person, Policy
from towpath.contracts.catalog import Transaction
from towpath.contracts.people import PERSON, SESSION
from towpath.contracts.repository import Caller

COOKIE = "towpath_login"
CSRF = "csrf"
CSRF_HEADER = "X-CSRF-Token"
TICKET = "ticket"
TICKET_LASTS = 60.0  # seconds
_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Access:
    """How a server decides: the site, its policy, who is asked about single items, and what nobody in particular may.

    `bearers` are those who come with a token of a repository.
    """

    site: Site
    policy: Policy
    bearers: Bearers
    authorizer: Authorizer | None = None
    anonymous: tuple[Grant, ...] = ()
    under_way: set[tuple[str, str]] = field(default_factory=set)  # who asks for what under which key, now


@dataclass(frozen=True, slots=True)
class Asked:
    """A request's asker: `how` is bearer, login, ticket, run, repository, panel or nobody.

    `csrf` is what a page of theirs must send back, `run` the run that asks by its own token, and `guard` is asked in the
    transaction of what is done, before it is done. `is_over` tells whether what they came with no longer holds, where that
    is no token of Towpath.
    """

    access: Access
    person: Person
    how: str
    csrf: str = ""
    run: tuple[int, int] | None = None
    guard: Callable[[Transaction], None] | None = None
    is_over: Callable[[], bool] = field(default=lambda: False, repr=False)

    @property
    def site(self) -> Site:
        """The site, acting in the asker's name."""
        site = self.access.site.by(self.person.name)
        return site if self.guard is None else site.provided(self.guard)

    @property
    def is_known(self) -> bool:
        """Whether it is somebody."""
        return self.how != "nobody"

    @property
    def caller(self) -> Caller:
        """The asker as a repository knows them."""
        return Caller(self.person.name, self.person.bearer, self.person.of)

    @property
    def is_asked_singly(self) -> bool:
        """Whether more than the pipeline decides what they may do to an item."""
        return self.access.authorizer is not None or self.person.panel is not None

    def is_in_force(self) -> bool:
        """Whether the token that they came with still is."""
        if self.is_over():
            return False
        return not self.person.token or self.access.site.holder(self.person.token) is not None

    def may(self, permission: Permission, item: Item | None = None, *, pipeline: str = "") -> bool:
        """Whether they may do this to an item, in a pipeline, or (without both) on the whole site.

        Raises
        ------
        Refused
            503 if somebody else who decides it cannot be asked now.
        """
        where, person = item.pipeline if item else pipeline, self.person
        if not self.access.policy.allows(person, permission, where):
            return False
        if item is None:  # whom a repository vouches for may look at a pipeline, and do things to items of it
            return permission is Permission.VIEW or not (person.bearer or person.panel)
        if person.panel is not None and item.attributes.get("record") != person.panel.record:
            return False
        asked = self.access.authorizer
        try:
            return asked is None or asked.allows(person, permission, item)
        except Transient as error:
            raise _later(error) from None

    def need(self, permission: Permission, item: Item | None = None, *, pipeline: str = "") -> None:
        """Refuse what they may not do.

        Raises
        ------
        Refused
            401 if nobody asks, else 403.
        """
        if not self.may(permission, item, pipeline=pipeline):
            self._refuse(permission)

    def need_anywhere(self, permission: Permission) -> None:
        """Refuse what they may do in no pipeline at all."""
        if not self.access.policy.anywhere(self.person, permission):
            self._refuse(permission)

    def _refuse(self, permission: Permission) -> None:
        if not self.is_known:
            raise Refused(
                HTTPStatus.UNAUTHORIZED, "unauthorized", "this asks for a token",
                "send `Authorization: Bearer TOKEN`; `towpath tokens create` makes one",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        raise Refused(
            HTTPStatus.FORBIDDEN, "forbidden", f"{self.person.name} may not {permission.value} here",
            "somebody who manages tokens can grant a role that may",
        )  # fmt: skip

    def item(self, number: int, permission: Permission = Permission.VIEW) -> Item:
        """An item that they may do this to; one that they may not view is not there.

        Raises
        ------
        NotFoundError
            If there is none, as far as they may know.
        Refused
            If they may view it, but not do this.
        """
        with self.access.site.catalog.read() as view:
            item = view.item(number)
        if not self.may(Permission.VIEW, item):
            self.need_anywhere(Permission.VIEW)
            raise NotFoundError(f"no item with number {number}")
        self.need(permission, item)
        return item

    def sees(self, pipeline: str, item: Item | None = None) -> bool:
        """Whether they may view this; not, if nobody can say so now."""
        try:
            return self.may(Permission.VIEW, item, pipeline=pipeline)
        except Refused:
            return False

    def sees_definition(self, pipeline: str) -> bool:
        """Whether they may view how a pipeline is defined; one that works on records of others tells it to nobody unknown."""
        return self.sees(pipeline) and (self.is_known or not self.access.site.workflows(pipeline))

    def need_definition(self, pipeline: str) -> None:
        """Refuse whoever may not view how a pipeline is defined: 401 if nobody asks, else 403."""
        if not self.sees_definition(pipeline):
            self._refuse(Permission.VIEW)

    def sees_sources(self, pipeline: str) -> bool:
        """Whether they may view how its sources fare, which may tell of any record."""
        is_ours = not (self.person.bearer or self.person.panel)
        return self.sees_definition(pipeline) and (is_ours or not self.access.site.workflows(pipeline))

    def pipelines(self) -> list[str]:
        """The pipelines that they may view."""
        return [name for name in self.access.site.definitions if self.sees(name)]


def _later(error: Transient) -> Refused:
    wait = f"{max(error.after, 1.0):.0f}"
    headers = {"Retry-After": wait}
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "later", str(error), "try again later", headers=headers)


# ---- who asks
async def asked(request: HTTPConnection) -> Asked:
    """Who asks, found once for each request."""
    known: Asked | None = getattr(request.state, "asked", None)
    if known is None:
        known = request.state.asked = await _identify(request)
    return known


async def _identify(request: HTTPConnection) -> Asked:
    access: Access = request.app.state.access
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await run_in_threadpool(_by_bearer, access, request, secret.strip())
    if TICKET in request.query_params:
        return await run_in_threadpool(_by_ticket, access, request)
    cookie = request.cookies.get(COOKIE, "")
    person = await run_in_threadpool(access.site.person_of, cookie, SESSION) if cookie else None
    if person is None:
        return Asked(access, Person("anonymous", access.anonymous), "nobody")
    csrf = csrf_of(access.site, cookie)
    if request.scope.get("method", "GET") not in _SAFE:
        await _refuse_foreign(request, csrf)
    return Asked(access, person, "login", csrf)


def _by_bearer(access: Access, request: HTTPConnection, secret: str) -> Asked:
    if secret.startswith(RUN_PREFIX):
        run = access.site.run_of(secret)
        if run is None:
            raise _unknown("this token is that of no run that goes on")
        return Asked(access, Person(f"run {ids.run_name(*run)}"), "run", run=run)
    if secret.startswith(panels.PANEL_PREFIX):
        return _by_panel(access, request, secret)
    person = access.site.person_of(secret, PERSON)
    if person is not None:
        return Asked(access, person, "bearer")
    found = access.bearers.person(request, secret)
    if found is None:
        raise _unknown(
            "this token is unknown, expired or revoked", "`towpath tokens create` makes another one"
        )
    return Asked(access, found, "repository", is_over=lambda: not access.bearers.is_in_force(found))


def _by_panel(access: Access, request: HTTPConnection, secret: str) -> Asked:
    person = panels.holder(access.site, secret)
    if person is None:
        raise _unknown("this token of a panel is over, or was none", "ask for another one")
    if not panels.is_place(request.url.path):
        raise Refused(HTTPStatus.FORBIDDEN, "forbidden", "this token is for the panel of one record")
    return Asked(access, person, "panel", is_over=lambda: panels.holder(access.site, secret) is None)


def _unknown(message: str, hint: str = "") -> Refused:
    headers = {"WWW-Authenticate": "Bearer"}
    return Refused(HTTPStatus.UNAUTHORIZED, "unauthorized", message, hint, headers=headers)


def csrf_of(site: Site, cookie: str) -> str:
    """What pages of a login send back, to show that it was they who sent."""
    return site.sign("csrf", hashlib.sha256(cookie.encode()).hexdigest()).rpartition("~")[2]


async def _refuse_foreign(request: HTTPConnection, csrf: str) -> None:
    """Refuse a change that another site made a browser send along with the cookie."""
    if is_foreign(request):
        raise _csrf("the request comes from another site")
    sent = request.headers.get(CSRF_HEADER, "")
    if not sent and isinstance(request, Request) and _is_form(request):
        form: FormData = await request.form()
        sent = str(form.get(CSRF, ""))
    if not hmac.compare_digest(sent.encode(errors="replace"), csrf.encode()):
        raise _csrf(f"the {CSRF_HEADER} header (or the field {CSRF}) is not that of this login")


def is_foreign(request: HTTPConnection) -> bool:
    """Whether a browser says that a page of another site sends this."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("Origin", "")
    known = (
        request.headers.get("Host", ""),
        urlsplit(request.app.state.access.site.settings.server.url).netloc,
    )
    return bool(origin) and urlsplit(origin).netloc not in {one for one in known if one}


def _csrf(message: str) -> Refused:
    return Refused(
        HTTPStatus.FORBIDDEN, "csrf", message,
        "load the page anew and try again; programs send a bearer's token instead of a cookie",
    )  # fmt: skip


def _is_form(request: Request) -> bool:
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in ("application/x-www-form-urlencoded", "multipart/form-data")


# ---- tickets
def ticket(asker: Asked, path: str) -> str:
    """What lets a browser open a stream at `path` within a minute, for it cannot send a header.

    Raises
    ------
    Refused
        If the asker's own token is not one of Towpath, which would be asked for then.
    """
    if asker.person.bearer or asker.person.panel:
        raise Refused(
            HTTPStatus.FORBIDDEN, "forbidden", "tickets are for those who have a token of Towpath",
            "open the stream by fetch, with the header Authorization",
        )  # fmt: skip
    return asker.access.site.sign("ticket", f"{asker.person.token} {path}", lasts=TICKET_LASTS)


def _by_ticket(access: Access, request: HTTPConnection) -> Asked:
    text = access.site.signed("ticket", request.query_params[TICKET])
    number, _, path = (text or "").partition(" ")
    if text is None or path != request.url.path or request.scope.get("method") != "GET":
        raise Refused(
            HTTPStatus.UNAUTHORIZED, "ticket", "this ticket is not for this stream, or its minute is over",
            "ask for another one: POST /api/v1/tickets",
        )  # fmt: skip
    if number == "0":
        return Asked(access, Person("anonymous", access.anonymous), "nobody")
    person = access.site.holder(int(number))
    if person is None:
        raise Refused(HTTPStatus.UNAUTHORIZED, "ticket", "the token behind this ticket is no longer in force")
    return Asked(access, person, "ticket")


Asker = Annotated[Asked, Depends(asked)]


def needs(permission: Permission) -> Callable[..., Any]:
    """A dependency: the asker has this permission at least in one pipeline. What it is asked of is asked beside."""

    async def check(asker: Asker) -> None:
        asker.need_anywhere(permission)

    check.__dict__["permission"] = permission
    return check


async def refuse_early(request: Request, dependencies: Sequence[Any]) -> None:
    """Refuse who may not do what a route declares before its body is read: it may be a large one."""
    try:
        asker = await asked(request)
        for one in dependencies:
            permission = getattr(one.dependency, "permission", None)
            if permission is not None:
                asker.need_anywhere(permission)
    except Refused:
        await request.close()  # what of a form was read
        raise
