"""Secrets in HashiCorp Vault, by its HTTP API: the key-value engine in both versions, a token or an AppRole.

Promises that the token is renewed before it ends and that a login is made anew when it has, that no secret and no token is
part of an error, and that nothing is sent in the open to another machine. Never follows a redirect: the token would go with it.

The paths and fields are those of Vault's documentation (API: KV secrets engine versions 1 and 2, AppRole auth method,
token auth method).
"""

import http.client
import ipaddress
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from towpath.base.errors import DefinitionError, NotFoundError, SiteError, Transient
from towpath.contracts.secrets import Secret

_AGAIN = {412, 429, 472, 473}  # not yet replicated, too many requests, standby nodes
_LARGEST = 1 << 20  # bytes of an answer
_SETTINGS = {
    "url": "", "mount": "secret", "version": 2, "token": None, "role_id": "", "secret_id": None, "approle": "approle",
    "namespace": "", "ca": "", "timeout": 5.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Session:
    """A token in use: until when it holds, and from when on it is to be renewed (None: it never ends)."""

    token: str
    ends: float | None = None
    renew: float | None = None


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Vault:
    """A Vault server (contracts.secrets.Secrets); secrets are named ``path#key``.

    Parameters
    ----------
    url
        Its address: https, or http on this machine.
    mount
        Where the key-value engine is mounted.
    version
        The version of that engine, 1 or 2.
    token
        Gives the token, where it is given; it is asked at each use, for somebody else may renew the file it is in.
    role_id, secret_id, approle
        The AppRole to log in with instead, and where that method is mounted.
    namespace
        The namespace, "" for none.
    ca
        A file of certificates to trust instead of the system's.
    timeout
        Seconds to wait for an answer.
    clock
        Seconds that only grow.

    Raises
    ------
    DefinitionError
        If the address may not be used, or there is no way to log in.
    """

    def __init__(
        self,
        url: str,
        *,
        mount: str = "secret",
        version: int = 2,
        token: Callable[[], str] | None = None,
        role_id: str = "",
        secret_id: Callable[[], str] | None = None,
        approle: str = "approle",
        namespace: str = "",
        ca: str = "",
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check(url, version, token, role_id, secret_id)
        self._url, self._mount, self._version = url.rstrip("/"), mount.strip("/"), version
        self._token, self._role, self._secret_id, self._approle = (
            token,
            role_id,
            secret_id,
            approle.strip("/"),
        )
        self._namespace, self._timeout, self._clock = namespace, timeout, clock
        handlers: list[urllib.request.BaseHandler] = [_Stay(), urllib.request.ProxyHandler({})]
        if ca:
            try:
                handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
            except OSError as error:
                raise DefinitionError(f"ca: {ca} cannot be read as certificates: {error.strerror}") from None
        self._opener = urllib.request.build_opener(*handlers)
        self._session: _Session | None = None
        self._lock = threading.Lock()

    def read(self, name: str) -> Secret:
        """The secret of ``path#key``.

        Raises
        ------
        NotFoundError
            If there is none.
        Transient
            If Vault is sealed or away.
        SiteError
            If it refuses.
        """
        path, separator, key = name.rpartition("#")
        if not (path and separator and key):
            raise NotFoundError(f"vault: found {name!r}; expected path#key")
        inner = "data/" if self._version == 2 else ""
        with self._lock:
            try:
                answer = self._asked(f"{self._mount}/{inner}{path.strip('/')}")
            except _RefusedError:
                self._session = None  # it ended, or was revoked: once more with a fresh one
                answer = self._asked(f"{self._mount}/{inner}{path.strip('/')}")
        return self._found(name, key, answer)

    def _found(self, name: str, key: str, answer: Mapping[str, Any]) -> Secret:
        data = answer.get("data") or {}
        version = ""
        if self._version == 2:
            version = str((data.get("metadata") or {}).get("version", ""))
            data = data.get("data") or {}
        if not isinstance(data.get(key), str):
            raise NotFoundError(f"vault: {name.rpartition('#')[0]} has no text of the name {key!r}")
        return Secret(
            data[key], version, float(answer.get("lease_duration") or 0.0) if answer.get("lease_id") else 0.0
        )

    # ---- sessions
    def _asked(self, path: str) -> dict[str, Any]:
        return self._request("GET", path, self._live().token)

    def _live(self) -> _Session:
        """A session that holds, renewed or begun anew where it must be."""
        session, now = self._session, self._clock()
        is_other = session is not None and self._token is not None and self._token() != session.token
        if session is None or is_other or (session.ends is not None and now >= session.ends):
            session = self._begun()
        elif session.renew is not None and now >= session.renew:
            session = self._renewed(session)
        self._session = session
        return session

    def _begun(self) -> _Session:
        if self._token is None:
            assert self._secret_id is not None
            answer = self._request(
                "POST",
                f"auth/{self._approle}/login",
                "",
                {"role_id": self._role, "secret_id": self._secret_id()},
            )
            return self._session_of(answer.get("auth") or {})
        token = self._token()
        told = self._request("GET", "auth/token/lookup-self", token).get("data") or {}
        return self._session_of(
            {"client_token": token, "lease_duration": told.get("ttl"), "renewable": told.get("renewable")}
        )

    def _renewed(self, session: _Session) -> _Session:
        """The session with a longer life; where that is refused, another, or as it is until its end."""
        try:
            answer = self._request("POST", "auth/token/renew-self", session.token, {})
        except Transient:
            return session
        except SiteError:
            return session if self._token is not None else self._begun()
        return self._session_of({"client_token": session.token, **(answer.get("auth") or {})})

    def _session_of(self, auth: Mapping[str, Any]) -> _Session:
        token, seconds = str(auth.get("client_token") or ""), float(auth.get("lease_duration") or 0.0)
        if not token:
            raise SiteError(f"vault: {self._where()} gave no token at the login")
        if not seconds:
            return _Session(token)
        now = self._clock()
        renew = now + seconds * 2 / 3 if auth.get("renewable") else None
        # A token that was given cannot be replaced by us: it is tried until Vault refuses it.
        return _Session(token, now + seconds if self._token is None else None, renew)

    # ---- requests
    def _request(
        self, method: str, path: str, token: str, content: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        headers = {"X-Vault-Request": "true", "Content-Type": "application/json", "User-Agent": "towpath"}
        headers |= {"X-Vault-Token": token} if token else {}
        headers |= {"X-Vault-Namespace": self._namespace} if self._namespace else {}
        data = None if content is None else json.dumps(dict(content)).encode()
        address = f"{self._url}/v1/{quote(path)}"
        try:
            request = urllib.request.Request(address, data, headers, method=method)
            with self._opener.open(request, timeout=self._timeout) as answer:
                found = json.loads(answer.read(_LARGEST))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error.code, path) from None
        except ssl.SSLError as error:
            raise SiteError(f"vault: {self._where()}: {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise SiteError(f"vault: {self._where()}: {reason.verify_message}") from None
            raise Transient(f"vault: {self._where()}: {reason or type(error).__name__}") from None
        except ValueError:  # also a token that cannot stand in a header
            raise SiteError(f"vault: {self._where()} was not asked, or did not answer in JSON") from None
        if not isinstance(found, dict):
            raise SiteError(f"vault: {self._where()} answered something else than a table")
        return found

    def _refused(self, code: int, path: str) -> Exception:
        if code == 404:
            return NotFoundError(f"vault: {self._where()} has nothing at {path}")
        if code == 503:
            return Transient(f"vault: {self._where()} is sealed, or away for maintenance")
        if code >= 500 or code in _AGAIN:
            return Transient(f"vault: {self._where()} answered {code}")
        if code == 403:
            return _RefusedError(
                f"vault: {self._where()} refuses {path}: the token or its policies do not allow it"
            )
        if 300 <= code < 400:
            return SiteError(
                f"vault: {self._where()} answered {code}, a redirect; give the address of the active node"
            )
        return SiteError(f"vault: {self._where()} answered {code} at {path}")

    def _where(self) -> str:
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"


class _RefusedError(SiteError):
    """Vault answered 403."""


def make(settings: Mapping[str, Any]) -> Vault:
    """A Vault from the table `[secrets.vault]` of a site file (contracts.secrets.Maker).

    Raises
    ------
    DefinitionError
        If the table is wrong.
    """
    for name, value in settings.items():
        if name not in _SETTINGS:
            raise DefinitionError(f"{name}: found an unknown key; expected one of {', '.join(_SETTINGS)}")
        default = _SETTINGS[name]
        wanted = type(default) if default is not None else None
        is_right = (
            callable(value)
            if wanted is None
            else isinstance(value, (int, float) if wanted is float else wanted)
        )
        if isinstance(value, bool) or not is_right:
            raise DefinitionError(
                f"{name}: found what is no {'secret' if wanted is None else wanted.__name__}"
            )
    if "url" not in settings:
        raise DefinitionError("url: found nothing; expected the address of the server")
    return Vault(**settings)


def _check(url: str, version: int, token: object, role: str, secret: object) -> None:
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or not parts.hostname:
        raise DefinitionError("url: expected the address of the server, with nothing secret in it")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise DefinitionError("url: expected https; http only to this machine itself")
    if version not in (1, 2):
        raise DefinitionError(f"version: found {version}; expected 1 or 2")
    if (token is None) == (not role) or (bool(role) != (secret is not None)):
        raise DefinitionError("expected either token, or role_id with secret_id")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
