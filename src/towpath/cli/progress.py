"""What a person sees while work runs: a bar for each stage on a terminal, a line now and then elsewhere.

Failures are told as they happen. All of it goes to standard error. Never slows the work: the catalog is asked rarely, and
less often where asking takes long.
"""

import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import Progress as Bars
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from towpath.app.site import Progress, Site
from towpath.base.states import Work
from towpath.cli import screen
from towpath.cli.screen import Screen
from towpath.contracts.definition import GATHER

_ENDED = {Work.DONE, Work.REJECTED, Work.FAILED, Work.POISONED, Work.STOPPED, Work.HELD}
_BAD = {Work.FAILED, Work.POISONED}
_TELLING = ("failed", "lost", "poisoned", "rejected", "held", "transient", "problem", "definition refused")
_LINES = 4  # runs shown at once
_EVERY = 0.2  # seconds between two pictures
_FIRST, _PLAIN = 1.0, 10.0  # seconds until the first line, and between two, where there is no terminal

Counts = Mapping[tuple[str, str, str, str], int]


class Watching:
    """Shows a run of a site; `tick` is what `Site.run` calls.

    Parameters
    ----------
    site
        The open site.
    is_plain
        Lines instead of bars.
    """

    def __init__(self, site: Site, *, is_plain: bool) -> None:
        self._site = site
        self._stream = own_stderr()
        self._console = screen.console(self._stream)
        self._live = None if is_plain else Live(console=self._console, auto_refresh=False, transient=True)
        self._next, self._next_line = 0.0, time.monotonic() + _FIRST
        self._said = ""
        self._bad: dict[str, int] = {}
        with site.catalog.read() as view:
            self._seen = view.last_event()
        self._order = [
            (definition.pipeline, kind.name, stage)
            for definition in site.definitions.values()
            for kind in definition.kinds.values()
            for stage in kind.stages
        ]

    def __enter__(self) -> "Watching":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        self._tell()
        self._stream.flush()
        if self._stream is not sys.stderr:
            self._stream.close()

    def tick(self, progress: Progress) -> None:
        """Show where things are, if it is time to."""
        now = time.monotonic()
        if now < self._next:
            return
        bad = {name: count for name, count in progress.done().items() if name in _TELLING}
        if bad != self._bad:
            self._bad = bad
            self._tell()
        counts = progress.counts()
        if self._live:
            self._live.update(self._picture(counts, progress), refresh=True)
        else:
            self._line(counts, progress, now)
        self._next = time.monotonic() + max(_EVERY, 10 * (time.monotonic() - now))

    # ---- failures
    def _tell(self) -> None:
        """Tell what went wrong since the last look."""
        events = self._site.events(self._seen, limit=10_000)
        self._seen = events[-1].seq if events else self._seen
        for event in events:
            if event.type in _TELLING:
                self._console.print(self._told(event.type, event.item, event.stage, event.data))

    def _told(self, what: str, item: int, stage: str, data: Mapping[str, object]) -> Text:
        name = ""
        if item:
            with self._site.catalog.read() as view:
                found = view.item(item)
            name = f"{found.kind}/{found.key} "
        said = data.get("error") or data.get("reasons") or data.get("why") or ""
        text = "; ".join(str(one) for one in said) if isinstance(said, list) else str(said)
        first = text.strip().splitlines()[-1] if text.strip() else ""
        return Text.assemble(
            (f"{what}  ", screen.COLOURS.get(what, "")), name, stage, f": {first}" if first else ""
        )

    # ---- a terminal
    def _picture(self, counts: Counts, progress: Progress) -> RenderableType:
        bars = Table.grid(padding=(0, 2, 0, 0))
        for name in self._order:
            total, ended, bad = sums(counts, name)
            if total:
                note = Text(f"{bad} failed", style="red") if bad else Text("")
                bar = ProgressBar(
                    total=total, completed=ended, width=24, complete_style="green", finished_style="green"
                )
                bars.add_row(self._label(name), bar, Text(f"{ended}/{total}", justify="right"), note)
        running = progress.running()
        lines: list[RenderableType] = (
            [bars] if bars.row_count else [Text("looking at what arrived", style="dim")]
        )
        lines += [_running(*one) for one in running[:_LINES]]
        if len(running) > _LINES:
            lines.append(screen.dim(f"  and {len(running) - _LINES} more at once"))
        return Group(*lines)

    def _label(self, name: tuple[str, str, str]) -> Text:
        is_single = len({pipeline for pipeline, _, _ in self._order}) == 1
        return Text(" ".join(name[1:] if is_single else name))

    # ---- no terminal
    def _line(self, counts: Counts, progress: Progress, now: float) -> None:
        if now < self._next_line or not progress.running():
            return
        done = how_far(counts, self._order)
        running = ", ".join(f"{item} {stage}" for item, stage, _, _ in progress.running()[:2])
        text = done + (f"; now: {running}" if running else "")
        if text and text != self._said:
            self._console.print(Text(text))
        self._said, self._next_line = text, now + _PLAIN


def how_far(counts: Counts, order: Iterable[tuple[str, str, str]]) -> str:
    """The stages that are not through, each once: several kinds may have one of the same name."""
    stages: dict[str, tuple[int, int]] = {}
    for name in order:
        total, ended, _ = sums(counts, name)
        before = stages.get(name[2], (0, 0))
        stages[name[2]] = (before[0] + total, before[1] + ended)
    return ", ".join(f"{name} {ended}/{total}" for name, (total, ended) in stages.items() if ended < total)


def sums(counts: Counts, name: tuple[str, str, str]) -> tuple[int, int, int]:
    """Of one stage: how many pieces of work there are, how many have ended, how many of those failed."""
    by_state: dict[Work, int] = {
        state: counts.get((*name, state.value), 0) for state in Work if state is not Work.RETIRED
    }
    total = sum(by_state.values())
    return total, sum(by_state[state] for state in _ENDED), sum(by_state[state] for state in _BAD)


def _running(item: str, stage: str, fraction: float | None, note: str) -> Text:
    name = "gather" if stage == GATHER else stage
    share = f" {fraction:.0%}" if fraction is not None else ""
    return Text(f"  {name}  {item}{share}  {note}", style="cyan", no_wrap=True, overflow="ellipsis")


def own_stderr() -> IO[str]:
    """Standard error as it is now, also while a run in this process writes to its log."""
    try:
        return os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1, encoding="utf-8", errors="replace")
    except (OSError, AttributeError, io.UnsupportedOperation):
        return sys.stderr


def is_terminal() -> bool:
    """Whether a person sees both the answer and the progress."""
    return sys.stdout.isatty() and sys.stderr.isatty()


@contextmanager
def counted(answer: Screen, what: str) -> Iterator[Callable[[int], None]]:
    """A counter for long work of unknown length, on a terminal only."""
    if answer.is_json or not is_terminal():
        yield lambda _: None
        return
    with Bars("{task.completed:.0f} {task.description}", console=answer.err, transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda number: bars.advance(task, number)


@contextmanager
def measured(answer: Screen, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for long work that tells how much of it is done, on a terminal only."""
    if answer.is_json or not is_terminal():
        yield lambda _done, _total: None
        return
    with Bars(console=answer.err, transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
