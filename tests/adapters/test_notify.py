"""Sinks: a webhook against a real server on loopback, with faults and repeats, and a folder of files."""

import hashlib
import hmac
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from towpath.adapters.notify.folder import Folder
from towpath.adapters.notify.webhook import Webhook, retry_after
from towpath.base.errors import DefinitionError, SiteError, Transient

BODY = {"type": "published", "target": "line/S-1", "name": "Süd"}


@dataclass
class Receiver:
    """A real HTTP server that answers what it is told, and keeps what it got."""

    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    pause: float = 0.0
    url: str = ""

    def then(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.answers.append((status, {name.replace("_", "-"): text for name, text in headers.items()}, body))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kept.requests.append((self.command, dict(self.headers), body))
            time.sleep(kept.pause)
            status, headers, answer = kept.answers.pop(0) if kept.answers else (204, {}, b"")
            if status == 0:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET = handle_any  # noqa: N815  the names that the server looks for

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}/hook?token=hidden"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


def send(url: str, **options: Any) -> None:
    Webhook(url, **options).send("line/S-1", 7, "line/S-1:7", BODY)


def test_a_message_is_posted_with_its_key_and_signature(receiver: Receiver) -> None:
    send(receiver.url, secret=lambda: "s3cret", headers={"Authorization": "Bearer x"})
    ((method, headers, body),) = receiver.requests
    assert method == "POST"
    assert json.loads(body) == {"subject": "line/S-1", "sequence": 7, "key": "line/S-1:7", "body": BODY}
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == "line/S-1:7"
    assert headers["X-Towpath-Sequence"] == "7"
    assert headers["Authorization"] == "Bearer x"
    signature = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert headers["X-Towpath-Signature"] == f"sha256={signature}"


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    send(receiver.url)
    assert "X-Towpath-Signature" not in receiver.requests[0][1]


def test_a_hostile_subject_cannot_add_a_header(receiver: Receiver) -> None:
    Webhook(receiver.url).send("a\r\nX-Evil: 1", 1, "a\r\nX-Evil: 1:1", {})
    headers = receiver.requests[0][1]
    assert headers["Idempotency-Key"] == "a%0D%0AX-Evil: 1:1"
    assert "X-Evil" not in headers


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408, 425])
def test_what_may_work_later_is_transient(receiver: Receiver, status: int) -> None:
    receiver.then(status, b"busy", Retry_After="17")
    with pytest.raises(Transient, match=f"answered {status}.*: busy") as caught:
        send(receiver.url)
    assert caught.value.after == 17.0
    assert "hidden" not in caught.value.reason
    send(receiver.url)
    assert receiver.requests[0] == receiver.requests[1]


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_what_is_refused_for_good_is_no_transient(receiver: Receiver, status: int) -> None:
    receiver.then(status, b"no such hook")
    with pytest.raises(SiteError, match=f"answered {status} .*no such hook"):
        send(receiver.url)


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.then(302, Location=receiver.url)
    with pytest.raises(SiteError, match="answered 302"):
        send(receiver.url)
    assert len(receiver.requests) == 1


def test_a_slow_receiver_is_waited_for_no_longer_than_said(receiver: Receiver) -> None:
    receiver.pause = 1.0
    with pytest.raises(Transient, match="timed out"):
        send(receiver.url, timeout=0.1)


def test_a_connection_that_breaks_is_transient(receiver: Receiver) -> None:
    receiver.then(0)
    with pytest.raises(Transient, match="hook"):
        send(receiver.url)


def test_nobody_there_is_transient() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(Transient, match="refused"):
        send(f"http://127.0.0.1:{port}/hook")


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc/passwd", "host/x", "http://", ""])
def test_only_http_addresses_are_accepted(url: str) -> None:
    with pytest.raises(DefinitionError, match="expected an http or https address"):
        Webhook(url)


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("3") == 3.0
    assert retry_after("") == 0.0
    assert retry_after("soon") == 0.0
    assert 50 < retry_after(formatdate(time.time() + 60, usegmt=True)) <= 60
    assert retry_after(formatdate(time.time() - 60, usegmt=True)) == 0.0


# ---- the folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_message_becomes_one_file_and_a_repeat_the_same(tmp_path: Path) -> None:
    sink = Folder(tmp_path)
    for _ in range(2):
        sink.send("line/S 1", 7, "line/S 1:7", BODY)
    assert names(tmp_path) == ["000000000007-line%2FS%201.json"]
    content = json.loads((tmp_path / names(tmp_path)[0]).read_text())
    assert content == {"subject": "line/S 1", "sequence": 7, "key": "line/S 1:7", "body": BODY}


def test_files_sort_in_the_order_of_their_messages(tmp_path: Path) -> None:
    sink = Folder(tmp_path)
    for number in (10, 9, 100):
        sink.send("s", number, f"s:{number}", {"n": number})
    assert [json.loads((tmp_path / name).read_text())["sequence"] for name in names(tmp_path)] == [
        9,
        10,
        100,
    ]


def test_a_folder_that_is_away_is_transient(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="No such file or directory"):
        Folder(tmp_path / "away").send("s", 1, "s:1", {})
    assert names(tmp_path) == []


def test_a_full_folder_leaves_nothing_half(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(b"f" * 1_040_000)
    with pytest.raises(Transient, match="No space left"):
        Folder(small_disk).send("s", 1, "s:1", {"long": "x" * 100_000})
    assert names(small_disk) == ["filler"]


def test_a_folder_that_may_not_be_written_is_transient(
    tmp_path: Path, unprivileged: Callable[..., Any]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o555)
    code = (
        "import pathlib, sys\n"
        "from towpath.adapters.notify.folder import Folder\n"
        "from towpath.base.errors import Transient\n"
        "try:\n"
        "    Folder(pathlib.Path(sys.argv[1])).send('s', 1, 's:1', {})\n"
        "except Transient as error:\n"
        "    print(error.reason)\n"
    )
    assert "Permission denied" in unprivileged(sys.executable, "-c", code, folder).stdout


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """While the file has no name yet it is hidden: a reader that lists `*.json` meets whole ones only."""
    seen: list[str] = []
    real = os.fsync

    def look(number: int) -> None:
        seen.extend(path.name for path in tmp_path.glob("*.json"))
        real(number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", look)
        Folder(tmp_path).send("s", 1, "s:1", {})
    assert seen == ["000000000001-s.json"]  # at the flush of the folder, after the rename
