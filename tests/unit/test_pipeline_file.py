"""The models of the pipeline file, the rules that judge, and what a plug-in declares."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from towpath.base.model import Measure
from towpath.contracts.judging import Measured, Rule, holds, judge, measure, reason
from towpath.contracts.pipeline import ItemTable, PublishTable, ResourceTable, StageTable
from towpath.contracts.plugin import Plugin, snake
from towpath.contracts.stage import Context, One, Stage


def rule(**given: Any) -> Rule:
    return Rule.model_validate({"measure": "rms", "op": "<=", "limit": 10, **given})


def judged(value: Any, **given: Any) -> Any:
    return judge([rule(**given)], {"rms": Measure("rms", value, "mGal")}).rules[0]


@pytest.mark.parametrize(
    ("op", "value", "limit", "result"),
    [
        ("==", 16, 16, True), ("==", 16.0, 16, True), ("==", 15, 16, False), ("==", "a", "a", True),
        ("!=", 15, 16, True), ("!=", 16, 16, False), ("<", 1, 2, True), ("<", 2, 2, False), ("<=", 2, 2, True),
        (">", 3, 2, True), (">=", 2, 2, True), (">=", 1, 2, False), ("in", "b", ("a", "b"), True), ("in", 3, (1, 2), False),
        ("between", 1, (1, 2), True), ("between", 2, (1, 2), True), ("between", 2.1, (1, 2), False),
        ("<", "1", 2, False), ("<", True, 2, False), ("between", "x", (1, 2), False), ("<", math.inf, 2, False),
        ("<", -math.inf, 2, True), (">", math.inf, 2, True), ("between", math.inf, (1, 2), False),
    ],
)  # fmt: skip
def test_a_relation_holds(op: str, value: Any, limit: Any, result: bool) -> None:
    assert holds(op, value, limit) is result


@given(
    st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "between"]), st.sampled_from([None, math.nan])
)
def test_what_is_missing_or_not_a_number_never_holds(op: str, value: Any) -> None:
    assert not holds(op, value, (value, 1) if op in ("in", "between") else 1)


@given(st.lists(st.tuples(st.sampled_from(["hold", "reject", "warn"]), st.floats(0, 20)), max_size=6))
def test_a_verdict_is_the_gravest_of_what_failed_rules_ask(cases: list[tuple[str, float]]) -> None:
    rules = [rule(measure=f"m{number}", fail=fail) for number, (fail, _) in enumerate(cases)]
    measures = {f"m{number}": Measure(f"m{number}", value) for number, (_, value) in enumerate(cases)}
    verdict = judge(rules, measures)
    failed = {fail for fail, value in cases if value > 10}
    assert verdict.result == next((grave for grave in ("reject", "hold", "warn") if grave in failed), "pass")
    assert [result.result == "pass" for result in verdict.rules] == [value <= 10 for _, value in cases]
    assert all((result.result == "warn") is (result.action == "warn") for result in verdict.rules)


def test_the_evidence_reads_as_a_sentence() -> None:
    assert reason(judged(12.3, unit="mGal")) == "rms 12.3 mGal: must be <= 10"
    assert (
        reason(judged(5, op="between", limit=(6, 9), name="noise")) == "noise 5 mGal: must be between 6 and 9"
    )
    assert reason(judged("x", op="in", limit=("a", "b"))) == "rms x mGal: must be one of a, b"
    assert reason(judged(math.nan)) == "rms nan mGal: must be <= 10"
    nothing = judge([rule(unit="mGal")], {}).rules[0]
    assert reason(nothing) == "rms not measured: nothing measured it"
    fault = judge([rule()], {}, {"rms": "ValueError: empty"}).rules[0]
    assert reason(fault) == "rms not measured: ValueError: empty"
    assert fault.result == "fail" and fault.action == "hold"


def test_units_must_agree() -> None:
    wrong = judged(1.0, unit="nT")
    assert (wrong.result, wrong.value) == ("fail", "not measured: its unit is mGal, the rule's is nT")
    assert judged(1.0, unit="mGal").result == "pass"
    assert judged(1.0).unit == "mGal"


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"op": "between", "limit": 3}, "for 'between' a limit of two numbers, the lower first"),
        ({"op": "between", "limit": ("a", "b")}, "for 'between' a limit of two numbers, the lower first"),
        ({"op": "in", "limit": 3}, "for 'in' a limit that is a list of the allowed values"),
        ({"op": "in", "limit": ()}, "for 'in' a limit that is a list of the allowed values"),
        ({"op": "<", "limit": "3"}, "for '<' a limit that is a number"),
        ({"op": "<", "limit": True}, "for '<' a limit that is a number"),
        ({"op": "==", "limit": (3,)}, "for '==' a limit that is one value"),
    ],
)
def test_a_limit_must_fit_its_relation(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        rule(**given_)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10 min", 600), ("1 h 30 min", 5400), ("200 ms", 0.2), (5, 5), (2.5, 2.5), ("30 d", 2592000)],
)
def test_durations_are_seconds(text: Any, seconds: float) -> None:
    assert StageTable.model_validate({"backoff": text}).backoff == seconds


@pytest.mark.parametrize("text", ["", "ten", "5", "-5 s", "5 parsec", True, None, -1, [1]])
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(ValidationError, match="a duration: a number and one of"):
        StageTable.model_validate({"backoff": text})


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2 GB", 2 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("512MB", 512 * 10**6),
        ("10 kB", 10_000),
        (0, 0),
        (7, 7),
        ("8 b", 8),
    ],
)
def test_amounts_of_memory_are_bytes(text: Any, size: int) -> None:
    assert ResourceTable.model_validate({"memory": text}).memory == size


@pytest.mark.parametrize("text", ["2 giga", "GB", "-1 GB", -1, True, 1.5, ""])
def test_what_is_no_amount_of_memory_is_refused(text: Any) -> None:
    with pytest.raises(ValidationError, match="an amount of memory"):
        ResourceTable.model_validate({"memory": text})


def test_a_route_is_written_in_one_form() -> None:
    assert ItemTable.model_validate({"route": "a->(b,c)  -> d?"}).route == "a -> (b, c) -> d?"


def test_an_embargo_is_a_duration_or_a_time() -> None:
    assert PublishTable.model_validate({"kind": "publish", "embargo": "2 d"}).embargo == 172800.0
    assert PublishTable.model_validate({"kind": "publish", "embargo": "item.until"}).embargo == "item.until"
    with pytest.raises(ValidationError):
        PublishTable.model_validate({"kind": "publish", "embargo": "soon"})


def test_models_are_frozen() -> None:
    table = StageTable()
    with pytest.raises(ValidationError):
        table.priority = 3  # type: ignore[misc]  # that it is refused is the point


# ---- what a plug-in declares


class GridFine(Stage):
    def run(self, context: Context) -> None:
        """Do nothing."""


@measure(unit="mGal", consumes={"grid": One("grid/zarr")}, version="2")
def roughness(context: Context) -> float:
    """Tell how rough it is."""
    return float(context.inputs["grid"])


def test_a_measure_is_a_function_that_knows_its_unit_and_inputs() -> None:
    assert isinstance(roughness, Measured)
    assert (roughness.name, roughness.unit, roughness.version) == ("roughness", "mGal", "2")
    assert roughness.consumes == {"grid": One("grid/zarr")}
    assert roughness.target == f"{__name__}:roughness"
    assert measure(name="other")(lambda context: 1).name == "other"


def test_a_plugin_finds_its_things_by_name() -> None:
    class Local:
        name = "local"

    plugin = Plugin("gam", (GridFine,), providers=(Local,), measures=(roughness,))
    assert plugin.stage("grid_fine") is plugin.stage("GridFine") is GridFine
    assert plugin.stage("grid") is None
    assert plugin.measure("roughness") is roughness and plugin.measure("rough") is None
    assert plugin.provider("local") is Local and plugin.provider("remote") is None


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Grid", "grid"),
        ("GridFine", "grid_fine"),
        ("Level2", "level2"),
        ("FITSWriter", "fits_writer"),
        ("ToMS", "to_ms"),
    ],
)
def test_class_names_in_routes(name: str, written: str) -> None:
    assert snake(name) == written
