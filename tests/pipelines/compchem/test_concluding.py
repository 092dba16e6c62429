"""What came of a processing, from rows: its state, status and sentence."""

from collections.abc import Sequence
from typing import Any

import pytest

from towpath import Event, Item, Measure, Product, Run
from towpath.base.model import WorkRow
from towpath.base.states import Outcome, Work
from towpath.pipelines.compchem.concluding import (
    OVER,
    PHASES,
    Known,
    concluded,
    plain_error,
    processing,
    result_name,
    standing,
)
from towpath.pipelines.compchem.shapes import ProcessingDetails

STEPS = ("retrieve", "parse", "preview", "deliver")
BEGAN = 1_700_000_000.0
FILES = {
    "frame": {"key": "run.frm", "size": 5, "checksum": "md5:ab"},
    "track": {"key": "run.trk", "size": 7, "checksum": ""},
}
ITEM = Item(
    "compchem", "pair-up", "a-b-pair-up-3",
    {"record": "a-b", "n": 3, "file": "run.trk", "files": FILES, "by": "ann", "why": "run.trk ends in .trk"},
    id=9, registered=BEGAN,
)  # fmt: skip


def rows(*states: str, **more: Any) -> list[WorkRow]:
    """The steps in these states; those that have begun began one second after another."""
    return [
        WorkRow(
            number + 1, 9, STEPS[number], Work(state), token=1,
            began=0.0 if state in ("waiting", "ready") else BEGAN + number, **more.get(STEPS[number], {}),
        )
        for number, state in enumerate(states)
    ]  # fmt: skip


def run(step: str, outcome: str = "done", token: int = 1, **more: Any) -> Run:
    """A run of a step that took two seconds."""
    number = STEPS.index(step) + 1
    return Run(number, token, 9, step, Outcome(outcome), BEGAN + number + 10 * token, 2.0, **more)


def known(works: Sequence[WorkRow], *runs: Run, **more: Any) -> Known:
    """The rows of the item."""
    return Known(ITEM, works, runs, now=BEGAN + 100, **more)


@pytest.mark.parametrize(
    ("states", "expected", "phase"),
    [
        (("ready", "waiting"), "waiting", "Pending"),
        (("waiting", "waiting"), "waiting", "Pending"),
        (("running", "waiting"), "running", "Running"),
        (("done", "ready"), "running", "Running"),  # between two steps
        (("done", "waiting"), "running", "Running"),
        (("done", "done"), "done", "Succeeded"),
        (("done", "retired", "done"), "done", "Succeeded"),
        (("done", "rejected", "waiting"), "rejected", "Failed"),
        (("done", "failed", "waiting"), "failed", "Failed"),
        (("done", "poisoned", "waiting"), "error", "Error"),
        (
            ("done", "failed", "running", "waiting"),
            "running",
            "Running",
        ),  # one branch failed, the other goes on
        (("done", "held", "waiting"), "held", "Held"),
        (("done", "stopped", "stopped"), "stopped", "Stopped"),
        (("done", "failed", "stopped"), "failed", "Failed"),
    ],
)
def test_the_state_of_a_processing_is_that_of_its_steps(
    states: tuple[str, ...], expected: str, phase: str
) -> None:
    assert standing(rows(*states)) == expected
    assert PHASES[expected] == phase
    status, sentence = concluded(known(rows(*states)))
    assert (status is not None) == (expected in OVER)
    assert sentence


def test_success_says_what_the_step_says() -> None:
    works = rows("done", "done")
    assert concluded(known(works, run("retrieve"), run("parse"))) == (
        "SUCCESS", "all 2 steps are done, with 0 results",
    )  # fmt: skip
    said = run("parse", measures=(Measure("sentence", "12 energies were read"), Measure("status", "SUCCESS")))
    assert concluded(known(works, run("retrieve"), said)) == ("SUCCESS", "12 energies were read")


def test_a_caveat_makes_it_partial_and_is_the_sentence() -> None:
    works = rows("done", "done", "done")
    cut = run("parse", caveats=("the last step is cut off", "no frequencies"))
    assert concluded(known(works, run("retrieve"), cut, run("preview"))) == (
        "PARTIAL", "the last step is cut off; no frequencies",
    )  # fmt: skip
    poor = run("preview", caveats=("no picture: it has no atoms",), measures=(Measure("status", "FAILURE"),))
    assert concluded(known(works, run("retrieve"), run("parse"), poor)) == (
        "PARTIAL",
        "no picture: it has no atoms",
    )
    fine = run("preview", measures=(Measure("sentence", "a picture was drawn"),))
    assert (
        concluded(known(works, run("retrieve"), cut, fine))[1] == "the last step is cut off; no frequencies"
    )


def test_a_step_may_say_itself_how_far_it_came() -> None:
    works = rows("done", "done")
    for status in ("PARTIAL", "FAILURE"):
        said = run(
            "parse", measures=(Measure("status", status), Measure("sentence", "only the box was read"))
        )
        assert concluded(known(works, run("retrieve"), said)) == (status, "only the box was read")
    parse = run("parse", measures=(Measure("sentence", "Read by cclib."),))
    drawn = run("preview", measures=(Measure("sentence", "a picture was drawn"),))
    told = concluded(known(rows("done", "done", "done"), run("retrieve"), parse, drawn))[1]
    assert told == "Read by cclib. a picture was drawn"
    odd = run("parse", measures=(Measure("status", "excellent"),))
    assert concluded(known(works, run("retrieve"), odd))[0] == "SUCCESS"


def test_only_the_run_that_made_what_is_there_counts() -> None:
    first, second = run("parse", "transient", 1, reasons=("away",)), run("parse", token=2)
    assert concluded(known(rows("done", "done"), run("retrieve"), first, second))[0] == "SUCCESS"
    first = run("parse", token=1, caveats=("cut off",))
    assert concluded(known(rows("done", "done"), run("retrieve"), first, second))[0] == "SUCCESS"


def test_what_does_not_qualify_says_why_and_what_to_do() -> None:
    bad = run("parse", "rejected", reasons=("it is a PDF", "expected an output of ORCA"))
    status, sentence = concluded(known(rows("done", "rejected", "waiting"), run("retrieve"), bad))
    assert (status, sentence) == (
        "FAILURE",
        "it is a PDF; expected an output of ORCA",
    )


TRACEBACK = 'Traceback (most recent call last):\n  File "/opt/x.py", line 3, in run\n    raise ValueError\nValueError: no atoms\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TRACEBACK, "ValueError: no atoms"),
        (f"it ended with exit code 1\n{TRACEBACK}", "ValueError: no atoms"),
        ("first line\nsecond line", "first line"),
        ("", ""),
        ("\n \n", ""),
        ("x" * 5000, "x" * 999 + "…"),
    ],
)
def test_no_traceback_is_part_of_a_sentence(text: str, expected: str) -> None:
    assert plain_error(text) == expected
    bad = run("parse", "failed", error=text)
    told = processing(known(rows("done", "failed", "waiting"), run("retrieve"), bad), attempts=True)
    assert "Traceback" not in str(told) and "/opt" not in str(told)
    assert told["sentence"].endswith("try again, and if it fails once more, tell who operates the site")


def test_what_killed_its_process_says_so() -> None:
    works = rows("done", "poisoned", parse={"note": "killed by signal 9", "deaths": 3})
    told = processing(known(works, run("retrieve"), run("parse", "lost")))
    assert (told["state"], told["phase"], told["status"]) == ("failed", "Error", "FAILURE")
    assert "killed by signal 9" in told["sentence"] and "more time or memory" in told["sentence"]


def test_who_stopped_it_is_told() -> None:
    event = Event(5, BEGAN + 20, "stopped", 9, "parse", data={"who": "ann", "why": "the wrong file"})
    told = processing(known(rows("done", "stopped", "stopped"), run("retrieve"), stopped=event))
    assert told["sentence"] == "stopped by ann: the wrong file; try again to go on where it was stopped"
    assert told["ended"] == "2023-11-14T22:13:40.000Z" and told["elapsed"] == 20.0
    pruned = processing(known(rows("done", "stopped", parse={"note": "enough"}), run("retrieve")))
    assert pruned["sentence"].startswith("stopped: enough")


def test_why_a_step_waits_is_told() -> None:
    works = rows(
        "ready", "waiting", "waiting", retrieve={"due": BEGAN + 160, "note": "the repository is away"}
    )
    befores = {"retrieve": (), "parse": ("retrieve",), "preview": ("retrieve", "parse")}
    steps = processing(known(works, befores=befores))["steps"]
    assert [one["waits"] for one in steps] == [
        "it is tried again at 2023-11-14T22:16:00.000Z: the repository is away",
        "it waits for retrieve, which is ready",
        "it waits for retrieve, which is ready; it waits for parse, which is waiting",
    ]
    assert processing(known(rows("ready", "waiting")))["sentence"] == "it waits for its turn"


def test_all_that_a_panel_shows_is_told() -> None:
    picture = Product(
        9,
        "preview",
        "picture",
        "",
        "image/png",
        "store",
        "x/a-b-pair-up-3.1/ir.PNG",
        10,
        0,
        b"",
        run=(3, 1),
        id=4,
    )
    tree = Product(
        9,
        "parse",
        "all",
        "",
        "tree",
        "store",
        "x/a-b-pair-up-3.1.all.csv",
        10,
        0,
        b"",
        True,
        run=(2, 1),
        id=5,
    )
    given = Product(
        9, "retrieve", "track", "", "deposit/track", "store", "x/a.1.run.trk", 10, 0, b"", run=(1, 1), id=3
    )
    works = rows("done", "done", "running", "waiting", preview={"progress": 0.25, "note": "drawing"})
    told = processing(
        known(works, run("retrieve", log="a:0:5"), run("parse", "transient"), run("parse", token=2),
              products=[given, picture, tree], title="Pairs"),
        attempts=True,
    )  # fmt: skip
    assert ProcessingDetails(**told).model_dump() == told
    assert [(one["role"], one["key"]) for one in told["files"]] == [
        ("track", "run.trk"),
        ("frame", "run.frm"),
    ]
    assert [one["name"] for one in told["results"]] == ["ir.PNG", "all.csv"]
    assert [one["preview"] for one in told["results"]] == ["/api/v1/products/4/preview", None]
    step = told["steps"][2]
    assert (step["run"], step["fraction"], step["note"], step["attempts"]) == ("3.1", 0.25, "drawing", 1)
    assert step["seconds"] == 98.0 and told["steps"][1]["attempts"] == 2 and told["elapsed"] == 100.0
    assert told["sentence"] == "preview runs: drawing" and told["status"] is None and told["ended"] is None
    assert [one["log"] for one in told["attempts"]] == [True, False, False]


def test_a_result_is_called_as_its_step_called_it() -> None:
    def name(path: str) -> str:
        return result_name(Product(9, "parse", "o", "", "t", "store", path, 1, 0, b"", run=(2, 17)))

    assert name("compchem/x/key.17/facts.json") == "facts.json"
    assert name("compchem/x/a.17b.17.facts.v2.json") == "facts.v2.json"
    assert name("compchem/x/other") == "other"
