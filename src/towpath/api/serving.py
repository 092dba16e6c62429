"""Serving a site: where it listens, with TLS or not, with the work of the site beside it or not; ending in good order.

Promises to end within a second of SIGTERM, streams or not, where the catalog answers; that the catalog is not replaced beneath
it; and never to listen beyond this machine unprotected.
"""

import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import uvicorn

from towpath.api import connections
from towpath.api.app import make_app
from towpath.api.live import Hub
from towpath.app.settings import ServerTable
from towpath.app.site import Site
from towpath.base.errors import SiteError

log = logging.getLogger(__name__)


def refuse_open(table: ServerTable) -> None:
    """Refuse to listen where others can listen in.

    Raises
    ------
    SiteError
        If the place is beyond this machine, and there is neither TLS nor a proxy in front that speaks it.
    """
    if bool(table.certificate) != bool(table.key):
        raise SiteError("server: found one of certificate and key; expected both, or neither")
    if is_loopback(table.host) or table.certificate or table.behind_proxy:
        return
    raise SiteError(
        f"server.host: {table.host} is beyond this machine, and tokens would cross the network in the clear; set "
        "server.certificate and server.key for TLS, or server.behind_proxy = true where a proxy in front speaks TLS"
    )


def is_loopback(host: str) -> bool:
    """Whether a place to listen at is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Server(connections.Server):
    """A server that tells where it listens."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config, hub)
        self.on_listening: list[Callable[[str], None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            url = url_of(self.config, self.servers[0].sockets[0].getsockname()[1])
            for tell in self.on_listening:
                tell(url)


def url_of(config: uvicorn.Config, port: int) -> str:
    """The address of a server."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{'https' if config.ssl_certfile else 'http'}://{host}:{port}"


def serve(
    site: Site, *, with_worker: bool = False, on_listening: Callable[[str], None] = lambda url: None
) -> None:
    """Serve a site until SIGTERM or SIGINT.

    Parameters
    ----------
    site
        The open site.
    with_worker
        Run its work too, in this process.
    on_listening
        Called with the server's address when it answers.

    Raises
    ------
    SiteError
        If it may not or cannot listen there.
    """
    table = site.settings.server
    refuse_open(table)
    folder = site.settings.folder
    app = make_app(site)
    more: dict[str, Any] = {}
    if table.certificate:
        more = {"ssl_certfile": str(folder / table.certificate), "ssl_keyfile": str(folder / table.key)}
    config = uvicorn.Config(
        app,
        http=connections.Connection,
        host=table.host,
        port=table.port,
        log_config=None,
        access_log=False,  # paths with their queries may hold tickets
        proxy_headers=table.behind_proxy,
        forwarded_allow_ips=table.proxies if table.behind_proxy else "",
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=30,
        **more,
    )
    server = _Server(config, app.state.hub)
    server.on_listening.append(on_listening)
    with site.serving(), _signals(server), _working(site, server) if with_worker else nullcontext():
        try:
            server.run()
        except SystemExit:
            raise SiteError(
                f"server: cannot listen at {table.host}:{table.port}; is another server there? --port chooses another"
            ) from None


@contextmanager
def _signals(server: _Server) -> Iterator[None]:
    """SIGTERM and SIGINT end the server, also before it looks for them itself; they must not end the process before its work."""

    def end(_number: int, _frame: object) -> None:
        server.should_exit = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def _working(site: Site, server: _Server) -> Iterator[None]:
    """The site's work, in a thread: what runs when the server has ended is finished, or given up at another SIGTERM.

    It begins when the server has told where it listens: an inline executor takes all that the process writes into the
    log of a run, and a secret that is told once has no place there.
    """
    stops: list[Callable[[], None]] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            site.run(watch=True, check=False, on_loop=stops.append)
        except BaseException as error:  # the server must not go on without its work  # noqa: BLE001  raised at the end
            failed.append(error)
            server.should_exit = True

    def stop(_number: int = 0, _frame: object = None) -> None:
        for one in stops:
            one()

    thread = threading.Thread(target=work, name="worker")
    server.on_listening.append(lambda _url: thread.start())
    try:
        yield
    finally:
        while not stops and thread.is_alive():
            thread.join(0.05)
        stop()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, stop)
        if thread.ident is not None:
            thread.join()
    if failed:
        raise failed[0]
