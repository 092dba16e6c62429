"""Messages as HTTP POST of JSON to one address, signed if a secret is set.

Promises that the receiver gets the same key with every repeat, and that what the receiver says of trying again is
heard. Never follows a redirect: a POST that is redirected would arrive as something else.
"""

import hashlib
import hmac
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

from towpath.base import clock
from towpath.base.errors import DefinitionError, SiteError, Transient
from towpath.base.hashing import canonical

_AGAIN = {408, 425, 429}
_LONGEST = 300  # characters of an answer that are kept


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Webhook:
    """A receiver of JSON messages (contracts.notify.Sink).

    Each request carries `Idempotency-Key` (percent-encoded where it is not plain text) and `X-Towpath-Sequence`; with a
    secret also `X-Towpath-Signature`: ``sha256=`` and the HMAC of the body.

    Parameters
    ----------
    url
        Where to post, http or https.
    secret
        Gives the shared secret, "" for none; it is asked for each message, for it may change.
    timeout
        Seconds to wait for the receiver.
    headers
        More headers, such as an authorisation.

    Raises
    ------
    DefinitionError
        If the address is not http or https.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: Callable[[], str] = str,
        timeout: float = 10.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise DefinitionError(f"webhook: found {url!r}; expected an http or https address")
        self.url, self.timeout = url, timeout
        self._secret, self._headers = secret, dict(headers or {})
        self._opener = urllib.request.build_opener(_Stay)

    def send(self, subject: str, sequence: int, key: str, body: Mapping[str, Any]) -> None:
        """Post one message. Raises `Transient` if it may work later, `SiteError` if the receiver refuses it."""
        content = canonical({"subject": subject, "sequence": sequence, "key": key, "body": dict(body)})
        request = urllib.request.Request(self.url, content, self._all_headers(sequence, key, content))
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                answer.read(_LONGEST)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Transient(f"{self._where()}: {reason or type(error).__name__}") from error

    def _all_headers(self, sequence: int, key: str, content: bytes) -> dict[str, str]:
        headers = {
            **self._headers,
            "Content-Type": "application/json",
            "User-Agent": "towpath",
            "Idempotency-Key": quote(key, safe=":/ @+=,;!*()'~#"),
            "X-Towpath-Sequence": str(sequence),
        }
        if secret := self._secret():
            signature = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
            headers["X-Towpath-Signature"] = f"sha256={signature}"
        return headers

    def _refused(self, error: urllib.error.HTTPError) -> Transient | SiteError:
        said = error.read(_LONGEST).decode(errors="replace").strip()
        text = f"{self._where()} answered {error.code} {error.reason}{f': {said}' if said else ''}"
        if error.code >= 500 or error.code in _AGAIN:
            return Transient(text, after=retry_after(error.headers.get("Retry-After", "")))
        return SiteError(f"{text}; check the address and the receiver, then retry the message")

    def _where(self) -> str:
        """The address without what may be secret in it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def retry_after(value: str) -> float:
    """Seconds to wait of a Retry-After header: a number of seconds or a date; 0 if it is neither."""
    if value.strip().isdigit():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - clock.now(), 0.0)
    except (ValueError, TypeError):
        return 0.0
