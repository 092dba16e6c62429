"""What people with bad intentions send: names, paths, bodies, headers, forged requests; on a site in this process."""

import asyncio
import io
import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from towpath.api.errors import Refused
from towpath.api.limits import Limits
from towpath.api.pages.login import _safe
from towpath.api.routes.orders import _keep
from towpath.api.routes.products import file_of
from towpath.api.serving import is_loopback, refuse_open
from towpath.api.throttle import FREE, Throttle
from towpath.app.settings import ServerTable
from towpath.base.errors import NotFoundError, SiteError, UsageError
from towpath.cli.records import Lines

Server = Any

HOSTILE = [
    'it\'s "quoted"',
    "two\nlines",
    "\r\nSet-Cookie: x=1",
    "../../etc/passwd",
    "/",
    "..",
    "$(touch x); `id` | rm -rf / & %s%n",
    "n" * 255,
    "\u202egnp.exe",
    "<script>alert(1)</script>",
    "'\"><img src=x onerror=alert(1)>",
    "\x1b[31mred\x1b[0m",
    "{{7*7}} {item.key} ${x}",
    "%0d%0aX: y",
    "-rf",
    "\u2028\u2029",
    "ключ 💥",
]
IMPOSSIBLE = ["a\0b", "\ud800"]


def send(server: Server, path: str, body: Any, method: str = "POST") -> Any:
    """What is answered to an admin who sends JSON, also such as no library writes."""
    headers = {**server.as_("admin").headers, "Content-Type": "application/json"}
    text = body if isinstance(body, str) else json.dumps(body)
    return server.browser.request(method, f"/api/v1{path}", content=text, headers=headers)


# ---- names
def test_names_go_through_everything_and_stay_what_they_are(server: Server) -> None:
    admin = server.as_("admin")
    found: dict[str, int] = {}
    for name in HOSTILE:
        told = send(
            server, "/items", {"kind": "lab/sample", "items": [{"key": name, "attributes": {name: name}}]}
        )
        assert told.status_code == 201, (name, told.text)
        found[name] = told.json()["ids"][0]
        assert send(
            server,
            f"/items/{found[name]}/flags",
            {"value": name[:100], "comment": name, "part": {name: name}},
        ).is_success
    server.run()
    for name, number in found.items():
        one = admin.get(f"/items/{number}")
        assert (one["key"], one["attributes"]) == (name, {name: name})
        assert (one["flags"][0]["comment"], one["flags"][0]["part"]) == (name, {name: name})
        assert one["states"]["report"] == "done", one["route"]
        assert admin.get("/items/find", params={"name": f"lab/sample/{name}"})["id"] == number
        product = next(row for row in one["products"] if row["output"] == "report")
        content = admin.ask("GET", f"/products/{product['id']}/content")
        assert content.text == f"{name}: 1.0 g\n"
        assert "\n" not in content.headers["Content-Disposition"]
        assert "X" not in content.headers and "x=1" not in content.headers.get("Set-Cookie", "")
        place = server.site.place(server.site.product(product["id"])).resolve()
        assert place.is_relative_to((server.folder / "store").resolve())
    told = [json.dumps(one["data"]) for one in admin.get("/events?limit=1000")["items"]]
    assert len(told) > len(HOSTILE)
    pages = ["/", "/items", "/events", "/orders", "/publications", "/sources", "/inventory"]
    pages += [f"/items/{number}" for number in found.values()]
    for path in pages:
        page = server.browser.get(path, headers=admin.headers)
        assert page.status_code == 200, path
        assert not re.search("<script>alert|<img src=x|\x1b|\u202e|49 \\{item", page.text), path


def test_what_no_catalog_can_keep_is_refused_everywhere(server: Server) -> None:
    item = server.sample()
    server.run()
    values: list[Any] = [*IMPOSSIBLE, float("nan"), float("inf"), 10**40]
    for value in values:
        for path, body in (
            ("/items", {"kind": "lab/sample", "items": [{"key": "b", "attributes": {"x": [value]}}]}),
            (f"/items/{item}/flags", {"value": "v", "part": {"x": value}}),
        ):
            assert send(server, path, body).status_code == 422, (path, value)
    for name in IMPOSSIBLE:
        bodies: list[tuple[str, Any]] = [
            ("/items", {"kind": "lab/sample", "items": [{"key": name}]}),
            (f"/items/{item}/actions", {"action": "hold", "why": name}),
            ("/actions", {"action": "hold", "choice": {"text": name}}),
            ("/tokens", {"name": name, "grants": ["viewer"]}),
            ("/orders/1/assign", {"who": name}),
        ]
        for path, body in bodies:
            assert send(server, path, body).status_code == 422, (path, name)
    for when in (1e300, -1e18, [0, 1e16]):
        told = send(server, "/items", {"kind": "lab/sample", "items": [{"key": "t", "time": when}]})
        assert told.status_code == 422, told.text
    assert send(server, "/tokens", {"name": "x", "grants": ["viewer"], "lasts": 1e300}).status_code == 422
    deep = "[" * 200 + "]" * 200
    for text in (
        f'{{"kind":"lab/sample","items":[{{"key":"d","attributes":{{"x":{deep}}}}}]}}',
        "[" * 100_000,
    ):
        assert send(server, "/items", text).status_code in (400, 422)
    admin = server.as_("admin")
    for query in ("text=%00", "attribute=a:NaN", "attribute=a:1e999", "box=nan,nan", "since=1e999"):
        assert admin.ask("GET", f"/items?{query}").status_code in (200, 400, 422), query
    assert admin.get("/items")["items"] and server.browser.get("/items", headers=admin.headers).is_success


def test_names_of_people_are_those_of_people(server: Server) -> None:
    for name in ("", " ", "a\nb", "\x1b[31m", "n" * 101, "\u202e", "role:admin"):
        answer = send(server, "/tokens", {"name": name, "grants": ["viewer"]})
        assert answer.status_code == 422, (name, answer.text)


# ---- paths
@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree as of a product, with ways out of it."""
    (tmp_path / "outside.txt").write_text("outside")
    (tmp_path / "tree-beside").mkdir()
    (tmp_path / "tree-beside" / "x.txt").write_text("beside")
    tree = tmp_path / "tree"
    (tree / "in").mkdir(parents=True)
    (tree / "in" / "x.txt").write_text("inside")
    (tree / "out").symlink_to(tmp_path)
    (tree / "out.txt").symlink_to(tmp_path / "outside.txt")
    (tree / "loop").symlink_to(tree / "loop")
    return tree


def test_nothing_outside_a_tree_is_sent(server: Server, tree: Path) -> None:
    server.sample()
    server.run()
    product = replace(server.site.show("a").products[0], tree=True)
    assert file_of(product, tree, "in/x.txt").read_text() == "inside"
    assert file_of(product, tree, "in/../in/x.txt").read_text() == "inside"
    for path in (
        "../outside.txt", "/etc/passwd", str(tree.parent / "outside.txt"), "in/../../outside.txt", "out.txt", "out/outside.txt",
        "../tree-beside/x.txt", "..", ".", "in", "loop", "in/x.txt\0", "n" * 300, "a/" * 1500, "..\\outside.txt",
        "%2e%2e/outside.txt",
    ):  # fmt: skip
        with pytest.raises(NotFoundError):
            file_of(product, tree, path)
    with pytest.raises(UsageError):
        file_of(replace(product, tree=False), tree / "in" / "x.txt", "x.txt")


@pytest.mark.parametrize(
    "path",
    [
        "../page.py",
        "%2e%2e/page.py",
        "..%2fpage.py",
        "vendor/../../page.py",
        "//etc/passwd",
        "%00",
        "n" * 5000,
    ],
)
def test_static_files_are_those_of_their_folder(server: Server, path: str) -> None:
    assert server.browser.get(f"/static/{path}").status_code in (400, 404)


def test_uploads_are_named_as_files_are(tmp_path: Path) -> None:
    class Upload:
        def __init__(self, filename: str) -> None:
            self.filename, self.file = filename, io.BytesIO()

    names = ["../x", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "a\nb", "a\0b", "\u202egnp.exe", "\x1b[0m", ".hidden",
             "n" * 256, "ü" * 128, "MANIFEST.json"]  # fmt: skip
    for name in names:
        upload = Upload(name)
        with upload.file, pytest.raises(UsageError):
            _keep(tmp_path, upload)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    for name in ("it's $(x).txt", "<b>.txt", "-rf", "n" * 255):
        upload = Upload(name)
        with upload.file:
            assert _keep(tmp_path, upload).parent == tmp_path  # type: ignore[arg-type]


# ---- bodies
def test_a_body_that_is_too_large_is_refused_however_it_comes(server: Server) -> None:
    headers = {**server.as_("admin").headers, "Content-Type": "application/json"}

    def pieces(count: int) -> Any:
        for _ in range(count):
            yield b" " * 100_000

    for content in (b" " * 1_000_001, pieces(11)):
        told = server.browser.post("/api/v1/items", content=content, headers=headers)
        assert (told.status_code, told.json()["error"]["code"]) == (413, "too_large")
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    assert server.browser.post("/login", content=pieces(11), headers=form).status_code == 413
    told = server.browser.post(
        "/api/v1/items", content=pieces(2), headers={**headers, "Idempotency-Key": "k"}
    )
    assert told.status_code in (400, 422)


def test_who_may_not_is_refused_before_the_body_is_read(server: Server) -> None:
    sent = 0

    def pieces() -> Any:
        nonlocal sent
        for _ in range(50):
            sent += 1
            yield b" " * 100_000

    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for headers, status in (({}, 401), (server.as_("viewer").headers, 403)):
        told = server.browser.post("/api/v1/orders/1/deliver", content=pieces(), headers={**form, **headers})
        assert told.status_code == status
    assert server.browser.post("/orders/1/deliver", content=pieces(), headers=form).status_code == 401


def limited(
    pieces: list[bytes | None], headers: list[tuple[bytes, bytes]], **options: Any
) -> tuple[int, int]:
    """The status and how many pieces were taken by an application that swallows errors of bodies, behind the limits."""
    told: list[int] = []
    taken = 0

    async def receive() -> Any:
        nonlocal taken
        piece = pieces[taken] if taken < len(pieces) else None
        if piece is None:
            await asyncio.sleep(60)
        taken += 1
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            told.append(message["status"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            while True:
                await receive()
        except Exception:  # as frameworks do  # noqa: BLE001
            await send({"type": "http.response.start", "status": 400, "headers": []})

    scope = {"type": "http", "path": "/x", "query_string": b"", "headers": headers}
    asyncio.run(Limits(app, upload=1e6, **options)(scope, receive, send))
    return told[-1], taken


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    assert limited([b"x"], [], patience=0.05) == (408, 1)
    assert limited([b"x" * 600_000] * 9, [(b"content-type", b"multipart/form-data")]) == (413, 2)
    assert limited([b"x"], [(b"content-length", b"-1")]) == (413, 0)
    assert limited([b"x"], [(b"content-length", b"2000000")]) == (413, 0)


# ---- forged requests
def signed_in(server: Server, *grants: str, headers: dict[str, str] | None = None) -> str:
    """Sign in as somebody: the browser has the cookie; gives what its pages send back."""
    server.browser.cookies.clear()
    answer = server.browser.post("/login", data={"token": server.secret(*grants)}, headers=headers or {})
    assert answer.status_code == 303, answer.text
    return str(re.findall(r'name="csrf" value="([0-9a-f]+)"', server.browser.get("/").text)[0])


def test_a_change_with_a_cookie_was_meant_by_its_page(server: Server) -> None:
    item = server.sample()
    csrf = signed_in(server, "operator")
    path, body = f"/api/v1/items/{item}/flags", {"value": "x"}

    def post(**headers: str) -> int:
        return int(server.browser.post(path, json=body, headers=headers).status_code)

    good = {"X-CSRF-Token": csrf}
    assert post(**good) == 201
    assert post(**good, **{"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"}) == 201
    assert post() == 403
    assert post(**{"X-CSRF-Token": ""}) == 403
    assert post(**{"X-CSRF-Token": csrf[:-1]}) == 403
    for site in ("cross-site", "same-site"):
        assert post(**good, **{"Sec-Fetch-Site": site}) == 403
    for origin in ("http://evil.example", "null", "http://testserver.evil.example"):
        assert post(**good, **{"Origin": origin}) == 403
    assert post(Authorization=f"Bearer {server.secret('operator')}") == 201  # no browser sends that by itself
    other = signed_in(server, "operator")
    assert other != csrf and post(**good) == 403
    assert server.browser.get(f"/api/v1/items/{item}").status_code == 200


def test_a_form_sends_its_field(server: Server) -> None:
    item = server.sample()
    csrf = signed_in(server, "operator")
    path = f"/items/{item}/flags"
    for form, status in (
        ({"value": "x"}, 403),
        ({"value": "x", "csrf": "no"}, 403),
        ({"value": "x", "csrf": csrf}, 303),
    ):
        assert server.browser.post(path, data=form).status_code == status
        assert server.browser.post(path, data=form, files={"f": ("f", b"")}).status_code == status
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert server.browser.post(path, data={"value": "x", "csrf": csrf}, headers=foreign).status_code == 403
    assert server.browser.post("/logout", data={}).status_code == 403


def test_nobody_is_signed_in_by_another_site(server: Server) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        told = server.browser.post("/login", data={"token": server.secret("viewer")}, headers=headers)
        assert told.status_code == 403 and "Set-Cookie" not in told.headers


# ---- logins
def test_where_to_go_after_signing_in_is_here(server: Server) -> None:
    for path in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "evil.example", "/a\r\nX: y",
                 "", "\\\\evil",
                 "/\t/evil.example", "http:/evil.example"):  # fmt: skip
        assert _safe(path) == "/", path
        told = server.browser.post("/login", data={"token": server.secret("viewer"), "next": path})
        assert told.headers["Location"] == "/" and "X" not in told.headers
    assert _safe("/items?state=failed") == "/items?state=failed"
    asked = server.browser.get("/items?text=%22%3E%3Cscript%3E")
    assert asked.status_code in (200, 303)


def test_a_login_is_a_cookie_that_no_script_reads_and_dies_with_its_token(server: Server) -> None:
    signed_in(server, "viewer")
    cookie = server.browser.cookies["towpath_login"]
    answer = server.browser.post("/login", data={"token": server.secret("viewer")})
    flags = answer.headers["Set-Cookie"].lower()
    assert "httponly" in flags and "samesite=lax" in flags and "path=/" in flags and "secure" not in flags
    secure = server.browser.post("https://testserver/login", data={"token": server.secret("viewer")})
    assert "secure" in secure.headers["Set-Cookie"].lower()
    bearer = {"Authorization": f"Bearer {cookie}"}
    server.browser.cookies.clear()
    assert server.browser.get("/api/v1/items", headers=bearer).status_code == 401  # a cookie is no token
    secret = server.secret("viewer")
    cookies = {"Cookie": f"towpath_login={secret}"}
    assert server.browser.get("/api/v1/items", headers=cookies).status_code == 401  # nor a token a cookie
    cookies = {"Cookie": f"towpath_login={cookie}"}
    assert server.browser.get("/api/v1/items", headers=cookies).status_code == 200
    person = server.site.person_of(secret)
    server.site.revoke_token(person.token)
    assert server.browser.get("/api/v1/items", headers=cookies).status_code == 401


def test_a_login_ends(server: Server) -> None:
    person = server.site.person_of(server.secret("viewer"))
    made = server.site.open_login(person, lasts=0.05)
    time.sleep(0.1)
    cookies = {"Cookie": f"towpath_login={made.secret}"}
    assert server.browser.get("/api/v1/items", headers=cookies).status_code == 401
    csrf = signed_in(server, "viewer")
    cookie = server.browser.cookies["towpath_login"]
    assert server.browser.post("/logout", data={"csrf": csrf}).status_code == 303
    cookies = {"Cookie": f"towpath_login={cookie}"}
    assert server.browser.get("/api/v1/items", headers=cookies).status_code == 401


def test_guessing_takes_longer_and_longer(server: Server) -> None:
    server.app.state.throttle = Throttle(lambda: 1.0)  # a slow machine waits long enough between two guesses
    told = [server.browser.post("/login", data={"token": f"twp_{number}"}) for number in range(FREE + 1)]
    assert [one.status_code for one in told] == [403] * FREE + [429]
    assert int(told[-1].headers["Retry-After"]) >= 1
    told = server.browser.post("/login", data={"token": server.secret("viewer")})
    assert told.status_code == 429  # also for who would have guessed right


def test_a_throttle_forgets_in_time_and_needs_little_memory() -> None:
    class From:
        def __init__(self, host: str) -> None:
            self.client = type("C", (), {"host": host})()

    now = 0.0
    throttle = Throttle(lambda: now)
    one: Any = From("192.0.2.1")
    for _ in range(FREE + 4):
        throttle.failed(one)
    with pytest.raises(Refused) as refused:
        throttle.check(one)
    assert int(refused.value.headers["Retry-After"]) == 16  # 2**4 seconds
    throttle.check(From("192.0.2.2"))  # type: ignore[arg-type]
    now = 16.0
    throttle.check(one)
    for number in range(20_000):
        throttle.failed(From(str(number)))  # type: ignore[arg-type]
    assert len(throttle._failures) == 10_000


# ---- tickets
def test_a_ticket_opens_one_path_for_a_minute(server: Server, monkeypatch: Any) -> None:
    viewer = server.as_("viewer")
    url = viewer.post("/tickets", {"path": "/api/v1/items"})["url"]
    get: Callable[..., Any] = server.browser.get
    assert get(url).status_code == 200
    assert get(url.replace("/items", "/orders")).status_code == 401
    assert get(url.replace("/items", "/items/")).status_code in (401, 404, 307)
    assert server.browser.post(url, json={}).status_code == 401
    assert get(url[:-1] + ("0" if url[-1] != "0" else "1")).status_code == 401
    for text in ("", "~", "~~", "1 /api/v1/items~~", "1 /api/v1/items~9999999999~00", "ü~1~1"):
        assert get("/api/v1/items", params={"ticket": text}).status_code == 401, text
    now = time.time()
    monkeypatch.setattr("towpath.base.clock.now", lambda: now + 62.0)
    assert get(url).status_code == 401
    monkeypatch.undo()
    server.site.revoke_token(server.site.person_of(server.secret("viewer")).token)
    assert get(url).status_code == 401


def test_a_ticket_is_for_a_path_here(server: Server) -> None:
    viewer = server.as_("viewer")
    for path in (
        "https://evil.example/",
        "//evil.example",
        "/login",
        "/api/v1/x?y=1",
        "/api/v1/a\r\nX: y",
        "/api/v1/x#y",
    ):
        viewer.post("/tickets", {"path": path}, expect=422)


# ---- headers
def test_an_idempotency_key_is_a_short_line(server: Server) -> None:
    for key in ("k" * 201, "a\tb", "\x7f"):
        told = server.as_("admin").ask("POST", "/items", json={}, headers={"Idempotency-Key": key})
        assert (told.status_code, told.json()["error"]["code"]) == (422, "idempotency_key")


def test_every_answer_says_how_browsers_are_to_take_it(server: Server) -> None:
    for path in ("/login", "/api/v1/me", "/api/v1/items", "/static/towpath.css", "/nowhere"):
        headers = server.browser.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert "script-src 'self'" in headers["Content-Security-Policy"], path
        assert "frame-ancestors 'self'" in headers["Content-Security-Policy"], path


def test_what_is_downloaded_is_run_by_no_browser(server: Server, monkeypatch: Any) -> None:
    item = server.sample()
    server.run()
    admin = server.as_("admin")
    product = admin.get(f"/items/{item}")["products"][0]["id"]
    for kind in ("text/html", "image/svg+xml", "application/javascript"):
        monkeypatch.setattr(
            "towpath.api.routes.products.mimetypes.guess_type", lambda _, kind=kind: (kind, None)
        )
        told = admin.ask("GET", f"/products/{product}/content?inline=true")
        assert told.headers["Content-Type"] == "application/octet-stream"
        assert told.headers["Content-Disposition"].startswith("attachment")


# ---- logs
def test_a_name_makes_no_line_of_its_own_in_a_log() -> None:
    name = "x\nERROR towpath: forged \x1b[31m\r\u2028"
    record = logging.LogRecord("towpath", logging.WARNING, "", 0, "cannot read %s", (name,), None)
    told = Lines().format(record)
    assert told == "WARNING towpath: cannot read x\n    ERROR towpath: forged \\x1b[31m\\r\\u2028"
    try:
        raise ValueError(name)
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    lines = Lines().format(record).splitlines()
    assert len(lines) > 3 and all(line.startswith("    ") for line in lines[1:])


# ---- where it listens
def test_listening_beyond_this_machine_needs_protection() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.7", "example.org", "127.0.0.1.example.org"):
        assert not is_loopback(host)
        with pytest.raises(SiteError, match=r"TLS.*behind_proxy"):
            refuse_open(ServerTable(host=host))
        refuse_open(ServerTable(host=host, behind_proxy=True))
        refuse_open(ServerTable(host=host, certificate="c", key="k"))
        with pytest.raises(SiteError, match="certificate and key"):
            refuse_open(ServerTable(host=host, certificate="c"))
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        refuse_open(ServerTable(host=host))
