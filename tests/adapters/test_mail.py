"""Mail against a real SMTP server on loopback: what arrives, with and without TLS, and what goes wrong."""

import email
import email.policy
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from towpath.adapters.notify.mail import Mail
from towpath.base.errors import SiteError, Transient

PASSWORD = "hunter2-hunter2"
BODY = {
    "title": "37 items failed",
    "text": "gam/survey/süd: no bytes\nhttps://site/items/12",
    "rule": "night",
}


@dataclass
class Post:
    """What a real SMTP server got, and what it is to answer."""

    port: int = 0
    got: list[tuple[str, list[str], Any]] = field(default_factory=list)
    data: str = "250 taken"
    recipients: dict[str, str] = field(default_factory=dict)
    logins: list[tuple[str, str]] = field(default_factory=list)
    refusal: str = ""

    async def handle_RCPT(  # noqa: N802  the name that the server looks for
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self.recipients.get(address, "250 fine")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  as above
        if self.data.startswith("250"):
            content = envelope.content if isinstance(envelope.content, bytes) else b""
            message = email.message_from_bytes(content, policy=email.policy.default)
            self.got.append((str(envelope.mail_from), list(envelope.rcpt_tos), message))
        return self.data

    def login(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        user, password = data.login.decode(), data.password.decode()
        self.logins.append((user, password))
        message = f"{self.refusal} {password}" if self.refusal else None
        return AuthResult(success=password == PASSWORD, handled=False, message=message)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    made = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    made.cert_pem.write_to_path(path)
    return made, path


@pytest.fixture
def serve(authority: tuple[trustme.CA, Path]) -> Iterator[Callable[[str], Post]]:
    """Give what starts a server of this kind of TLS."""
    running: list[Controller] = []

    def start(tls: str) -> Post:
        post = Post()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority[0].issue_cert("localhost").configure_cert(context)
        options: dict[str, Any] = {"authenticator": post.login}
        if tls == "starttls":
            options |= {"tls_context": context, "require_starttls": True, "auth_required": True}
        elif tls == "implicit":
            options |= {"ssl_context": context, "auth_require_tls": False}
        else:
            options |= {"auth_require_tls": False}
        with socket.socket() as kept:  # so that nobody else is given its port until the server has it
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.bind(("127.0.0.1", 0))
            post.port = kept.getsockname()[1]
            controller = Controller(post, hostname="localhost", port=post.port, ready_timeout=60.0, **options)
            controller.start()
        running.append(controller)
        return post

    yield start
    for one in running:
        one.stop()


def send(post: Post, *, key: str = "notify/night/7:3", body: Any = BODY, **options: Any) -> None:
    given = {"port": post.port, "tls": "none", "timeout": 10.0, **options}
    Mail("localhost", sender="towpath@example.org", to=["ann@example.org", "bob@example.org"], **given).send(
        "notify/night/7", 3, key, body
    )


def test_a_mail_says_what_happened(serve: Callable[[str], Post]) -> None:
    post = serve("none")
    send(post)
    ((sender, to, message),) = post.got
    assert (sender, to) == ("towpath@example.org", ["ann@example.org", "bob@example.org"])
    assert message["Subject"] == "37 items failed"
    assert message["From"] == "towpath@example.org" and message["Auto-Submitted"] == "auto-generated"
    assert message["To"] == "ann@example.org, bob@example.org"
    text = message.get_content().replace("\r\n", "\n")
    assert text.startswith("37 items failed\n\ngam/survey/süd: no bytes\nhttps://site/items/12\n")
    assert "The rule night" in text
    assert post.logins == []


def test_a_repeat_has_the_same_message_id(serve: Callable[[str], Post]) -> None:
    post = serve("none")
    send(post)
    send(post)
    send(post, key="notify/night/8:4")
    first, again, other = (message["Message-ID"] for _, _, message in post.got)
    assert first == again != other
    assert first.endswith("@example.org>")


@pytest.mark.parametrize(
    "hostile",
    ["a\r\nBcc: eve@evil.org", "a\nBcc: eve@evil.org\n\nbody", "a\x0bBcc: eve@evil.org", "a\u2028Bcc: x"],
)
def test_a_hostile_name_adds_no_header_and_no_recipient(serve: Callable[[str], Post], hostile: str) -> None:
    post = serve("none")
    send(post, key=hostile, body={"title": hostile, "text": f"{hostile}\r\n.\r\nMAIL FROM:<eve@evil.org>"})
    ((_, to, message),) = post.got
    assert to == ["ann@example.org", "bob@example.org"]
    assert message["Bcc"] is None
    assert message["Subject"].startswith("a ") and "\n" not in message["Subject"]
    assert "MAIL FROM:<eve@evil.org>" in message.get_content()


def test_a_message_that_is_no_notification_is_told_by_its_facts(serve: Callable[[str], Post]) -> None:
    post = serve("none")
    send(post, body={"type": "published", "target": "line/S-1", "files": ["a", "b"], "supersedes": []})
    message = post.got[0][2]
    assert message["Subject"] == "published: notify/night/7"
    assert message.get_content().splitlines() == ["type: published", "target: line/S-1", 'files: ["a", "b"]']


def test_a_text_with_half_a_character_is_sent(serve: Callable[[str], Post]) -> None:
    post = serve("none")
    send(post, body={"title": "t\udce9", "text": "half \udce9"})
    assert "half ?" in post.got[0][2].get_content()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_tls_and_login(serve: Callable[[str], Post], authority: tuple[trustme.CA, Path], tls: str) -> None:
    post = serve(tls)
    send(post, tls=tls, ca=str(authority[1]), user="towpath", password=lambda: PASSWORD)
    assert post.logins == [("towpath", PASSWORD)]
    assert len(post.got) == 1


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_certificate_that_is_not_trusted_is_refused(serve: Callable[[str], Post], tls: str) -> None:
    post = serve(tls)
    with pytest.raises(SiteError, match="its certificate is not trusted"):
        send(post, tls=tls, user="towpath", password=lambda: PASSWORD)
    assert post.logins == [] and post.got == []


def test_a_server_without_starttls_gets_no_password(serve: Callable[[str], Post]) -> None:
    post = serve("none")
    with pytest.raises(SiteError, match="cannot do what the settings ask: STARTTLS"):
        send(post, tls="starttls", user="towpath", password=lambda: PASSWORD)
    assert post.logins == []


def test_a_wrong_password_is_no_transient_and_not_told(serve: Callable[[str], Post]) -> None:
    post = serve("none")
    post.refusal = "535 5.7.8 not with"
    with pytest.raises(SiteError, match=r"535: 5.7.8 not with \*\*\*; check user and password") as caught:
        send(post, user="towpath", password=lambda: "wrong-hunter2")
    assert post.logins and "wrong-hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("451 4.3.0 later", Transient), ("421 4.7.0 busy", Transient), ("554 5.6.0 never", SiteError)],
)
def test_what_the_server_says_of_trying_again_is_heard(
    serve: Callable[[str], Post], answer: str, kind: type[Exception]
) -> None:
    post = serve("none")
    post.data = answer
    with pytest.raises(kind, match=answer[:3]):
        send(post)


def test_addresses_that_are_refused(serve: Callable[[str], Post]) -> None:
    post = serve("none")
    post.recipients["bob@example.org"] = "550 5.1.1 unknown"
    with pytest.raises(SiteError, match=r"bob@example.org: 550 5.1.1 unknown; correct the address"):
        send(post)
    assert [to for _, to, _ in post.got] == [["ann@example.org"]]
    post.recipients["ann@example.org"] = "450 4.2.1 later"
    with pytest.raises(Transient, match=r"ann@example.org: 450"):
        send(post)


def test_a_server_that_is_away_or_says_nothing_is_transient() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        away = Post(port=silent.getsockname()[1])
        with pytest.raises(Transient, match=f"smtp://localhost:{away.port}"):
            send(away)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(Transient, match="timed out"):
            send(Post(port=silent.getsockname()[1]), timeout=0.2)


def test_certificates_that_are_not_there_are_named() -> None:
    with pytest.raises(SiteError, match=r"no-ca.pem: there is no such file"):
        Mail("localhost", sender="a@b.org", to=["c@d.org"], tls="implicit", ca="no-ca.pem").send(
            "s", 1, "k", {}
        )
