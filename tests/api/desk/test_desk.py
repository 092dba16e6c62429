"""What people do at a desk, in a real browser: orders, gates, publications, sources, tokens; with and without scripts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath import Site

pytestmark = pytest.mark.slow

Visit = Callable[..., Any]

PICKS = "phase,time\nP,10.00\nS,12.05\n"
AXE = Path(__file__).resolve().parents[1] / "vendor" / "axe.min.js"
PAGES = (
    "/orders", "/orders/1", "/orders/2", "/calibrations?state=all", "/publications", "/sources", "/inventory",
    "/inventory/sizes", "/configuration", "/configuration?pipeline=lab", "/events?type=order", "/people?every=true", "/notices",
)  # fmt: skip


def said(page: Any) -> str:
    """What the page says was done."""
    return str(page.locator("p.said").inner_text())


def key_of(site: Site, item: int) -> str:
    """The key of an item."""
    with site.catalog.read() as view:
        return view.item(item).key


def order_of(served: Any, kind: str, item: str) -> int:
    """The number of an order."""
    with Site.open(served.folder) as site:
        return max(one.row.id for one in site.orders(kind=kind, every=True) if one.item.endswith(f"/{item}"))


def test_an_order_is_taken_delivered_and_its_item_let_go_and_published(
    visit: Visit, served: Any, tmp_path: Path
) -> None:
    scientist = visit(served.secret("scientist"))
    number = order_of(served, "handoff", "quake")
    scientist.goto("/orders?kind=handoff")
    scientist.get_by_role("link", name="Pick the arrivals of quake").click()
    assert (
        scientist.locator("#given")
        .get_by_role("link", name="quake.csv")
        .first.get_attribute("href")
        .endswith("/content")
    )
    scientist.get_by_role("button", name="Take this order").click()
    assert "The order is yours" in said(scientist)

    wrong = tmp_path / "mine.csv"
    wrong.write_text("phase,time\nP,soon\n")
    scientist.set_input_files("#files", wrong)
    scientist.get_by_role("button", name="Deliver", exact=True).click()
    scientist.wait_for_selector("p.said.bad, p.said >> text=rejected")
    assert "found 'soon'" in scientist.locator("#deliveries").inner_text()

    # somebody else watches the queue; the gate appears there without a reload
    watcher = visit(served.token)
    watcher.goto("/orders?kind=gate")
    watcher.wait_for_selector("#pulse.on")
    watcher.evaluate("window.isTheSame = true")
    right = tmp_path / "picks.csv"
    right.write_text(PICKS)
    scientist.set_input_files("#files", right)
    scientist.fill("#comment", "clear onsets")
    scientist.get_by_role("button", name="Deliver", exact=True).click()
    scientist.wait_for_selector("p.said >> text=verified")
    scientist.wait_for_selector("#state >> text=accepted")
    gate = watcher.get_by_role("link", name="Do the picks of quake go out?")
    gate.wait_for()
    assert watcher.evaluate("window.isTheSame")

    gate.click()
    watcher.fill("#approve-why", "agrees with the candidates")
    watcher.get_by_role("button", name="Approve").click()
    assert "Approved" in said(watcher)
    watcher.goto("/publications?pipeline=picks")
    watcher.wait_for_selector("#journal >> text=released")
    assert order_of(served, "handoff", "quake") == number
    with Site.open(served.folder) as site:
        assert [row.state.value for row in site.publications("picks/record/quake")] == ["released"]
        told = [event.data for event in site.events(item="picks/record/quake") if event.type == "order"]
    assert {"ada", "scientist"} <= {one.get("who") for one in told}
    assert "agrees with the candidates" in {one.get("why") for one in told}


def test_a_gate_is_rejected_only_with_a_reason_and_once(visit: Visit, served: Any) -> None:
    with Site.open(served.folder) as site:
        site.submit("lab/sample", [{"key": "dust", "attributes": {"weight": 1.0}}])
    page = visit()
    page.goto("/orders?kind=gate")
    page.get_by_role("link", name="Does dust go out?").click()
    other = visit(served.secret("scientist"))
    other.goto(page.url)
    other.fill("#reject-why", "it is dust")
    other.get_by_role("button", name="Reject").click()
    assert "Rejected" in said(other)
    page.wait_for_selector("#side >> text=it is dust")
    assert page.get_by_role("button", name="Approve").count() == 0


def test_a_publication_that_waits_is_let_go(visit: Visit, served: Any) -> None:
    page = visit(served.secret("publisher", "scientist"))
    number = order_of(served, "gate", "stone")
    page.goto(f"/orders/{number}")
    page.get_by_role("button", name="Approve").click()
    page.goto("/publications")
    form = page.get_by_role("form", name="Publish lab/sample/stone")
    form.wait_for()
    form.locator("input[name=why]").fill("the paper is out")
    form.get_by_role("button", name="Publish").click()
    assert "1 publication of lab/sample/stone go on" in said(page)
    row = page.locator("#journal tr", has_text="lab/sample/stone").first
    row.get_by_text("released").wait_for()
    row.locator("summary").click()
    with page.expect_download() as download:
        row.get_by_role("link", name="MANIFEST.json").click()
    assert "weight" in Path(download.value.path()).read_text()


def test_a_source_is_paused_and_resumed_and_an_item_submitted(visit: Visit, served: Any) -> None:
    page = visit(served.secret("operator"))
    page.goto("/sources")
    page.get_by_label("Why").fill("the disk is being moved")
    page.get_by_role("button", name="Pause").click()
    card = page.locator("section", has_text="picks/traces")
    assert "paused by operator" in " ".join(card.inner_text().split())
    assert "the disk is being moved" in card.inner_text()
    page.get_by_role("button", name="Resume").click()
    assert "goes on" in said(page)

    page.get_by_text("Submit sample").click()
    page.get_by_label("Key").fill("<b>salt</b> & 'co'")
    page.get_by_label("Attributes").fill("weight = 4\nnote=from the café")
    page.get_by_role("button", name="Submit").click()
    assert "lab/sample/<b>salt</b> & 'co' is registered" in said(page)
    with Site.open(served.folder) as site:
        assert dict(site.find("<b>salt</b> & 'co'").attributes) == {"weight": 4, "note": "from the café"}
    page.get_by_text("Submit sample").click()
    page.get_by_label("Attributes").fill("weight")
    page.get_by_role("button", name="Submit").click()
    assert "expected name=value" in said(page)


def test_a_token_is_told_once_and_refused_when_it_is_revoked(visit: Visit, served: Any) -> None:
    page = visit()
    page.goto("/people")
    page.fill("#name", "grace")
    page.check("input[value=viewer]")
    page.get_by_label("Where").select_option("lab")
    page.get_by_role("button", name="Make it").click()
    secret = page.locator("#secret").input_value()
    row = page.locator("#tokens tr", has_text="grace")
    assert "viewer@lab" in row.inner_text()
    page.goto("/people")
    assert secret not in page.content()

    grace = visit(secret)
    grace.goto("/sources")
    assert grace.get_by_role("link", name="People").count() == 0
    assert "lab/asked" in grace.content() and "picks/traces" not in grace.content()
    assert grace.get_by_role("button", name="Pause").count() == 0
    row.get_by_role("button", name="Revoke").click()
    assert "is refused from now on" in said(page)
    grace.goto("/orders")
    assert "/login" in grace.url


def test_a_calibration_is_certified_and_withdrawn(visit: Visit, served: Any) -> None:
    with Site.open(served.folder) as site:
        product = next(one for one in site.show("stone").products if one.output == "weight")
    page = visit()
    page.goto("/calibrations")
    page.get_by_text("Certify a product by hand").click()
    for name, value in (
        ("product", str(product.id)), ("kind", "scale"), ("selector", "left pan"), ("begin", "2026-01-01T00:00:00Z"),
        ("end", "2026-06-01T00:00:00Z"),
    ):  # fmt: skip
        page.fill(f"#certify-{name}", value)
    page.get_by_role("button", name="Certify").click()
    assert f"Product {product.id} is calibration 1 now" in said(page)
    assert "scale left pan: certified" in page.locator("#validity svg a").first.get_attribute("aria-label")
    page.get_by_text("Withdraw", exact=True).first.click()
    page.fill("#why-1", "the pan is bent")
    page.get_by_role("button", name="Withdraw").click()
    assert "Calibration 1 is withdrawn" in said(page)
    page.goto("/calibrations?state=decertified")
    assert page.locator("#calibration-1").count() == 1


def test_without_scripts_everything_is_done_by_forms(visit: Visit, served: Any, tmp_path: Path) -> None:
    with Site.open(served.folder) as site:
        (served.folder / "incoming" / ".slow.csv").write_text(
            (served.folder / "incoming" / "quake.csv").read_text()
        )
        (served.folder / "incoming" / ".slow.csv").rename(served.folder / "incoming" / "slow.csv")
        next(
            event for event in site.follow(0) if event.type == "order" and "slow" in key_of(site, event.item)
        )
    page = visit(served.secret("scientist"), java_script_enabled=False)
    page.goto("/orders?kind=handoff")
    page.get_by_role("link", name="Pick the arrivals of slow").click()
    page.get_by_role("button", name="Take this order").click()
    assert "The order is yours" in said(page)
    picks = tmp_path / "picks.csv"
    picks.write_text(PICKS)
    page.set_input_files("#files", picks)
    page.get_by_role("button", name="Deliver", exact=True).click()
    assert "The delivery is verified" in said(page)
    with Site.open(served.folder) as site:
        next(
            event
            for event in site.follow(0)
            if event.stage == "release" and "slow" in key_of(site, event.item)
        )
    page.goto("/orders?kind=gate")
    assert page.locator("#queue").get_by_role("link", name="Do the picks of slow go out?").count() == 1


def test_the_story_goes_on_without_a_reload(visit: Visit, served: Any) -> None:
    page = visit()
    page.goto("/events?type=flagged")
    page.wait_for_selector("#pulse.on")
    page.evaluate("window.isTheSame = true")
    with Site.open(served.folder) as site:
        site.by("linus").flag("broken", "scratched", comment="seen by eye")
    page.locator("#story tr", has_text="linus").wait_for()
    assert page.evaluate("window.isTheSame")


WHOLE = (
    "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'], resultTypes: ['violations']})"
)
COLOURS = "axe.run(document, {runOnly: {type: 'rule', values: ['color-contrast']}})"


def test_every_page_is_accessible_in_light_and_dark(visit: Visit) -> None:
    page = visit(color_scheme="light")
    source = AXE.read_text()
    found = []
    for path in PAGES:
        page.goto(path)
        page.evaluate(source)
        for scheme, rules in (("light", WHOLE), ("dark", COLOURS)):
            page.emulate_media(color_scheme=scheme)
            found += [
                (path, scheme, one["id"], one["nodes"][0]["html"])
                for one in page.evaluate(rules)["violations"]
                if one["impact"] in ("serious", "critical")
            ]
    assert not found


def test_every_page_fits_a_phone(visit: Visit) -> None:
    page = visit(viewport={"width": 360, "height": 740})
    wide = {}
    for path in PAGES:
        page.goto(path)
        wide[path] = page.evaluate("document.documentElement.scrollWidth")
    assert {path: width for path, width in wide.items() if width > 360} == {}


def test_keys_move_through_a_list(visit: Visit) -> None:
    page = visit()
    page.goto("/events")
    page.keyboard.press("j")
    first = page.evaluate("document.activeElement.getAttribute('href')")
    page.keyboard.press("j")
    assert first and page.evaluate("document.activeElement.tagName") == "A"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.closest('form') !== null")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/orders")
