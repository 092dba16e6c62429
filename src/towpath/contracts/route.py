"""The route language: ``a -> (b -> c, d) -> e?``, parsed into stages in topological order.

Promises that every stage stands in the order written, with what comes directly before and after it, and that an
error names the column. Knows nothing of what a stage does.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from towpath.base.errors import DefinitionError

_TOKEN = re.compile(
    r"\s*(?:(?P<name>[a-z][a-z0-9_]*)(?![A-Za-z0-9_.])|(?P<sign>->|[(),?])|(?P<other>[^\s(),?]+))"
)


@dataclass(frozen=True, slots=True)
class Word:
    """One stage as written: its name and whether a ``?`` follows. Where it stands does not count in equality."""

    name: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Branches:
    """Sequences side by side: ``(a -> b, c)``. There are two or more."""

    branches: tuple["Sequence", ...]


Sequence = tuple[Word | Branches, ...]


@dataclass(frozen=True, slots=True)
class RouteStage:
    """One stage of a route: the stages directly before and after it, and whether it may be switched off."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A parsed route: `tree` as written, `stages` in topological order (which is the order of the text)."""

    tree: Sequence
    stages: tuple[RouteStage, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The stages' names in topological order."""
        return tuple(stage.name for stage in self.stages)

    @property
    def text(self) -> str:
        """The route in the form that everybody writes: one space around arrows and after commas."""
        return format_route(self.tree)

    def without(self, names: Collection[str]) -> "Route":
        """The route with these stages left out and their neighbours connected.

        Raises
        ------
        DefinitionError
            If nothing would be left.
        """
        tree = _without(self.tree, names)
        if not tree:
            raise DefinitionError(
                "found a route whose stages are all switched off; expected at least one stage"
            )
        return Route(tree, _linked(tree))

    def upstream(self, name: str) -> tuple[str, ...]:
        """The stages before `name`, nearest first, transitively."""
        before = {stage.name: stage.before for stage in self.stages}
        found: dict[str, None] = {}
        level = before[name]
        while level:
            found |= dict.fromkeys(level)
            level = tuple(earlier for stage in level for earlier in before[stage] if earlier not in found)
        return tuple(found)


def parse(text: str) -> Route:
    """The route that `text` describes.

    Raises
    ------
    DefinitionError
        If it is empty, unbalanced, or names a stage badly or twice; the message names the column, from 1.
    """
    tokens = list(_tokens(text))
    if not tokens:
        raise _wrong(1, "an empty route", "stages such as 'qualify -> reduce -> publish'")
    parser = _Parser(tokens, len(text) + 1)
    tree = parser.sequence()
    if parser.kind:
        raise _wrong(parser.column, repr(parser.value), "'->' or the end of the route")
    _refuse_repetition(parser.places)
    return Route(tree, _linked(tree))


def format_route(tree: Sequence) -> str:
    """The text of a route's tree."""
    return " -> ".join(_format_element(element) for element in tree)


def _format_element(element: Word | Branches) -> str:
    if isinstance(element, Word):
        return element.name + "?" * element.optional
    return f"({', '.join(format_route(branch) for branch in element.branches)})"


def _wrong(column: int, found: str, expected: str) -> DefinitionError:
    return DefinitionError(f"column {column}: found {found}; expected {expected}")


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield (kind, value, column) of each token; kind is "name" or the sign itself."""
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        assert match  # the last alternative takes whatever is left
        kind = match.lastgroup or ""
        value, column = match[kind], match.start(kind) + 1
        if kind == "other":
            raise _wrong(
                column,
                repr(value),
                "a stage's name (small letters, digits and _, a letter first), '->', '(', ')' or ','",
            )
        yield (value if kind == "sign" else kind), value, column
        position = match.end()


class _Parser:
    """Recursive descent over tokens. `path` is where in the tree it stands, to tell a cycle from a repetition."""

    def __init__(self, tokens: list[tuple[str, str, int]], end: int) -> None:
        self.tokens, self.end, self.position = tokens, end, 0
        self.places: list[tuple[str, int, tuple[int, ...]]] = []
        self.path: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        return self.tokens[self.position][0] if self.position < len(self.tokens) else ""

    @property
    def value(self) -> str:
        return self.tokens[self.position][1]

    @property
    def column(self) -> int:
        return self.tokens[self.position][2] if self.position < len(self.tokens) else self.end

    def takes(self, sign: str) -> bool:
        if self.kind != sign:
            return False
        self.position += 1
        return True

    def sequence(self) -> Sequence:
        outer, number = self.path, 0
        elements: list[Word | Branches] = []
        while True:
            self.path = (*outer, number)
            elements += self.element()
            number += 1
            if not self.takes("->"):
                self.path = outer
                return tuple(elements)

    def element(self) -> Sequence:
        column = self.column
        if self.takes("("):
            return self.branches(column)
        if self.kind != "name":
            found = repr(self.value) if self.kind else "the end of the route"
            raise _wrong(column, found, "a stage's name or '('")
        name = self.value
        self.position += 1
        self.places.append((name, column, self.path))
        return (Word(name, self.takes("?")),)

    def branches(self, opened: int) -> Sequence:
        outer = self.path
        found: list[Sequence] = []
        while True:
            self.path = (*outer, len(found))
            found.append(self.sequence())
            if self.takes(","):
                continue
            self.path = outer
            if self.takes(")"):
                return found[0] if len(found) == 1 else (Branches(tuple(found)),)
            what = repr(self.value) if self.kind else "the end of the route"
            raise _wrong(self.column, what, f"',' or ')' for the '(' at column {opened}")


def _refuse_repetition(places: list[tuple[str, int, tuple[int, ...]]]) -> None:
    """Refuse a stage that stands twice: one after the other it is a cycle, side by side a repetition."""
    first: dict[str, tuple[int, tuple[int, ...]]] = {}
    for name, column, path in places:
        if name not in first:
            first[name] = column, path
            continue
        former, other = first[name]
        # Paths alternate between a place in a sequence (even depth) and a branch (odd depth).
        depth = next(i for i, (a, b) in enumerate(zip(other, path, strict=False)) if a != b)
        if depth % 2 == 0:
            raise _wrong(column, f"stage {name!r} after itself (column {former})", "a route without a cycle")
        raise _wrong(column, f"stage {name!r} a second time (first at column {former})", "each stage once")


def _without(tree: Sequence, names: Collection[str]) -> Sequence:
    left: list[Word | Branches] = []
    for element in tree:
        if isinstance(element, Word):
            left += [] if element.name in names else [element]
            continue
        branches = [branch for branch in (_without(branch, names) for branch in element.branches) if branch]
        left += branches[0] if len(branches) == 1 else [Branches(tuple(branches))] if branches else []
    return tuple(left)


def _linked(tree: Sequence) -> tuple[RouteStage, ...]:
    before: dict[str, tuple[str, ...]] = {}
    optional: dict[str, bool] = {}

    def link(sequence: Sequence, ends: tuple[str, ...]) -> tuple[str, ...]:
        """Connect a sequence to the stages that end what comes before it; returns the stages that end it."""
        for element in sequence:
            if isinstance(element, Word):
                before[element.name], optional[element.name] = ends, element.optional
                ends = (element.name,)
            else:
                ends = tuple(name for branch in element.branches for name in link(branch, ends))
        return ends

    link(tree, ())
    return tuple(
        RouteStage(
            name, before[name], tuple(other for other in before if name in before[other]), optional[name]
        )
        for name in before
    )
