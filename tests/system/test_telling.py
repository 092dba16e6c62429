"""Notifications of a whole site: told once whatever is killed, by webhook and mail; and secrets that change and never show."""

import email
import email.policy
import hashlib
import hmac
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from plainpipe.site import Daemon, make, wait_for
from typer.testing import CliRunner

from towpath import Site
from towpath.app import secrets
from towpath.base.errors import SiteError
from towpath.cli.entry import app

PIPELINE = """
[pipeline]
name = "plain"
[sources.asked]
kind = "submit"
item = "case"
[items.case]
route = "trouble"
"""
RULE = """
[outbox.board]
kind = "folder"
path = "board"
[notify.trouble]
on = ["failed"]
to = ["board", "badge:ann"]
"""


def cases(count: int, does: str = "fail", prefix: str = "c") -> list[dict[str, object]]:
    return [{"key": f"{prefix}{n:03d}", "attributes": {"does": does}} for n in range(count)]


def failures(site: Site) -> list[int]:
    return sorted(event.seq for event in site.events(limit=100_000) if event.type == "failed")


def on_board(folder: Path) -> list[int]:
    bodies = [json.loads(path.read_text())["body"] for path in sorted((folder / "board").glob("*.json"))]
    return sorted(one["event"] for body in bodies for one in body["items"])


# ---- once, whatever is killed


@pytest.mark.slow
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize(
    "point",
    ["notify.decided", "notify.told", "outbox.send", "outbox.sent", "catalog.commit", "catalog.committed"],
)
def test_each_failure_is_told_once_whatever_is_killed(tmp_path: Path, point: str, nth: int) -> None:
    folder = make(tmp_path, PIPELINE, site=RULE)
    (folder / "board").mkdir()
    with Site.open(folder) as site:
        site.run()  # the rule begins here
        site.submit("case", cases(12))
    with Daemon(folder, watch=True, env={"TOWPATH_FAULT": f"{point}:{nth}"}) as daemon:
        wait_for(lambda: daemon.popen.poll() is not None or len(on_board(folder)) == 12)
        daemon.terminate()
        daemon.wait()
    with Site.open(folder) as site:
        site.run()
        assert len(failures(site)) == 12
        assert on_board(folder) == failures(site)  # a repeat has the same name, and replaces it
        with site.catalog.read() as view:
            noticed = view.notices(["ann"], limit=1000)
        assert len({one.event for one in noticed}) == len(noticed) >= 1


def test_a_single_run_tells_of_what_it_did(tmp_path: Path) -> None:
    folder = make(tmp_path, PIPELINE, site=RULE, executor="inline")
    (folder / "board").mkdir()
    with Site.open(folder) as site:
        site.submit("case", cases(2))
        site.run()
        assert on_board(folder) == failures(site)
        site.submit("case", cases(30, prefix="storm"))
        site.run()
        assert on_board(folder) == failures(site)
    assert len(list((folder / "board").glob("*.json"))) < 20


def test_whoever_follows_an_item_is_told(tmp_path: Path) -> None:
    folder = make(tmp_path, PIPELINE, executor="inline")
    with Site.open(folder) as site:
        first, second = site.submit("case", [*cases(1), *cases(1, "write", "good")])
        for item in (first, second):
            site.catalog.write(lambda tx, item=item: tx.subscribe("ann", item))
        site.run()
        with site.catalog.read() as view:
            titles = [one.title for one in view.notices(["ann"])]
    assert sorted(titles) == ["plain/case/c000 failed at trouble", "plain/case/good000 is finished"]


# ---- receivers


@dataclass
class Receiver:
    """A webhook on loopback; it also speaks as much of Vault as is needed here."""

    url: str = ""
    status: int = 204
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    vault: dict[str, str] = field(default_factory=dict)
    token: str = ""
    vault_status: int = 200

    def signed_with(self) -> list[str]:
        """For each request the vault's and other secrets that its signature fits."""
        known = [*self.vault.values(), ENVIRONMENT, "rotated-secret"]
        return [
            next(
                (
                    one
                    for one in known
                    if headers.get("X-Towpath-Signature")
                    == f"sha256={hmac.new(one.encode(), body, hashlib.sha256).hexdigest()}"
                ),
                "",
            )
            for headers, body in self.requests
        ]


ENVIRONMENT, PASSWORD, KEPT, TOKEN = "s3cret-of-environ", "s3cret-of-file", "s3cret-of-vault", "s3cret-token"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver(vault={"secret": KEPT}, token=TOKEN)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.requests.append((dict(self.headers), body))
            self.answer(kept.status, b"you sent " + body[:20])

        def do_GET(self) -> None:
            status = kept.vault_status if self.headers.get("X-Vault-Token") == kept.token else 403
            data: dict[str, Any] = {"ttl": 0}
            if self.path == "/v1/secret/data/site/hook":
                data = {"data": kept.vault, "metadata": {"version": 1}}
            self.answer(status, json.dumps({"data": data}).encode())

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)) if status != 204 else "0")
            self.end_headers()
            self.wfile.write(body if status != 204 else b"")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Post:
    """A mail server on loopback, which asks for a password."""

    port: int = 0
    answer: str = "250 taken"
    got: list[Any] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  the server's name
        self.got.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return self.answer

    def login(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password.decode() == PASSWORD, handled=False)


@pytest.fixture
def post() -> Iterator[Post]:
    kept = Post()
    with socket.socket() as held:  # so that nobody else is given its port until the server has it
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        kept.port = held.getsockname()[1]
        server = Controller(
            kept,
            hostname="127.0.0.1",
            port=kept.port,
            ready_timeout=60.0,
            authenticator=kept.login,
            auth_require_tls=False,
        )
        server.start()
    yield kept
    server.stop()


def whole(folder: Path, receiver: Receiver, post: Post) -> Path:
    """A site that tells by a webhook with each kind of secret, and by mail."""
    settings = f"""
[server]
url = "https://site.example.org"
[outbox.environ]
kind = "webhook"
url = "{receiver.url}/a"
secret = {{ env = "HOOK" }}
[outbox.kept]
kind = "webhook"
url = "{receiver.url}/b"
secret = {{ vault = "site/hook#secret" }}
[outbox.post]
kind = "mail"
host = "127.0.0.1"
port = {post.port}
tls = "none"
from = "towpath@example.org"
to = ["ann@example.org"]
user = "towpath"
password = {{ file = "keys/post" }}
[secrets.vault]
url = "{receiver.url}"
token = {{ env = "VAULT_TOKEN" }}
[notify.trouble]
on = ["failed"]
to = ["environ", "kept", "post"]
"""
    make(folder, PIPELINE, site=settings, executor="inline")
    (folder / "keys").mkdir()
    (folder / "keys" / "post").write_text(f"{PASSWORD}\n")
    return folder


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", ENVIRONMENT)
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)


def test_webhooks_and_mail_are_told_with_their_secrets(
    tmp_path: Path, receiver: Receiver, post: Post, environ: None
) -> None:
    with Site.open(whole(tmp_path, receiver, post)) as site:
        site.submit("case", cases(1))
        site.run()
        item = site.find("c000").id
    assert sorted(receiver.signed_with()) == [ENVIRONMENT, KEPT]
    (message,) = post.got
    assert message["Subject"] == "plain/case/c000 failed at trouble"
    assert f"ValueError: it cannot be\r\nhttps://site.example.org/items/{item}\r\n" in message.get_content()


def test_a_secret_that_changes_is_used_without_a_restart(
    tmp_path: Path, receiver: Receiver, post: Post, environ: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "FRESH", 0.1)
    folder = whole(tmp_path, receiver, post)
    with Site.open(folder) as site:
        site.submit("case", cases(1))

        def watch() -> None:
            with site._parts.running() as worker:
                workers.append(worker.loop)
                worker.loop.watch()

        workers: list[Any] = []
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            wait_for(lambda: KEPT in receiver.signed_with())
            receiver.vault["secret"] = "rotated-secret"
            site.submit("case", cases(1, prefix="d"))
            wait_for(lambda: "rotated-secret" in receiver.signed_with())
            receiver.vault_status = 503  # sealed: the last one goes on
            site.submit("case", cases(1, prefix="e"))
            wait_for(lambda: receiver.signed_with().count("rotated-secret") == 2)
        finally:
            workers[0].stop()
            thread.join()


@pytest.mark.parametrize("lost", ["HOOK", "VAULT_TOKEN", "keys/post"])
def test_a_secret_that_is_missing_names_the_setting_and_leaves_nothing_open(
    tmp_path: Path, receiver: Receiver, post: Post, environ: None, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    folder = whole(tmp_path, receiver, post)
    names = {
        "HOOK": "outbox.environ.secret",
        "VAULT_TOKEN": "outbox.kept.secret",
        "keys/post": "outbox.post.password",
    }
    if lost in os.environ:
        monkeypatch.delenv(lost)
    else:
        (folder / lost).unlink()
    with Site.open(folder) as site:
        with pytest.raises(SiteError, match=names[lost]) as caught:
            site.run()
        assert "s3cret" not in str(caught.value)
        assert site.status().sessions == ()


# ---- never shown


def test_a_secret_shows_nowhere(tmp_path: Path, receiver: Receiver, post: Post) -> None:
    """All that a site writes and says is searched for the values: screen, errors, log, files, catalog, archive."""
    folder = whole(tmp_path / "site", receiver, post)
    with (folder / "towpath.toml").open("a") as file:
        file.write('[outbox.plain]\nkind = "webhook"\nurl = "http://127.0.0.1:9/hook"\n')
    receiver.status, post.answer = 400, "554 no"
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).resolve().parent),
        "HOOK": ENVIRONMENT,
        "VAULT_TOKEN": TOKEN,
        "TOWPATH_OUTBOX__PLAIN__SECRET": "s3cret-of-text",
        "TOWPATH_SITE__LOG_LEVEL": "debug",
        "COLUMNS": "200",
    }
    told = ""

    def run(*argv: str, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "towpath", *argv, "--site", str(folder)],
            env={**environment, **more}, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        return done.stdout + done.stderr

    with Site.open(folder, environ=environment) as site:
        site.submit("case", [*cases(2), *cases(1, "write", "good")])
    told += run("run", "--debug")
    looking = CliRunner(env=environment)
    shown = [
        "config",
        "config plain",
        "config --json",
        "status --json",
        "events --json",
        "show c000 --json",
        "explain c000",
    ]
    shown += ["sources list --json", "log c000:trouble", "db path", "db check"]
    for argv in map(str.split, shown):
        answer = looking.invoke(app, [*argv, "--site", str(folder)])
        told += answer.stdout + answer.stderr
    told += run("run", "--debug", VAULT_TOKEN="s3cret-wrong")
    told += run(
        "run", "--debug", "--set", "outbox.plain.secret=5", TOWPATH_OUTBOX__PLAIN__SECRET="s3cret-of-text"
    )
    told += run("status", "--debug", "--set", 'outbox.environ.secret.plaintext="s3cret-of-text"')
    told += run("status", "--set", "secrets.vault.token=s3cret-of-text", "--set", "secrets.vault.wrong=1")
    assert "answered 400" in told + dump(folder) and "outbox.kept.secret" in told
    kept = b"".join(
        path.read_bytes() for path in folder.rglob("*") if path.is_file() and path != folder / "keys" / "post"
    )
    for text in (told, dump(folder), kept.decode(errors="replace")):
        assert "s3cret" not in text
    assert receiver.requests and post.got


def test_the_environment_of_a_run_has_no_secret_of_the_site(
    tmp_path: Path, receiver: Receiver, post: Post, environ: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOWPATH_OUTBOX__TEXT__SECRET", "s3cret-of-text")
    monkeypatch.setenv("PLAIN_OTHER", "of the stage's own")
    folder = whole(tmp_path, receiver, post)
    settings = (folder / "towpath.toml").read_text().replace('executor = "inline"', 'executor = "local"')
    (folder / "towpath.toml").write_text(
        f'{settings}[outbox.text]\nkind = "webhook"\nurl = "http://127.0.0.1:9"\n'
    )
    with Site.open(folder) as site:
        site.submit("case", cases(1, "environment"))
        site.run()
        log = site.log("c000:trouble")
    assert "PLAIN_OTHER=of the stage's own" in log
    assert "s3cret" not in log and "VAULT_TOKEN" not in log


def test_mail_is_sent_only_where_it_is_asked_for(
    tmp_path: Path, receiver: Receiver, post: Post, environ: None
) -> None:
    with Site.open(whole(tmp_path, receiver, post)) as site:
        assert site._parts._destinations() == ("environ", "kept")


def dump(folder: Path) -> str:
    """The whole catalog as SQL."""
    copy = folder.parent / "copy.sqlite"
    shutil.copy(folder / "catalog.sqlite", copy)
    connection = sqlite3.connect(copy)
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()
        copy.unlink()


def test_a_pipeline_file_with_a_secret_is_refused_without_telling_it(tmp_path: Path) -> None:
    folder = make(tmp_path, PIPELINE, executor="inline")
    with Site.open(folder) as site:
        site.run()
        (folder / "plain.toml").write_text(
            f'{PIPELINE}[items.case.stages.trouble]\nparams = {{ api_key = "s3cret-of-file" }}\n'
        )
        told = site._parts.reload()
        assert "api_key (line 10): found what looks like a secret" in told["plain"]
        refused = [event for event in site.events() if event.type == "definition refused"]
    assert len(refused) == 1
    assert "s3cret" not in told["plain"] + dump(folder)
