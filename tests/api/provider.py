"""A provider of identities on loopback (OpenID Connect 1.0): as small as the flow allows, signed for real."""

import hashlib
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Form
from fastapi.responses import JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey


class IdentityProvider:
    """Serves in a thread; `claims` is what it says of whoever comes, `lie` changes an id token before it is signed."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"sub": "1", "preferred_username": "erin", "groups": ["staff"]}
        self.lie: dict[str, Any] = {}
        self.key = RSAKey.generate_key(2048, {"kid": "first", "use": "sig", "alg": "RS256"})
        self.signs_with = self.key
        self.codes: dict[str, dict[str, str]] = {}
        self.refuses = False
        config = uvicorn.Config(self._app(), port=0, log_config=None)
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        def description() -> dict[str, str]:
            return {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
            }

        @app.get("/keys")
        def keys() -> dict[str, Any]:
            return dict(KeySet([self.key]).as_dict(private=False))

        @app.get("/authorize")
        def authorize(
            redirect_uri: str, state: str, nonce: str, code_challenge: str, client_id: str
        ) -> RedirectResponse:
            if self.refuses:
                return RedirectResponse(
                    f"{redirect_uri}?{urlencode({'error': 'access_denied', 'state': state})}"
                )
            code = secrets.token_urlsafe(16)
            self.codes[code] = {
                "nonce": nonce,
                "challenge": code_challenge,
                "client": client_id,
                "back": redirect_uri,
            }
            return RedirectResponse(f"{redirect_uri}?{urlencode({'code': code, 'state': state})}")

        @app.post("/token")
        def token(
            code: str = Form(), code_verifier: str = Form(), redirect_uri: str = Form()
        ) -> JSONResponse:
            asked = self.codes.pop(code, None)
            challenge = (
                urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
            )
            if asked is None or challenge != asked["challenge"] or redirect_uri != asked["back"]:
                return JSONResponse({"error": "invalid_grant"}, 400)
            now = int(time.time())
            claims = {
                "iss": self.url, "aud": asked["client"], "iat": now, "exp": now + 300, "nonce": asked["nonce"],
                **self.claims, **self.lie,
            }  # fmt: skip
            made = jwt.encode({"alg": "RS256", "kid": self.signs_with.kid}, claims, self.signs_with)
            return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": made})

        return app

    def close(self) -> None:
        """End it."""
        self.server.should_exit = True
        self._thread.join()
