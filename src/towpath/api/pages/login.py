"""Signing in with a token, and out again."""

import importlib
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Form, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from towpath.api.asking import COOKIE, Asked, Asker, is_foreign
from towpath.api.errors import Refused
from towpath.api.pages.page import render, router
from towpath.api.throttle import Throttle
from towpath.base.errors import NotFoundError, SiteError, UsageError

routes = router()
_NOTE = "towpath_sign_in"  # the cookie between question and answer


def _throttle(request: Request) -> Throttle:
    found: Throttle = request.app.state.throttle
    return found


def _safe(path: str) -> str:
    """Where to go then: a place here, never another site's."""
    is_here = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_here else "/"


@routes.get("/login")
def form(request: Request, asker: Asker, next: str = "/") -> HTMLResponse:
    """The form that asks for a token."""
    return _form(request, asker, next)


def _form(request: Request, asker: Asked | None, then: str, problem: str = "") -> HTMLResponse:
    table = request.app.state.access.site.settings.server.oidc
    status = HTTPStatus.FORBIDDEN if problem else HTTPStatus.OK
    return render(
        request,
        asker,
        "login.html",
        status=status,
        title="Sign in",
        next=_safe(then),
        problem=problem,
        provider=table.title if table else "",
    )


@routes.post("/login")
async def sign_in(
    request: Request, token: Annotated[str, Form(max_length=500)] = "", next: Annotated[str, Form()] = "/"
) -> Response:
    """Sign in; the cookie is read by no script."""
    site = request.app.state.access.site
    if is_foreign(request):
        raise Refused(HTTPStatus.FORBIDDEN, "csrf", "another site sent this", "sign in on this page yourself")
    _throttle(request).check(request)
    person = await run_in_threadpool(site.person_of, token.strip())
    if person is None:
        _throttle(request).failed(request)
        problem = "This token is unknown, expired or revoked."
        return await run_in_threadpool(_form, request, None, next, problem)
    made = await run_in_threadpool(site.open_login, person)
    return signed_in(request, made.secret, _safe(next))


def signed_in(request: Request, secret: str, then: str) -> Response:
    """The answer to a login: its cookie, and on to a page."""
    response = RedirectResponse(then, HTTPStatus.SEE_OTHER)
    response.set_cookie(
        COOKIE, secret, httponly=True, samesite="lax", secure=request.url.scheme == "https", path="/"
    )
    return response


# ---- at a provider of identities
def _provider(request: Request) -> Any:
    """The provider of identities that the site names."""
    site = request.app.state.access.site
    table = site.settings.server.oidc
    if table is None:
        raise NotFoundError("this site has no provider of identities: [server.oidc] names one")
    known = getattr(request.app.state, "provider", None)
    if known is None:
        try:
            module = importlib.import_module("towpath.api.oidc")
        except ModuleNotFoundError as error:
            raise SiteError(
                f'server.oidc needs {error.name}, which is not installed: pip install "towpath[oidc]"'
            ) from error
        known = request.app.state.provider = module.Provider(site, table)
    return known


def _back(request: Request) -> str:
    """Where the provider sends people back to."""
    url = request.app.state.access.site.settings.server.url.rstrip("/")
    return f"{url or str(request.base_url).rstrip('/')}/login/provider/back"


@routes.get("/login/provider")
def ask_provider(request: Request, next: str = "/") -> Response:
    """Go to the provider of identities."""
    _throttle(request).check(request)
    question = _provider(request).ask(_back(request), _safe(next))
    response = RedirectResponse(question.url, HTTPStatus.SEE_OTHER)
    response.set_cookie(
        _NOTE,
        question.note,
        max_age=600,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        path="/login",
    )
    return response


@routes.get("/login/provider/back")
def come_back(
    request: Request,
    state: Annotated[str, Query(max_length=500)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    error: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """Come back from the provider of identities, and be signed in if it vouches for you."""
    _throttle(request).check(request)
    provider = _provider(request)
    try:
        if error:
            raise UsageError(f"the provider did not let you in: {error}")
        person, then = provider.answer(request.cookies.get(_NOTE, ""), state, code, _back(request))
    except UsageError as problem:
        _throttle(request).failed(request)
        return _form(request, None, "/", str(problem))
    made = request.app.state.access.site.by(person.name).open_login(person)
    response = signed_in(request, made.secret, _safe(then))
    response.delete_cookie(_NOTE, path="/login")
    return response


@routes.post("/logout")
async def sign_out(request: Request, asker: Asker) -> Response:
    """Sign out; the login is refused from now on."""
    asked: Asked = asker
    await run_in_threadpool(asked.access.site.close_login, request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    response.delete_cookie(COOKIE, path="/")
    return response
