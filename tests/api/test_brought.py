"""What pipelines bring: routes, pages, and who is asked about single items."""

from typing import Any

import pytest

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
