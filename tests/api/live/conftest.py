"""What the tests of the server need: a site, a server on it in a thread of this process, and clients of raw sockets."""

import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from towpath import Site
from towpath.api.connections import Connection, Server
from towpath.api.live import Hub, Topics
from towpath.api.logs import LogStreams
from towpath.api.streams import Timing
from towpath.base.errors import NotFoundError
from towpath.base.model import Event

SECONDS = 60.0  # that a test waits for what comes at once


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Give an open site without a pipeline; tests write its story."""
    (tmp_path / "towpath.toml").write_text('[site]\nname = "s"\n')
    with Site.open(tmp_path, environ={}) as site:
        yield site


@pytest.fixture
def tell(site: Site) -> Callable[..., None]:
    """Give `tell(*types, **about)`: write events of these types, in one transaction."""

    def write(*types: str, **about: Any) -> None:
        site.catalog.write(lambda tx: [tx.event(type_, **about) for type_ in types])

    return write


@dataclass
class Told:
    """One event as a client got it."""

    type: str = ""
    id: int | None = None
    data: Any = None


@dataclass
class Client:
    """A client that opened a stream."""

    socket: socket.socket
    buffer: bytes = b""
    head: str = ""
    pings: int = 0
    is_over: bool = False
    events: list[Told] = field(default_factory=list)

    def read(self) -> bool:
        """Take in what comes next; whether anything did."""
        data = self.socket.recv(1 << 16)
        self.is_over = not data
        self.buffer += data
        if not self.head and b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            self.head = head.decode().lower()
        while self.head and b"\r\n" in self.buffer:
            size, _, rest = self.buffer.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                break
            self._take(rest[:length].decode())
            self.buffer = rest[length + 2 :]
            self.is_over |= length == 0
        return bool(data)

    def _take(self, text: str) -> None:
        for block in filter(None, text.split("\n\n")):
            told = Told()
            for line in block.split("\n"):
                name, _, value = line.partition(": ")
                if name == "id":
                    told.id = int(value)
                elif name == "event":
                    told.type = value
                elif name == "data":
                    told.data = json.loads(value)
                elif line == ": ping":
                    self.pings += 1
            if told.type:
                self.events.append(told)

    def until(self, holds: Callable[["Client"], object]) -> Self:
        """Read on until something holds, which must be soon."""
        while not holds(self):
            assert not self.is_over, f"the stream ended: {self.head} {self.events}"
            self.read()
        return self

    def take(self, count: int) -> list[Told]:
        """The next events, so many."""
        self.until(lambda client: len(client.events) >= count)
        taken, self.events = self.events[:count], self.events[count:]
        return taken

    def end(self) -> Self:
        """Read until the server ends the stream."""
        return self.until(lambda client: client.is_over)

    def close(self) -> None:
        """Go."""
        self.socket.close()


class Live:
    """A server with the streams of a site, in a thread; `may` says what everybody may see."""

    def __init__(self, site: Site, timing: Timing | None = None) -> None:
        self.site, self.hub = site, Hub(site, timing)
        self.logs = LogStreams(site, self.hub)
        self.visible: Callable[[Event], bool] | None = None
        self.may: Callable[[], bool] | None = None
        self.clients: list[Client] = []
        routes = [Route("/events", self._events), Route("/log/{run}", self._log)]
        app = Starlette(
            routes=routes, lifespan=self._lifespan, exception_handlers={NotFoundError: self._not_found}
        )
        config = uvicorn.Config(app, port=0, http=Connection, log_config=None, timeout_graceful_shutdown=600)
        self.server = Server(config, self.hub)
        self._thread = threading.Thread(target=self.server.run)

    async def _events(self, request: Request) -> Response:
        asked = request.query_params
        topics = Topics(
            tuple(asked.getlist("pipeline")),
            tuple(map(int, asked.getlist("item"))),
            tuple(asked.getlist("run")),
            tuple(asked.getlist("type")),
        )
        after = int(asked["after"]) if "after" in asked else None
        return self.hub.stream(topics, after, visible=self.visible, still=self.may)

    def _log(self, request: Request) -> Response:
        begin = int(request.headers.get("last-event-id", "0"))
        return self.logs.stream(request.path_params["run"], begin, still=self.may)

    def _not_found(self, request: Request, error: Exception) -> Response:
        return Response(str(error), 404)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.hub.start()
        yield
        await self.hub.stop()

    def __enter__(self) -> Self:
        self._thread.start()
        end = time.monotonic() + SECONDS
        while not self.server.started:
            assert time.monotonic() < end and self._thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> float:
        """Stop the server as a signal does; returns how long that took, in seconds."""
        began = time.monotonic()
        self.server.should_exit = True
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the server did not end"
        for client in self.clients:
            client.close()
        return time.monotonic() - began

    def open(self, path: str, *, room: int = 0, **headers: str) -> Client:
        """Open a stream and wait until it is open; `room` is how many bytes the client's system takes for it."""
        sock = socket.socket()
        sock.settimeout(SECONDS)
        if room:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        sock.connect(("127.0.0.1", self.port))
        lines = [f"GET {quote(path, safe='/?&=')} HTTP/1.1", "Host: here"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        client = Client(sock)
        self.clients.append(client)
        return client.until(lambda one: one.head)

    def status(self, path: str) -> str:
        """The first line of an answer that is no stream."""
        with socket.create_connection(("127.0.0.1", self.port), SECONDS) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
            return sock.makefile("rb").readline().decode().strip()

    def events(self, query: str = "", **more: Any) -> Client:
        """Open a stream of events and wait until it is told what happens."""
        client = self.open(f"/events?{query}", **more)
        self.settle()
        return client

    def settle(self) -> None:
        """Wait until every stream that is open is told what happens."""
        end = time.monotonic() + SECONDS
        while any(getattr(stream, "_is_behind", False) for stream in list(self.hub.streams._open)):
            assert time.monotonic() < end
            time.sleep(0.002)


@pytest.fixture
def serve(site: Site) -> Iterator[Callable[..., Live]]:
    """Give `serve(timing)`: a running server on the site, stopped at the end."""
    with ExitStack() as stack:
        yield lambda timing=None: stack.enter_context(Live(site, timing))


@pytest.fixture
def live(serve: Callable[..., Live]) -> Live:
    """Give a running server on the site."""
    return serve()
