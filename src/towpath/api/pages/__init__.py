"""The web pages: HTML made here, made live by htmx; readable without JavaScript. All that they load lies beside them."""

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from towpath.api.pages import (
    calibrations,
    configuration,
    events,
    inventory,
    item,
    log,
    login,
    notices,
    orders,
    overview,
    people,
    publications,
    sources,
    work,
)
from towpath.api.pages.page import STATIC

_MODULES = (
    calibrations,
    configuration,
    events,
    inventory,
    item,
    log,
    login,
    notices,
    orders,
    overview,
    people,
    publications,
    sources,
    work,
)  # fmt: skip


def add_to(app: FastAPI) -> None:
    """Add the pages and what they load."""
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for module in _MODULES:
        app.include_router(module.routes, include_in_schema=False)
