"""`towpath serve`: the server with its pages, its REST interface and its live events."""

import gc
import importlib
import logging
import sys
import webbrowser
from typing import Annotated, Any

import typer
from rich.text import Text

from towpath.app.site import Site
from towpath.base.errors import SiteError
from towpath.cli import opening
from towpath.cli.options import call_of
from towpath.cli.screen import Screen

app = typer.Typer()

_NAME = "local"
_LASTS = 30 * 86400.0


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option(help="Where to listen; beyond this machine only with TLS or behind a proxy.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = None,
    with_worker: Annotated[
        bool, typer.Option("--with-worker", help="Run the site's work too, in this process.")
    ] = False,
    is_open: Annotated[bool, typer.Option("--open", help="Open the pages in a browser.")] = False,
) -> None:
    """Serve the site: pages for people, REST and live events for programs.

    It ends with Ctrl-C or SIGTERM.

    A site without any token gets one, which is printed once; `towpath tokens` makes more.
    """
    call = call_of(context)
    given = {"server.host": host, "server.port": port}
    call.settings += [f"{name}={value}" for name, value in given.items() if value is not None]
    logging.getLogger("towpath").setLevel(logging.INFO)
    serving = _server()
    screen = Screen(call.is_json)
    with opening.opened(call) as site:
        serving.refuse_open(site.settings.server)
        secret = first_token(site)

        def tell(url: str) -> None:
            told = {"url": url, **({"token": secret} if secret else {})}
            lines = [f"Towpath serves at {url}"]
            if secret:
                lines += [
                    f"sign in with {secret}",
                    "it is told this once; `towpath tokens create` makes others",
                ]
            else:
                lines.append(
                    "sign in with a token of yours; `towpath tokens create NAME --role admin` makes one"
                )
            screen.line(told, Text("\n".join(lines)))
            sys.stdout.flush()
            if is_open:
                webbrowser.open(f"{url}/login#{secret}" if secret else url)

        serving.serve(site, with_worker=with_worker, on_listening=tell)


def first_token(site: Site) -> str:
    """The secret of a token for whoever set the site up, where nobody has one; "" where somebody has."""
    if site.tokens():
        return ""
    return site.make_token(site.who if site.who.isprintable() else _NAME, ["admin"], lasts=_LASTS).secret


def _server() -> Any:
    """The server, by its name: the faces know nothing of one another, and its libraries are optional."""
    gc.disable()  # none of what is loaded now is ever garbage: looking for it takes a tenth of the start
    try:
        return importlib.import_module("towpath.api.serving")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("towpath"):
            raise
        raise SiteError(
            f'the server needs {error.name}, which is not installed: pip install "towpath[serve]"'
        ) from error
