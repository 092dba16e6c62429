"""Drawings of routes: stages as boxes in the order of their work, arrows between them, groups fed by what they group.

Pure functions: definitions and counts in, places in pixels out; a template writes them as SVG. Looks nothing up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from towpath.base.states import Work
from towpath.contracts.definition import GATHER, Definition, KindPlan, StagePlan

Counts = Mapping[tuple[str, str], int]  # (stage, state): how many, of one kind

# The states in the order in which a person wants to know of them, and the colour of each.
COLOURS: Mapping[Work, str] = {
    Work.FAILED: "failed",
    Work.POISONED: "failed",
    Work.HELD: "held",
    Work.STOPPED: "held",
    Work.RUNNING: "running",
    Work.READY: "ready",
    Work.WAITING: "waiting",
    Work.DONE: "done",
    Work.REJECTED: "ended",
    Work.RETIRED: "waiting",
}
_WIDTH, _GAP, _LANE = 158, 34, 14  # of a box, between columns, between lanes
_LEFT, _TITLE, _BELOW = 34, 30, 26  # before the first column, of a band's title, below a band
_NAME, _ROW, _FOOT = 24, 17, 7  # heights within a box
_LETTERS = 19  # of a name that fit into a box


@dataclass(frozen=True, slots=True)
class Cell:
    """One count in a box, at a place in it."""

    state: str
    colour: str
    count: int
    text: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Box:
    """One stage: its place, what it is called, its counts. `is_service`: the daemon itself does it, or people."""

    stage: str
    name: str
    x: float
    y: float
    width: float
    height: float
    cells: tuple[Cell, ...] = ()
    is_service: bool = False

    @property
    def middle(self) -> float:
        """The height at which arrows come and go."""
        return self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow as the path of an SVG; `is_group` where items become members of a group."""

    path: str
    is_group: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """The route of one kind."""

    kind: str
    text: str
    x: float
    y: float
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """The routes of a pipeline, in pixels."""

    width: float
    height: float
    bands: tuple[Band, ...]
    edges: tuple[Edge, ...]


@dataclass(slots=True)
class _Grid:
    """Which cells of columns and lanes are taken."""

    taken: set[tuple[int, int]] = field(default_factory=set)

    def lane(self, wanted: int, columns: range) -> int:
        """The wanted lane if it is free in all these columns, else the first that is."""
        lanes = [wanted, *range(len(self.taken) + 1)]
        found: int = next(one for one in lanes if all((column, one) not in self.taken for column in columns))
        self.taken |= {(column, found) for column in columns}
        return found


def place(stages: Sequence[tuple[str, Sequence[str]]]) -> dict[str, tuple[int, int]]:
    """Columns and lanes of stages, given in topological order with those directly before each.

    A stage stands one column after the last of those before it, in the lane of the first of them where that is free as
    far as the arrow from it goes.
    """
    columns: dict[str, int] = {}
    for name, before in stages:
        columns[name] = 1 + max((columns[one] for one in before if one in columns), default=-1)
    reach = dict(columns)
    for name, before in stages:
        for one in before:
            if one in reach:
                reach[one] = max(reach[one], columns[name] - 1)
    grid, lanes = _Grid(), dict[str, int]()
    for name, before in stages:
        known = [lanes[one] for one in before if one in lanes]
        lanes[name] = grid.lane(min(known, default=0), range(columns[name], reach[name] + 1))
    return {name: (columns[name], lanes[name]) for name in columns}


def short(number: int) -> str:
    """A count in few letters: ``1234``, ``12.3k``, ``1.2M``."""
    if number < 10_000:
        return str(number)
    return f"{number / 1000:.3g}k" if number < 999_500 else f"{number / 1e6:.3g}M"


def draw(definition: Definition, counts: Mapping[str, Counts]) -> Drawing:
    """The routes of a pipeline with counts of work.

    Parameters
    ----------
    definition
        The pipeline.
    counts
        By kind: how many pieces of work by (stage, state).
    """
    top, bands, edges = 4.0, list[Band](), list[Edge]()
    places: dict[str, dict[str, Box]] = {}
    for kind in ordered(definition):
        band, bottom = _band(kind, counts.get(kind.name, {}), top)
        bands.append(band)
        boxes = places[kind.name] = {box.stage: box for box in band.boxes}
        edges += [
            Edge(arrow(boxes[one], boxes[name]))
            for name, before in before_of(kind)
            for one in before
            if one in boxes
        ]
        if kind.group and band.boxes and kind.group.of in places:
            edges.append(Edge(_from_group(places[kind.group.of], kind.group.at, band), is_group=True))
        top = bottom + _BELOW
    width = max((box.x + box.width for band in bands for box in band.boxes), default=200) + _GAP / 2
    return Drawing(width, top - _BELOW + 6, tuple(bands), tuple(edges))


def ordered(definition: Definition) -> list[KindPlan]:
    """The kinds of a pipeline, each after what it groups; those without a route last."""
    left = sorted(definition.kinds.values(), key=lambda kind: not kind.stages)
    found: dict[str, KindPlan] = {}
    while left:
        following = next((one for one in left if not one.group or one.group.of in found), left[0])
        left.remove(following)
        found[following.name] = following
    return list(found.values())


def stages_of(kind: KindPlan) -> list[StagePlan]:
    """The stages of a kind in topological order, with the wait for completeness at their head where there is one."""
    stages = sorted(kind.stages.values(), key=lambda stage: stage.depth)
    return [kind.gather, *stages] if kind.gathered else stages


def before_of(kind: KindPlan) -> list[tuple[str, Sequence[str]]]:
    """Each stage of a kind with those directly before it."""
    first = (GATHER,) if kind.gathered else ()
    return [(one.name, one.before or (first if one.name != GATHER else ())) for one in stages_of(kind)]


def _band(kind: KindPlan, counts: Counts, top: float) -> tuple[Band, float]:
    """A band below `top`, and where it ends."""
    spots = place(before_of(kind))
    cells = {name: _counted(counts, name) for name in spots}
    rows = max([1, *((len(found) + 1) // 2 for found in cells.values())])
    height = _NAME + rows * _ROW + _FOOT
    boxes = []
    for stage in stages_of(kind):
        column, lane = spots[stage.name]
        x = _LEFT + column * (_WIDTH + _GAP)
        y = top + _TITLE + lane * (height + _LANE)
        placed = tuple(
            Cell(state.value, COLOURS[state], count, short(count), x + 9 + (n % 2) * 75, y + _NAME + (n // 2) * _ROW)
            for n, (state, count) in enumerate(cells[stage.name])
        )  # fmt: skip
        name = "gather" if stage.name == GATHER else stage.name
        name = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
        boxes.append(Box(stage.name, name, x, y, _WIDTH, height, placed, bool(stage.service)))
    bottom = max((box.y + box.height for box in boxes), default=top + _TITLE)
    return Band(kind.name, grouped(kind), _LEFT, top + 16, tuple(boxes)), bottom


def grouped(kind: KindPlan) -> str:
    """What a kind groups, in words; "" if it groups nothing."""
    group = kind.group
    if group is None:
        return ""
    many = f"{group.size} of {group.of}" if group.size else f"several of {group.of}"
    return f"{many} after {group.at}" if group.at else many


def _counted(counts: Counts, stage: str) -> list[tuple[Work, int]]:
    return [(state, number) for state in COLOURS if (number := counts.get((stage, state.value), 0))]


def arrow(source: Box, target: Box) -> str:
    """From the right side of a box to the left of another: straight in its lane, then a curve before the target."""
    begin, end = source.x + source.width, target.x - 7
    bend = end - _GAP + 9
    if source.middle == target.middle:
        return f"M{begin:g} {source.middle:g}H{end:g}"
    middle = (bend + end) / 2
    return (
        f"M{begin:g} {source.middle:g}H{bend:g}"
        f"C{middle:g} {source.middle:g} {middle:g} {target.middle:g} {end:g} {target.middle:g}"
    )


def _from_group(source: Mapping[str, Box], at: str, band: Band) -> str:
    """From the stage that members must have passed (or from the left, if they need only be registered) to the first box."""
    first = band.boxes[0]
    turn, end = band.y - 20, first.x - 7
    if at not in source:
        return f"M12 {turn - 8:g}V{first.middle:g}H{end:g}"
    box = source[at]
    side = box.x + box.width + _GAP / 2 - 6
    return f"M{box.x + box.width:g} {box.middle + 8:g}H{side:g}V{turn:g}H12V{first.middle:g}H{end:g}"
