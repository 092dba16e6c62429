"""Signing in at a provider of identities (OpenID Connect 1.0, authorization code flow with PKCE).

Promises that what the provider says is believed only if it is signed by it, meant for us and an answer to our question; and
that somebody whom no group grants anything is not let in. Keeps nothing between question and answer but a signed cookie.
"""

import hashlib
import json
import secrets
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from towpath.app.people import EVERYBODY
from towpath.app.settings import OidcTable
from towpath.app.site import Site
from towpath.base.errors import SiteError, UsageError
from towpath.contracts.auth import Grant, Person

LASTS = 600.0  # seconds between question and answer
_KNOWN = 3600.0  # seconds for which the provider's description and keys are taken as they were
_TIMEOUT = 10.0
_LEEWAY = 60  # seconds that clocks may differ by
_ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "EdDSA"]


@dataclass(frozen=True, slots=True)
class Question:
    """Where somebody is sent, and the signed note that goes with them."""

    url: str
    note: str


class Provider:
    """A provider of identities.

    Parameters
    ----------
    site
        The site that people sign in to.
    table
        Its settings.
    """

    def __init__(self, site: Site, table: OidcTable) -> None:
        self._site, self._table = site, table
        self._lock = threading.Lock()
        self._described: Mapping[str, Any] = {}
        self._keys: KeySet | None = None
        self._asked = 0.0
        self._secret = site.secret("server.oidc.client_secret", table.client_secret)
        if urlsplit(table.issuer).scheme not in ("https", "http"):
            raise SiteError(f"server.oidc.issuer: found {table.issuer!r}; expected an https address")

    def ask(self, back: str, then: str) -> Question:
        """Send somebody to the provider.

        Parameters
        ----------
        back
            The address that the provider sends them back to.
        then
            The page that they wanted.

        Raises
        ------
        SiteError
            If the provider cannot be asked.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        with self._client(back) as client:
            url, _ = client.create_authorization_url(
                self._description()["authorization_endpoint"],
                state=state,
                nonce=nonce,
                code_challenge=challenge,
                code_challenge_method="S256",
            )
        note = {"state": state, "nonce": nonce, "verifier": verifier, "then": then}
        text = urlsafe_b64encode(json.dumps(note).encode()).decode()
        return Question(str(url), self._site.sign("oidc", text, lasts=LASTS))

    def answer(self, note: str, state: str, code: str, back: str) -> tuple[Person, str]:
        """Who came back, and the page that they wanted.

        Raises
        ------
        UsageError
            If it is no answer to our question, the provider vouches for nobody, or they are granted nothing.
        SiteError
            If the provider cannot be asked.
        """
        text = self._site.signed("oidc", note)
        known = json.loads(urlsafe_b64decode(text)) if text else {}
        if not known or not secrets.compare_digest(known["state"], state):
            raise UsageError(
                "this is no answer to a sign-in that began here within ten minutes; sign in again"
            )
        try:
            with self._client(back) as client:
                token = client.fetch_token(
                    self._description()["token_endpoint"], code=code, code_verifier=known["verifier"]
                )
        except OAuthError as error:
            raise UsageError(f"the provider did not let you in: {error.error}") from None
        except (httpx.HTTPError, ValueError) as error:
            raise SiteError(f"server.oidc: the provider cannot be asked: {type(error).__name__}") from error
        claims = self._claims(str(token.get("id_token", "")), known["nonce"])
        return self._person(claims), str(known["then"])

    def _client(self, back: str) -> Any:
        return OAuth2Client(
            self._table.client_id,
            self._secret() or None,
            scope=self._table.scopes,
            redirect_uri=back,
            timeout=_TIMEOUT,
            trust_env=False,
        )

    # ---- what the provider says
    def _description(self) -> Mapping[str, Any]:
        """The provider's description of itself (OpenID Connect Discovery 1.0)."""
        with self._lock:
            if not self._described or time.monotonic() - self._asked > _KNOWN:
                self._read()
            return self._described

    def _read(self) -> None:
        issuer = self._table.issuer.rstrip("/")
        described = self._get(f"{issuer}/.well-known/openid-configuration")
        if str(described.get("issuer", "")).rstrip("/") != issuer:
            raise SiteError(
                f"server.oidc.issuer: found {issuer}, which says of itself {described.get('issuer')!r}; expected the same"
            )
        self._keys = KeySet.import_key_set(cast(Any, self._get(str(described["jwks_uri"]))))
        self._described, self._asked = described, time.monotonic()

    def _get(self, url: str) -> dict[str, Any]:
        try:
            answer = httpx.get(url, timeout=_TIMEOUT, trust_env=False)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise SiteError(f"server.oidc: {url} cannot be asked: {type(error).__name__}") from error
        return found

    def _claims(self, token: str, nonce: str) -> Mapping[str, Any]:
        """What an id token claims, if it is signed by the provider, for us, for this question, and not over (section 3.1.3.7)."""
        self._description()
        checks = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY,
            iss={"essential": True, "value": str(self._described["issuer"])},
            aud={"essential": True, "value": self._table.client_id},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            found = self._decoded(token)
            checks.validate(found.claims)
        except (JoseError, ValueError) as error:
            raise UsageError(
                f"what the provider says of you cannot be believed: {type(error).__name__}"
            ) from None
        claims: Mapping[str, Any] = found.claims
        return claims

    def _decoded(self, token: str) -> Any:
        """A token by the keys as we know them; by those of now, if it is signed with another (keys rotate)."""
        assert self._keys is not None
        try:
            return jwt.decode(token, self._keys, algorithms=_ALGORITHMS)
        except (JoseError, ValueError):
            with self._lock:
                self._read()
            return jwt.decode(token, self._keys, algorithms=_ALGORITHMS)

    def _person(self, claims: Mapping[str, Any]) -> Person:
        name = str(claims.get(self._table.name) or claims.get("email") or claims["sub"])
        if not name.isprintable() or len(name) > 100 or name.startswith(EVERYBODY):
            raise UsageError(f"found the name {name!r}; expected up to 100 characters that can be printed")
        told = claims.get(self._table.groups) or ()
        groups = [told] if isinstance(told, str) else [str(one) for one in told]
        texts = [
            *self._table.everybody,
            *(text for group in groups for text in self._table.roles.get(group, ())),
        ]
        if not texts:
            raise UsageError(
                f"{name} is known, but granted nothing here; whoever runs the site can grant a role"
            )
        return Person(name, tuple(Grant.of(text) for text in dict.fromkeys(texts)))
