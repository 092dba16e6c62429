"""What every request has to keep to: a body that ends and is not too large; and what every answer says to browsers.

Promises that a sender who is slow or endless costs one connection and no memory. Never reads a body itself.
"""

import asyncio
import json
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALL = 1_000_000  # bytes of a body that is no upload
UPLOADS = ("multipart/", "application/octet-stream")  # kinds of bodies that may be large
PATIENCE = 20.0  # seconds to wait for the next piece of a body
_CLOSED = ("/login", "/logout")  # whoever is nobody may send something here, but nothing large
_NAME = b"content-security-policy"
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
POLICY = (  # of an answer that has none of its own
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; script-src 'self'; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)


_CODES = {
    HTTPStatus.BAD_REQUEST: "unreadable",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.REQUEST_TIMEOUT: "too_slow",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
}


class TooMuchError(Exception):
    """A body is larger than it may be, or came too slowly, or an address is none; the status says which."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Limits:
    """Middleware that bounds bodies and adds the headers that every answer has.

    Parameters
    ----------
    app
        What it stands around.
    upload
        The most bytes of an upload (a multipart form).
    patience
        Seconds to wait for the next piece of a body.
    """

    def __init__(self, app: ASGIApp, *, upload: float, patience: float = PATIENCE) -> None:
        self.app, self.upload, self.patience = app, upload, patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        is_upload = headers.get(b"content-type", b"").decode("latin-1").lower().startswith(UPLOADS)
        most = self.upload if is_upload and scope["path"] not in _CLOSED else SMALL
        begun, body = False, _Body(receive, most, self.patience)

        async def send_on(message: Message) -> None:
            nonlocal begun
            if body.trouble is not None and not begun:
                raise body.trouble  # who read the body took it for another error
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
                if not any(name == _NAME for name, _ in message["headers"]):
                    message["headers"].append((_NAME, POLICY.encode()))
            await send(message)

        try:
            if "\0" in scope["path"]:
                raise TooMuchError(HTTPStatus.NOT_FOUND, "there is nothing here: the address has a NUL")
            if b"%00" in scope.get("query_string", b""):
                raise TooMuchError(HTTPStatus.BAD_REQUEST, "the address has a NUL; expected text")
            declared = headers.get(b"content-length", b"0")
            if not declared.isdigit() or int(declared) > most:
                raise _too_large(most)
            await self.app(scope, body.receive, send_on)
        except TooMuchError as error:
            body.trouble = None
            if begun:
                raise
            await _refuse(error, send_on)


class _Body:
    """The body of a request, as far as it may go; `trouble` is what ended it."""

    def __init__(self, receive: Receive, most: float, patience: float) -> None:
        self._receive, self._most, self._patience = receive, most, patience
        self._seen, self._is_over = 0, False
        self.trouble: TooMuchError | None = None

    async def receive(self) -> Message:
        """The next piece."""
        if self._is_over:
            return await self._receive()  # only whether the other side has gone
        try:
            message = await asyncio.wait_for(self._receive(), self._patience)
        except TimeoutError:
            text = f"the body did not come: found nothing for {self._patience:g} s"
            self.trouble = TooMuchError(HTTPStatus.REQUEST_TIMEOUT, text)
            raise self.trouble from None
        self._seen += len(message.get("body", b""))
        self._is_over = not message.get("more_body", False)
        if self._seen > self._most:
            self.trouble = _too_large(self._most)
            raise self.trouble
        return message


def _too_large(most: float) -> TooMuchError:
    return TooMuchError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is too large; expected at most {most:.0f} bytes"
    )


async def _refuse(error: TooMuchError, send: Send) -> None:
    document: dict[str, Any] = {"error": {"code": _CODES[error.status], "message": str(error)}}
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": int(error.status), "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(document).encode()})
