"""Finds the site that a command is about, and opens it; completes names of items, stages and states from it.

Promises that a place named by the user is never searched beyond. Completion never fails: it offers nothing instead.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from towpath.app.settings import FILE
from towpath.app.site import Site
from towpath.base.errors import SiteError, TowpathError
from towpath.base.states import Work
from towpath.cli.options import Call, call_of

VARIABLE = "TOWPATH_SITE"
_OFFERED = 50


def place_of(call: Call) -> Path:
    """The site's folder or file: the one given, that of the variable TOWPATH_SITE, or the nearest one upwards.

    Raises
    ------
    SiteError
        If there is none.
    """
    named = call.site or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None:
        return named
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return folder
    raise SiteError(
        f"there is no {FILE} in {here} or above; `towpath init` makes a site, --site DIR names one"
    )


@contextmanager
def opened(call: Call) -> Iterator[Site]:
    """The site that the command is about, open."""
    with Site.open(place_of(call), overrides=call.settings) as site:
        yield site


def offer_items(context: typer.Context, incomplete: str) -> list[str]:
    """Names of items that begin with what is written: ``kind/key``."""
    with quietly(context) as site:
        if site is None:
            return []
        names = [
            f"{item.kind}/{item.key}"
            for item in site.items(text=incomplete.partition("/")[2] or "", limit=_OFFERED)
        ]
        keys = [name.partition("/")[2] for name in names]
        return [
            name for name in (names if "/" in incomplete else keys + names) if name.startswith(incomplete)
        ]


def offer_stages(context: typer.Context, incomplete: str) -> list[str]:
    """Names of stages of the site's routes."""
    with quietly(context) as site:
        definitions = site.definitions.values() if site else ()
        found = {name for one in definitions for kind in one.kinds.values() for name in kind.stages}
        return sorted(name for name in found if name.startswith(incomplete))


def offer_kinds(context: typer.Context, incomplete: str) -> list[str]:
    """Kinds of items."""
    with quietly(context) as site:
        found = {kind for one in (site.definitions.values() if site else ()) for kind in one.kinds}
        return sorted(name for name in found if name.startswith(incomplete))


def offer_pipelines(context: typer.Context, incomplete: str) -> list[str]:
    """The site's pipelines."""
    with quietly(context) as site:
        return sorted(name for name in (site.definitions if site else ()) if name.startswith(incomplete))


def offer_states(incomplete: str) -> list[str]:
    """States of work."""
    return [state.value for state in Work if state.value.startswith(incomplete)]


def offer_roots(context: typer.Context, incomplete: str) -> list[str]:
    """The site's roots."""
    with quietly(context) as site:
        return sorted(name for name in (site.settings.roots if site else ()) if name.startswith(incomplete))


@contextmanager
def quietly(context: typer.Context) -> Iterator[Site | None]:
    """The site, or None where there is none: completion must not print an error."""
    try:
        site = Site.open(place_of(call_of(context)), overrides=call_of(context).settings)
    except (TowpathError, OSError):
        yield None
        return
    with site:
        yield site
