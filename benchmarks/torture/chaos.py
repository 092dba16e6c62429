"""One site, tortured: its processes are frozen, counted and killed, and what they did twice is told exactly.

An attempt was in flight at a kill when its row was running and its stage had begun: nothing else may run again. The
processes stand still while that is read, so that the count is that of the kill. Never repairs anything.
"""

import os
import random
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil
import psycopg
from plainpipe.site import Daemon, make, notes, wait_for

from towpath import Site
from towpath.base import faults
from towpath.testing.content import describe, differences, torn

CATALOG = "TOWPATH_SITE__CATALOG"
SETS = 4  # for each kill
# Not passed here: what takes a change of very much work, and what lets products go, which no stage of the torture asks
# for (tests/flow/test_letting_go.py strikes there), and what tells people, whom it has none (test_telling.py does).
ELSEWHERE = {
    "catalog.spread", "keep.look", "keep.shed", "keep.spent", "keep.removed", "notify.decided", "notify.told"
}  # fmt: skip
PASSED = sorted(set(faults.POINTS) - ELSEWHERE)
_LOOKED_AT = 100  # sets up to which all is looked at after each kill; after fewer kills where there are more
PIPELINE = """
[pipeline]
name = "plain"
licence = "CC0-1.0"
[sources.asked]
kind = "submit"
item = "note"
[items.note]
route = "write -> hash -> publish"
[items.note.stages.write]
backoff = "100 ms"
params = { delay = 0.004 }
[items.note.stages.hash]
backoff = "100 ms"
params = { delay = 0.004 }
[items.note.publish]
products = ["write"]
documents = false
mode = "move"
backoff = "100 ms"
attempts = 50
[items.set]
group = { of = "note", at = "hash", by = "set", size = 4, key = "set-{set}", order_by = "key" }
route = "collect -> publish"
[items.set.stages.collect]
backoff = "100 ms"
params = { delay = 0.01 }
[items.set.publish]
backoff = "100 ms"
attempts = 50
"""
SITE = '[outbox.bus]\nkind = "folder"\npath = "bus"\n'
RUNNING = (
    'SELECT w.id, w.token, q.stage, i.kind, i."key" FROM {0}work w JOIN {0}queues q ON q.id = w.queue_id '
    "JOIN {0}items i ON i.id = w.item_id WHERE w.state = 'running' AND w.subject = ''"
)
# Points that are passed only where something else went wrong before: what is to go wrong.
AFTER = {
    "transfer.hole": "transfer.link:1+:raise=EPERM,transfer.rename:1+:raise=ENOSYS",
    "publish.trash": "publish.copied:1+:raise=EIO",
}
RUN_BY_WORKERS = ("write", "hash", "collect")


@dataclass
class Figures:
    """What was done to a site, and what it cost."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    repeats: int = 0
    in_flight: int = 0  # runs that had begun and were not committed at a kill
    held: int = 0  # rows that were claimed at a kill, begun or not
    largest: int = 0  # the most that were in flight at one kill
    unforced: list[str] = field(default_factory=list)  # runs that were repeated and were not in flight
    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    not_passed: list[str] = field(default_factory=list)  # fault points that nothing came by

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, torn, different or repeated without need."""
        return not (self.unforced or self.lost or self.torn or self.differences)

    def line(self) -> str:
        """On one line."""
        kills = ", ".join(f"{number} {name}" for name, number in sorted(self.kills.items()) if number)
        return (
            f"{sum(self.kills.values())} kills ({kills}): {self.runs} runs wanted, {self.repeats} repeated, "
            f"{self.in_flight} in flight (at most {self.largest} at one kill), {self.held} rows held, "
            f"{len(self.unforced)} repeated without need, {len(self.lost)} lost, {len(self.torn)} torn, "
            f"{len(self.differences)} differences"
        )


def prepare(folder: Path) -> Path:
    """A site of the pipeline that is tortured."""
    make(folder, PIPELINE, site=SITE)
    (folder / "bus").mkdir(exist_ok=True)
    return folder


def undisturbed(folder: Path, sets: int) -> dict[str, object]:
    """The canonical content of a site to which nothing happens; on SQLite, whatever is tortured."""
    kept = {name: os.environ.pop(name, None) for name in (CATALOG, "PLAIN_PIDS")}
    try:
        with Site.open(prepare(folder)) as site:
            site.submit("note", notes(sets))
            site.run()
            return describe(site)
    finally:
        os.environ.update({name: value for name, value in kept.items() if value})


class Chaos:
    """A site whose processes are killed again and again, at instants drawn from a seed.

    Parameters
    ----------
    folder
        Where the site is made.
    seed
        What the instants are drawn from.
    url
        Its catalog; an SQLite file in its folder by default.
    """

    def __init__(self, folder: Path, seed: int, url: str = "") -> None:
        self.folder, self.random, self.url = prepare(folder), random.Random(seed), url
        self.figures = Figures()
        self.daemon: Daemon | None = None
        self.sets = 0
        self._pids = folder / "pids.log"
        self._began: dict[
            str, tuple[int, int, int]
        ] = {}  # row: its token, runs before it, runs when last seen
        self._counted: set[tuple[str, int]] = set()
        self._may: Counter[str] = Counter()  # how often each run may be repeated
        os.environ["PLAIN_PIDS"] = str(self._pids)
        if url:
            os.environ[CATALOG] = url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the daemon if it is still alive."""
        if self.daemon is not None and self.daemon.popen.poll() is None:
            self.daemon.kill()

    def more(self, sets: int = SETS) -> None:
        """Submit more work, beside whoever runs."""
        with Site.open(self.folder) as site:
            site.submit("note", notes(sets, first=self.sets))
        self.sets += sets

    # ---- random instants
    def round(self, who: str) -> None:
        """Submit more work, start the daemon if it is dead, and kill it, one of its workers, or both soon after."""
        before = len(self._lines())
        self.more()
        daemon = self._alive()
        if who != "worker" and self.random.random() < 0.2:  # also while it starts
            time.sleep(self.random.uniform(0.2, 1.0))
        else:
            wait_for(lambda: len(self._lines()) > before, 120.0)
            time.sleep(self.random.uniform(0.0, 0.4))
        workers = freeze(daemon)
        victim = self.random.choice(workers) if workers else None
        pids = None if who != "worker" else {victim.pid if victim else 0}
        self._count(pids)
        if victim is not None and who != "daemon":
            victim.kill()
        if who == "worker":
            thaw(daemon, workers)
        else:
            self._end(daemon, workers)
        self.figures.kills[who] += 1

    def _alive(self) -> Daemon:
        if self.daemon is None or self.daemon.popen.poll() is not None:
            self.daemon = Daemon(self.folder, watch=True)
        return self.daemon

    def _end(self, daemon: Daemon, workers: list[psutil.Process]) -> None:
        daemon.kill()
        psutil.wait_procs(workers, 10.0)
        if self.random.random() < _LOOKED_AT / self.sets:
            with Site.open(self.folder) as site:
                self.figures.torn += torn(site)

    # ---- fault points
    def strike(self, point: str, nth: int = 1, action: str = "kill") -> bool:
        """Run the site with a fault armed, once; False if nothing came by the point."""
        mark = self.folder / "mark"
        armed = f"{AFTER[point]},{point}:{nth}:{action}" if point in AFTER else f"{point}:{nth}:{action}"
        env = {faults.VARIABLE: armed, **({} if point in AFTER else {faults.MARK: str(mark)})}
        with Daemon(self.folder, env=env) as daemon:
            workers: list[psutil.Process] = []
            while daemon.popen.poll() is None:
                workers = daemon.workers() or workers
                time.sleep(0.01)
        psutil.wait_procs(workers, 10.0)
        if not mark.exists() and not (point in AFTER and daemon.popen.returncode != 0):
            return False
        mark.unlink(missing_ok=True)
        self.figures.kills[point] += 1
        if daemon.popen.returncode != 0:
            self._count(None)
        else:  # a worker died: what it had begun and not reported was in flight
            self._allow(self._lost())
        with Site.open(self.folder) as site:
            self.figures.torn += torn(site)
        return True

    def _lost(self) -> list[str]:
        """The runs that were done twice, where all the first ones are of one process: that which was killed."""
        found: dict[str, list[str]] = {}
        for line in self._lines():
            pid, _, row = line.partition(" ")
            found.setdefault(row, []).append(pid)
        again = {row: pids for row, pids in found.items() if len(pids) > 1 + self._may[row]}
        victims = {pids[-2] for pids in again.values()}
        return sorted(again) if len(victims) == 1 else []

    # ---- counting
    def running(self) -> list[tuple[int, int, str]]:
        """The rows that run by workers, by the catalog's tables alone: number, token, stage and item."""
        if self.url:
            with closing(psycopg.connect(self.url)) as server:
                rows = server.execute(RUNNING.format("towpath.")).fetchall()
        else:
            with closing(sqlite3.connect(self.folder / "catalog.sqlite", timeout=60)) as connection:
                rows = connection.execute(RUNNING.format("")).fetchall()
        return [(row[0], row[1], f"{row[2]} {row[3]}/{row[4]}") for row in rows if row[2] in RUN_BY_WORKERS]

    def _lines(self) -> list[str]:
        return self._pids.read_text().splitlines() if self._pids.exists() else []

    def executed(self) -> Counter[str]:
        """How often each run was begun."""
        return Counter(line.partition(" ")[2] for line in self._lines())

    def _count(self, pids: set[int] | None) -> None:
        """What is in flight now, all or that of some workers, may run again."""
        lines, rows = self._lines(), self.running()
        times = Counter(line.partition(" ")[2] for line in lines)
        last = {line.partition(" ")[2]: int(line.partition(" ")[0]) for line in lines}
        begun = []
        for _, token, name in rows:
            before = self._began.get(name, (0, 0, 0))
            base = before[1] if before[0] == token else before[2]
            self._began[name] = token, base, times[name]
            is_begun = times[name] > base and (name, token) not in self._counted
            if is_begun and (pids is None or last[name] in pids):
                self._counted.add((name, token))
                begun.append(name)
        self.figures.held += len(rows)
        self._allow(begun)

    def _allow(self, begun: list[str]) -> None:
        self._may.update(begun)
        self.figures.in_flight += len(begun)
        self.figures.largest = max(self.figures.largest, len(begun))

    # ---- the end
    def finish(self, expected: dict[str, object]) -> Figures:
        """Kill what is left, let one run finish the work, and compare with an undisturbed site."""
        if self.daemon is not None and self.daemon.popen.poll() is None:
            workers = freeze(self.daemon)
            self._count(None)
            self._end(self.daemon, workers)
        with Daemon(self.folder) as last:
            if last.wait(1800.0) != 0:  # it has what all the killed ones left to do
                raise AssertionError(last.text())
        figures, times = self.figures, self.executed()
        with Site.open(self.folder) as site:
            figures.differences += differences(describe(site), expected)
            figures.torn += torn(site)
            site.sweep(older=0.0, grace=0.0)  # nothing that is in use goes
            figures.torn += torn(site)
            if not site.run().did_nothing:
                figures.differences.append("another run finds something to do")
        wanted = {f"{stage} note/{note['key']}" for note in notes(self.sets) for stage in ("write", "hash")}
        wanted |= {f"collect set/set-{number:03d}" for number in range(self.sets)}
        figures.lost += sorted(wanted - set(times))
        figures.runs = len(wanted)
        figures.repeats = times.total() - len(times)
        figures.unforced += sorted(row for row, number in times.items() if number > 1 + self._may[row])
        return figures


def freeze(daemon: Daemon) -> list[psutil.Process]:
    """Stop the daemon and its workers where they are; returns the workers."""
    stop(psutil.Process(daemon.popen.pid))
    workers = daemon.workers()
    for worker in workers:
        stop(worker)
    time.sleep(0.02)  # a commit that a server had got already is done
    return workers


def stop(process: psutil.Process) -> None:
    """SIGSTOP, and wait until it has."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE))


def thaw(daemon: Daemon, workers: list[psutil.Process]) -> None:
    """Let them go on."""
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.send_signal(signal.SIGCONT)
    daemon.popen.send_signal(signal.SIGCONT)


# ---- whole programmes
def random_kills(folder: Path, kills: int, seed: int, url: str = "") -> Figures:
    """Kill daemon, worker and both in turn, at random instants."""
    expected = undisturbed(folder / "calm", SETS * kills)
    with Chaos(folder / "wild", seed, url) as chaos:
        for number in range(kills):
            chaos.round(("worker", "daemon", "both")[number % 3])
        return chaos.finish(expected)


def fault_points(
    folder: Path, points: list[str], seed: int, url: str = "", *, action: str = "kill", sets: int = 3
) -> Figures:
    """Strike once at each of the points, at a pass drawn at random."""
    chaos = Chaos(folder / "wild", seed, url)
    for point in points:
        chaos.more(sets)
        passes = [1] if point in AFTER else [chaos.random.randint(1, 3), 1]
        if not any(chaos.strike(point, nth, action) for nth in passes):
            chaos.figures.not_passed.append(point)
    return chaos.finish(undisturbed(folder / "calm", chaos.sets))
