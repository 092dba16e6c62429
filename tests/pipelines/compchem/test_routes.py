"""The routes of workflows on files of records. Tests of what the original system did wrong say so in their docstrings."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from towpath import Transient
from towpath.pipelines.compchem import pages


# ---- what applies
def test_what_applies_is_told_with_the_reason(depot: Any) -> None:
    told = depot.post(
        "/available", {"files": [{"key": "a.txt", "mimetype": "text/plain"}, {"key": "b.pdf"}]}, 200
    )
    assert told["workflows"] == [
        {
            "name": "count",
            "title": "Word counts",
            "files": ["a.txt"],
            "roles": {"text": "a.txt"},
            "why": "a.txt ends in .txt",
        }
    ]
    (unmatched,) = told["unmatched"]
    assert unmatched["key"] == "b.pdf" and "no workflow takes .pdf files" in unmatched["why"]


def test_what_is_available_is_what_all_starts(depot: Any) -> None:
    """Of the original: `/available` ignored the extension, and `/all` gave all files to every workflow. There is one matcher."""
    depot.put("r1", a__txt="x", run__trk="t", run__frm="f", lone__trk="y", notes__md="n")
    offered = depot.post("/available", {"record": "r1"}, 200)
    begun = depot.post("/r1/all")
    assert [(one["name"], one["files"]) for one in offered["workflows"]] == [
        (one["workflow"], [file["key"] for file in one["files"]]) for one in begun["workflows"]
    ]
    assert [one["files"] for one in offered["workflows"]] == [
        ["a.txt"],
        ["lone.trk", "run.frm"],
        ["run.trk", "run.frm"],
    ]
    assert offered["unmatched"] == begun["unmatched"]


# ---- starting
def test_a_start_is_recorded_when_it_is_answered(depot: Any) -> None:
    """Of the original: a submission was fire and forget. What is answered with 201 is in the catalog, and ends visibly."""
    depot.put("r1", a__txt="fine text")
    (started,) = depot.post("/r1/start", {"name": "count"})["workflows"]
    assert (started["id"], started["n"], started["state"], started["phase"]) == (
        "r1-count-1",
        1,
        "waiting",
        "Pending",
    )
    assert started["status"] is None
    assert "until this site works again" in started["steps"][0]["waits"], "nothing runs here"
    assert started["steps"][1]["waits"] == "it waits for retrieve, which is ready"
    assert started["by"] == "operator" and started["why"] == "a.txt ends in .txt"
    depot.run()
    ended = depot.get("/runs/r1-count-1")
    assert (ended["state"], ended["phase"], ended["status"]) == ("done", "Succeeded", "SUCCESS")
    assert ended["sentence"] == "all of 3 energies were read"
    assert [one["name"] for one in ended["results"]] == ["copy.txt"]
    assert (
        depot.browser.get(ended["results"][0]["url"], headers=depot.headers("operator")).text == "fine text"
    )
    assert [one["step"] for one in ended["attempts"]] == ["retrieve", "parse", "deliver"]
    assert depot.get(f"/runs/{ended['item']}") == ended == depot.get("/r1-count-1/detail")


def test_the_names_of_the_original_are_answered(depot: Any) -> None:
    depot.put("r1", a__txt="x", b__txt="y")
    one = depot.post("/r1", {"name": "count", "files": [{"key": "a.txt", "mimetype": "text/plain"}]})
    assert [told["id"] for told in one["workflows"]] == ["r1-count-1"]
    assert depot.refused("/r1", {"files": ["a.txt"]})["where"][0]["place"] == "body.name"
    every = depot.post("/r1/all", {"files": [{"key": "b.txt"}]})
    assert [told["file"] for told in every["workflows"]] == ["b.txt"]


def test_a_failed_submission_is_told_and_nothing_is_half_started(depot: Any, monkeypatch: Any) -> None:
    """Of the original: a failure was only logged, and the caller got 201. It is 503 with `Retry-After`, and nothing was begun."""
    depot.put("r1", a__txt="x")
    repository = depot.site._parts.records.repositories("records")

    def away(*_: Any, **__: Any) -> None:
        raise Transient("the repository is away", after=7.5)

    monkeypatch.setattr(repository, "files", away)
    answer = depot.ask("POST", "/r1/start", json={})
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "10"
    assert answer.json()["error"]["code"] == "later" and "is away" in answer.json()["error"]["message"]
    assert depot.ask("POST", "/r1/look").status_code == 503
    assert depot.get("/r1/list")["items"] == []


def test_what_was_started_is_told_though_a_later_one_was_not(depot: Any, monkeypatch: Any) -> None:
    depot.put("r1", a__txt="x", run__trk="t", run__frm="f")
    depot.headers("operator")
    write = depot.site._write
    calls: list[int] = []

    def failing(self: Any, work: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise Transient("the repository is away")
        return write(work)

    monkeypatch.setattr(type(depot.site), "_write", failing)
    told = depot.post("/r1/all")
    assert [one["id"] for one in told["workflows"]] == ["r1-count-1"]
    assert [(one["name"], one["why"]) for one in told["refused"]] == [("pair-up", "the repository is away")]


def test_a_body_that_is_none_is_refused(depot: Any) -> None:
    """Of the original: bodies were not validated."""
    depot.put("r1", a__txt="x")
    for body in ({"name": 5}, {"files": "a.txt"}, {"files": [{"mimetype": "x"}]}, {"nome": "count"}, [], "x",
                 {"files": [""]}, {"files": ["a\0.txt"]}, {"force": "perhaps"}):  # fmt: skip
        assert depot.refused("/r1/start", body)["code"] == "invalid", body
    assert (
        depot.refused("/r1/start", {"nome": "count"})["message"]
        == "body.nome: found count; expected no such name here"
    )
    assert depot.ask("POST", "/r1/start", content=b"{").status_code == 422
    assert depot.refused("/available", {"files": [{"key": "a", "size": -5}]})["code"] == "invalid"
    assert depot.get("/r1/list")["items"] == []


def test_what_does_not_apply_says_why(depot: Any) -> None:
    depot.put("r1", a__md="x", big__txt="x" * 2000)
    assert "it has 2 kB, more than 1 kB" in depot.refused("/r1/start", {"name": "count"})["message"]
    assert "no workflow takes .md files" in depot.refused("/r1/start", {"files": ["a.md"]})["message"]
    assert depot.refused("/r1/start", {"files": ["gone"]}, 404)["message"] == "r1 has no file gone"
    assert "found no workflow 'guess'" in depot.refused("/r1/start", {"name": "guess"}, 404)["message"]
    assert "there is no record 'r9'" in depot.refused("/r9/start", {}, 404)["message"]


def test_a_hundred_starts_at_once_get_a_hundred_numbers(depot: Any) -> None:
    """Of the original: concurrent starts broke on max() + 1, and were answered with 500."""
    depot.put("r1", a__txt="x")

    def begin(_: int) -> Any:
        return depot.post("/r1/start", {"name": "count", "force": True})

    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(begin, range(100)))
    numbers = [one["n"] for answer in told for one in answer["workflows"]]
    assert sorted(numbers) == list(range(1, 101))


def test_a_file_in_work_is_refused_with_what_holds_it(depot: Any) -> None:
    depot.put("r1", a__txt="x", b__txt="y")
    depot.post("/r1/start", {"name": "count", "files": ["a.txt"]})
    error = depot.refused("/r1/start", {"name": "count", "files": ["a.txt"]}, 409)
    assert (error["code"], error["where"]) == ("busy", "r1-count-1")
    told = depot.post("/r1/start", {})
    assert [one["file"] for one in told["workflows"]] == ["b.txt"]
    assert [(one["files"], one["holder"]) for one in told["refused"]] == [(["a.txt"], "r1-count-1")]
    assert depot.post("/r1/all", expect=200)["workflows"] == []
    (forced,) = depot.post("/r1/start", {"name": "count", "files": ["a.txt"], "force": True})["workflows"]
    assert forced["id"] == "r1-count-3"


def test_a_start_that_is_sent_twice_is_done_once(depot: Any) -> None:
    depot.put("r1", a__txt="x")
    key = {"Idempotency-Key": "k1"}
    first = depot.post("/r1/start", {"force": True}, headers=key)
    assert depot.post("/r1/start", {"force": True}, headers=key) == first
    assert len(depot.get("/r1/list")["items"]) == 1


def test_ids_of_records_may_have_several_dashes(depot: Any) -> None:
    """Of the original: a record's id was found by splitting a name at its dashes."""
    depot.put("a-b-c", run__trk="t", run__frm="f")
    depot.put("a", x__txt="x")
    (told,) = depot.post("/a-b-c/start")["workflows"]
    assert (told["id"], told["record"], told["workflow"]) == ("a-b-c-pair-up-1", "a-b-c", "pair-up")
    assert depot.get("/runs/a-b-c-pair-up-1")["record"] == "a-b-c"
    assert depot.get("/a/list")["items"] == []
    depot.post("/a/start")
    assert [one["id"] for one in depot.get("/a/list")["items"]] == ["a-count-1"]


def test_several_files_of_one_workflow_are_all_there(depot: Any) -> None:
    """Of the original: several files were given as one word."""
    depot.put("r1", run__trk="track", run__frm="frame")
    (told,) = depot.post("/r1/start", {"files": ["run.trk", "run.frm"]})["workflows"]
    assert [(one["role"], one["key"]) for one in told["files"]] == [
        ("track", "run.trk"),
        ("frame", "run.frm"),
    ]
    depot.run()
    ended = depot.get(f"/runs/{told['id']}")
    assert ended["status"] == "SUCCESS", ended
    measures = {one.name: one.value for one in depot.site.show(told["id"]).runs[0].measures}
    assert measures["files"] == 2


def test_names_of_files_are_never_words_of_a_shell(depot: Any) -> None:
    """Of the original: names of files stood in `sh -c`. Metacharacters, spaces and quotes are parts of a name."""
    folder = depot.put("r1")
    names = [
        "$(touch hacked).trk",
        "a b;rm -rf x.trk",
        "'q\"`id`.trk",
        "-rf.trk",
        "&&|><*?.trk",
        "ünï{input.track}.trk",
    ]
    for name in names:
        (folder / name).write_text(f"text of {name}")
    (folder / "one.frm").write_text("frame")
    told = depot.post("/r1/start", {"name": "pair-up"})["workflows"]
    assert sorted(one["file"] for one in told) == sorted(names)
    depot.run()
    for one in told:
        ended = depot.get(f"/runs/{one['id']}")
        assert ended["status"] == "SUCCESS", ended
        result = depot.browser.get(ended["results"][0]["url"], headers=depot.headers("operator"))
        assert result.text == f"text of {one['file']}"
    assert not list(depot.folder.rglob("hacked"))


def test_a_name_with_a_line_break_is_no_file_of_a_record(depot: Any) -> None:
    folder = depot.put("r1", a__txt="x")
    (folder / "a\nb.txt").write_text("x")
    assert [one["file"] for one in depot.post("/r1/start")["workflows"]] == ["a.txt"]
    assert depot.ask("POST", "/r1/start", json={"files": ["a\nb.txt"]}).status_code == 404


def test_a_hook_starts_what_is_mapped_once(depot: Any) -> None:
    depot.put("r1", a__txt="x", run__trk="t", run__frm="f")
    assert [one["id"] for one in depot.post("/r1/look")["workflows"]] == ["r1-count-1"]
    assert depot.post("/r1/look", expect=200)["workflows"] == []
    depot.put("r1", a__txt="changed")
    answer = depot.ask("POST", "/r1/look")  # a hook need not send a body
    assert answer.status_code == 201 and answer.json()["workflows"][0]["n"] == 2
    assert depot.ask("POST", "/r9/look").status_code == 404


# ---- who may
def test_nobody_and_who_may_not_are_refused(depot: Any) -> None:
    depot.put("r1", a__txt="x")
    depot.post("/r1/start")
    for method, path in (("POST", "/available"), ("POST", "/r1/start"), ("POST", "/r1/look"), ("GET", "/r1/list"),
                         ("GET", "/runs/r1-count-1"), ("GET", "/runs/r1-count-1/log"), ("POST", "/runs/r1-count-1/stop"),
                         ("GET", "/runs/r1-count-1/events"), ("POST", "/runs/r1-count-1/retry")):  # fmt: skip
        assert depot.ask(method, path, role="").status_code == 401, path
    for path in ("/r1/start", "/r1/all", "/r1", "/r1/look", "/runs/r1-count-1/stop", "/runs/r1-count-1/retry",
                 "/runs/r1-count-1/resubmit"):  # fmt: skip
        assert depot.ask("POST", path, role="viewer", json={}).status_code == 403, path
    assert depot.get("/r1/list", role="viewer")["items"][0]["id"] == "r1-count-1"


def test_workflows_are_told_to_nobody_who_is_not_known(make_depot: Callable[..., Any]) -> None:
    depot = make_depot(more='\n[access]\nanonymous = ["viewer"]\n')
    assert depot.refused("/available", {"files": [{"key": "a.txt"}]}, 401, role="")["code"] == "unauthorized"
    assert depot.get("/r1/list", role="") == {"items": [], "next": None}
    assert depot.ask("POST", "/r1/start", role="", json={}).status_code == 401


def test_what_may_not_be_viewed_is_not_there(make_depot: Callable[..., Any]) -> None:
    depot = make_depot(more='\n[access]\nauthorizer = "depositlab:Discreet"\n')
    depot.put("open", a__txt="x")
    depot.put("secret", a__txt="x")
    depot.site.start("compchem", "secret")
    hidden = depot.site.find("secret-count-1").id
    depot.post("/open/start")

    def told(method: str, path: str) -> Any:
        answer = depot.ask(method, path, json={} if method == "POST" else None)
        return answer.status_code, answer.text

    for method, path in (("GET", "/{}/list"), ("POST", "/{}/start"), ("POST", "/{}/look"), ("GET", "/runs/{}-count-1"),
                         ("POST", "/runs/{}-count-1/stop"), ("GET", "/runs/{}-count-1/log"),
                         ("GET", "/runs/{}-count-1/events")):  # fmt: skip
        assert told(method, path.format("secret")) == tuple(
            one.replace("absent", "secret") if isinstance(one, str) else one
            for one in told(method, path.format("absent"))
        )
        assert told(method, path.format("secret"))[0] == 404, path
    assert depot.ask("GET", f"/runs/{hidden}").status_code == 404
    assert depot.refused("/available", {"record": "secret"}, 404)["message"] == "there is no record 'secret'"


def test_the_page_of_records_has_the_latest_and_counts_what_may_be_viewed(
    make_depot: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records of one name in two repositories, of which somebody may view one; and more processings than are counted."""
    other = '\n[repositories.other]\nroot = "other"\nsettle = 0.0\n'
    more = f'{other}\n[pipelines.compchem.override.sources.pairs]\nrepository = "other"\n'
    (folder := make_depot(more=more)).put("r1", a__txt="x", b__txt="x")
    (folder.folder / "other" / "r1").mkdir(parents=True)
    for ending in ("trk", "frm"):
        (folder.folder / "other" / "r1" / f"a.{ending}").write_text("x")
    folder.put("r2", a__txt="x")
    folder.site.start("compchem", "r2", "count")
    folder.site.start("compchem", "r1", "count")
    folder.site.start("compchem", "r1", "pair-up", among=["other"])

    def page(hidden: str = "") -> list[tuple[str, str]]:
        asker: Any = SimpleNamespace(may=lambda _permission, item: item.kind != hidden)
        rows = re.findall(r"<tr data-row>.*?</tr>", told := pages.records(folder.site, asker))
        assert ("are shown and counted" in told) == (pages._MOST < 4)
        return [
            (re.findall(r"<bdi>(.*?)</bdi>", row)[0], re.findall(r">(\d+ [a-z]+)<", row)[0]) for row in rows
        ]

    assert page() == [("r1", "3 waiting"), ("r2", "1 waiting")]
    assert page("pair-up") == [("r1", "2 waiting"), ("r2", "1 waiting")]
    assert page("count") == [("r1", "1 waiting")]
    monkeypatch.setattr(pages, "_PAGE", 1)
    assert page() == [("r1", "3 waiting"), ("r2", "1 waiting")]
    monkeypatch.setattr(pages, "_MOST", 2)
    assert page() == [("r1", "2 waiting")]


HOSTILE = (
    "..", "%2e%2e", "%2e%2e%2fetc", "a%2fb", "%00", "a%00b", "x" * 10_000, "%ff%fe", "ünï", "a b", "'; DROP TABLE items;--",
    "%25", "{record}", "-1", "9" * 40, "٣", "..%5c..", "\u202e", "%0a", "%ed%a0%80", "runs", "available",
)  # fmt: skip


def test_hostile_names_are_not_found(depot: Any) -> None:
    for name in HOSTILE:
        for method, path in (("GET", f"/runs/{name}"), ("POST", f"/{name}/start"), ("POST", f"/runs/{name}/stop"),
                             ("GET", f"/runs/{name}/log"), ("POST", f"/{name}/look")):  # fmt: skip
            answer = depot.ask(method, path, json={} if method == "POST" else None)
            assert answer.status_code in (404, 405, 422), (path[:50], answer.status_code, answer.text)
        answer = depot.ask("GET", f"/{name}/list")
        assert answer.status_code in (404, 422) or answer.json()["items"] == [], name[:50]


# ---- the list
def test_the_list_has_the_newest_first_and_pages(depot: Any) -> None:
    depot.put("r1", a__txt="fine", b__txt="partial it", c__txt="garbage it", d__txt="broken", e__txt="x")
    depot.post("/r1/start")
    depot.run()
    depot.post("/r1/start", {"files": ["e.txt"]})
    ids, after, pages = [], 0, 0
    while after is not None:
        page = depot.get(f"/r1/list?limit=2&after={after}")
        ids += [one["id"] for one in page["items"]]
        after, pages = page["next"], pages + 1
    assert ids == [f"r1-count-{n}" for n in (6, 5, 4, 3, 2, 1)] and pages == 3
    assert depot.get("/r1/list")["next"] is None

    def found(status: str) -> list[str]:
        return [one["file"] for one in depot.get(f"/r1/list?status={status}")["items"]]

    assert found("Failed") == ["d.txt", "c.txt"]
    assert found("FAILURE,partial") == ["d.txt", "c.txt", "b.txt"]
    assert found("SUCCESS") == ["e.txt", "a.txt"]
    assert found("(Pending,Running)") == ["e.txt"]
    assert found("Stopped") == []
    page = depot.get("/r1/list?status=FAILURE&limit=1")
    assert page["items"][0]["file"] == "d.txt"
    assert depot.get(f"/r1/list?status=FAILURE&limit=1&after={page['next']}")["items"][0]["file"] == "c.txt"
    assert depot.ask("GET", "/r1/list?status=Lost").status_code == 422
    assert depot.ask("GET", "/r1/list?limit=0").status_code == 422
    assert depot.ask("GET", "/r1/list?after=x").status_code == 422


def test_a_page_costs_as_many_reads_however_long_it_is(depot: Any, monkeypatch: Any) -> None:
    folder = depot.put("r1")
    for n in range(40):
        (folder / f"f{n:02d}.txt").write_text(str(n))
    depot.post("/r1/start", {"name": "count"})
    reads: list[int] = []
    read = type(depot.site.catalog).read
    monkeypatch.setattr(type(depot.site.catalog), "read", lambda self: reads.append(1) or read(self))

    def cost(limit: int) -> int:
        reads.clear()
        assert len(depot.get(f"/r1/list?limit={limit}")["items"]) == limit
        return len(reads)

    assert cost(1) == cost(40)


# ---- acting
def test_retry_runs_only_what_failed(depot: Any) -> None:
    """Of the original: nothing could be tried again. Retry runs the failed step and what follows it."""
    folder = depot.put("r1", a__txt="broken x")
    depot.post("/r1/start")
    depot.run()
    told = depot.get("/runs/r1-count-1")
    assert (told["state"], told["phase"], told["status"]) == ("failed", "Failed", "FAILURE")
    assert told["sentence"] == (
        "parse: ValueError: the reader is broken: ünïcode <b>and markup</b>; try again, and if it fails once more, "
        "tell who operates the site"
    )
    assert told["steps"][2]["waits"] == "it waits for parse, which is failed"
    again = depot.post("/runs/r1-count-1/retry", {"why": "mended"}, 200)
    assert again["state"] == "running" and again["status"] is None
    depot.run()
    steps = [one["step"] for one in depot.get("/runs/r1-count-1")["attempts"]]
    assert steps == ["retrieve", "parse", "parse"]
    depot.post("/runs/r1-count-1/resubmit")
    taken = depot.refused("/runs/r1-count-1/retry", expect=409)
    assert taken["where"] == "r1-count-2" and "a.txt is in work for count" in taken["message"]
    assert (folder / "a.txt").read_text() == "broken x"


def test_what_cannot_be_tried_again_says_what_to_do(depot: Any) -> None:
    depot.put("r1", a__txt="fine", b__txt="garbage b.txt")
    depot.post("/r1/start")
    assert depot.refused("/runs/r1-count-1/retry", expect=409)["hint"].startswith("this goes on")
    depot.run()
    done = depot.refused("/runs/r1-count-1/retry", expect=409)
    assert (done["state"], done["hint"]) == ("done", "resubmit starts it anew")
    rejected = depot.refused("/runs/r1-count-2/retry", expect=409)
    assert rejected["state"] == "rejected" and "mend the file" in rejected["hint"]
    assert depot.get("/runs/r1-count-2")["sentence"] == ("b.txt: no program is known that writes such a file")
    for number, state in ((1, "done"), (2, "rejected")):
        assert depot.refused(f"/runs/r1-count-{number}/stop", expect=409)["state"] == state
    depot.put("r1", b__txt="fine, mended")
    assert depot.post("/runs/r1-count-2/resubmit")["id"] == "r1-count-3"


def test_resubmit_is_a_new_processing(depot: Any) -> None:
    depot.put("r1", a__txt="fine")
    depot.post("/r1/start")
    busy = depot.refused("/runs/r1-count-1/resubmit", expect=409)
    assert (busy["code"], busy["where"]) == ("busy", "r1-count-1")
    depot.run()
    again = depot.post("/runs/r1-count-1/resubmit")
    assert (again["id"], again["n"], again["state"]) == ("r1-count-2", 2, "waiting")
    assert depot.get("/runs/r1-count-1")["status"] == "SUCCESS"


def test_what_is_stopped_says_by_whom_and_goes_on_when_it_is_tried_again(depot: Any) -> None:
    depot.put("r1", a__txt="fine")
    depot.post("/r1/start")
    told = depot.post("/runs/r1-count-1/stop", {"why": "the wrong file"}, 200)
    assert (told["state"], told["phase"], told["status"]) == ("stopped", "Stopped", "FAILURE")
    assert told["sentence"].startswith("stopped by operator: the wrong file") and told["ended"]
    assert {one["state"] for one in told["steps"]} == {"stopped"}
    assert depot.get("/r1/list?status=Stopped")["items"][0]["id"] == "r1-count-1"
    depot.post("/runs/r1-count-1/retry", expect=200)
    depot.run()
    assert depot.get("/runs/r1-count-1")["status"] == "SUCCESS"


def _running(depot: Any) -> threading.Thread:
    thread = threading.Thread(target=lambda: depot.site.run(check=False, patience=0))
    thread.start()
    return thread


def test_what_is_stopped_ends_with_its_processes(make_depot: Callable[..., Any]) -> None:
    """Of the original: nothing could be stopped. Stopping ends the processes of the run."""
    depot = make_depot(executor="local")
    depot.put("r1", a__wait="x")
    depot.post("/r1/start")
    thread = _running(depot)
    try:
        depot.until(
            lambda: depot.get("/runs/r1-wait-1")["steps"][1]["state"] == "running" and _sleepers(depot)
        )
        with ThreadPoolExecutor(2) as pool:
            log = pool.submit(depot.stream, "/runs/r1-wait-1/log")
            events = pool.submit(depot.stream, "/runs/r1-wait-1/events")
            depot.until(lambda: len(depot.app.state.hub.streams) == 2)
            depot.post("/runs/r1-wait-1/stop", {"why": "enough"}, 200)
            logged, happened = log.result(20), events.result(20)
        assert [(one["step"], one["outcome"]) for name, _, one in logged if name == "step"][2:] == [
            ("poll", None),
            ("poll", "stopped"),
        ]
        assert happened[-1][0] == "end" and happened[-1][2]["phase"] == "Stopped"
        depot.until(lambda: not _sleepers(depot))
    finally:
        if thread.is_alive():
            depot.site.stop("r1-wait-1")
        thread.join()
    told = depot.get("/runs/r1-wait-1")
    assert told["phase"] == "Stopped" and told["attempts"][-1]["outcome"] == "stopped"


def _sleepers(depot: Any) -> list[int]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.cmdline()[:2] == ["sleep", "3600"]:
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_step_that_polls_for_ever_is_ended_by_its_time(make_depot: Callable[..., Any]) -> None:
    """Of the original: a loop polled for ever. A step has `resources.time`, and its end is told in a sentence."""
    depot = make_depot(executor="local", time="300 ms")
    depot.put("r1", a__wait="x")
    depot.post("/r1/start")
    depot.run()
    told = depot.get("/runs/r1-wait-1")
    assert told["status"] == "FAILURE" and told["state"] == "failed"
    assert "poll: " in told["sentence"] and "try again" in told["sentence"]
    assert not _sleepers(depot)


# ---- live
def test_the_log_of_a_processing_is_that_of_all_its_steps(depot: Any) -> None:
    depot.put("r1", a__txt="fine")
    depot.post("/r1/start")
    depot.run()
    told = depot.stream("/runs/r1-count-1/log")
    names = [(name, data.get("step"), data.get("outcome")) for name, _, data in told if name != "lines"]
    assert names == [
        ("step", "retrieve", None), ("step", "retrieve", "done"), ("step", "parse", None), ("step", "parse", "done"),
        ("step", "deliver", None), ("step", "deliver", "done"), ("end", None, None),
    ]  # fmt: skip
    text = "".join(data["text"] for name, _, data in told if name == "lines")
    assert "reading r1-count-1" in text and text.count("read\n") == 1
    assert told[-1][2]["status"] == "SUCCESS"
    place = next(number for name, number, _ in told if name == "lines")
    rest = depot.stream("/runs/r1-count-1/log", **{"Last-Event-ID": place})
    assert "lines" not in [name for name, _, _ in rest] and rest[0][2]["step"] == "parse"
    plain = depot.ask("GET", "/runs/r1-count-1/log", headers={"Accept": "text/plain"})
    assert plain.headers["content-type"].startswith("text/plain") and "== parse, run " in plain.text
    assert text in plain.text


def test_streams_end_soon_after_the_processing(make_depot: Callable[..., Any]) -> None:
    depot = make_depot()
    depot.put("r1", a__txt="fine")
    depot.post("/r1/start")
    with ThreadPoolExecutor(2) as pool:
        log = pool.submit(depot.stream, "/runs/r1-count-1/log")
        events = pool.submit(depot.stream, "/runs/r1-count-1/events")
        depot.run()
        logged, happened = log.result(20), events.result(20)
    assert logged[-1][0] == "end" and happened[-1][0] == "end"
    assert "reading r1-count-1" in "".join(data.get("text", "") for _, _, data in logged)
    types = [name for name, _, _ in happened]
    assert types.index("started") < types.index("end")
    assert {data["item"] for name, _, data in happened} == {depot.site.find("r1-count-1").id}
    after = happened[-2][1]
    assert [name for name, _, _ in depot.stream("/runs/r1-count-1/events", **{"Last-Event-ID": after})] == [
        "end"
    ]


def test_the_document_of_the_interface_has_the_routes(depot: Any) -> None:
    paths = depot.browser.get("/api/v1/openapi.json").json()["paths"]
    for path in ("/available", "/{record}/start", "/{record}/all", "/{record}", "/{record}/list", "/{record}/look",
                 "/runs/{id}", "/runs/{id}/stop", "/runs/{id}/retry", "/runs/{id}/resubmit", "/runs/{id}/log",
                 "/runs/{id}/events"):  # fmt: skip
        assert f"/api/v1/workflows{path}" in paths
