"""Signing in with a token, and out again."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Form, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from towpath.api.asking import COOKIE, Asked, Asker
from towpath.api.pages.page import render, router
from towpath.api.throttle import Throttle

routes = router()


def _safe(path: str) -> str:
    """Where to go then: a place here, never another site's."""
    is_here = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_here else "/"


@routes.get("/login")
def form(request: Request, asker: Asker, next: str = "/") -> HTMLResponse:
    """The form that asks for a token."""
    return render(request, asker, "login.html", title="Sign in", next=_safe(next), problem="")


@routes.post("/login")
async def sign_in(
    request: Request, token: Annotated[str, Form(max_length=500)] = "", next: Annotated[str, Form()] = "/"
) -> Response:
    """Sign in; the cookie is read by no script."""
    site = request.app.state.access.site
    throttle: Throttle = request.app.state.throttle
    throttle.check(request)
    person = await run_in_threadpool(site.person_of, token.strip())
    if person is None:
        throttle.failed(request)
        problem = "This token is unknown, expired or revoked."
        return await run_in_threadpool(
            render,
            request,
            None,
            "login.html",
            status=HTTPStatus.FORBIDDEN,
            title="Sign in",
            next=_safe(next),
            problem=problem,
        )
    made = await run_in_threadpool(site.open_login, person)
    return signed_in(request, made.secret, _safe(next))


def signed_in(request: Request, secret: str, then: str) -> Response:
    """The answer to a login: its cookie, and on to a page."""
    response = RedirectResponse(then, HTTPStatus.SEE_OTHER)
    response.set_cookie(
        COOKIE, secret, httponly=True, samesite="lax", secure=request.url.scheme == "https", path="/"
    )
    return response


@routes.post("/logout")
async def sign_out(request: Request, asker: Asker) -> Response:
    """Sign out; the login is refused from now on."""
    asked: Asked = asker
    await run_in_threadpool(asked.access.site.close_login, request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    response.delete_cookie(COOKIE, path="/")
    return response
