"""What pages of other sites may do with the server: `server.embed_in` names them.

Promises that their scripts reach the REST interface with a token in a header and in no other way: whatever cookie comes along
is not looked at. Other sites are answered as if there were none of this.
"""

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from towpath.api.limits import POLICY

_PLACES = ("/api/v1/", "/static/")
_METHODS = b"GET, HEAD, POST, PUT, DELETE"
_SENT = b"Authorization, Content-Type, Accept, Idempotency-Key, If-Match, Last-Event-ID, Cache-Control"
_TOLD = b"ETag, Location, Retry-After, Idempotent-Replayed, Content-Disposition"
_REMEMBERED = b"600"  # seconds for which a browser need not ask again
_ASKED = (b"origin", b"access-control-request-method", b"access-control-request-headers")


class Embedding:
    """Middleware that lets scripts of some origins read answers (Fetch standard, section CORS protocol).

    Parameters
    ----------
    app
        What it stands around.
    origins
        Such as ``https://repository.example``.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        self.app, self._origins = app, {one.encode() for one in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if not self._origins or scope["type"] != "http" or not _is_open(scope["path"]):
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"")
        is_ours = origin.rpartition(b"//")[2] == headers.get(b"host")
        is_known = origin in self._origins and not is_ours
        if is_known and scope["method"] == "OPTIONS" and _ASKED[1] in headers:
            await _answer_first(origin, send)
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"vary", b"Origin")]
                if is_known:
                    message["headers"] += [
                        (b"access-control-allow-origin", origin),
                        (b"access-control-expose-headers", _TOLD),
                    ]
            await send(message)

        if is_known:  # their pages come with a token: a login of the same browser is not theirs to use
            sent = [(name, value) for name, value in scope["headers"] if name != b"cookie"]
            scope = {**scope, "headers": sent}
        await self.app(scope, receive, send_on)


def _is_open(path: str) -> bool:
    is_file = path.startswith("/pipelines/") and "/static/" in path
    return path.startswith(_PLACES) or is_file


async def _answer_first(origin: bytes, send: Send) -> None:
    """Answer what a browser asks before it sends a request."""
    headers = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _SENT),
        (b"access-control-max-age", _REMEMBERED),
        (b"vary", b", ".join(_ASKED)),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def framed(origins: Sequence[str]) -> str:
    """The policy (Content-Security-Policy) of a page that may stand in frames of these origins."""
    return POLICY.replace("frame-ancestors 'self'", " ".join(["frame-ancestors 'self'", *origins]))
