"""Qualify, Assess and Snapshot as stages: measures, verdicts and outcomes, run as an executor runs them."""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from towpath.adapters.executors.attempt import Attempts, NoLog
from towpath.base.errors import Reject, Transient
from towpath.base.model import StepRecord
from towpath.base.states import Outcome
from towpath.contracts.executor import Batch, Report, Task
from towpath.contracts.judging import Judging, measure
from towpath.contracts.stage import Context, Many, One, Record
from towpath.flow.assess import Assess, Snapshot
from towpath.flow.qualify import Qualify


@measure(unit="mGal", consumes={"table": One("table/csv", optional=True)})
def rms(context: Context) -> float:
    return float(context.inputs["record"]["attributes"]["rms"])


@measure()
def broken(context: Context) -> float:
    raise ValueError("no rows")


@measure()
def unavailable(context: Context) -> float:
    raise Transient("the server is away", after=5)


@measure()
def listing(context: Context) -> Any:
    return [1, 2]


@measure()
def endless(context: Context) -> float:
    return float("nan")


class Scalar:
    """As a numpy number behaves: it has `item`."""

    def item(self) -> float:
        return 2.5


@measure()
def scalar(context: Context) -> Any:
    return Scalar()


@measure(consumes={"table": Many("table/csv")})
def contrary(context: Context) -> float:
    return 0.0


MEASURES = (rms, broken, unavailable, listing, endless, scalar, contrary)
RECORD = {
    "key": "south",
    "attributes": {"rms": 12.3},
    "files": 16,
    "members": ["a", "b"],
    "measures": {"reduce": {"coverage": 0.5, "kept": 3}, "grid": {"coverage": 0.7}},
}


def params(*rules: Mapping[str, Any], upstream: Sequence[str] = ()) -> dict[str, Any]:
    named = {found.name: {"target": found.target} for found in MEASURES}
    wanted = {rule["measure"] for rule in rules}
    return {
        "rules": list(rules),
        "measures": {name: target for name, target in named.items() if name in wanted},
        "upstream": list(upstream),
    }


def run(
    given: Mapping[str, Any], stage: type[Judging] = Qualify, record: Mapping[str, Any] = RECORD
) -> Report:
    """One run in this process, by the code that every executor uses."""
    attempts = Attempts("test", NoLog(), lambda progress: None)
    target = f"{stage.__module__}:{stage.__qualname__}"
    batch = Batch("gam", "survey", "qualify", target, given, {}, frozenset({"table"}), ())
    return attempts.run(
        attempts.prepare(batch), Task(1, 1, "south", "nowhere/south", values={"record": record})
    )


def test_what_passes_is_done_with_its_verdict_measures_and_seconds() -> None:
    report = run(params({"measure": "rms", "op": "<=", "limit": 20, "unit": "mGal"}))
    assert report.outcome is Outcome.DONE
    assert [(m.name, m.value, m.unit) for m in report.measures] == [("rms", 12.3, "mGal")]
    assert report.steps[0].name == "measure rms" and report.steps[0].seconds >= 0
    assert report.verdict == {
        "result": "pass",
        "rules": [
            {
                "rule": "rms", "measure": "rms", "value": 12.3, "op": "<=", "limit": 20, "result": "pass", "unit": "mGal",
                "action": "",
            }
        ],
    }  # fmt: skip


def test_a_rule_that_rejects_says_so_with_a_sentence_each() -> None:
    report = run(
        params(
            {"measure": "rms", "op": "<=", "limit": 10, "fail": "reject"},
            {"measure": "n_files", "op": "==", "limit": 15, "fail": "reject", "name": "all files"},
            {"measure": "n_members", "op": ">", "limit": 5, "fail": "hold"},
        )
    )
    assert report.outcome is Outcome.REJECTED
    assert report.reasons == ("rms 12.3 mGal: must be <= 10", "all files 16: must be == 15")
    assert report.verdict is not None and report.verdict["result"] == "reject"


def test_a_rule_that_holds_holds_and_one_that_warns_is_a_caveat() -> None:
    held = run(params({"measure": "rms", "op": "<=", "limit": 10}))
    assert held.outcome is Outcome.HELD
    warned = run(params({"measure": "rms", "op": "<=", "limit": 10, "fail": "warn"}))
    assert warned.outcome is Outcome.DONE
    assert warned.caveats == ("rms 12.3 mGal: must be <= 10",)
    assert warned.verdict is not None and warned.verdict["result"] == "warn"


def test_a_measure_that_fails_is_a_failed_rule_and_the_others_are_judged() -> None:
    report = run(
        params(
            {"measure": "broken", "op": "<=", "limit": 10, "fail": "warn"},
            {"measure": "listing", "op": "<=", "limit": 10, "fail": "warn"},
            {"measure": "endless", "op": "<=", "limit": 10, "fail": "warn"},
            {"measure": "rms", "op": "<=", "limit": 20},
        )
    )
    assert report.outcome is Outcome.DONE
    assert report.caveats == (
        "broken not measured: ValueError: no rows",
        "listing not measured: TypeError: a measure is one number or text, not a list",
        "endless nan: must be <= 10",
    )
    assert {m.name: m.value for m in report.measures} == {"endless": None, "rms": 12.3}
    json.dumps(report.verdict, allow_nan=False)


def test_a_measure_may_ask_to_be_tried_again() -> None:
    report = run(params({"measure": "unavailable", "op": "<=", "limit": 10}))
    assert (report.outcome, report.after) == (Outcome.TRANSIENT, 5)


def test_the_nearest_stage_that_recorded_a_measure_counts() -> None:
    rules = [{"measure": "coverage", "op": "==", "limit": 0.7}, {"measure": "kept", "op": "==", "limit": 3}]
    assert run(params(*rules, upstream=["grid", "reduce"]), Assess).outcome is Outcome.DONE
    assert run(params(*rules, upstream=["reduce", "grid"]), Assess).outcome is Outcome.HELD


def test_a_measure_that_nothing_measured_is_told() -> None:
    report = run(params({"measure": "kept", "op": "==", "limit": 3, "fail": "reject"}))
    assert report.reasons == ("kept not measured: nothing measured it",)


def test_a_rule_may_be_skipped_where_its_measure_has_no_value_but_not_where_nothing_measured() -> None:
    record = {**RECORD, "measures": {"compare": {"completeness": None}}}
    rule = {"measure": "completeness", "op": ">=", "limit": 0.6, "missing": "skip"}
    report = run(params(rule, upstream=["compare"]), Assess, record)
    assert report.outcome is Outcome.DONE and report.verdict is not None
    assert [one["result"] for one in report.verdict["rules"]] == ["skip"]
    assert report.verdict["result"] == "pass" and report.caveats == ()
    assert (
        run(params({**rule, "missing": "fail"}, upstream=["compare"]), Assess, record).outcome is Outcome.HELD
    )
    assert (
        run(params({**rule, "measure": "unknown"}, upstream=["compare"]), Assess, record).outcome
        is Outcome.HELD
    )


def test_numbers_of_numpy_are_numbers() -> None:
    assert [m.value for m in run(params({"measure": "scalar", "op": "<", "limit": 3})).measures] == [2.5]


def test_no_rules_always_pass() -> None:
    report = run({})
    assert report.outcome is Outcome.DONE
    assert report.verdict == {"result": "pass", "rules": []}


def test_the_inputs_of_measures_are_declared() -> None:
    consumes, produces = Qualify.declared(params({"measure": "rms", "op": "<", "limit": 1}))
    assert consumes == {"record": Record(), "table": One("table/csv", optional=True)}
    assert produces == {}
    both = [{"measure": name, "op": "<", "limit": 1} for name in ("rms", "contrary")]
    with pytest.raises(ValueError, match="measures that agree on the input 'table'"):
        Qualify.declared(params(*both))
    with pytest.raises(ImportError, match="json:dumps is not a measure"):
        Qualify.declared({"measures": {"x": {"target": "json:dumps"}}})


class Recorder:
    """As little of a context as `Snapshot` and `Qualify` ask for."""

    log = logging.getLogger("test")

    def __init__(self, folder: Path, **inputs: Any) -> None:
        self.inputs, self.folder, self.verdict = inputs, folder, ""
        self.item = type("Name", (), {"pipeline": "gam", "kind": "survey", "key": "south"})()

    @contextmanager
    def output(self, name: str, filename: str) -> Any:
        yield self.folder / filename

    def judge(self, result: str, rules: Sequence[Mapping[str, Any]]) -> None:
        self.verdict = result

    def measure(self, name: str, value: Any, unit: str = "") -> None:
        pass

    def step(self, record: StepRecord) -> None:
        pass


def test_a_measure_may_reject_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Qualify.model_validate_json(
        json.dumps(params({"measure": "rms", "op": "<", "limit": 1, "fail": "reject"}))
    )
    context: Any = Recorder(tmp_path, record=RECORD)
    with pytest.raises(Reject, match=r"rms 12.3 mGal: must be < 1"):
        stage.run(context)
    assert context.verdict == "reject"


def test_a_snapshot_holds_the_facts_and_equal_facts_give_equal_bytes(tmp_path: Path) -> None:
    facts = {
        "record": RECORD,
        "verdicts": {"assess": {"result": "pass", "rules": []}},
        "flags": [{"value": "bad"}],
    }
    stage = Snapshot(file="facts.json", type="facts/json")
    contexts: list[Any] = [Recorder(tmp_path, **facts), Recorder(tmp_path, **dict(reversed(facts.items())))]
    written = []
    for context in contexts:
        stage.run(context)
        written.append((tmp_path / "facts.json").read_bytes())
    assert written[0] == written[1]
    assert json.loads(written[0])["record"]["key"] == "south"
    assert json.loads(written[0])["item"] == {"pipeline": "gam", "kind": "survey", "key": "south"}
    assert Snapshot.declared(stage.model_dump())[1] == {"snapshot": "facts/json"}
