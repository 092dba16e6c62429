"""The route language: what every parsed route keeps, and what each wrong one is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.base.errors import DefinitionError
from towpath.contracts.route import Branches, Route, Sequence, Word, format_route, parse


@st.composite
def trees(draw: st.DrawFn) -> Sequence:
    """Trees of routes with distinct names, branches in branches."""
    names = iter(draw(st.permutations([f"s{i}" for i in range(24)])))

    def sequence(depth: int) -> Sequence:
        return tuple(element(depth) for _ in range(draw(st.integers(1, 3 if depth < 2 else 1))))

    def element(depth: int) -> Word | Branches:
        if depth < 2 and draw(st.booleans()):
            return Branches(tuple(sequence(depth + 1) for _ in range(2)))
        return Word(next(names, f"more{draw(st.uuids()).hex}"), draw(st.booleans()))

    return sequence(0)


def words(tree: Sequence) -> list[str]:
    return [
        name
        for element in tree
        for name in (
            [element.name] if isinstance(element, Word) else [n for b in element.branches for n in words(b)]
        )
    ]


def reachable(route: Route, name: str) -> set[str]:
    after = {stage.name: stage.after for stage in route.stages}
    found: set[str] = set()
    todo = [name]
    while todo:
        fresh = set(after[todo.pop()]) - found
        found |= fresh
        todo += fresh
    return found


@given(trees())
def test_format_then_parse_gives_the_same_route(tree: Sequence) -> None:
    route = parse(format_route(tree))
    assert route.tree == tree
    assert parse(route.text) == route


@given(trees(), st.sampled_from(["", " ", "\n  ", "\t"]))
def test_blanks_mean_nothing(tree: Sequence, blank: str) -> None:
    text = format_route(tree)
    assert parse(text.replace(" ", blank)) == parse(text)


@given(trees())
def test_no_stage_is_lost_and_the_order_is_topological(tree: Sequence) -> None:
    route = parse(format_route(tree))
    assert list(route.names) == words(tree)
    place = {name: number for number, name in enumerate(route.names)}
    for stage in route.stages:
        assert all(place[earlier] < place[stage.name] for earlier in stage.before)
        assert all(stage.name in route.stages[place[earlier]].after for earlier in stage.before)
        assert all(stage.name in route.stages[place[later]].before for later in stage.after)
        assert set(route.upstream(stage.name)) == {
            n for n in route.names if stage.name in reachable(route, n)
        }


@given(trees(), st.data())
def test_without_keeps_the_order_of_what_is_left(tree: Sequence, data: st.DataObject) -> None:
    route = parse(format_route(tree))
    gone = data.draw(st.sets(st.sampled_from(route.names)))
    if gone == set(route.names):
        with pytest.raises(DefinitionError, match="at least one stage"):
            route.without(gone)
        return
    left = route.without(gone)
    assert set(left.names) == set(route.names) - gone
    for name in left.names:
        assert reachable(left, name) == reachable(route, name) - gone
    assert parse(left.text) == left


def test_branches_split_and_join() -> None:
    route = parse("a -> (b -> c, d?) -> e")
    assert {s.name: (s.before, s.after) for s in route.stages} == {
        "a": ((), ("b", "d")),
        "b": (("a",), ("c",)),
        "c": (("b",), ("e",)),
        "d": (("a",), ("e",)),
        "e": (("c", "d"), ()),
    }
    assert [s.name for s in route.stages if s.optional] == ["d"]
    assert route.upstream("e") == ("c", "d", "b", "a")


def test_a_stage_left_out_connects_its_neighbours() -> None:
    assert parse("a -> b? -> c").without(["b"]).text == "a -> c"
    assert parse("a -> (b?, c) -> d").without(["b"]).text == "a -> c -> d"
    assert parse("a -> (b?, c?) -> d").without(["b", "c"]).text == "a -> d"


def test_parentheses_around_one_branch_mean_nothing() -> None:
    assert parse("(a -> (b)) -> c") == parse("a -> b -> c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: found an empty route; expected stages such as 'qualify -> reduce -> publish'"),
        ("  \n", "column 1: found an empty route; expected stages such as 'qualify -> reduce -> publish'"),
        ("a -> b -> a", "column 11: found stage 'a' after itself (column 1); expected a route without a cycle"),
        ("a -> (b -> c, d) -> c", "column 21: found stage 'c' after itself (column 12); expected a route "
         "without a cycle"),
        ("(a -> a)", "column 7: found stage 'a' after itself (column 2); expected a route without a cycle"),
        ("a -> (b, b)", "column 10: found stage 'b' a second time (first at column 7); expected each stage once"),
        ("a -> (b -> c, d -> c)", "column 20: found stage 'c' a second time (first at column 12); expected "
         "each stage once"),
        ("a -> (b, c", "column 11: found the end of the route; expected ',' or ')' for the '(' at column 6"),
        ("a -> (b -> c d)", "column 14: found 'd'; expected ',' or ')' for the '(' at column 6"),
        ("a -> b)", "column 7: found ')'; expected '->' or the end of the route"),
        ("a ->", "column 5: found the end of the route; expected a stage's name or '('"),
        ("-> a", "column 1: found '->'; expected a stage's name or '('"),
        ("a -> -> b", "column 6: found '->'; expected a stage's name or '('"),
        ("a -> ()", "column 7: found ')'; expected a stage's name or '('"),
        ("a -> (b,)", "column 9: found ')'; expected a stage's name or '('"),
        ("a b", "column 3: found 'b'; expected '->' or the end of the route"),
        ("a -> (b)?", "column 9: found '?'; expected '->' or the end of the route"),
        ("a??", "column 3: found '?'; expected '->' or the end of the route"),
        (
            "a -> Grid",
            "column 6: found 'Grid'; expected a stage's name (small letters, digits and _, a letter first), "
            "'->', '(', ')' or ','",
        ),
        (
            "a -> b-c",
            "column 7: found '-c'; expected a stage's name (small letters, digits and _, a letter first), "
            "'->', '(', ')' or ','",
        ),
        (
            "a => b",
            "column 3: found '=>'; expected a stage's name (small letters, digits and _, a letter first), "
            "'->', '(', ')' or ','",
        ),
    ],
)  # fmt: skip
def test_a_wrong_route_is_told_where(text: str, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse(text)
    assert str(caught.value) == message


@given(st.text(alphabet="ab ->(),?\n.A", max_size=30))
def test_any_text_is_a_route_or_an_error_with_a_column(text: str) -> None:
    try:
        route = parse(text)
    except DefinitionError as error:
        assert str(error).startswith("column ")
    else:
        assert parse(route.text) == route
