"""The HTTP server (uvicorn) with what streams need of it: to cut a connection, and to end before connections are waited for.

Promises that a server with open streams stops at once, and that a client which reads nothing can be dropped with what waits for
it. Decides neither.
"""

from socket import socket
from typing import Protocol

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from towpath.api.streams import CUT


class Connection(HttpToolsProtocol):
    """A connection that the answer to a request can cut, whatever still waits to be sent."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {CUT: {"abort": self.transport.abort}}


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
