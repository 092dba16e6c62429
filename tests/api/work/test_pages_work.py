"""What people do with work in a real browser: overview, lists, items, runs; live, by keys, and without scripts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Visit = Callable[..., Any]

AXE = Path(__file__).resolve().parents[1] / "vendor" / "axe.min.js"
HOSTILE = "<b>bold</b> & 'quoted' \u202etxt.exe"


def said(page: Any) -> str:
    """What the page says was done."""
    return str(page.locator("p.said").first.inner_text())


def opened(page: Any, served: Any, key: str) -> Any:
    """The page of a sample, when it follows what happens; marked, so that a reload is noticed."""
    page.goto(f"/items/{served.number(key)}")
    page.wait_for_selector("#pulse.on")
    page.evaluate("window.isTheSame = true")
    return page


def stage(page: Any, name: str) -> Any:
    """The line of a stage in the route."""
    return page.locator("#route tbody tr").filter(has=page.get_by_role("rowheader", name=name))


def test_somebody_signs_in_and_out(visit: Visit, served: Any) -> None:
    page = visit(served.secret("viewer"))
    page.goto("/")
    assert page.locator(".who .name").inner_text() == "viewer"
    assert (
        page.get_by_role("link", name="People").count()
        == page.get_by_role("link", name="Configuration").count()
        == 0
    )
    page.goto(f"/items/{served.number('broken')}")
    assert page.locator("#act").count() == page.get_by_text("Act", exact=True).count() == 0
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    page.goto("/items?state=failed")
    assert "next=" in page.url
    page.fill("#token", served.secret("viewer"))
    page.click("main form button")
    page.wait_for_url("**/items?state=failed")


def test_an_address_with_a_token_signs_in_and_forgets_it(visit: Visit, served: Any) -> None:
    page = visit(served.secret("viewer"))
    page.context.clear_cookies()
    page.goto(f"/login#{served.token}")
    page.wait_for_url("**/")
    assert page.locator(".who .name").inner_text() == "ada" and "twp_" not in page.url


def test_the_overview_leads_to_what_it_counts(visit: Visit, served: Any) -> None:
    page = visit()
    page.goto("/")
    drawing = page.locator("#pipeline-lab svg")
    assert drawing.locator("text", has_text="weigh").count() == 1
    page.wait_for_selector("#pulse.on")
    page.evaluate("window.isTheSame = true")
    before = int(drawing.get_by_role("link", name="failed in weigh").get_attribute("aria-label").split()[0])
    served.submit("cracked", trouble="fails")
    drawing.get_by_role("link", name=f"{before + 1} failed in weigh").wait_for()
    assert page.evaluate("window.isTheSame")
    drawing.get_by_role("link", name="failed in weigh").click()
    page.wait_for_url("**/items?pipeline=lab&kind=sample&stage=weigh&state=failed")
    assert page.locator("#list tbody tr").count() == before + 1
    assert page.get_by_role("link", name="sample/broken").count() == 1


def test_a_failed_stage_is_tried_again_and_the_page_tells_how_it_goes(visit: Visit, served: Any) -> None:
    page = opened(visit(served.secret("operator")), served, "broken")
    assert "the scale is broken: ünïcode <b>and markup</b>" in stage(page, "weigh").inner_text()
    assert "it is failed" in page.locator("#why").inner_text()
    watcher = opened(visit(), served, "broken")
    stage(page, "weigh").get_by_text("Act").click()
    stage(page, "weigh").get_by_label("Why").fill("the scale was mended")
    stage(page, "weigh").get_by_role("button", name="Try again").click()
    assert "Try again: 1 stage (weigh)" in said(page)
    watcher.locator("#attempts-weigh", has_text="2 attempts").wait_for()
    watcher.locator("#story", has_text="by operator: the scale was mended").wait_for()
    assert watcher.evaluate("window.isTheSame")
    columns = watcher.locator("#attempts-weigh thead a").all_inner_texts()
    assert (
        len(columns) == 2 and watcher.locator("#attempts-weigh", has_text="the scale is broken").count() == 1
    )


def test_a_run_is_followed_in_its_log_and_stopped(visit: Visit, served: Any) -> None:
    served.submit("slow", seconds=60)
    page = opened(visit(served.secret("operator")), served, "slow")
    stage(page, "weigh").get_by_text("running").wait_for()
    stage(page, "weigh").get_by_text("50 %").wait_for()
    assert page.evaluate("window.isTheSame")
    log = visit()
    log.goto(stage(page, "weigh").locator("a").get_attribute("href"))
    log.locator("#log", has_text="weighing slow").wait_for()
    log.evaluate("window.isTheSame = true")
    stage(page, "weigh").get_by_text("Act").click()
    stage(page, "weigh").get_by_role("button", name="Stop").click()
    assert "Stop: 1 stage" in said(page)
    stage(page, "weigh").get_by_text("stopped").wait_for()
    log.locator("#run", has_text="stopped").wait_for()
    log.locator("#pulse", has_text="ended").wait_for()
    assert log.evaluate("window.isTheSame")
    log.fill("#log-search", "WEIGHING")
    log.keyboard.press("Enter")
    assert log.locator("#log .now").inner_text().endswith("weighing slow")
    assert "weighing slow" in downloaded(log)


def downloaded(page: Any) -> str:
    """The log as a file; that of a run that was stopped is kept when its worker has ended, a moment later."""
    for _ in range(100):
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        if text := Path(download.value.path()).read_text():
            return text
        page.wait_for_timeout(100)
    raise AssertionError("no log is kept")


def test_the_first_error_of_a_log_is_found(visit: Visit, served: Any) -> None:
    page = visit()
    page.goto(f"/items/{served.number('bent')}")
    page.locator("#attempts-weigh thead a").last.click()
    assert "the scale is broken" in page.locator("#run .said").inner_text()
    page.get_by_role("button", name="First error").click()
    if page.locator("#log .bad").count():
        assert page.locator("#log .now").count() == 1
    else:
        assert page.locator("#log-found").inner_text() == "no error is named"


def test_a_gate_lets_an_item_go_out(visit: Visit, served: Any) -> None:
    watcher = opened(visit(), served, "gold")
    page = visit(served.secret("scientist"))
    page.goto(f"/items/{served.number('gold')}")
    page.get_by_role("button", name="Reject").click()
    assert "a rejection tells its reason" in said(page)
    page.get_by_label("Why (needed to reject)").fill("it is pure")
    page.get_by_role("button", name="Approve").click()
    assert "accepted" in said(page)
    watcher.locator("#story", has_text="Published").wait_for()
    stage(watcher, "publish").get_by_text("done").wait_for()
    assert watcher.evaluate("window.isTheSame")
    assert served.states("gold")["publish"] == "done"


def test_what_a_rule_held_is_accepted(visit: Visit, served: Any) -> None:
    page = visit(served.secret("scientist"))
    page.goto(f"/items/{served.number('lead')}")
    row = page.locator("#verdicts tr", has_text="not too heavy")
    assert "250" in row.inner_text() and row.locator(".meter b").count() == 1
    stage(page, "assess").get_by_text("Act").click()
    stage(page, "assess").get_by_label("Why").fill("it is lead")
    stage(page, "assess").get_by_role("button", name="Accept").click()
    assert "Accept: 1 stage" in said(page)
    page.locator("#verdicts", has_text="accepted by scientist").wait_for()


def test_flags_are_a_grid_and_are_added(visit: Visit, served: Any) -> None:
    page = visit(served.secret("operator"))
    page.goto(f"/items/{served.number('gold')}")
    assert page.locator(".grid-flags thead").inner_text().split() == ["feed", "\\", "band", "0", "1"]
    page.get_by_text("Add a flag").click()
    page.fill("#flag-value", "weak")
    page.fill("#flag-part", "feed=2, band=0")
    page.get_by_role("button", name="Add", exact=True).click()
    assert "Flagged: weak" in said(page)
    assert page.locator(".grid-flags tbody tr").nth(1).locator("td").first.inner_text().strip() == "weak"
    page.get_by_text("Add a flag").click()
    page.fill("#flag-value", "weak")
    page.fill("#flag-part", "feed 2")
    page.get_by_role("button", name="Add", exact=True).click()
    assert "expected NAME=VALUE" in said(page)


def test_many_are_shown_before_they_are_touched(visit: Visit, served: Any) -> None:
    page = visit(served.secret("operator"))
    page.goto("/items?state=failed&text=bulk-")
    assert page.locator("#number").inner_text() == "3 items"
    page.get_by_label("Choose all of this page").check()
    page.get_by_label("Choose bulk-3").uncheck()
    page.get_by_label("do", exact=True).select_option("hold")
    page.get_by_label("Why").fill("the scale is away")
    page.get_by_role("button", name="Preview").click()
    assert "2 items" in page.locator("main").inner_text() and served.states("bulk-1")["weigh"] == "failed"
    page.get_by_role("button", name="Hold 2 items").click()
    assert "Hold:" in said(page) and "2 items" in said(page)
    states = [served.states(f"bulk-{n}")["weigh"] for n in (1, 2, 3)]
    assert states == ["held", "held", "failed"]
    page.get_by_role("button", name="Preview").click()
    assert "found no item" in said(page)


def test_all_that_a_filter_finds_is_touched_in_the_state_that_was_seen(visit: Visit, served: Any) -> None:
    numbers = [served.submit(f"far-{n}", seconds=0, trouble="fails") for n in range(2)]
    page = visit(served.secret("operator"))
    page.goto("/items?text=far-&state=failed&stage=weigh")
    page.locator("#number", has_text="2 items").wait_for()
    page.get_by_label("To", exact=True).select_option("all")
    page.get_by_label("do", exact=True).select_option("retry")
    page.get_by_role("button", name="Preview").click()
    other = visit(served.secret("operator"))
    other.goto(f"/items/{numbers[0]}")
    stage(other, "weigh").get_by_text("Act").click()
    stage(other, "weigh").get_by_role("button", name="Hold").click()
    page.get_by_role("button", name="Try again 2 items").click()
    assert "Try again: 1 stage of 2 items" in said(page) and "found held; expected failed" in said(page)


def test_whoever_saw_an_old_state_is_told_the_one_that_is(visit: Visit, served: Any) -> None:
    number = served.submit("late", seconds=0, weight=1.0)
    stale = visit(served.secret("operator"), java_script_enabled=False)
    stale.goto(f"/items/{served.number('bent')}")
    page = visit(served.secret("operator"))
    page.goto(f"/items/{served.number('bent')}")
    stage(page, "weigh").get_by_text("Act").click()
    stage(page, "weigh").get_by_role("button", name="Hold").click()
    stage(stale, "weigh").get_by_text("Act").click()
    stage(stale, "weigh").get_by_role("button", name="Try again").click()
    assert "found held; expected failed" in said(stale)
    assert served.states("bent")["weigh"] == "held" and number


def test_without_scripts_everything_is_there(visit: Visit, served: Any) -> None:
    page = visit(served.secret("operator"), java_script_enabled=False)
    page.goto("/")
    assert page.get_by_role("link", name="failed in weigh").count() == 1
    page.get_by_text("As a table").click()
    page.goto("/items")
    page.fill("#text", "gold")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name="sample/gold").click()
    assert "all of it" in page.content() or "feed" in page.locator("#flags").inner_text()
    page.get_by_role("button", name="Follow").click()
    assert "You are told" in said(page)
    stage(page, "weigh").locator("a").click()
    assert "weighing gold" in page.locator("#log").inner_text()


def test_names_are_text_wherever_they_stand(visit: Visit, served: Any) -> None:
    page = visit()
    for path in ("/items", f"/items/{served.number(HOSTILE)}", "/orders", "/events"):
        page.goto(path)
        assert page.locator("main b", has_text="bold").filter(has_not_text="<").count() == 0
    page.goto(f"/items/{served.number(HOSTILE)}")
    assert page.locator("h1").inner_text() == HOSTILE.replace(
        "\u202e", "\ufffd"
    )  # what turns text around is shown, not obeyed
    assert page.title().startswith("sample/<b>bold</b>")


def test_a_view_is_kept_under_a_name(visit: Visit, served: Any) -> None:
    page = visit()
    page.goto("/items?state=held&text=bulk")
    page.get_by_label("Keep this view as").fill("held in bulk")
    page.get_by_role("button", name="Keep").click()
    page.goto("/items")
    page.get_by_role("link", name="held in bulk").click()
    page.wait_for_url("**/items?state=held&text=bulk")
    page.get_by_role("button", name="Forget held in bulk").click()
    page.goto("/items")
    assert page.get_by_role("link", name="held in bulk").count() == 0


def test_keys_move_through_the_list(visit: Visit, served: Any) -> None:
    page = visit()
    page.goto("/items")
    page.keyboard.press("/")
    page.keyboard.type("bulk-")
    page.keyboard.press("Enter")
    page.wait_for_url("**/items?text=bulk-")
    for key in ("j", "j", "k", "j", "x"):
        page.keyboard.press(key)
    assert page.evaluate(
        "document.activeElement.closest('tr') === document.querySelectorAll('#list tbody tr')[1]"
    )
    assert page.locator("[data-chosen]:checked").count() == 1 and "1 chosen" in page.content()
    page.keyboard.press("?")
    assert "next row" in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/items/{served.number('bulk-2')}")
    page.keyboard.press("g")
    page.keyboard.press("o")
    page.wait_for_url(served.url + "/")


def test_previews_and_lineage_are_shown(visit: Visit, served: Any) -> None:
    page = visit()
    page.goto(f"/items/{served.number('silver')}")
    page.locator("#products .preview", has_text="silver: 2.5 g").wait_for()
    assert page.locator("#lineage svg a").count() >= 4
    page.locator("#products tbody tr", has_text="weight").get_by_role("link", name="lineage").click()
    assert "Lineage of weigh weight" in page.locator("#lineage h2").inner_text()


def paths(served: Any) -> list[str]:
    """The pages of work."""
    items = [f"/items/{served.number(key)}" for key in ("gold", "broken")]
    return ["/", "/items", "/items?text=nothing-like-it", "/items?attribute=wrong", *items, "/runs/1.1"]


def wrong(page: Any, *rules: str) -> list[str]:
    """What axe finds on a page that is serious, by these rules or all."""
    if not rules:
        page.evaluate(AXE.read_text())
    told = page.evaluate("rules => axe.run(rules.length ? {runOnly: rules} : {})", list(rules))
    serious = [one for one in told["violations"] if one["impact"] in ("serious", "critical")]
    return [f"{page.url} {one['id']} {one['nodes'][0]['html']}" for one in serious]


def test_every_page_is_accessible_in_light_and_dark(visit: Visit, served: Any) -> None:
    page, found = visit(), []
    for path in paths(served):
        page.goto(path)
        found += wrong(page)
        page.emulate_media(color_scheme="dark")
        found += wrong(page, "color-contrast")
        page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    assert found + wrong(page) == []


def test_every_page_fits_a_phone(visit: Visit, served: Any) -> None:
    page = visit(viewport={"width": 360, "height": 740})
    wide = {}
    for path in paths(served):
        page.goto(path)
        wide[path] = page.evaluate("document.documentElement.scrollWidth")
    assert {path: width for path, width in wide.items() if width > 360} == {}
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Sources").click()
    page.wait_for_url("**/sources")
