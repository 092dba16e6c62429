"""Pages without a browser: what they show to whom, what forms do, and the pure functions that they are made by."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from towpath.api.pages import drawing, lineage, log, story
from towpath.app.tracing import Trace
from towpath.base.model import Event, Flag, Product

Server = Any


class Reader:
    """Somebody who signed in, without scripts."""

    def __init__(self, server: Server, *grants: str) -> None:
        self.browser = server.browser
        self.browser.cookies.clear()
        self.browser.post("/login", data={"token": server.secret(*grants)})
        self.cookies = dict(self.browser.cookies)

    def get(self, path: str, expect: int = 200, **more: Any) -> str:
        """A page."""
        self._back()
        answer = self.browser.get(path, **more)
        assert answer.status_code == expect, answer.text
        return str(answer.text)

    def post(self, path: str, csrf: str | None = None, **fields: Any) -> Any:
        """What a form is answered: the way to the next page, or a page."""
        self._back()
        sent = re.search(r'name="csrf" content="([^"]*)"', self.browser.get("/").text)
        assert sent
        return self.browser.post(path, data={"csrf": sent[1] if csrf is None else csrf, **fields})

    def _back(self) -> None:
        self.browser.cookies.clear()
        for name, value in self.cookies.items():
            self.browser.cookies.set(name, value)

    def said(self, answer: Any) -> str:
        """What the page after a form tells, once."""
        assert answer.status_code == 303, answer.text
        self.browser.cookies.update(answer.cookies)
        page = str(self.browser.get(answer.headers["Location"]).text)
        assert '<p class="said' not in self.browser.get(answer.headers["Location"]).text
        found = re.search(r'<p class="said[^>]*>(.*?)</p>', page, re.DOTALL)
        return found[1] if found else ""


@pytest.fixture
def lab(server: Server) -> Iterator[Server]:
    """A sample that went through, one that failed, one that is held by a rule."""
    for key, attributes in (
        ("gold", {"weight": 2.5}),
        ("broken", {"trouble": "fails"}),
        ("lead", {"weight": 200.0}),
    ):
        server.sample(key, **attributes)
    server.run()
    yield server


# ---- who sees what
def test_whoever_is_nobody_is_asked_to_sign_in(lab: Server) -> None:
    answer = lab.browser.get("/items?state=failed")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=%2Fitems%3Fstate%3Dfailed")
    assert "Sign out" not in lab.browser.get("/login").text


def test_pages_have_what_one_may_do_and_no_more(lab: Server) -> None:
    viewer, operator, scientist = (
        Reader(lab, role).get("/items/2") for role in ("viewer", "operator", "scientist")
    )
    assert "Try again" not in viewer and "Add a flag" not in viewer
    assert "Try again" in operator and "Add a flag" in operator and ">Close<" not in operator
    assert "Try again" not in scientist and "Add a flag" in scientist
    for path in ("/people", "/configuration"):
        assert f'href="{path}"' not in operator and f'href="{path}"' in Reader(lab, "admin").get("/")


def test_another_pipeline_is_not_there(lab: Server) -> None:
    lab.site.catalog.write(lambda tx: tx.event("problem", pipeline="other"))
    stranger = Reader(lab, "viewer@lab")
    assert "gold" in stranger.get("/items")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("towpath.api.asking.Asked.may", lambda *_, **__: False)
        assert "gold" not in stranger.get("/items") and "weigh" not in stranger.get("/")
        assert "no item with number 1" in stranger.get("/items/1", expect=404)


# ---- what they show
def test_the_overview_leads_to_the_pages_that_a_pipeline_brings(lab: Server) -> None:
    """Not to those that show one product: they are led to from there."""
    page = Reader(lab, "viewer").get("/")
    assert 'href="/pipelines/lab/mine"' in page and 'href="/pipelines/lab/board"' not in page


def test_the_overview_draws_and_tells_each_stage(lab: Server) -> None:
    page = Reader(lab, "viewer").get("/")
    for text in (
        'aria-label="1 failed in weigh of sample"',
        'href="/items?pipeline=lab&amp;kind=sample&amp;stage=assess&amp;state=held"',
    ):
        assert text in page
    assert page.index("<svg") < page.index("As a table") and "Oldest open work" in page
    assert re.search(r"Done in the last hour</dt><dd>[1-9]", page)


def test_an_item_tells_its_story(lab: Server) -> None:
    page = Reader(lab, "viewer").get("/items/3")
    for text in ("not too heavy", "&lt;= 100", "Received", "Why is it not running?", "json/weight", "weigh"):
        assert text in page
    assert "the scale is broken: ünïcode &lt;b&gt;and markup&lt;/b&gt;" in Reader(lab, "viewer").get(
        "/items/2"
    )


def test_a_part_is_fetched_without_what_it_does_not_need(lab: Server) -> None:
    reader = Reader(lab, "viewer")
    part = reader.get("/items/1", headers={"HX-Request": "true", "X-Parts": "route story"})
    assert 'id="route"' in part and "lineage-group" not in part and "lineage-group" in reader.get("/items/1")


def test_lists_are_paged_and_wrong_filters_are_told(lab: Server) -> None:
    reader = Reader(lab, "viewer")
    first = reader.get("/items?limit=2")
    following = re.search(r'href="(/items\?[^"]*after=2[^"]*)"', first)
    assert following and "lead" in reader.get(following[1].replace("&amp;", "&"))
    assert "expected NAME:VALUE" in reader.get("/items?attribute=weight")
    assert "expected a moment" in reader.get("/items?since=yesterday")
    assert "gold" in reader.get("/items?attribute=weight:2.5") and "lead" not in reader.get(
        "/items?attribute=weight:2.5"
    )


def test_a_log_is_whole_without_scripts(lab: Server) -> None:
    reader = Reader(lab, "viewer")
    with lab.site.catalog.read() as view:
        (run,) = (one for one in view.runs(2) if one.stage == "weigh")
    page = reader.get(f"/runs/{run.name}")
    assert "weighing broken" in page and 'http-equiv="refresh"' not in page
    assert "no run 99.9" in reader.get("/runs/99.9", expect=404) or "no work" in reader.get(
        "/runs/99.9", expect=404
    )


def test_a_long_log_is_shown_from_its_end(lab: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_SHOWN", 40)
    lab.site.submit("lab/sample", [{"key": "x" * 60}])
    lab.run()
    with lab.site.catalog.read() as view:
        run = next(one for one in view.runs(4) if one.stage == "weigh")
    page = Reader(lab, "viewer").get(f"/runs/{run.name}")
    assert "from byte" in page and "weighed</div>" in page and "weighing x" not in page


# ---- what forms do
def test_an_action_is_done_in_the_state_that_was_seen(lab: Server) -> None:
    operator = Reader(lab, "operator")
    fields = {"action": "retry", "stage": "weigh", "expect": "held"}
    assert "found failed; expected held" in operator.said(operator.post("/items/2/actions", **fields))
    assert "It is: weigh failed" in operator.said(operator.post("/items/2/actions", **fields))
    fields["expect"] = "failed"
    assert (
        operator.said(operator.post("/items/2/actions", why="mended", **fields))
        == "Try again: 1 stage (weigh)."
    )
    seen = re.search(r'name="seen" value="([^"]*)"', operator.get("/items/2"))
    assert seen
    lab.run()
    told = operator.said(operator.post("/items/2/actions", action="stop", seen=seen[1].replace("&#34;", '"')))
    assert "changed since it was looked at" in told
    told = operator.said(operator.post("/items/2/actions", action="release", stage="weigh", expect="failed"))
    assert "nothing was touched" in told


def test_a_form_of_another_site_does_nothing(lab: Server) -> None:
    operator = Reader(lab, "operator")
    for csrf in ("", "wrong"):
        answer = operator.post("/items/2/actions", csrf=csrf, action="hold", stage="weigh", expect="failed")
        assert answer.status_code == 403 and "load the page anew" in answer.text
    with lab.site.catalog.read() as view:
        assert {row.stage: row.state.value for row in view.work([2])[2]}["weigh"] == "failed"


def test_who_may_not_is_refused(lab: Server) -> None:
    viewer = Reader(lab, "viewer")
    for path, fields in (
        ("/items/2/actions", {"action": "retry"}),
        ("/items/1/gates/1", {"decision": "approve"}),
        ("/items/1/publish", {}),
        ("/items/1/flags", {"value": "bad"}),
        ("/items/bulk", {"action": "retry", "ids": "2", "sure": "true"}),
    ):
        answer = viewer.post(path, **fields)
        assert answer.status_code == 403 or "may not" in viewer.said(answer), path


def test_following_an_item(lab: Server) -> None:
    viewer = Reader(lab, "viewer")
    assert "You are told" in viewer.said(viewer.post("/items/1/follow"))
    assert "Unfollow" in viewer.get("/items/1")
    assert "no longer" in viewer.said(viewer.post("/items/1/follow", leave="true"))


def test_many_are_named_by_a_filter(lab: Server) -> None:
    operator = Reader(lab, "operator")
    page = operator.post("/items/bulk", action="hold", which="all", query="text=o&attribute=weight:2.5").text
    assert "gold" in page and "broken" not in page and 'name="ids" value="1"' in page
    assert "found no item" in operator.said(
        operator.post("/items/bulk", action="hold", which="all", query="text=zzz")
    )
    assert "no number" in operator.said(operator.post("/items/bulk", action="hold", ids="1,x"))


# ---- pure functions
def test_stages_stand_in_columns_and_lanes() -> None:
    spots = drawing.place([("a", ()), ("b", ("a",)), ("c", ("b",)), ("d", ("a",)), ("e", ("c", "d"))])
    assert spots == {"a": (0, 0), "b": (1, 0), "c": (2, 0), "d": (1, 1), "e": (3, 0)}
    crossed = drawing.place([("a", ()), ("b", ("a",)), ("c", ("a",)), ("d", ("b",)), ("e", ("c",))])
    assert len(set(crossed.values())) == 5


def overlap(one: drawing.Box, other: drawing.Box) -> bool:
    beside = one.x + one.width <= other.x or other.x + other.width <= one.x
    return not beside and not (one.y + one.height <= other.y or other.y + other.height <= one.y)


def test_no_two_boxes_of_a_drawing_overlap(lab: Server) -> None:
    counts = {"sample": {("weigh", state.value): 12_345 for state in drawing.COLOURS}}
    drawn = drawing.draw(lab.site.definitions["lab"], counts)
    boxes = [box for band in drawn.bands for box in band.boxes]
    for one in boxes:
        assert one.x + one.width <= drawn.width and one.y + one.height <= drawn.height
        assert all(cell.y + 12 <= one.y + one.height for cell in one.cells)
    assert not any(overlap(one, other) for one, other in combinations(boxes, 2))
    assert len(boxes) == 5 and len(drawn.edges) == 4


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (9999, "9999"), (12_345, "12.3k"), (999_600, "1M"), (1_234_567, "1.23M")]
)
def test_counts_are_short(number: int, text: str) -> None:
    assert drawing.short(number) == text


def _product(number: int, run: tuple[int, int] = (0, 0)) -> Product:
    return Product(
        1, "s" if run[0] else "", f"out{number}", "", "t", "store", "p", 1, 0, b"", run=run, id=number
    )


def test_lineage_goes_from_left_to_right() -> None:
    trace = Trace({1: _product(1), 2: _product(2, (7, 1)), 3: _product(3, (8, 1))}, {1: "p/k/i"})
    trace.read, trace.made = (
        [(1, "7.1", "raw"), (2, "8.1", "x"), (1, "8.1", "y")],
        [("7.1", 2, "o"), ("8.1", 3, "o")],
    )
    drawn = lineage.draw(trace, 2)
    left = {box.label: box.x for box in drawn.boxes}
    assert len(drawn.boxes) == len(drawn.edges) == 5 and [box.is_here for box in drawn.boxes].count(True) == 1
    names = ["raw out1 of p/k/i", "run 7.1 of s", "s out2 of p/k/i", "run 8.1 of s", "s out3 of p/k/i"]
    assert [left[name] for name in names] == sorted(left.values())
    assert not drawn.is_cut


def test_rows_that_contradict_one_another_are_drawn_too() -> None:
    trace = Trace({1: _product(1, (7, 1))}, {1: "p/k/i"}, [(1, "7.1", "x")], [("7.1", 1, "o")])
    assert len(lineage.draw(trace, 1).boxes) == 2


def test_a_lineage_without_end_is_cut() -> None:
    numbers = range(1, 200)
    trace = Trace(
        {n: _product(n, (1, 1)) for n in numbers}, {1: "p/k/i"}, [], [("1.1", n, "o") for n in numbers]
    )
    drawn = lineage.draw(trace, 5)
    assert drawn.is_cut and len(drawn.boxes) == 80 and any(box.is_here for box in drawn.boxes)


def test_products_that_are_alike_are_drawn_as_one() -> None:
    numbers = range(2, 18)
    raw = {n: replace(_product(n), output="file", part=str(n)) for n in numbers}
    trace = Trace(
        {1: _product(1, (7, 1)), **raw}, {1: "p/k/i"}, [(n, "7.1", "x") for n in numbers], [("7.1", 1, "o")]
    )
    assert [box.name for box in lineage.draw(trace, 1).boxes] == ["16 × raw file", "s", "s out1"]
    assert len(lineage.draw(trace, 5).boxes) == 18


def _flag(value: str, **part: Any) -> Flag:
    return Flag(1, part, value, "", "me", 0.0)


def test_flags_with_two_names_are_a_grid() -> None:
    flags = [_flag("bad", band=1, feed=10), _flag("weak", feed=2, band=1), _flag("odd", feed=7, band=0)]
    grid = story.grid([*flags, _flag("all")])
    assert grid is not None and (grid.names, grid.columns) == (("feed", "band"), [0, 1])
    cells = [(row, [[flag.value for flag in cell] for cell in found]) for row, found in grid.rows]
    assert cells == [(2, [[], ["weak"]]), (7, [["odd"], []]), (10, [[], ["bad"]])]
    assert story.grid([_flag("bad", feed=1), _flag("bad", feed=1, band=2)]) is None
    assert story.grid([_flag("bad")]) is story.grid([]) is None


def test_a_part_is_read_as_a_person_writes_it() -> None:
    assert story.part("feed=3, band = x ,n=-1") == {"feed": 3, "band": "x", "n": -1}
    assert story.part("") == {}
    for wrong in ("feed", "feed=", "=3", "feed 3"):
        with pytest.raises(ValueError, match="NAME=VALUE"):
            story.part(wrong)


def test_a_story_is_told_backwards() -> None:
    events = [
        Event(1, 10.0, "registered"),
        Event(
            2,
            30.0,
            "stopped",
            1,
            "a",
            "",
            "p",
            {"who": "ada", "why": "wrong", "sha": "f" * 64, "list": [1, 2.5]},
        ),
    ]
    told = story.story([("Received", 20.0)], events)
    assert [one.what for one in told] == ["stopped", "Received", "registered"]
    assert (told[0].who, told[0].why, told[0].more) == ("ada", "wrong", "sha ffffffffffff…; list 1, 2.5")
