"""The panel of a record in a real browser: rows and reasons, starting, live steps and logs, what came of it, in a frame too."""

import io
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from towpath import Site

pytestmark = pytest.mark.slow

Visit = Callable[..., Any]

HERE = Path(__file__).resolve().parent
AXE = HERE.parents[1] / "api" / "vendor" / "axe.min.js"
HOSTILE = "<img src=x onerror=alert(1)> & 'quoted'.txt"
SITE = """\
[site]
name = "panel"
executor = "local"
workers = 2

[pipelines.compchem]
plugin = "panellab:plugin"
path = "{here}"

[repositories.records]
root = "records"
settle = 0.0
"""


@dataclass
class Served:
    """A server with its worker: where it is, the site's folder, and the token of somebody who operates it."""

    url: str
    folder: Path
    token: str
    secrets: dict[str, str] = field(default_factory=dict)

    def put(self, record: str, **files: str) -> None:
        """Put files on a record: in their names, two underscores stand for a dot."""
        folder = self.folder / "records" / record
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text)

    def start(self, record: str, files: str = "") -> None:
        """Start what applies."""
        with Site.open(self.folder) as site:
            site.by("ann").start("compchem", record, files=[files] if files else [])

    def panel_token(self, record: str) -> str:
        """The token of a record's panel, as another site's server asks for it."""
        asked = urllib.request.Request(
            f"{self.url}/api/v1/workflows/{record}/embed",
            b"{}",
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked) as answer:
            token: str = json.load(answer)["token"]
        return token

    def secret(self, role: str) -> str:
        """The token of somebody with this role."""
        if role not in self.secrets:
            with Site.open(self.folder) as site:
                self.secrets[role] = site.make_token(role, [role]).secret
        return self.secrets[role]


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[str, dict[str, str]]]:
    """Another site: its address, and its pages by their paths."""
    pages: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path, "").encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if "json" in self.path else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", pages
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, elsewhere: tuple[str, dict[str, str]], serve: Any
) -> Iterator[Served]:
    """The site, served with its work by a process of its own; pages of another site may show its panels."""
    folder = tmp_path_factory.mktemp("panel") / "site"
    (folder / "records").mkdir(parents=True)
    (folder / "towpath.toml").write_text(SITE.format(here=HERE) + EMBEDDED.format(origin=elsewhere[0]))
    with Site.open(folder) as site:
        token = site.make_token("ann", ["operator"]).secret
    with serve(folder) as url:
        yield Served(url, folder, token)


EMBEDDED = """
[server]
embed_in = ["{origin}"]
"""


def opened(page: Any, record: str) -> Any:
    """The panel of a record, when it follows what happens; marked, so that a reload is noticed."""
    page.goto(f"/pipelines/compchem/processing?record={record}")
    page.locator("towpath-processing .pulse.on").wait_for()
    page.evaluate("window.isTheSame = true")
    return page


def row(page: Any, file: str) -> Any:
    """The row of a file."""
    return page.locator(f"[data-file={json.dumps(file)}]")


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def states(page: Any, file: str) -> list[str]:
    """The states of the steps of the first processing in a row, as they are shown."""
    return [text.split()[1] for text in row(page, file).locator(".step").all_inner_texts()]


def wrong(page: Any, *rules: str) -> list[str]:
    """What axe finds on a page that is serious, by these rules or all."""
    if not rules:
        page.evaluate(AXE.read_text())
    told = page.evaluate("rules => axe.run(rules.length ? {runOnly: rules} : {})", list(rules))
    serious = [one for one in told["violations"] if one["impact"] in ("serious", "critical")]
    return [f"{page.url} {one['id']} {one['nodes'][0]['html']}" for one in serious]


# ---- rows, starting
def test_one_workflow_is_started_and_followed_to_its_results(visit: Visit, served: Served) -> None:
    served.put("one", a__txt="fine", notes__md="n", **{HOSTILE.replace(".", "__"): "fine"})
    page = opened(visit(), "one")
    assert "No workflow: none takes .md files" in row(page, "notes.md").inner_text()
    assert row(page, "a.txt").locator(".offer .why").inner_text() == "a.txt ends in .txt"
    assert page.locator("h3", has_text="onerror").inner_text() == HOSTILE
    row(page, "a.txt").get_by_role("button", name="Start Reading").click()
    article = row(page, "a.txt").locator("article")
    article.locator(".state.s-SUCCESS", has_text="SUCCESS").wait_for()
    assert states(page, "a.txt") == ["done"] * 4
    assert article.locator(".sentence").inner_text() == "all of 3 energies were read"
    assert "by ann" in article.inner_text()
    article.locator("img").wait_for()
    until(lambda: article.locator("img").evaluate("image => image.naturalWidth") == 60)
    assert article.locator(".result table tbody tr").first.inner_text().split() == ["1", "1595.0"]
    assert article.locator(".json").get_by_text("atoms: 3").is_visible()
    assert not article.locator(".json").get_by_text("ORCA").is_visible()
    article.locator(".json summary", has_text="program").click()
    article.locator(".json").get_by_text("name: ORCA").wait_for()
    article.get_by_role("button", name="Show picture.png larger").click()
    assert article.locator(".result.wide img").count() == 1
    with page.expect_download() as download:
        article.get_by_role("button", name="Download table.csv").click()
    assert Path(download.value.path()).read_text().startswith("mode,wavenumber")
    assert "SUCCESS" in page.locator("towpath-processing [aria-live]").inner_text()
    assert page.evaluate("window.isTheSame")


def test_all_are_started_and_say_what_was_not_possible(visit: Visit, served: Served) -> None:
    served.put(
        "all", a__txt="fine", p__txt="partial p.txt", g__txt="garbage g.txt", run__trk="t", run__frm="f"
    )
    page = opened(visit(), "all")
    page.get_by_role("button", name="Start all (4)").click()
    row(page, "p.txt").locator("article .s-PARTIAL", has_text="PARTIAL").first.wait_for()
    assert row(page, "p.txt").locator("p.sentence").inner_text() == "p.txt: the last step is cut off"
    row(page, "g.txt").locator("article .s-FAILURE", has_text="FAILURE").first.wait_for()
    assert (
        "no program is known that writes such a file" in row(page, "g.txt").locator("p.sentence").inner_text()
    )
    assert row(page, "g.txt").get_by_role("button", name="Try again").count() == 0
    row(page, "run.trk").locator("article .state.s-SUCCESS").first.wait_for()
    row(page, "run.frm").get_by_text("It is taken along in Pairs 1 of run.trk: SUCCESS.").wait_for()
    page.locator("[data-filter=FAILURE]").click()
    assert page.locator("li.file h3").all_inner_texts() == ["g.txt"]
    page.locator("[data-filter=all]").click()
    page.get_by_label("Find a file").fill("run")
    until(lambda: page.locator("li.file").count() == 2)
    assert page.get_by_role("button", name="Start all").count() == 0
    assert page.evaluate("window.isTheSame")


# ---- logs, acting
def test_a_processing_is_watched_stopped_tried_again_and_run_again(visit: Visit, served: Served) -> None:
    served.put("slow", s__txt="slow")
    page = opened(visit(), "slow")
    row(page, "s.txt").get_by_role("button", name="Start Reading").click()
    article = row(page, "s.txt").locator("article").first
    article.locator(".step.now", has_text="25 %").wait_for()
    before = article.locator(".elapsed").inner_text()
    article.get_by_role("button", name="Log", exact=True).click()
    article.locator(".log .line", has_text="line 1").first.wait_for()
    lines = article.locator(".log .line").count()
    until(lambda: article.locator(".log .line").count() > lines > 0)
    until(lambda: article.locator(".elapsed").inner_text() != before)
    article.get_by_role("button", name="First error").click()
    assert article.locator(".log .now").inner_text().endswith("ERROR: line 3")
    assert not article.get_by_label("Follow").is_checked()
    article.get_by_label("Search the log").fill("LINE 2")
    page.keyboard.press("Enter")
    assert article.locator(".log .now").inner_text().endswith("line 2")
    page.evaluate(
        "const log = [...document.querySelector('towpath-processing').logs.values()][0];"
        "log.add(Array.from({length: 30000}, (_, n) => `row ${n}\\n`).join('')); log.write()"
    )
    article.get_by_text("lines are left out here").wait_for()
    assert article.locator(".log > *").count() == 20_000
    with page.expect_download() as download:
        article.get_by_role("button", name="Download", exact=True).click()
    assert "reading slow-read-1" in Path(download.value.path()).read_text()
    article.get_by_role("button", name="Stop").click()
    article.locator(".state.s-FAILURE", has_text="FAILURE").first.wait_for()
    assert "stopped by ann" in article.locator("p.sentence").inner_text()
    assert states(page, "s.txt")[1:] == ["stopped"] * 3
    article.get_by_role("button", name="Try again").click()
    article.locator(".step.now", has_text="parse").wait_for()
    article.get_by_role("button", name="Attempts").click()
    article.locator("td", has_text="stopped").wait_for()
    served.put("slow", s__txt="fine")
    article.get_by_role("button", name="Stop").click()
    article.get_by_role("button", name="Run again").click()
    again = page.locator("[data-id=slow-read-2]").first
    again.locator(".state.s-SUCCESS").first.wait_for()
    again.get_by_role("button", name="Earlier (1)").click()
    assert "stopped by ann" in again.locator(".work.old p.sentence").inner_text()
    assert page.evaluate("window.isTheSame")


def test_what_failed_is_tried_again(visit: Visit, served: Served) -> None:
    served.put("broken", b__txt="broken")
    served.start("broken")
    page = opened(visit(), "broken")
    article = row(page, "b.txt").locator("article")
    article.get_by_role("button", name="Try again").wait_for()
    told = article.locator("p.sentence").inner_text()
    assert "the reader is broken: <b>markup</b>" in told and "Traceback" not in told
    article.get_by_role("button", name="Try again").click()
    article.get_by_text("2 tries").wait_for()
    article.get_by_role("button", name="Attempts (3)").click()
    assert article.locator("tbody tr", has_text="failed").count() == 2


# ---- three dimensions
def test_a_structure_is_drawn(visit: Visit, served: Served) -> None:
    served.put("water", a__txt="fine")
    served.start("water")
    page = opened(visit(viewport={"width": 640, "height": 480}), "water")
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    row(page, "a.txt").get_by_role("button", name="Show in 3-D").click()
    place = row(page, "a.txt").locator(".canvas")
    row(page, "a.txt").get_by_text("3 atoms").wait_for()
    assert colours(place) > 20
    assert all(url.startswith((served.url, "blob:")) for url in loaded)
    before = place.screenshot()
    place.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert place.screenshot() != before
    number = page.evaluate(
        "[...document.querySelector('towpath-processing').works.values()][0]"
        ".results.find(one => one.type == 'chem/xyz').product"
    )
    page.goto(f"/items/{_item(served, 'water-read-1')}")
    page.locator(f"a[href$='view?product={number}']").first.click()
    page.get_by_text("3 atoms").wait_for()
    assert colours(page.locator(".canvas")) > 20
    assert wrong(page) == []


def _item(served: Served, name: str) -> int:
    with Site.open(served.folder) as site:
        return site.find(name).id


def colours(place: Any) -> int:
    """How many colours are seen there."""
    found = Image.open(io.BytesIO(place.screenshot())).convert("RGB").getcolors(1 << 24)
    return len(found or [])


# ---- whoever uses it
def test_it_is_used_by_keys_alone_and_keeps_the_focus(visit: Visit, served: Served) -> None:
    served.put("keys", a__txt="fine", b__txt="slow")
    page = opened(visit(), "keys")
    page.get_by_label("Find a file").focus()
    active = "document.querySelector('towpath-processing').root.activeElement"
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate(f"{active}?.getAttribute('aria-label')") == "Start Reading on b.txt":
            break
    page.keyboard.press("Enter")
    row(page, "b.txt").locator(".step.now", has_text="25 %").wait_for()
    assert page.evaluate(f"{active}?.closest('[data-file]')?.dataset.file") == "b.txt"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{active}?.textContent") == "Stop"
    row(page, "a.txt").get_by_role("button", name="Start").evaluate("button => button.click()")
    row(page, "a.txt").locator(".state.s-SUCCESS").first.wait_for()
    assert page.evaluate(f"{active}?.textContent") == "Stop"
    page.keyboard.press("Enter")
    row(page, "b.txt").locator(".state.s-FAILURE").first.wait_for()
    assert page.evaluate(f"{active}?.closest('[data-file]')?.dataset.file") == "b.txt"


def test_without_scripts_it_tells_what_was_processed(visit: Visit, served: Served) -> None:
    served.put("plain", a__txt="fine", notes__md="n")
    served.start("plain")
    opened(visit(), "plain").locator(".state.s-SUCCESS").first.wait_for()
    page = visit(java_script_enabled=False)
    page.goto("/pipelines/compchem/records")
    assert page.get_by_label("Record", exact=True).is_visible()
    page.get_by_role("link", name="plain").click()
    assert "all of 3 energies were read" in page.locator("tr", has_text="a.txt").inner_text()
    page.get_by_role("link", name="What applies to which file").click()
    assert "no workflow takes .md files" in page.locator("tr", has_text="notes.md").inner_text()
    page.get_by_role("link", name="Reading 1").click()
    assert page.locator("h1").inner_text() == "plain-read-1"


def test_it_is_accessible_in_light_and_dark_and_fits_a_phone(visit: Visit, served: Served) -> None:
    served.put(
        "seen", a__txt="fine", p__txt="partial p.txt", g__txt="garbage g.txt", n__md="n", q__txt="fine"
    )
    for file in ("a.txt", "p.txt", "g.txt"):
        served.start("seen", file)
    page = opened(visit(viewport={"width": 360, "height": 740}), "seen")
    page.locator(".state.s-PARTIAL").first.wait_for()
    page.locator(".state.s-FAILURE").first.wait_for()
    row(page, "a.txt").locator(".state.s-SUCCESS").first.wait_for()
    row(page, "a.txt").get_by_role("button", name="Log", exact=True).click()
    row(page, "a.txt").get_by_role("button", name="Attempts").click()
    row(page, "a.txt").locator(".log .line").first.wait_for()
    found = wrong(page)
    page.emulate_media(color_scheme="dark")
    found += wrong(page, "color-contrast")
    assert found == []
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_who_may_only_look_is_told_so(chromium: Any, served: Served) -> None:
    served.put("look", a__txt="fine")
    context = chromium.new_context(base_url=served.url)
    context.request.post("/login", form={"token": served.secret("viewer")})
    page = opened(context.new_page(), "look")
    row(page, "a.txt").get_by_role("button", name="Start").click()
    assert "may not" in page.get_by_role("alert").inner_text()
    page.evaluate("document.querySelector('towpath-processing').setAttribute('record', 'nowhere')")
    page.get_by_text("there is no record 'nowhere'").wait_for()
    context.close()


def test_a_thousand_files_are_shown_in_parts(visit: Visit, served: Served) -> None:
    served.put("many", **{f"f{n:04}__txt": "fine" for n in range(1000)})
    page = opened(visit(), "many")
    files = page.locator("li.file")
    page.get_by_text("1000 files", exact=True).wait_for()
    assert files.count() == 50
    page.get_by_role("button", name="Show 50 more").click()
    assert files.count() == 100
    page.get_by_label("Find a file").fill("f0777")
    row(page, "f0777.txt").wait_for()
    until(lambda: files.count() == 1)


# ---- far away
HIDE = "Object.defineProperty(document, 'hidden', { get: () => window.isAway ?? false })"


def test_it_asks_by_itself_where_no_stream_comes_through_and_tells_what_finished(
    visit: Visit, served: Served
) -> None:
    served.put("away", a__txt="fine")
    page = visit()
    page.add_init_script(HIDE)
    page.route(
        "**/away/events",
        lambda route: route.fulfill(body=": nothing\n\n", headers={"Content-Type": "text/event-stream"}),
    )
    page.goto("/pipelines/compchem/processing?record=away")
    page.locator("towpath-processing .pulse.off").wait_for()
    title = page.title()
    page.evaluate("window.isAway = true")
    served.start("away")
    until(lambda: page.title() == f"(1) {title}")
    page.evaluate("window.isAway = false; document.dispatchEvent(new Event('visibilitychange'))")
    assert page.title() == title
    page.get_by_label("1 finished while you were away").wait_for()
    page.locator("h2").get_by_text("Files of away").click()
    page.get_by_label("1 finished while you were away").wait_for(state="detached")


def test_the_stream_of_a_record_tells_of_nothing_else(served: Served) -> None:
    served.put("mine", a__txt="fine")
    served.put("other", a__txt="fine")
    asked = urllib.request.Request(
        f"{served.url}/api/v1/workflows/mine/events",
        headers={"Authorization": f"Bearer {served.panel_token('mine')}"},
    )
    told = []
    with urllib.request.urlopen(asked, timeout=20) as stream:
        served.start("other")
        served.start("mine")
        for line in stream:
            if line.startswith(b"data: "):
                told.append(json.loads(line.removeprefix(b"data: ")))
                if (told[-1]["type"], told[-1]["stage"]) == ("done", "deliver"):
                    break
    assert {one["item"] for one in told} == {_item(served, "mine-read-1")}


def test_another_site_shows_it_in_a_frame(
    visit: Visit, served: Served, elsewhere: tuple[str, dict[str, str]]
) -> None:
    origin, pages = elsewhere
    served.put("framed", a__txt="fine")
    pages["/favicon.ico"] = ""
    pages["/deposit"] = (
        "<!doctype html><title>Deposit</title><script>addEventListener('message', (event) => {"
        "if (event.data.towpath?.finished) document.title = event.data.towpath.finished.status; })</script>"
        f"<iframe src='{served.url}/pipelines/compchem/frame?record=framed#token={served.panel_token('framed')}'"
        " width=800 height=600></iframe>"
    )
    page = visit()
    page.context.clear_cookies()
    page.goto(f"{origin}/deposit")
    frame = page.frame_locator("iframe")
    frame.locator(".pulse.on").wait_for()
    assert frame.locator("nav").count() == 0
    frame.get_by_role("button", name="Start Reading").click()
    frame.locator(".state.s-SUCCESS").first.wait_for()
    frame.get_by_role("button", name="Show in 3-D").click()
    frame.get_by_text("3 atoms").wait_for()
    frame.get_by_role("button", name="Log", exact=True).click()
    frame.locator(".log .line", has_text="reading framed-read-1").wait_for()
    until(lambda: page.title() == "SUCCESS")


def test_a_frame_whose_token_has_ended_says_so_and_takes_another(chromium: Any, served: Served) -> None:
    served.put("ended", a__txt="fine")
    context = chromium.new_context(base_url=served.url)
    page = context.new_page()
    page.goto("/pipelines/compchem/frame?record=ended")
    page.get_by_text("This panel needs a token").wait_for()
    page.evaluate("location.hash = 'token=twp_wrong'")
    page.get_by_text("The permission for this panel has ended").wait_for()
    page.evaluate(f"location.hash = 'token={served.token}'")
    page.get_by_role("button", name="Start Reading").wait_for()
    assert page.get_by_role("alert").count() == 0
    context.close()


def test_another_site_shows_the_component_with_tokens_that_it_gets(
    visit: Visit, served: Served, elsewhere: tuple[str, dict[str, str]]
) -> None:
    origin, pages = elsewhere
    served.put("foreign", a__txt="fine")
    pages["/favicon.ico"] = ""
    pages["/token.json"] = json.dumps({"token": served.panel_token("foreign"), "expires_in": 0.2})
    pages["/form"] = (
        "<!doctype html><title>Form</title>"
        f"<script type=module src='{served.url}/pipelines/compchem/static/processing.js'></script>"
        f"<towpath-processing record=foreign server='{served.url}' token-url=/token.json></towpath-processing>"
    )
    page = visit(color_scheme="dark")
    page.context.clear_cookies()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "token.json" in request.url else None)
    page.goto(f"{origin}/form")
    page.locator(".pulse.on").wait_for()
    page.get_by_role("button", name="Start Reading").click()
    page.locator("article .state.s-SUCCESS").first.wait_for()
    page.locator("img").wait_for()
    colour = "place => getComputedStyle(place).color"
    assert page.locator("towpath-processing").evaluate(colour) == "rgb(24, 32, 38)", (
        "a light page has no dark panel"
    )
    page.evaluate("document.documentElement.style.colorScheme = 'light dark'")
    assert page.locator("towpath-processing").evaluate(colour) == "rgb(228, 234, 237)"
    assert len(asked) > 1
