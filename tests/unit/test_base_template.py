"""Templates read the facts they are given, by dotted name, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.base.template import lookup, names, render

FACTS = {
    "key": "karoo",
    "time": {"begin": 0.0, "text": "2026-02-03T04:05:06Z"},
    "subband": 7,
    "a.b": "dotted",
    "item": {"attributes": {"target": "M 31"}},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{key}", "karoo"),
        ("{subband:02d}", "07"),
        ("{time.begin:%Y%m%d}-{key}", "19700101-karoo"),
        ("{time.text:%Y-%m-%dT%H}", "2026-02-03T04"),
        ("{item.attributes.target}", "M 31"),
        ("{a.b}", "dotted"),
        ("{{{key}}}", "{karoo}"),
    ],
)
def test_a_template_is_filled(template: str, text: str) -> None:
    assert render(template, FACTS) == text


@pytest.mark.parametrize(
    "template", ["{nothing}", "{item.nothing}", "{key.__class__}", "{item.attributes[target]}", "{0}"]
)
def test_what_is_missing_is_named(template: str) -> None:
    with pytest.raises(ValueError, match=r"asks for .*; the facts are: a.b, item, key, subband, time"):
        render(template, FACTS)


@pytest.mark.parametrize("template", ["{key:02d}", "{key:%Y}", "{item:%Y}", "{key", "key}"])
def test_what_cannot_be_written_is_said(template: str) -> None:
    with pytest.raises(ValueError, match="cannot be filled"):
        render(template, FACTS)


def test_names_of_a_template() -> None:
    assert names("{b}-{a.c:%Y}-{b}") == ("b", "a.c")
    assert names("none") == ()
    with pytest.raises(ValueError, match="without a name"):
        names("{}")
    with pytest.raises(ValueError, match=r"brace|expected"):
        names("{a")


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.text(max_size=5), min_size=1))
def test_each_fact_is_found_by_its_name(facts: dict[str, str]) -> None:
    for name, value in facts.items():
        assert lookup(facts, name) == value
        assert render("{" + name + "}", facts) == value


def test_no_fact_is_a_lookup_error() -> None:
    with pytest.raises(LookupError, match=r"a.b.c"):
        lookup({"a": {"b": 1}}, "a.b.c")
