"""Explain: for every state that work can be in, on a real site: what it says, what is to be done, and the stable facts."""

import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plainpipe.site import make, notes, states

from towpath import Site
from towpath.app.session import Session
from towpath.base.states import Product as ProductState
from towpath.flow.explain import Reason, Why

PIPELINE = """
[pipeline]
name = "plain"
[sources.asked]
kind = "submit"
item = "note"
[sources.told]
kind = "submit"
item = "case"
[sources.raw]
kind = "submit"
item = "copied"
type = "plain/raw"
[sources.folder]
kind = "folder"
item = "scan"
pattern = "{key}_{part:d}.txt"
part = "{part}"
complete = 3
timeout = "1 h"
on_timeout = "process"
settled = "rename"
type = "plain/raw"
[items.note]
route = "write -> (hash, pair) -> publish"
[items.note.publish]
publish = "manual"
[items.several]
group = { of = "note", at = "hash", size = 3, key = "all", order_by = "key" }
route = "collect"
[items.case]
route = "trouble -> hash"
[items.case.stages.trouble]
attempts = 3
backoff = "1 h"
[items.case.stages.hash]
uses = "plain.Hash"
[items.copied]
route = "copy -> check -> hash"
[items.copied.stages.check]
kind = "qualify"
rules = [ { name = "enough files", measure = "n_files", op = ">=", limit = 2, fail = "hold" } ]
[items.scan]
route = "look"
[items.scan.stages.look]
kind = "qualify"
rules = [ { name = "few files", measure = "n_files", op = "<", limit = 2, fail = "reject" } ]
"""


@pytest.fixture
def site(tmp_path: Path):
    make(tmp_path, PIPELINE, executor="inline")
    with Site.open(tmp_path) as site:
        yield site


def reasons(site: Site, name: str, stage: str) -> dict[str, Reason]:
    """The reasons by their codes."""
    return {reason.code.value: reason for reason in site.explain(name, stage)[0].reasons}


def only(site: Site, name: str, stage: str, code: Why) -> Reason:
    """The one reason there is."""
    found = reasons(site, name, stage)
    assert list(found) == [code.value], found
    return found[code.value]


def case(site: Site, key: str, **attributes: Any) -> None:
    site.submit("case", [{"key": key, "attributes": attributes}])


# ---- waiting


def test_it_waits_for_earlier_stages_and_says_which_and_why(site: Site):
    case(site, "a", does="fail")
    told = only(site, "a", "hash", Why.STAGE)
    assert told.text == "it waits for trouble, which is ready"
    assert told.do == "`towpath explain case/a trouble` says more"
    site.run()
    told = only(site, "a", "hash", Why.STAGE)
    assert told.text == "it waits for trouble, which is failed (ValueError: it cannot be)"
    assert told.facts == {"stage": "trouble", "state": "failed", "note": "ValueError: it cannot be"}


def test_a_group_says_how_many_members_it_lacks(site: Site):
    site.submit("note", [{"key": "a"}])
    site.run()
    told = only(site, "several/all", "collect", Why.GATHER)
    assert told.text == (
        "it waits until the item is complete: 1 of 3 members (each a note that has passed hash) are here"
    )
    assert "towpath release several/all --stage @gather --accept" in told.do
    assert told.facts["have"] == 1 and told.facts["need"] == 3 and told.facts["until"] is None
    assert only(site, "several/all", "@gather", Why.GATHER) == told


def test_an_item_of_files_says_what_it_lacks_and_until_when(site: Site):
    (site.folder / "incoming" / "x_1.txt").write_text("1\n")
    site.run(patience=0.5)
    told = only(site, "scan/x", "look", Why.GATHER)
    assert told.text.startswith("it waits until the item is complete: 1 of 3 files are here; at 2")
    assert told.text.endswith("it is worked on as it is")
    assert told.facts["until"] and told.facts["then"] == "process"


def test_members_that_must_pass_their_stage_again_are_named(site: Site):
    site.submit("note", [{"key": key} for key in "abc"])
    site.run()
    assert states(site, "several/all")["collect"] == "done"
    site.hold("note/b", "hash", why="doubt")
    assert states(site, "several/all")["collect"] == "done"
    site.rerun("note/c", "hash")
    told = reasons(site, "several/all", "collect")
    assert told["member"].text.startswith("it waits for members that have not passed hash: ")
    assert "c (ready)" in told["member"].text
    assert told["member"].facts["stage"] == "hash"


def test_a_missing_input_is_named_with_what_mends_it(site: Site):
    site.submit("copied", [{"key": "a"}])
    site.run()
    told = only(site, "a", "copy", Why.INPUT)
    assert told.text == "input raw: no product of type 'plain/raw' yet"
    assert told.do == "put the file back, or submit the item with it"
    assert told.facts == {"input": "raw", "type": "plain/raw"}


def test_an_input_that_was_changed_is_named(site: Site):
    case(site, "a")
    site.run()
    (product,) = [one for one in site.show("a").products if one.stage == "trouble"]
    site.place(product).write_text("other")
    site.rerun("a", "hash")
    site.check()
    told = reasons(site, "a", "hash")
    assert told["input"].text == f"input text: store:{product.path} is changed"
    assert "towpath adopt case/a trouble" in told["input"].do


# ---- ready


def test_ready_work_without_a_daemon_says_that_none_is_running(site: Site):
    site.submit("note", [{"key": "a"}])
    told = only(site, "note/a", "write", Why.IDLE)
    assert "no `towpath run` is running" in told.text and told.do == "start `towpath run`"
    with site.serving():  # a server takes none
        only(site, "note/a", "write", Why.IDLE)


def test_ready_work_says_how_many_go_before_it_and_who_is_busy(site: Site):
    site.submit("note", [{"key": f"n{number}"} for number in range(6)])
    session = Session(site.catalog, site.folder / ".towpath" / "sessions", attributable=True)
    kind = site.definitions["plain"].kinds["note"]
    site.catalog.write(lambda tx: tx.claim(kind, kind.stages["write"], 2, lease=60, owner=session.number))
    told = only(site, "n4", "write", Why.QUEUE)
    assert (
        told.text == "it is ready: 2 of its queue go before it, and 2 runs go on (2 of this queue) on 1 cores"
    )
    facts = {"ahead": 2, "running": 2, "running_in_all": 2, "workers": 1, "cores": 1}
    assert told.facts == facts
    work = site.show("n5").work[0].id
    site.catalog.write(lambda tx: tx.set_priority([work], 5))
    assert "nothing of its queue is before it" in only(site, "n5", "write", Why.QUEUE).text
    assert only(site, "n4", "write", Why.QUEUE).facts["ahead"] == 3
    session.close()


def test_work_that_is_tried_again_says_when_and_why(site: Site):
    case(site, "a", does="transient", times=5)
    site.run(patience=0.0)
    told = reasons(site, "a", "trouble")["later"]
    assert "it is tried again at 2" in told.text and "attempt 2 of 3: the disk is away, time 1" in told.text
    assert (told.facts["attempts"], told.facts["of"]) == (1, 3)


def test_no_room_on_disk_is_told_and_nothing_begins(site: Site):
    with Site.open(site.folder, overrides=["retention.free=900000 TB"]) as full:
        case(full, "a")
        summary = full.run(patience=0.0)
        assert "less than the 900000000.00 GB of retention.free" in summary.ended
        told = full.status().no_room
        assert told is not None and not summary.runs
        assert re.sub(r"has \S+ GB", "", told) == re.sub(
            r"has \S+ GB", "", summary.ended
        )  # others write to it
        told = reasons(full, "a", "trouble")
        assert "it is ready, but the store's disk has" in told["disk"].text
    site.run()
    assert states(site, "a")["hash"] == "done"


# ---- running


def claimed(site: Site, key: str, owner: int, lease: float = 60.0) -> None:
    case(site, key)
    kind = site.definitions["plain"].kinds["case"]
    site.catalog.write(lambda tx: tx.claim(kind, kind.stages["trouble"], 1, lease=lease, owner=owner))


def test_running_work_names_host_process_session_lease_and_progress(site: Site):
    session = Session(site.catalog, site.folder / ".towpath" / "sessions", attributable=True)
    claimed(site, "a", session.number)
    run = (site.show("a").work[0].id, 1)
    site.catalog.write(lambda tx: tx.heartbeat([run], 60, {run[0]: (0.25, "half of half", "")}))
    told = only(site, "a", "trouble", Why.RUNNING)
    assert f"held by process {os.getpid()} on {session.host} until 2" in told.text
    assert "since 2" in told.text and "25% done: half of half" in told.text
    assert told.facts["alive"] is True and told.facts["session"] == str(session.number)
    assert told.do == "`towpath log --follow case/a:trouble`"
    site.catalog.write(lambda tx: tx.revise([run[0]], "a test"))
    assert "does not count as done" in reasons(site, "a", "trouble")["outdated"].text
    session.close()


def test_a_dead_process_is_told_before_its_lease_ends(site: Site):
    session = Session(site.catalog, site.folder / ".towpath" / "sessions", attributable=True)
    claimed(site, "a", session.number)
    session._file.close()  # as a kill does
    told = only(site, "a", "trouble", Why.LOST)
    assert "its process is dead, so the next free worker takes it (death 1 of 4)" in told.text
    assert told.facts["alive"] is False


def test_an_expired_lease_and_another_host_are_told(site: Site):
    far = site.catalog.write(lambda tx: tx.open_session("far", 4711, "/none", attributable=False))
    claimed(site, "a", far)
    told = only(site, "a", "trouble", Why.RUNNING)
    assert "process 4711 on far" in told.text and "on another host" in told.text
    assert told.facts["alive"] is None
    claimed(site, "b", far, lease=-1.0)
    assert "its lease has ended" in only(site, "b", "trouble", Why.LOST).text


# ---- held


def test_a_rule_that_holds_is_named_with_value_and_limit(site: Site):
    raw = site.folder / "incoming" / "a.txt"
    raw.write_text("text\n")
    site.submit("copied", [{"key": "a", "files": [raw]}])
    site.run()
    told = only(site, "a", "check", Why.RULE)
    assert told.text == "it is held by rule 'enough files': n_files is 1, must be >= 2"
    assert "towpath release copied/a --stage check --accept" in told.do
    facts = {"rule": "enough files", "measure": "n_files", "value": 1, "op": ">=", "limit": 2, "unit": ""}
    assert told.facts == facts


def test_a_person_who_holds_is_named(site: Site):
    case(site, "a")
    site.hold("a", "trouble", why="the camera is warm")
    told = only(site, "a", "trouble", Why.PERSON)
    assert told.text.startswith("it is held by ") and told.text.endswith(": the camera is warm")
    assert told.facts["who"] and told.do == "`towpath release case/a --stage trouble`"


def test_a_time_out_that_holds_is_told(tmp_path: Path):
    pipeline = PIPELINE.replace('timeout = "1 h"\non_timeout = "process"', 'timeout = "10 ms"')
    make(tmp_path, pipeline, executor="inline")
    with Site.open(tmp_path) as site:
        (tmp_path / "incoming" / "x_1.txt").write_text("1\n")
        site.run()
        time.sleep(0.02)
        site.run()
        told = only(site, "x", "@gather", Why.TIMEOUT)
        assert told.text.startswith("it is held: time-out: 1 of 3")
        assert "--accept" in told.do
        assert only(site, "x", "look", Why.STAGE).text.startswith("it waits for the item to be complete")


def test_a_publication_that_waits_for_a_person_says_so(site: Site):
    site.submit("note", [{"key": "a"}])
    site.run()
    told = reasons(site, "note/a", "publish")
    assert told["approval"].do == "`towpath publish note/a` lets it go on"
    assert told["publication"].facts["state"] == "intended"
    site.publish("note/a")
    site.run()
    told = reasons(site, "note/a", "publish")
    assert list(told) == ["done", "publication"]
    assert told["publication"].text == "its publication to archive:plain/note/a is released"


def test_a_conflict_in_the_archive_is_told(site: Site):
    (site.folder / "archive" / "plain" / "note" / "a").mkdir(parents=True)
    (site.folder / "archive" / "plain" / "note" / "a" / "theirs").write_text("x")
    site.submit("note", [{"key": "a"}])
    site.run()
    site.publish("note/a")
    site.run()
    told = reasons(site, "note/a", "publish")
    assert told["failed"].do == "mend the cause, then `towpath publish note/a --retry`"
    assert told["publication"].facts["state"] == "conflict"
    assert "look at what stands there" in told["publication"].do


# ---- ended


def test_a_rejection_tells_the_reasons(site: Site):
    case(site, "a", does="reject")
    site.run()
    told = only(site, "a", "trouble", Why.REJECTED)
    assert told.text == "it is rejected: too dark; too short"
    assert told.do.startswith("nothing: it is a result")


def test_a_rejection_by_rule_tells_the_evidence(site: Site):
    for number in (1, 2, 3):
        (site.folder / "incoming" / f"x_{number}.txt").write_text(f"{number}\n")
    site.run()
    told = reasons(site, "scan/x", "look")
    assert list(told) == ["rejected", "rule"]
    assert told["rule"].text == "rule 'few files': n_files is 3, must be < 2"


def test_a_failure_tells_error_and_attempts(site: Site):
    case(site, "a", does="fail")
    site.run()
    told = only(site, "a", "trouble", Why.FAILED)
    assert told.text == "it is failed: ValueError: it cannot be"
    assert "towpath log case/a:trouble" in told.do and "towpath retry case/a --stage trouble" in told.do
    assert told.facts == {"error": "ValueError: it cannot be", "attempts": 1, "of": 3}


def test_used_up_attempts_are_counted(tmp_path: Path):
    make(tmp_path, PIPELINE.replace('backoff = "1 h"', 'backoff = "10 ms"'), executor="inline")
    with Site.open(tmp_path) as site:
        case(site, "a", does="transient", times=9)
        site.run()
        assert only(site, "a", "trouble", Why.FAILED).text.endswith("(after 3 attempts)")


def test_poisoned_work_tells_its_deaths(site: Site):
    kind = site.definitions["plain"].kinds["case"]
    case(site, "a")
    for _ in range(5):
        site.catalog.write(lambda tx: tx.claim(kind, kind.stages["trouble"], 1, lease=-1.0, owner=0))
    told = only(site, "a", "trouble", Why.POISONED)
    assert "its worker died 4 times" in told.text and told.facts["deaths"] == 4
    assert "towpath retry case/a --stage trouble" in told.do


def test_who_stopped_it_is_told(site: Site):
    case(site, "a")
    site.stop("a", "trouble", why="no longer wanted")
    told = only(site, "a", "trouble", Why.STOPPED)
    assert told.text.startswith("it is stopped by ") and told.text.endswith(": no longer wanted")


def test_work_whose_stage_left_the_route_is_retired(site: Site):
    case(site, "a")
    site.run()
    file = site.folder / "plain.toml"
    file.write_text(PIPELINE.replace('route = "trouble -> hash"', 'route = "trouble"').replace(
        '[items.case.stages.hash]\nuses = "plain.Hash"\n', ""))  # fmt: skip
    with Site.open(site.folder) as again:
        again.apply()
        told = only(again, "a", "hash", Why.RETIRED)
        assert told.text == "it is retired: left the route"


# ---- done, and what no longer stands


def test_finished_work_names_the_component_that_changed_from_what_to_what(site: Site):
    case(site, "a")
    site.run()
    assert list(reasons(site, "a", "hash")) == ["done"]
    file = site.folder / "plain.toml"
    file.write_text(PIPELINE.replace('uses = "plain.Hash"', 'uses = "plain.Hash"\nparams = { length = 8 }'))
    with Site.open(site.folder) as again:
        told = reasons(again, "a", "hash")
        assert list(told) == ["done", "changed"]
        assert told["changed"].text == "since its last run these changed: params.length: 64 -> 8"
        assert told["changed"].do.startswith("`towpath apply --write`")
        assert told["changed"].facts == {"components": ["params.length"]}
        again.apply()
        told = reasons(again, "a", "hash")
        assert list(told) == ["idle", "revised", "changed"]
        assert told["revised"].text == "it is to run again: the pipeline file changed"


def test_finished_work_says_that_its_product_was_changed_or_is_missing(site: Site):
    case(site, "a")
    site.run()
    product = next(one for one in site.show("a").products if one.stage == "hash")
    site.place(product).write_text("other")
    site.check()
    told = reasons(site, "a", "hash")["product"]
    assert told.text == f"its product store:{product.path} is changed"
    assert "towpath adopt case/a hash" in told.do and told.facts["state"] == "changed"
    site.catalog.write(lambda tx: tx.mark([product.id], ProductState.MISSING))
    assert reasons(site, "a", "hash")["revised"].text.endswith(f"{product.path} is missing")


def test_an_item_that_no_group_has_taken_says_why(tmp_path: Path):
    pipeline = PIPELINE.replace(
        'at = "hash", size = 3, key = "all"', 'at = "hash", by = "set", size = 3, key = "all"'
    )
    make(tmp_path, pipeline, executor="inline")
    with Site.open(tmp_path) as site:
        site.submit("note", [{"key": "a"}, {"key": "b", "attributes": {"set": "x"}}])
        site.run()
        told = reasons(site, "note/a", "hash")
        assert list(told) == ["done", "ungrouped"]
        assert told["ungrouped"].text.startswith(
            "no several has taken it yet: cannot be grouped as several: it has no"
        )
        assert told["ungrouped"].facts["kind"] == "several"
        assert list(reasons(site, "note/b", "hash")) == ["done"]


def test_work_that_was_asked_for_again_says_that_nothing_changed(site: Site):
    case(site, "a")
    site.run()
    site.rerun("a", "trouble", why="doubt")
    told = reasons(site, "a", "trouble")
    assert list(told) == ["idle", "revised", "unchanged"]
    assert told["revised"].text == "it is to run again: doubt"
    assert list(reasons(site, "a", "hash")) == ["stage", "unchanged"]


def test_a_row_that_was_not_looked_at_again_is_not_explained_away(site: Site):
    """Whatever state the catalog is in, something is said."""
    case(site, "a")
    work = site.show("a").work[0].id
    site.catalog.write(
        lambda tx: tx.cursor.execute("UPDATE work SET state = 'waiting' WHERE id = ?", (work,))  # type: ignore[attr-defined]
    )
    assert "all that it needs is there" in only(site, "a", "trouble", Why.LOOK).text


def test_events_that_were_pruned_take_no_reason_away(site: Site):
    case(site, "a")
    site.hold("a", "trouble", why="wait")
    site.stop("a", "hash", why="enough")
    site.catalog.write(lambda tx: tx.prune_events(time.time() + 1, limit=1000))
    assert only(site, "a", "trouble", Why.PERSON).text == "it is held: wait"
    assert only(site, "a", "hash", Why.STOPPED).text == "it is stopped: enough"


def test_every_code_is_documented():
    page = Path(__file__).resolve().parents[2] / "docs" / "howto" / "why-it-did-not-run.md"
    text = page.read_text(encoding="utf-8")
    assert not [code.value for code in Why if f"`{code.value}`" not in text]


def test_a_reason_is_a_value(site: Site):
    site.submit("note", notes(1))
    found = site.explain("n000-0", "write")[0]
    assert replace(found, item="") != found
    assert found.sentences == tuple(reason.text for reason in found.reasons)
