"""One request to a repository over HTTP, and what its answer means: needs httpx, the extra `invenio`.

Promises that answers are bounded in size and time, that what may work later is told from what will not, and that neither a
bearer nor a token is in an error, a log or the text of a value. A redirect is followed for downloads only, and without them.
No cookie is kept: what one caller is given is never sent for another. (For both reasons requests do not go through
`httpx.Client`, which logs whole addresses and keeps cookies, but straight to its transport.)
"""

import email.utils
import functools
import ipaddress
import json
import re
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from towpath.base.errors import DefinitionError, SiteError, Transient

_LARGEST = 32 << 20  # bytes of an answer in JSON
_PATIENCE = 4  # times the timeout is what a whole answer in JSON may take
_SLOWEST = 4096.0  # bytes in a second that a download must have by then
_WAIT = 3600.0  # seconds; no Retry-After is taken for longer
_AT_ONCE = 16  # requests to one server: where it does not answer, it is not to keep all threads waiting
_TURN = 1.0  # seconds to wait until it is one's turn
_HOPS = 5
_MOVED = {301, 302, 303, 307, 308}
_FOR_GOOD = {301, 308}
_BARE = {204, 401, 403, 413}  # whoever says no, in whatever form: it is no
_LATER = {408, 423, 425, 429}
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,8192}")


@dataclass(frozen=True, slots=True)
class Key:
    """With what a request is made: somebody's bearer, and the token of an access link; "" for none."""

    bearer: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status (2xx or 4xx), and the table that it holds, empty where it holds none."""

    status: int
    table: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether what was asked is so now."""
        return 200 <= self.status < 300


def is_bearer(text: str) -> bool:
    """Whether a text can stand in the header of a request."""
    return _PRINTABLE.fullmatch(text) is not None


class Server:
    """A server that is asked in JSON.

    Parameters
    ----------
    url
        Its address: https, or http on this machine.
    ca
        A file of certificates to trust instead of the system's; "" for the system's.
    timeout
        Seconds to wait for a connection, and for each part of an answer.

    Raises
    ------
    DefinitionError
        If the address may not be used, or the certificates cannot be read.
    """

    def __init__(self, url: str, *, ca: str = "", timeout: float = 10.0) -> None:
        parts = _checked(url)
        if not timeout > 0:
            raise DefinitionError(f"timeout: found {timeout} s; expected more than 0")
        try:
            trusted = ssl.create_default_context(cafile=ca) if ca else _systems()
        except OSError as error:
            raise DefinitionError(
                f"ca: {ca} cannot be read as certificates: {error.strerror or 'no certificate in it'}"
            ) from None
        self._url, self._timeout = url.rstrip("/"), timeout
        self._is_near = is_loopback(parts.hostname or "")
        self.where = f"{parts.scheme}://{parts.netloc}"
        self._transport = httpx.HTTPTransport(verify=trusted, trust_env=False)
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def ask(
        self,
        method: str,
        path: str,
        key: Key,
        *,
        query: Mapping[str, str | int] | None = None,
        content: object = None,
    ) -> Answer:
        """Ask, with `content` as JSON where it is not None.

        Raises
        ------
        Transient
            If the server is away or busy, or something else answers in its place.
        SiteError
            If its certificate is not trusted, or it has moved for good.
        """
        data = None if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json"} if data is not None else {}
        with self._sent(method, path, key, query, data, headers) as response:
            return self._answer(response, path)

    def put(self, path: str, key: Key, size: int, chunks: Iterable[bytes]) -> Answer:
        """Send bytes, of which there are `size`. Raises as `ask` does."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with self._sent("PUT", path, key, None, chunks, headers) as response:
            return self._answer(response, path)

    @contextmanager
    def download(self, path: str, key: Key) -> Iterator[Iterator[bytes]]:
        """The bytes of a file, from wherever the server sends one to: there without bearer and token.

        Raises
        ------
        Transient
            If they cannot be had now, or the connection breaks.
        SiteError
            If the way leads where nothing may be fetched from.
        """
        url = self._address(path, key, None)
        bearer = key.bearer
        for _ in range(_HOPS + 1):
            where = f"{url.scheme}://{url.netloc.decode()}"
            with self._troubles(path, where), self._response("GET", url, bearer, None, {}) as response:
                if response.status_code == 200:
                    yield self._parts(response, path, where)
                    return
                if response.status_code not in _MOVED:
                    raise self._no_bytes(response, path)
                url, bearer = self._next(url, response, key), ""
        raise SiteError(f"invenio: {self.where} sends one on and on at {path}")

    def close(self) -> None:
        """End the connections."""
        self._transport.close()

    # ---- requests
    @contextmanager
    def _sent(
        self,
        method: str,
        path: str,
        key: Key,
        query: Mapping[str, str | int] | None,
        data: bytes | Iterable[bytes] | None,
        headers: Mapping[str, str],
    ) -> Iterator[httpx.Response]:
        url = self._address(path, key, query)
        with self._troubles(path), self._response(method, url, key.bearer, data, headers) as response:
            yield response

    def _address(self, path: str, key: Key, query: Mapping[str, str | int] | None) -> httpx.URL:
        url = httpx.URL(f"{self._url}{path}")
        asked = dict(query or {}) | ({"token": key.token} if key.token else {})
        return url.copy_merge_params(asked) if asked else url

    @contextmanager
    def _response(
        self,
        method: str,
        url: httpx.URL,
        bearer: str,
        data: bytes | Iterable[bytes] | None,
        headers: Mapping[str, str],
    ) -> Iterator[httpx.Response]:
        # `identity`: bytes are to come as they are, and an answer is not to swell when it is unpacked.
        shown = {
            "Accept": "application/json, */*;q=0.1",
            "Accept-Encoding": "identity",
            "User-Agent": "towpath",
        }
        request = httpx.Request(
            method,
            url,
            headers=httpx.Headers(
                {**shown, **headers, **({"Authorization": f"Bearer {bearer}"} if bearer else {})}
            ),
            content=data,
            extensions={"timeout": httpx.Timeout(self._timeout).as_dict()},
        )
        if not self._places.acquire(timeout=_TURN):
            raise Transient(f"invenio: {self.where} has yet to answer {_AT_ONCE} others", _TURN)
        try:
            response = self._transport.handle_request(request)
            try:
                yield response
            finally:
                response.close()
        finally:
            self._places.release()

    def _answer(self, response: httpx.Response, path: str) -> Answer:
        status = response.status_code
        if status >= 500 or status in _LATER:
            raise Transient(
                f"invenio: {self.where} answered {status} at {path}",
                _after(response.headers.get("Retry-After", "")),
            )
        if status in _FOR_GOOD:
            raise SiteError(f"invenio: {self.where} has moved; give as url the address where it is now")
        if 300 <= status < 400:
            raise Transient(f"invenio: {self.where} answered {status} at {path}, a redirect to another page")
        if status in _BARE:
            return Answer(status)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise Transient(
                f"invenio: {self.where} answered {status} with {kind[:40] or 'nothing'} at {path}, "
                "not in JSON: something stands in its place"
            )
        try:
            found = json.loads(self._content(response, path))
        except (ValueError, RecursionError):
            raise Transient(f"invenio: {self.where} answered {status} at {path} in broken JSON") from None
        return Answer(status, found if isinstance(found, dict) else {})

    def _content(self, response: httpx.Response, path: str) -> bytes:
        ends, parts, size = time.monotonic() + _PATIENCE * self._timeout, [], 0
        for part in response.iter_raw():
            parts.append(part)
            size += len(part)
            if size > _LARGEST:
                raise SiteError(f"invenio: {self.where} answered more than {_LARGEST >> 20} MiB at {path}")
            if time.monotonic() > ends:
                raise Transient(f"invenio: {self.where} did not answer in time at {path}")
        return b"".join(parts)

    # ---- downloads
    def _parts(self, response: httpx.Response, path: str, where: str) -> Iterator[bytes]:
        began, size = time.monotonic(), 0
        with self._troubles(path, where):
            for part in response.iter_raw():
                yield part
                size += len(part)
                if time.monotonic() - began > _PATIENCE * self._timeout + size / _SLOWEST:
                    raise Transient(f"invenio: the bytes at {path} hardly come from {where}: {size} so far")

    def _next(self, url: httpx.URL, response: httpx.Response, key: Key) -> httpx.URL:
        """Where a redirect leads; the token is not taken along, even if the server would have it so."""
        try:
            found = url.join(response.headers.get("Location", ""))
        except (httpx.InvalidURL, ValueError):
            raise SiteError(f"invenio: {self.where} sends one to what is no address") from None
        if key.token and key.token in found.params.get_list("token"):
            found = found.copy_remove_param("token")
        is_near = is_loopback(found.host)
        if found.scheme != "https" and not (found.scheme == "http" and is_near):
            raise SiteError(
                f"invenio: {self.where} sends one to {found.scheme}://{found.host}; expected https"
            )
        if is_near and not self._is_near:
            raise SiteError(
                f"invenio: {self.where} sends one to this machine itself; nothing is fetched from there"
            )
        return found

    def _no_bytes(self, response: httpx.Response, path: str) -> Transient:
        # It was told just before that the file is there, and may be read.
        return Transient(
            f"invenio: {self.where} answered {response.status_code} for the bytes at {path}",
            _after(response.headers.get("Retry-After", "")),
        )

    @contextmanager
    def _troubles(self, path: str, where: str = "") -> Iterator[None]:
        """Say what a broken connection means; never in the library's words, which may hold a header."""
        where = where or self.where
        try:
            yield
        except httpx.TimeoutException:
            raise Transient(f"invenio: {where} did not answer in time at {path}") from None
        except httpx.ConnectError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise SiteError(f"invenio: the certificate of {where} is not trusted; see ca") from None
            raise Transient(f"invenio: {where} cannot be reached") from None
        except httpx.HTTPError as error:
            raise Transient(
                f"invenio: the connection to {where} broke at {path} ({type(error).__name__})"
            ) from None


@functools.cache
def _systems() -> ssl.SSLContext:
    """The system's certificates, which take a while to read."""
    return ssl.create_default_context()


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked(url: str) -> Any:
    try:
        parts = urlsplit(url)
        is_right = parts.port != 0
    except ValueError:
        raise DefinitionError(
            "url: found what is no address; expected one such as https://repository.example"
        ) from None
    if (
        not is_right
        or parts.username
        or parts.password
        or parts.query
        or parts.fragment
        or not parts.hostname
    ):
        raise DefinitionError(
            "url: found another thing; expected the address of the server, with nothing secret in it"
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise DefinitionError(f"url: found {parts.scheme}; expected https (http only to this machine itself)")
    return parts


def _after(text: str) -> float:
    """Seconds of a Retry-After, which is a number or a date; 0 for neither."""
    if text.strip().isascii() and text.strip().isdigit():
        return min(float(text.strip()[:9]), _WAIT)
    try:
        when = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(when - time.time(), 0.0), _WAIT)
