"""What pipelines bring: routes, pages, and who is asked about single items."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from towpath.api import brought
from towpath.base.errors import SiteError


def test_a_pipeline_s_routes_stand_beside_ours(server: Any) -> None:
    number = server.sample("a")
    viewer = server.as_("viewer")
    assert viewer.get("/lab/weights")["names"] == ["lab/sample/a"]
    document = server.browser.get("/api/v1/openapi.json").json()
    assert document["paths"]["/api/v1/lab/weights"]["get"]["tags"] == ["lab"]
    assert server.as_().ask("GET", "/lab/weights").status_code == 401
    assert server.as_("viewer@lab").get("/lab/weights")["who"] == "viewer@lab"
    assert number


def test_a_pipeline_s_page_is_shown_to_who_may_view_it(server: Any) -> None:
    server.sample("<b>bold</b>")
    viewer = {"Authorization": f"Bearer {server.secret('viewer')}"}
    page = server.browser.get("/pipelines/lab/board?limit=1", headers=viewer)
    assert (
        page.status_code == 200
        and "<ul id=board><li>lab/sample/&lt;b&gt;bold&lt;/b&gt;</li></ul>" in page.text
    )
    assert server.browser.get("/pipelines/lab/other", headers=viewer).status_code == 404
    assert server.browser.get("/pipelines/lab/board").status_code == 303


def test_a_page_is_told_who_asks_and_nobody_can_say_otherwise(server: Any) -> None:
    viewer = {"Authorization": f"Bearer {server.secret('viewer')}"}
    page = server.browser.get("/pipelines/lab/mine?asker=ann&site=x&record=r1", headers=viewer)
    assert "<p id=mine>viewer ['record']</p>" in page.text


def test_a_frame_is_open_to_anybody_and_has_neither_navigation_nor_login(server: Any) -> None:
    page = server.browser.get("/pipelines/lab/window?site=x&record=r1")
    assert page.status_code == 200
    assert "<p id=window>['record']</p>" in page.text
    assert "<nav" not in page.text and "csrf" not in page.text and "<script" not in page.text


def test_a_frame_takes_the_name_of_no_page(server: Any) -> None:
    plugin = server.site.plugins["lab"]
    assert set(plugin.frames) == {"window"}
    both = replace(plugin, frames={"board": "lab:window"})
    with pytest.raises(SiteError, match="frames: found 'board', which is one of its pages too"):
        brought.add_to(FastAPI(), SimpleNamespace(plugins={"lab": both}), "/api/v1", [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path", ["../lab.py", "%2e%2e/lab.py", "..%2flab.py", "nothing.js", "", "/etc/passwd"]
)
def test_a_pipeline_s_files_are_those_of_its_folder(server: Any, path: str) -> None:
    found = server.browser.get("/pipelines/lab/static/scale.js")
    assert found.status_code == 200 and found.text == "export const weight = 1;\n"
    assert found.headers["Content-Type"].startswith("text/javascript")
    assert found.headers["Cache-Control"] == "no-cache"
    again = server.browser.get(
        "/pipelines/lab/static/scale.js", headers={"If-None-Match": found.headers["ETag"]}
    )
    assert again.status_code == 304
    assert server.browser.get(f"/pipelines/lab/static/{path}").status_code in (303, 404)


def test_an_item_s_page_leads_to_the_page_that_shows_a_product(server: Any) -> None:
    number = server.sample("a")
    server.run()
    viewer = {"Authorization": f"Bearer {server.secret('viewer')}"}
    page = server.browser.get(f"/items/{number}", headers=viewer).text
    (report,) = [one for one in server.site.show("lab/sample/a").products if one.type == "text/report"]
    assert f'<a href="/pipelines/lab/board?product={report.id}">view</a>' in page
    assert page.count("/pipelines/lab/board") == 2


def test_an_authorizer_hides_items(make_server: Any) -> None:
    server = make_server('\n[access]\nauthorizer = "lab:Discreet"\n')
    shown, hidden = server.sample("open"), server.sample("secret")
    viewer = server.as_("viewer")
    assert [one["id"] for one in viewer.get("/items")["items"]] == [shown]
    assert viewer.ask("GET", f"/items/{hidden}").status_code == 404
    assert viewer.ask("GET", "/items/find?name=lab/sample/secret").status_code == 404
    assert all(one["item"] != hidden for one in viewer.get("/events")["items"])


@pytest.mark.parametrize("name", ["nobody", "lab:Nothing", "nowhere:Discreet"])
def test_an_authorizer_that_is_not_there_is_named(make_server: Any, name: str) -> None:
    with pytest.raises(SiteError, match=r"access\.authorizer"):
        make_server(f'\n[access]\nauthorizer = "{name}"\n')
