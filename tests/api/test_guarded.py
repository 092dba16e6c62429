"""A real server, guarded: TLS, proxies, what it writes to its log, requests that two readers would read differently."""

import contextlib
import http.client
import json
import re
import select
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trustme

from towpath import Site

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent
SITE = """\
[site]
executor = "inline"

[pipelines.lab]
plugin = "lab:plugin"
file = "{here}/lab.toml"
path = "{here}"
"""
FORGED = "x\nERROR towpath: forged \x1b[31mred"


@dataclass
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Served:
    """A server in a process of its own."""

    folder: Path
    process: subprocess.Popen[str]
    host: str
    port: int
    context: ssl.SSLContext | None = None
    token: str = ""  # that of whoever set the site up, told once

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request."""
        made = (
            http.client.HTTPSConnection("localhost", self.port, timeout=20, context=self.context)
            if self.context
            else http.client.HTTPConnection(self.host, self.port, timeout=20)
        )
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(made) as connection:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())

    def raw(self, text: bytes) -> bytes:
        """What is answered to bytes."""
        with socket.create_connection((self.host, self.port), timeout=10) as connection:
            connection.sendall(text)
            connection.settimeout(5)
            told = b""
            with contextlib.suppress(TimeoutError):
                while piece := connection.recv(65536):
                    told += piece
        return told

    def login(self, secret: str, **headers: str) -> Answer:
        """Sign in."""
        form = urlencode({"token": secret})
        return self.ask("POST", "/login", form, Content_Type="application/x-www-form-urlencoded", **headers)

    def stop(self) -> str:
        """End it; all that it wrote."""
        if self.process.poll() is None:
            self.process.terminate()
        told, _ = self.process.communicate(timeout=20)
        return told + (self.folder / "said.txt").read_text(errors="surrogateescape")


def site_in(folder: Path, more: str = "") -> tuple[Path, str]:
    """A site, and the secret of an admin."""
    folder.mkdir(parents=True)
    (folder / "towpath.toml").write_text(SITE.format(here=HERE) + more)
    with Site.open(folder) as site:
        secret = site.make_token("ada", ["admin"]).secret
    return folder, secret


def serve(folder: Path, *options: str, debug: bool = False, context: ssl.SSLContext | None = None) -> Served:
    """A server of a site."""
    command = [
        sys.executable,
        *(["-c", DEBUG] if debug else ["-m", "towpath"]),
        "--json",
        "serve",
        "--port",
        "0",
        *options,
    ]
    said = folder / "said.txt"  # a pipe that nobody reads would stop it some time
    with said.open("wb") as stderr:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True, errors="surrogateescape"
        )
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], 120)
    line = process.stdout.readline() if readable else ""
    if not line:
        process.kill()
    assert line, said.read_text()
    told = json.loads(line)
    return Served(
        folder, process, "127.0.0.1", int(told["url"].rpartition(":")[2]), context, told.get("token", "")
    )


# Every logger tells everything that it has to tell, to where the command line writes it.
DEBUG = """
import logging, sys
from towpath.cli import records
logging.basicConfig(level=logging.DEBUG, handlers=[records.handler()])
for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "towpath", "httpx", "multipart"):
    logging.getLogger(name).setLevel(logging.DEBUG)
from towpath.__main__ import main
sys.argv[0] = "towpath"
main()
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: Any) -> Iterator[tuple[Served, str]]:
    """A server of a site with its work, that logs all it can; and the secret of an admin."""
    folder, secret = site_in(tmp_path_factory.mktemp("plain") / "site")
    served = serve(folder, "--with-worker", debug=True)
    yield served, secret
    served.stop()


# ---- requests that are not one
@pytest.mark.parametrize(
    "head",
    [
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\nabcdef",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /x",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"GET /login HTTP/1.1\r\nHost: x\r\nX: a\r\n b: c\r\n\r\n",
        b"GET /login HTTP/1.1\r\nHost: x\r\nX : a\r\n\r\n",
        b"GET /login HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        b"GET /log in HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"n" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /login HTTP/1.1\r\nHost: x\r\nX: " + b"n" * 200_000 + b"\r\n\r\n",
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_none(plain: tuple[Served, str], head: bytes) -> None:
    told = plain[0].raw(head)
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", told)
    assert all(one.startswith(b"4") for one in statuses) and len(statuses) <= 1, told[:500]


def test_a_server_tells_not_what_it_is(plain: tuple[Served, str]) -> None:
    assert "server" not in {name.lower() for name in plain[0].ask("GET", "/login").headers}


# ---- streams
def test_a_stream_ends_with_the_token_behind_it(plain: tuple[Served, str]) -> None:
    served, secret = plain
    with Site.open(served.folder) as site:
        made = site.make_token("guest", ["viewer"])
        bearer, cookie = f"Bearer {made.secret}", _cookie(served.login(made.secret))
        streams = []
        for headers in ({"Authorization": bearer}, {"Cookie": cookie}):
            connection = http.client.HTTPConnection(served.host, served.port, timeout=20)
            connection.request("GET", "/api/v1/events", headers={**headers, "Accept": "text/event-stream"})
            streams.append((connection, connection.getresponse()))
        assert all(answer.status == 200 and answer.readline() for _, answer in streams)
        site.revoke_token(made.row.id)
        for connection, answer in streams:
            assert (
                b": ping" not in answer.read()
            )  # nor would it be asked about anyway before a minute is over
            connection.close()
        assert served.ask("GET", "/api/v1/me", Authorization=f"Bearer {made.secret}").status == 401
    assert served.ask("GET", "/api/v1/me", Authorization=f"Bearer {secret}").status == 200


def _cookie(answer: Answer) -> str:
    assert answer.status == 303, answer
    return answer.headers["set-cookie"].partition(";")[0]


# ---- logs
def test_what_is_told_once_is_in_the_log_of_no_run(tmp_path: Path) -> None:
    """Runs that are in the server's own process take what it writes: they begin when it has told where it listens."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "towpath.toml").write_text(SITE.format(here=HERE))
    with Site.open(folder) as site:
        site.submit(
            "lab/sample", [{"key": f"s{number}", "attributes": {"seconds": 0.5}} for number in range(3)]
        )
    served = serve(folder, "--with-worker")
    try:
        assert served.token.startswith("twp_")
        logs = folder / ".towpath" / "logs"
        until = time.monotonic() + 60
        while "weighed" not in "".join(one.read_text() for one in logs.rglob("*.log")):
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        said = served.stop()
    texts = {str(one): one.read_text() for one in logs.rglob("*.log")}
    assert not [name for name, text in (*texts.items(), ("stderr", said)) if served.token in text]


def test_no_log_has_a_secret_or_a_line_that_somebody_made(tmp_path: Path) -> None:
    folder, secret = site_in(tmp_path / "site")
    with Site.open(folder) as site:
        site.submit(
            "lab/sample", [{"key": FORGED, "attributes": {"trouble": "fails"}}, {"key": f"{FORGED}2"}]
        )
    served = serve(folder, "--with-worker", debug=True)
    bearer = {"Authorization": f"Bearer {secret}"}
    guess, wrong = "twp_guessed-and-wrong", "twp_somebody-elses-token"
    try:
        cookie = _cookie(served.login(secret))
        csrf = re.findall(
            r'name="csrf" value="([0-9a-f]+)"', served.ask("GET", "/", Cookie=cookie).body.decode()
        )[0]
        told = served.ask(
            "POST", "/api/v1/tickets", '{"path": "/api/v1/items"}', Content_Type="application/json", **bearer
        )
        ticket = json.loads(told.body)["url"].partition("ticket=")[2]
        made = served.ask(
            "POST",
            "/api/v1/tokens",
            '{"name": "b", "grants": ["viewer"]}',
            Content_Type="application/json",
            **bearer,
        )
        for path in (
            f"/api/v1/items?ticket={ticket}",
            f"/api/v1/orders?ticket={ticket}",
            f"/nowhere?ticket={ticket}",
            f"/api/v1/%ff?{guess}",
        ):
            served.ask("GET", path)
        served.login(guess)
        served.ask("GET", "/api/v1/items", Authorization=f"Bearer {wrong}")
        served.ask("POST", "/api/v1/items", '{"x": "' + guess, Content_Type="application/json", **bearer)
        served.raw(f"GET /x?{guess} HTTP/1.1\r\nAuthorization : Bearer {wrong}\r\n\r\n".encode())
        until = time.monotonic() + 20
        while (
            time.monotonic() < until and b'"failed"' not in served.ask("GET", "/api/v1/system", **bearer).body
        ):
            time.sleep(0.1)
    finally:
        said = served.stop()
    assert served.process.returncode in (0, -15) and "Uvicorn" in said, said
    texts = {"the log of the server": said}
    texts |= {
        str(one): one.read_text(errors="replace")
        for one in folder.rglob("*")
        if one.is_file() and "log" in one.name
    }
    mac = ticket.rpartition("~")[2]
    for secret_ in (
        secret,
        cookie.partition("=")[2],
        csrf,
        mac,
        guess,
        wrong,
        json.loads(made.body)["secret"],
    ):
        assert not [name for name, text in texts.items() if secret_ in text]
    assert "\x1b" not in said and not re.search(r"^ERROR towpath: forged", said, re.MULTILINE), said


# ---- TLS
def test_certificates_by_file_make_it_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    folder, secret = site_in(
        tmp_path / "site", '\n[server]\ncertificate = "tls/cert.pem"\nkey = "tls/key.pem"\n'
    )
    (folder / "tls").mkdir()
    certificate.cert_chain_pems[0].write_to_path(folder / "tls" / "cert.pem")
    certificate.private_key_pem.write_to_path(folder / "tls" / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    served = serve(folder, context=context)
    try:
        assert served.ask("GET", "/api/v1/me", Authorization=f"Bearer {secret}").status == 200
        assert "secure" in served.login(secret).headers["set-cookie"].lower()
        with pytest.raises(ssl.SSLCertVerificationError):
            Served(folder, served.process, served.host, served.port, ssl.create_default_context()).ask(
                "GET", "/"
            )
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(old)
        with pytest.warns(DeprecationWarning):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            Served(folder, served.process, served.host, served.port, old).ask("GET", "/")
        assert not served.raw(b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 2")
    finally:
        served.stop()


def test_it_does_not_listen_beyond_this_machine_unprotected(tmp_path: Path) -> None:
    folder, _ = site_in(tmp_path / "site")
    command = [sys.executable, "-m", "towpath", "serve", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode != 0
    for word in ("0.0.0.0", "server.certificate", "server.key", "server.behind_proxy"):
        assert word in done.stderr


# ---- proxies
@pytest.mark.parametrize(
    ("more", "is_believed"),
    [("", False), ("behind_proxy = true\n", True), ('behind_proxy = true\nproxies = "192.0.2.1"\n', False)],
)
def test_a_proxy_is_believed_if_it_is_ours(tmp_path: Path, more: str, is_believed: bool) -> None:
    folder, secret = site_in(tmp_path / "site", f"\n[server]\n{more}")
    served = serve(folder)
    try:
        told = served.login(secret, X_Forwarded_Proto="https", X_Forwarded_For="198.51.100.1")
        assert ("secure" in told.headers["set-cookie"].lower()) == is_believed
        for _ in range(
            20
        ):  # each failure doubles the time to wait: a slow machine comes too late for the first
            told = served.login("twp_wrong", X_Forwarded_For="198.51.100.2")
            other = served.login("twp_wrong", X_Forwarded_For="198.51.100.3") if told.status == 429 else told
            if other.status == (403 if is_believed else 429) and told.status == 429:
                break
        assert told.status == 429
        assert other.status == (403 if is_believed else 429)  # who is not believed is one address
    finally:
        served.stop()
