"""Signing in at a provider of identities: it is believed only where it must be."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc.jwk import RSAKey
from provider import IdentityProvider

OIDC = """
[server.oidc]
issuer = "{url}"
client_id = "towpath"
client_secret = "hush-hush"
roles = {{ staff = ["operator", "viewer@lab"], guests = [] }}
"""


@pytest.fixture(scope="module")
def identities() -> Iterator[IdentityProvider]:
    """A provider of identities."""
    made = IdentityProvider()
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: Path, identities: IdentityProvider, make_server: Any) -> Any:
    """A server that trusts it; the provider is honest again."""
    identities.lie, identities.refuses, identities.signs_with = {}, False, identities.key
    identities.claims = {"sub": "1", "preferred_username": "erin", "groups": ["staff"]}
    return make_server(OIDC.format(url=identities.url))


def sign_in(server: Any, then: str = "/items") -> Any:
    """Go there and come back, as a browser does; the last answer."""
    asked = server.browser.get("/login/provider", params={"next": then})
    assert asked.status_code == 303, asked.text
    returned = httpx2.get(asked.headers["location"], trust_env=False)
    assert returned.status_code == 307, returned.text
    return server.browser.get(returned.headers["location"].replace("http://testserver", ""))


def test_somebody_is_signed_in_with_what_the_group_is_granted(server: Any) -> None:
    answer = sign_in(server)
    assert (answer.status_code, answer.headers["location"]) == (303, "/items")
    assert "HttpOnly" in answer.headers["set-cookie"] and "lax" in answer.headers["set-cookie"].lower()
    me = server.browser.get("/api/v1/me").json()
    assert (me["name"], me["how"], me["grants"]) == ("erin", "login", ["operator", "viewer@lab"])


def test_whoever_is_granted_nothing_is_not_let_in(server: Any, identities: IdentityProvider) -> None:
    identities.claims = {"sub": "2", "preferred_username": "eve", "groups": ["guests"]}
    answer = sign_in(server)
    assert answer.status_code == 403 and "granted nothing" in answer.text
    assert server.browser.get("/api/v1/me").json()["how"] == "nobody"


@pytest.mark.parametrize(
    "lie",
    [
        {"aud": "another"},
        {"iss": "https://elsewhere.example"},
        {"nonce": "of another question"},
        {"exp": int(time.time()) - 3600},
    ],
)
def test_what_is_not_an_answer_to_us_is_not_believed(
    server: Any, identities: IdentityProvider, lie: dict[str, Any]
) -> None:
    identities.lie = lie
    answer = sign_in(server)
    assert answer.status_code == 403 and "cannot be believed" in answer.text


def test_a_key_that_is_not_the_provider_s_is_not_believed(server: Any, identities: IdentityProvider) -> None:
    identities.signs_with = RSAKey.generate_key(2048, {"kid": "first", "use": "sig", "alg": "RS256"})
    assert "cannot be believed" in sign_in(server).text


def test_keys_may_rotate(server: Any, identities: IdentityProvider) -> None:
    assert sign_in(server).status_code == 303
    identities.key = identities.signs_with = RSAKey.generate_key(
        2048, {"kid": "second", "use": "sig", "alg": "RS256"}
    )
    assert sign_in(server).status_code == 303


def test_an_answer_is_for_the_browser_that_asked(server: Any) -> None:
    asked = server.browser.get("/login/provider")
    back = (
        httpx2.get(asked.headers["location"], trust_env=False)
        .headers["location"]
        .replace("http://testserver", "")
    )
    server.browser.cookies.clear()
    assert "no answer to a sign-in" in server.browser.get(back).text


def test_the_provider_may_refuse_and_be_away(
    server: Any, identities: IdentityProvider, make_server: Any
) -> None:
    identities.refuses = True
    assert "access_denied" in sign_in(server).text
    other = make_server(OIDC.format(url="http://127.0.0.1:9"))
    answer = other.browser.get("/login/provider")
    assert answer.status_code == 503 and "hush" not in answer.text


def test_another_page_than_ours_is_not_gone_to(server: Any) -> None:
    assert sign_in(server, "https://elsewhere.example/").headers["location"] == "/"
    assert sign_in(server, "//elsewhere.example/").headers["location"] == "/"
