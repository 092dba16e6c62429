"""An InvenioRDM instance of ours on loopback, for tests: users, records, files in three steps, access links, and a store.

Built from the documented REST behaviour (InvenioRDM documentation, REST API: drafts and records), over real HTTP. Promises to
be as strict as that says: the store refuses whoever brings a bearer or a token, denial is 403 and absence 404. Tests switch
faults on (`fail`), and see every request that was made. Keeps all in memory.
"""

import hashlib
import json
import mimetypes
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

_LADDER = ("", "view", "preview", "edit", "manage")
_KEY = r"(?P<key>[^/]+)"
_RECORD = r"/(?P<record>[^/]+)"
# The name of a route, by which tests count and let fail; its method; what follows the base path of the records.
_ROUTES = [
    (name, method, re.compile(pattern))
    for name, method, pattern in (
        ("draft", "GET", f"{_RECORD}/draft"),
        ("record", "GET", _RECORD),
        ("draft-files", "GET", f"{_RECORD}/draft/files"),
        ("files", "GET", f"{_RECORD}/files"),
        ("init", "POST", f"{_RECORD}/draft/files"),
        ("draft-file", "GET", f"{_RECORD}/draft/files/{_KEY}"),
        ("file", "GET", f"{_RECORD}/files/{_KEY}"),
        ("draft-content", "GET", f"{_RECORD}/draft/files/{_KEY}/content"),
        ("content", "GET", f"{_RECORD}/files/{_KEY}/content"),
        ("put", "PUT", f"{_RECORD}/draft/files/{_KEY}/content"),
        ("commit", "POST", f"{_RECORD}/draft/files/{_KEY}/commit"),
        ("delete", "DELETE", f"{_RECORD}/draft/files/{_KEY}"),
        ("links", "GET", f"{_RECORD}/access/links"),
        ("mint", "POST", f"{_RECORD}/access/links"),
        ("unmint", "DELETE", f"{_RECORD}/access/links/(?P<link>[^/]+)"),
    )
]
_PAGES = {"proxy": 503, "page": 200, "gone": 404, "refuse": 413}
_MOVED = {"moved": 301, "login": 302}
_SAID = {
    "busy": (429, "Rate limit exceeded."),
    "broken": (500, "The server encountered an internal error."),
    "invalid": (400, "A validation error occurred."),
    "forbidden": (403, "Permission denied."),
    "unauthorised": (401, "The access token is invalid."),
}
# What a request can be let fail by; the last ones do their work, or a part of it, and then lose or spoil the answer.
FAULTS = (
    *_PAGES,
    *_MOVED,
    *_SAID,
    "garbled",
    "slow",
    "trickle",
    "cut",
    "lost",
    "lost-500",
    "wrong-checksum",
    "stale",
    "endless",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came: the route's name, its method, path, query and headers (names in lower case)."""

    route: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)


@dataclass(slots=True)
class StoredFile:
    """A file of a record; without `checksum` its upload is not complete, and without `is_sent` it has no bytes yet."""

    key: str
    content: bytes = b""
    checksum: str = ""
    metadata: dict[str, Any] | None = None
    version: str = ""
    is_sent: bool = False


@dataclass(slots=True)
class StoredRecord:
    """A record; `rights` are what users were given beside its owner, by user: view, preview, edit or manage."""

    id: str
    owner: str
    title: str = ""
    is_published: bool = False
    is_public: bool = True
    rights: dict[str, str] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    links: dict[str, dict[str, Any]] = field(default_factory=dict)
    updated: float = 0.0
    revision: int = 1


@dataclass(slots=True)
class _Fault:
    kind: str
    left: int
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    fault: _Fault | None = None


class InvenioServer:
    """The instance, while the context lasts.

    Parameters
    ----------
    path
        The base path of the records.
    store
        Whether the bytes of files are at another origin, to which downloads are sent on.
    touches
        Whether adding a file changes when its draft was updated.
    clock
        The time, in seconds since the epoch, by which access links end.

    Attributes
    ----------
    url, store_url
        Where it listens, and where its store does.
    requests, stored
        What it was asked, and what its store was.
    store_sends
        What the store makes of the bytes that it sends.
    """

    def __init__(
        self,
        path: str = "/api/records",
        *,
        store: bool = True,
        touches: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path, self._has_store, self._touches, self.clock = path, store, touches, clock
        self.users: dict[str, str] = {}  # by bearer
        self.records: dict[str, StoredRecord] = {}
        self.requests: list[Seen] = []
        self.stored: list[Seen] = []
        self.url = self.store_url = ""
        self.store_sends: Callable[[bytes], bytes] = lambda content: content
        self._faults: dict[str, list[_Fault]] = {}
        self._acts: dict[str, list[Callable[[], object]]] = {}
        self._signed: dict[str, bytes] = {}
        self._lock = threading.RLock()
        self._servers: list[ThreadingHTTPServer] = []
        self._instant = 0.0

    def __enter__(self) -> Self:
        """Listen."""
        self.url = self._listen(self._answer)
        self.store_url = self._listen(self._answer_store)
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        for server in self._servers:
            server.shutdown()
            server.server_close()

    # ---- what people do
    def add_user(self, name: str) -> str:
        """Add a user; their bearer."""
        bearer = f"bearer-{name}-{secrets.token_urlsafe(24)}"
        self.users[bearer] = name
        return bearer

    def add_record(self, owner: str, title: str = "", record: str = "", **others: Any) -> str:
        """Add a draft of a user's; its id."""
        record = record or f"{secrets.token_hex(3)[:5]}-{secrets.token_hex(3)[:5]}"
        self.records[record] = StoredRecord(record, owner, title, **others)
        self._touch(self.records[record])
        return record

    def deposit(self, record: str, key: str, content: bytes, metadata: dict[str, Any] | None = None) -> None:
        """Put a whole file on a record, in place of what has its key."""
        found = self.records[record]
        found.files[key] = StoredFile(key, content, _md5(content), metadata, secrets.token_hex(8))
        if self._touches:
            self._touch(found)

    def publish(self, record: str) -> None:
        """Publish a record: its files do not change any more."""
        self.records[record].is_published = True
        self._touch(self.records[record])

    # ---- what tests do
    def fail(self, route: str, kind: str, times: int = 1, value: float = 0.0) -> None:
        """Let the next requests of a route fail in one of the ways of `FAULTS`; `store` is the route of the store.

        `value` is a number of seconds (Retry-After; between parts of what is slow).
        """
        if kind not in FAULTS:
            raise ValueError(f"kind: found {kind!r}; expected one of {', '.join(FAULTS)}")
        self._faults.setdefault(route, []).append(_Fault(kind, times, value))

    def before(self, route: str, act: Callable[[], object]) -> None:
        """Let something happen just before the next request of a route is answered."""
        self._acts.setdefault(route, []).append(act)

    def forget(self) -> None:
        """Forget faults, requests and what was to happen."""
        self._faults.clear()
        self._acts.clear()
        self.requests.clear()
        self.stored.clear()
        self.clock, self.store_sends = time.time, lambda content: content

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """What answers requests, for a listener of another kind."""
        return _handler(self._answer)

    def count(self, *routes: str) -> int:
        """How many requests of these routes were made; of all, if none is named."""
        return sum(seen.route in routes or not routes for seen in self.requests)

    # ---- serving
    def _listen(self, answer: Callable[[Seen, bytes], _Reply]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer))
        server.daemon_threads = True
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    def _fault(self, route: str) -> _Fault | None:
        for fault in self._faults.get(route, []):
            if fault.left > 0:
                fault.left -= 1
                return fault
        return None

    def _answer(self, seen: Seen, body: bytes) -> _Reply:
        with self._lock:
            route, found = self._route(seen)
            self.requests.append(Seen(route, seen.method, seen.path, seen.query, seen.headers))
            for act in self._acts.pop(route, []):
                act()
            fault = self._fault(route)
            if fault is not None and (reply := _failed(fault, self.url)) is not None:
                return reply
            reply = self._done(route, found, seen, body, fault)
            return _Reply(reply.status, reply.content, reply.headers, reply.kind, fault)

    def _route(self, seen: Seen) -> tuple[str, dict[str, str]]:
        above, _, model = self.path.rpartition("/")
        if seen.path == f"{above}/user/{model}" and seen.method == "GET":
            return "listing", {}
        for name, method, pattern in _ROUTES:
            match = pattern.fullmatch(seen.path.removeprefix(self.path))
            if match and method == seen.method and seen.path.startswith(self.path):
                return name, {part: unquote(text) for part, text in match.groupdict().items()}
        return "none", {}

    def _done(
        self, route: str, found: dict[str, str], seen: Seen, body: bytes, fault: _Fault | None
    ) -> _Reply:
        bearer = seen.headers.get("authorization", "").removeprefix("Bearer ")
        if bearer and bearer not in self.users:
            return _said(
                401, "The server could not verify that you are authorized to access the URL requested."
            )
        user = self.users.get(bearer, "")
        if route == "listing":
            return self._listed(user, seen.query)
        record = self.records.get(found.get("record", ""))
        if record is None or route == "none":
            return _said(404, "The persistent identifier does not exist.")
        rank = self._rank(record, user, seen.query.get("token", ""))
        if "links" in route or "mint" in route:
            return self._linked(route, record, rank, found, body)
        if seen.method != "GET" or "draft" in route:
            return self._drafted(route, record, rank if user else 0, found, body, fault)
        if not record.is_published:
            return _said(404, "The persistent identifier is not registered.")
        return self._shown(route, record, rank, found)

    def _rank(self, record: StoredRecord, user: str, token: str) -> int:
        """How far up the ladder somebody is: view, preview, edit, manage."""
        rights = ["view" if record.is_public and record.is_published else "", record.rights.get(user, "")]
        if user and user == record.owner:
            rights.append("manage")
        for link in record.links.values():
            day = (
                datetime.fromisoformat(link["expires_at"]).replace(tzinfo=UTC) if link["expires_at"] else None
            )
            if link["token"] == token and (day is None or day.timestamp() > self.clock()):
                rights.append(link["permission"])
        return max(_LADDER.index(right) for right in rights)

    # ---- records
    def _listed(self, user: str, query: Mapping[str, str]) -> _Reply:
        if not user:
            return _said(403, "Permission denied.")
        mine = [record for record in self.records.values() if self._rank(record, user, "") >= 3]
        mine.sort(key=lambda record: record.updated, reverse=query.get("sort") == "updated-desc")
        size, page = int(query.get("size", "10")), int(query.get("page", "1"))
        if size * page > 10_000:
            return _said(400, "Maximum number of results have been reached.")
        hits = [self._told(record) for record in mine[size * (page - 1) : size * page]]
        return _Reply(
            200, {"hits": {"hits": hits, "total": len(mine)}, "links": {}, "sortBy": "updated-desc"}
        )

    def _told(self, record: StoredRecord) -> dict[str, Any]:
        updated = datetime.fromtimestamp(record.updated, UTC).isoformat()
        where = f"{self.url}{self.path}/{record.id}"
        return {
            "id": record.id, "is_published": record.is_published, "is_draft": not record.is_published,
            "metadata": {"title": record.title}, "updated": updated, "revision_id": record.revision,
            "access": dict.fromkeys(("record", "files"), "public" if record.is_public else "restricted"),
            "files": {"enabled": True}, "parent": {"access": {"owned_by": {"user": record.owner}}},
            "links": {"self": where, "self_html": f"{self.url}/uploads/{record.id}"},
        }  # fmt: skip

    def _shown(self, route: str, record: StoredRecord, rank: int, found: dict[str, str]) -> _Reply:
        if rank < 1:
            return _said(403, "Permission denied.")
        if route == "record":
            return _Reply(200, self._told(record))
        return self._filed(route, record, "", found)

    def _filed(self, route: str, record: StoredRecord, face: str, found: dict[str, str]) -> _Reply:
        """The list of files, what one is, or where its bytes are."""
        base = f"{self.path}/{record.id}{face}/files"
        if route.endswith("files"):
            entries = [_entry(file, base) for file in record.files.values()]
            return _Reply(200, {"enabled": True, "order": [], "entries": entries, "links": {"self": base}})
        file = record.files.get(found["key"])
        if file is None:
            return _said(404, f'Record "{record.id}" has no file "{found["key"]}".')
        if route.endswith("file"):
            return _Reply(200, _entry(file, base))
        if not file.checksum:
            return _said(404, "The file has no content.")
        if not self._has_store:
            return _Reply(200, file.content, {}, "application/octet-stream")
        signature = secrets.token_hex(8)
        self._signed[signature] = file.content
        return _Reply(
            302, b"", {"Location": f"{self.store_url}/bucket/{file.version}?X-Amz-Signature={signature}"}
        )

    # ---- drafts
    def _drafted(
        self,
        route: str,
        record: StoredRecord,
        rank: int,
        found: dict[str, str],
        body: bytes,
        fault: _Fault | None,
    ) -> _Reply:
        is_change = route in ("init", "put", "commit", "delete")
        if rank < (3 if is_change else 2):
            return _said(403, "Permission denied.")
        if not is_change:
            return (
                _Reply(200, self._told(record))
                if route == "draft"
                else self._filed(route, record, "/draft", found)
            )
        if record.is_published:
            return _said(403, "The files of a published record cannot be changed.")
        if route == "init":
            return self._begun(record, body)
        file = record.files.get(found["key"])
        if file is None:
            return _said(404, f'Record "{record.id}" has no file "{found["key"]}".')
        if route == "delete":
            del record.files[file.key]
            self._touch(record)
            return _Reply(204)
        if file.checksum:
            return _said(400, f'File with key "{file.key}" is committed.')
        if route == "put":
            file.content, file.is_sent = body, True
        elif not file.is_sent:
            return _said(400, f'File with key "{file.key}" has no content.')
        else:
            is_wrong = fault is not None and fault.kind == "wrong-checksum"
            file.content = file.content + b"!" if is_wrong else file.content
            file.checksum, file.version = _md5(file.content), secrets.token_hex(8)
            if self._touches:
                self._touch(record)
        return _Reply(200, _entry(file, f"{self.path}/{record.id}/draft/files"))

    def _begun(self, record: StoredRecord, body: bytes) -> _Reply:
        asked = json.loads(body)
        if not isinstance(asked, list) or not all(isinstance(entry.get("key"), str) for entry in asked):
            return _said(400, "A validation error occurred.")
        for entry in asked:
            if set(entry) - {"key", "metadata", "size", "checksum", "transfer", "access", "storage_class"}:
                return _said(400, "A validation error occurred.")
            if entry["key"] in record.files:
                return _said(400, f"File with key {entry['key']} already exists.")
        for entry in asked:
            record.files[entry["key"]] = StoredFile(entry["key"], metadata=entry.get("metadata"))
        base = f"{self.path}/{record.id}/draft/files"
        return _Reply(
            201, {"enabled": True, "entries": [_entry(file, base) for file in record.files.values()]}
        )

    def _touch(self, record: StoredRecord) -> None:
        self._instant = max(time.time(), self._instant + 1e-5)
        record.updated, record.revision = self._instant, record.revision + 1

    # ---- access links
    def _linked(
        self, route: str, record: StoredRecord, rank: int, found: dict[str, str], body: bytes
    ) -> _Reply:
        if rank < 4:
            return _said(403, "Permission denied.")
        if route == "links":
            return _Reply(200, {"hits": {"hits": list(record.links.values()), "total": len(record.links)}})
        if route == "unmint":
            is_there = record.links.pop(found["link"], None) is not None
            return _Reply(204) if is_there else _said(404, "No secret link found.")
        asked = json.loads(body)
        is_day = re.fullmatch(r"\d{4}-\d\d-\d\d", asked.get("expires_at") or "2000-01-01") is not None
        is_known = not set(asked) - {"permission", "expires_at", "description", "origin"}
        if asked.get("permission") not in ("view", "preview", "edit") or not is_day or not is_known:
            return _said(400, "A validation error occurred.")
        link = {
            "id": secrets.token_hex(16), "token": f"link-{secrets.token_urlsafe(32)}", "permission": asked["permission"],
            "expires_at": asked.get("expires_at"), "description": asked.get("description", ""),
        }  # fmt: skip
        record.links[link["id"]] = link
        return _Reply(201, link)

    # ---- the store
    def _answer_store(self, seen: Seen, body: bytes) -> _Reply:
        del body
        with self._lock:
            self.stored.append(Seen("store", seen.method, seen.path, seen.query, seen.headers))
            fault = self._fault("store")
            if fault is not None and (reply := _failed(fault, self.url)) is not None:
                return reply
            if "authorization" in seen.headers or "token" in seen.query:
                return _Reply(400, b"<Error><Code>InvalidArgument</Code></Error>", {}, "application/xml")
            content = self._signed.pop(seen.query.get("X-Amz-Signature", ""), None)
            if content is None:
                return _Reply(403, b"<Error><Code>AccessDenied</Code></Error>", {}, "application/xml")
            if fault is not None and fault.kind == "stale":
                content = content[::-1]
            content = self.store_sends(content)
            return _Reply(200, content, {}, "binary/octet-stream", fault)


def _failed(fault: _Fault, url: str) -> _Reply | None:
    """What a fault answers in place of the route; None if the route is to do its work."""
    if fault.kind in _PAGES:
        status = _PAGES[fault.kind]
        when = {"Retry-After": formatdate(time.time() + fault.value, usegmt=True)} if fault.value else {}
        return _Reply(status, b"<!doctype html><html><title>Sorry</title>", when, "text/html; charset=utf-8")
    if fault.kind in _SAID:
        status, message = _SAID[fault.kind]
        return _said(status, message, {"Retry-After": f"{fault.value:.0f}"} if fault.value else {})
    if fault.kind in _MOVED:
        return _Reply(_MOVED[fault.kind], b"", {"Location": f"{url}/elsewhere"})
    if fault.kind == "garbled":
        return _Reply(200, b'{"id": ')
    return None


def _said(status: int, message: str, headers: Mapping[str, str] | None = None) -> _Reply:
    return _Reply(status, {"status": status, "message": message}, headers or {})


def _entry(file: StoredFile, base: str) -> dict[str, Any]:
    links = {
        "self": f"{base}/{quote(file.key, safe='')}",
        "content": f"{base}/{quote(file.key, safe='')}/content",
    }
    told = {"key": file.key, "metadata": file.metadata, "status": "pending", "links": links}
    if not file.checksum:
        return told
    kind = mimetypes.guess_type(file.key)[0] or "application/octet-stream"
    return told | {
        "status": "completed", "checksum": file.checksum, "size": float(len(file.content)), "mimetype": kind,
        "version_id": file.version,
    }  # fmt: skip


def _md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}"


def _handler(answer: Callable[[Seen, bytes], _Reply]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                self.close_connection = True  # whoever asked has gone

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._reply(answer(Seen("", self.command, parts.path, query, headers), body))

        def do_POST(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            self.do_GET()

        def do_DELETE(self) -> None:
            self.do_GET()

        def _reply(self, reply: _Reply) -> None:
            kind = reply.fault.kind if reply.fault is not None else ""
            content = (
                reply.content if isinstance(reply.content, bytes) else json.dumps(reply.content).encode()
            )
            if reply.status == 204:
                content = b""
            if kind == "lost":
                self.close_connection = True
                return
            if kind == "lost-500":
                reply, content = _Reply(500), b"{}"
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Set-Cookie", "session=of-whoever-asked; Path=/")
            if kind == "endless":
                self.send_header("Connection", "close")
                self.end_headers()
                self._pour()
                return
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if kind in ("slow", "trickle"):
                slow = 1 if kind == "slow" else len(content)
                for place in range(slow):
                    self.wfile.write(content[place : place + 1])
                    time.sleep(reply.fault.value if reply.fault is not None else 0.0)
                content = content[slow:]
            if kind == "cut":
                content = content[: len(content) // 2]
                self.close_connection = True
            self.wfile.write(content)

        def _pour(self) -> None:
            """Send more than anybody wants, until they go."""
            self.close_connection = True
            for _ in range(256):
                self.wfile.write(b" " * (1 << 20))

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    return Handler
