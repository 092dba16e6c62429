"""Vault against a server of ours on loopback that speaks its documented HTTP API: both versions, logins, renewal, refusals."""

import json
import secrets as randoms
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from towpath.adapters.secrets.vault import Vault, make
from towpath.base.errors import DefinitionError, NotFoundError, SiteError, Transient

VALUE = "hunter2-from-vault"


@dataclass
class Server:
    """A key-value store with tokens, as Vault's documentation describes it."""

    url: str = ""
    kept: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # versions by path
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)  # what lookup-self tells of each
    roles: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    sealed: bool = False
    answer: tuple[int, bytes] | None = None

    def handle(self, method: str, path: str, headers: dict[str, str], content: Any) -> tuple[int, Any]:
        self.requests.append((method, path, headers))
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if path == "/v1/auth/approle/login":
            if self.roles.get(content["role_id"]) != content["secret_id"]:
                return 400, {"errors": [f"invalid role or secret ID {content['secret_id']}"]}
            token = f"hvs.{randoms.token_hex(8)}"
            self.tokens[token] = {"ttl": 60, "renewable": True}
            return 200, {"auth": {"client_token": token, "lease_duration": 60, "renewable": True}}
        token = headers.get("X-Vault-Token", "")
        if token not in self.tokens:
            return 403, {"errors": ["permission denied"]}
        if path == "/v1/auth/token/lookup-self":
            return 200, {"data": self.tokens[token]}
        if path == "/v1/auth/token/renew-self":
            if not self.tokens[token]["renewable"]:
                return 400, {"errors": ["lease is not renewable"]}
            return 200, {"auth": {"client_token": token, "lease_duration": 60, "renewable": True}}
        for prefix, version in (("/v1/secret/data/", 2), ("/v1/kv/", 1)):
            if path.startswith(prefix) and (found := self.kept.get(path.removeprefix(prefix))):
                if version == 1:
                    return 200, {"lease_id": "", "lease_duration": 2764800, "data": found[-1]}
                return 200, {
                    "data": {"data": found[-1], "metadata": {"version": len(found)}},
                    "lease_duration": 0,
                }
        return 404, {"errors": []}

    def paths(self) -> list[str]:
        return [path.removeprefix("/v1/") for _, path, _ in self.requests]


@pytest.fixture
def server() -> Iterator[Server]:
    kept = Server()

    class Handler(BaseHTTPRequestHandler):
        def any(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            code, found = kept.handle(
                self.command, self.path, dict(self.headers), json.loads(data) if data else None
            )
            body = json.dumps(found).encode()
            if kept.answer is not None:
                code, body = kept.answer
            self.send_response(code)
            if 300 <= code < 400:
                self.send_header("Location", f"{kept.url}/v1/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = any  # noqa: N815  the names that the server looks for

        def log_message(self, *_: Any) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{made.server_port}"
    kept.kept["site/hook"] = [{"secret": VALUE, "number": 5}]
    kept.tokens["root"] = {"ttl": 0, "renewable": False}
    kept.roles["role"] = "role-secret"
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield kept
    made.shutdown()
    thread.join()
    made.server_close()


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


def by_token(server: Server, token: Callable[[], str] = lambda: "root", **options: Any) -> Vault:
    return Vault(server.url, token=token, **options)


def by_role(server: Server, **options: Any) -> Vault:
    return Vault(server.url, role_id="role", secret_id=lambda: "role-secret", **options)


def test_a_secret_of_version_2_with_its_version(server: Server) -> None:
    vault = by_token(server, namespace="team")
    found = vault.read("site/hook#secret")
    assert (found.value, found.version, found.lease) == (VALUE, "1", 0.0)
    assert VALUE not in repr(found)
    server.kept["site/hook"].append({"secret": "other"})
    assert (vault.read("site/hook#secret").value, vault.read("site/hook#secret").version) == ("other", "2")
    headers = server.requests[-1][2]
    assert (headers["X-Vault-Token"], headers["X-Vault-Request"], headers["X-Vault-Namespace"]) == (
        "root",
        "true",
        "team",
    )


def test_a_secret_of_version_1(server: Server) -> None:
    found = by_token(server, version=1, mount="kv").read("site/hook#secret")
    assert (found.value, found.version) == (VALUE, "")


@pytest.mark.parametrize(
    "name", ["site/gone#secret", "site/hook#gone", "site/hook#number", "site/hook", "#x", "a#"]
)
def test_what_is_not_there(server: Server, name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        by_token(server).read(name)
    assert VALUE not in str(caught.value)


def test_an_approle_logs_in_once(server: Server) -> None:
    vault = by_role(server)
    assert [vault.read("site/hook#secret").value for _ in range(3)] == [VALUE] * 3
    assert server.paths().count("auth/approle/login") == 1


def test_a_session_is_renewed_before_it_ends(server: Server) -> None:
    clock = Clock()
    vault = by_role(server, clock=clock)
    vault.read("site/hook#secret")
    for _ in range(3):
        clock.time += 45.0  # of 60 seconds
        assert vault.read("site/hook#secret").value == VALUE
    assert server.paths().count("auth/approle/login") == 1
    assert server.paths().count("auth/token/renew-self") == 3


def test_a_session_that_ended_begins_anew(server: Server) -> None:
    clock = Clock()
    vault = by_role(server, clock=clock)
    vault.read("site/hook#secret")
    clock.time += 61.0
    vault.read("site/hook#secret")
    for token in [token for token in server.tokens if token != "root"]:
        del server.tokens[token]  # revoked
    assert vault.read("site/hook#secret").value == VALUE
    assert server.paths().count("auth/approle/login") == 3


def test_a_session_that_cannot_be_renewed_begins_anew(server: Server) -> None:
    clock = Clock()
    vault = by_role(server, clock=clock)
    vault.read("site/hook#secret")
    for told in server.tokens.values():
        told["renewable"] = False
    clock.time += 45.0
    vault.read("site/hook#secret")
    assert server.paths().count("auth/approle/login") == 2


def test_a_token_that_is_given_is_renewed_and_may_be_replaced(server: Server, tmp_path: Path) -> None:
    clock, token = Clock(), "first"
    server.tokens |= {"first": {"ttl": 60, "renewable": True}, "second": {"ttl": 60, "renewable": False}}
    vault = Vault(server.url, token=lambda: token, clock=clock)
    vault.read("site/hook#secret")
    clock.time += 45.0
    vault.read("site/hook#secret")
    assert server.paths().count("auth/token/renew-self") == 1
    token = "second"
    vault.read("site/hook#secret")
    assert server.requests[-1][2]["X-Vault-Token"] == "second"
    clock.time += 1000.0  # it says that it has ended; whether it has is the server's to say
    assert vault.read("site/hook#secret").value == VALUE
    del server.tokens["second"]
    with pytest.raises(SiteError, match="refuses"):
        vault.read("site/hook#secret")


def test_what_is_refused_says_neither_token_nor_secret(server: Server) -> None:
    with pytest.raises(SiteError, match="refuses auth/token/lookup-self") as caught:
        by_token(server, lambda: "hvs.wrong").read("site/hook#secret")
    assert "hvs.wrong" not in str(caught.value)
    wrong = Vault(server.url, role_id="role", secret_id=lambda: "guess")
    with pytest.raises(SiteError, match="answered 400 at auth/approle/login") as caught:
        wrong.read("site/hook#secret")
    assert "guess" not in str(caught.value)
    with pytest.raises(SiteError) as caught:
        by_token(server, lambda: "hvs.\r\nX-Evil: 1").read("site/hook#secret")
    assert "hvs" not in str(caught.value) and not server.requests[-1][2].get("X-Evil")


@pytest.mark.parametrize("code", [503, 500, 502, 429, 473, 412])
def test_what_may_work_later_is_transient(server: Server, code: int) -> None:
    server.answer = (code, b"{}")
    with pytest.raises(Transient):
        by_token(server).read("site/hook#secret")


def test_a_vault_that_is_sealed_or_away_is_transient(server: Server) -> None:
    vault = by_role(server)
    vault.read("site/hook#secret")
    server.sealed = True
    with pytest.raises(Transient, match="is sealed"):
        vault.read("site/hook#secret")
    server.sealed = False
    assert vault.read("site/hook#secret").value == VALUE
    with pytest.raises(Transient, match="Connection refused"):
        Vault("http://127.0.0.1:9", token=lambda: "root", timeout=2.0).read("site/hook#secret")


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, b"[]"), (307, b"{}"), (200, b"")])
def test_what_is_no_vault_is_refused(server: Server, answer: tuple[int, bytes]) -> None:
    server.answer = answer
    with pytest.raises(SiteError):
        by_token(server).read("site/hook#secret")
    assert "elsewhere" not in server.paths()


def token() -> str:
    return "root"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "url: found nothing"),
        ({"url": "http://vault.example.org", "token": token}, "url: expected https"),
        ({"url": "https://u:p@vault.example.org", "token": token}, "nothing secret in it"),
        ({"url": "vault", "token": token}, "url: expected the address"),
        ({"url": "https://vault"}, "either token, or role_id"),
        (
            {"url": "https://vault", "token": token, "role_id": "r", "secret_id": token},
            "either token, or role_id",
        ),
        ({"url": "https://vault", "role_id": "r"}, "either token, or role_id"),
        ({"url": "https://vault", "token": token, "version": 3}, "version: found 3"),
        ({"url": "https://vault", "token": token, "version": True}, "version: found what is no int"),
        ({"url": "https://vault", "token": 5}, "token: found what is no secret"),
        ({"url": "https://vault", "token": token, "tokn": 1}, "tokn: found an unknown key"),
        ({"url": "https://vault", "token": token, "ca": "gone.pem"}, "ca: gone.pem cannot be read"),
    ],
)
def test_a_table_that_is_wrong_is_told(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        make(settings)


def test_a_table_makes_a_reader(server: Server) -> None:
    assert make({"url": server.url, "token": token, "timeout": 2, "mount": "/secret/"}).read(
        "site/hook#secret"
    )
