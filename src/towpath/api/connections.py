"""The HTTP server (uvicorn) with what streams need of it: to cut a connection, and to end before connections are waited for.

Promises that a server with open streams stops at once, and that a client which reads nothing can be dropped with what waits for
it. Decides neither.
"""

from socket import socket
from typing import Protocol

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from towpath.api.streams import CUT

HEAD = 65_536  # bytes of the address and the headers of a request


class Connection(HttpToolsProtocol):
    """A connection that the answer to a request can cut, whatever still waits to be sent; a head that is too large is none."""

    _is_head, _taken, _waiting = False, 0, 0

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._is_head, self._taken = True, 0
        self.scope["extensions"] = {CUT: {"abort": self.transport.abort}}

    def on_url(self, url: bytes) -> None:
        """Take (a part of) its address."""
        self._take(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._take(len(name) + len(value))
        super().on_header(name, value)

    def _take(self, size: int) -> None:
        self._taken += size
        if self._taken > HEAD:
            raise ValueError(f"found a head of more than {HEAD} bytes; expected a smaller one")

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._is_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that does not end is cut off."""
        super().data_received(data)
        if self._is_head:
            self._waiting += len(data)
            if self._waiting > 4 * HEAD:
                self.transport.abort()
        else:
            self._waiting = 0


class Streaming(Protocol):
    """What has streams that go on until they are ended: a hub."""

    def end_streams(self) -> None:
        """End them, and begin no other."""


class Server(uvicorn.Server):
    """A server that ends streams first when it stops.

    Parameters
    ----------
    config
        As for uvicorn; `http` is to be `Connection`.
    streaming
        Whose streams it ends before it waits for connections.
    """

    def __init__(self, config: uvicorn.Config, streaming: Streaming) -> None:
        super().__init__(config)
        self._streaming = streaming

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop."""
        self._streaming.end_streams()
        await super().shutdown(sockets)
