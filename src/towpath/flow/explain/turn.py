"""Work whose turn has come, or is to come: what stands before it in its queue, who holds it, whether they are alive."""

from collections.abc import Iterator, Mapping

from towpath.base import clock, ids
from towpath.contracts.definition import GATHER
from towpath.flow.explain.reasons import Case, Reason, Why, let_go, let_go_facts
from towpath.flow.explain.waiting import gathering

_MOST = 10_000
_TOLD = 5  # inputs that are told one by one
_POISONED = 4  # deaths


def ready(case: Case) -> Iterator[Reason]:
    """Why ready work does not run at this moment."""
    row = case.row
    if row.stage == GATHER:
        yield gathering(case)
        return
    if row.due > case.view.now():
        yield _later(case)
        return
    if case.around.no_room:
        yield Reason(Why.DISK, f"it is ready, but {case.around.no_room}", "make room, or `towpath sweep`")
    yield from _inputs_let_go(case)
    if short := _short(case):
        yield short
        return
    sessions = case.view.sessions()
    if not any(case.around.is_alive(session) is not False for session in sessions):
        yield Reason(
            Why.IDLE, "it is ready, and no `towpath run` is running to take it", "start `towpath run`"
        )
        return
    yield _queue(case)


def _inputs_let_go(case: Case) -> Iterator[Reason]:
    """What it would read and was let go, if it must run at all."""
    if not case.need.let_go or case.need.key == case.row.key:
        return
    items = sorted({product.item for product in case.need.let_go})
    numbers = {product.id for product in case.need.let_go}
    rows = [one for one in case.view.let_go(items) if one.product.id in numbers]
    for one in rows[:_TOLD]:
        yield Reason(Why.LET_GO, f"its input {let_go(one)}", "nothing: that comes first", let_go_facts(one))
    if len(rows) > _TOLD:
        yield Reason(Why.LET_GO, f"so were {len(rows) - _TOLD} more of its inputs")


def _short(case: Case) -> Reason | None:
    """That its stage declares more of the disk than there is above what must stay free."""
    around, needs = case.around, case.stage.resources.disk if case.stage else 0
    declared = around.declared(case.view) if needs else 0
    free = max(0.0, around.free - around.must_stay)
    if free - declared >= needs:
        return None
    text = f"it needs {_size(needs)} of disk; {_size(free)} are free above the {_size(around.must_stay)} that must stay"
    if declared:
        text += f", and the runs that go on may write {_size(declared)} of it"
    facts = {"needs": needs, "free": free, "must_stay": around.must_stay, "declared": declared}
    return Reason(
        Why.DISK, text, "make room, or `towpath sweep`; what may be let go is let go by itself", facts
    )


def _size(count: float) -> str:
    """Bytes in words: ``8 GB``."""
    for name, unit in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} B"


def _later(case: Case) -> Reason:
    row, most = case.row, case.stage.attempts if case.stage else 0
    tried = f", attempt {row.attempts + 1} of {most}" if row.attempts and most else ""
    note = f": {row.note}" if row.note else ""
    return Reason(
        Why.LATER,
        f"it is tried again at {clock.text(row.due)}{tried}{note}",
        f"`towpath rerun {case.where}` does not wait",
        {"due": clock.text(row.due), "attempts": row.attempts, "of": most, "note": row.note},
    )


def _queue(case: Case) -> Reason:
    row, workers = case.row, case.around.workers
    ahead, at_work = case.view.ahead(row, _MOST), case.view.at_work()
    here, total = at_work.get((row.pipeline, row.kind, row.stage), 0), sum(at_work.values())
    before = "nothing of its queue is before it" if not ahead else f"{_many(ahead)} of its queue go before it"
    cores = case.stage.resources.cores if case.stage and not case.stage.service else 1
    wide = f"; each run of it takes {min(cores, workers)} cores" if cores > 1 else ""
    text = f"it is ready: {before}, and {total} runs go on ({here} of this queue) on {workers} cores{wide}"
    if case.stage is not None and case.stage.resources.gpu:
        text += "; it waits for a GPU"
    facts = {"ahead": ahead, "running": here, "running_in_all": total, "workers": workers, "cores": cores}
    return Reason(Why.QUEUE, text, "nothing: its turn comes", facts)


def _many(count: int) -> str:
    return f"more than {_MOST:,}".replace(",", " ") if count >= _MOST else f"{count}"


def running(case: Case) -> Iterator[Reason]:
    """Who runs it, since when and how far, or that they are gone."""
    row = case.row
    holder = next((session for session in case.view.sessions() if str(session[0]) == row.owner), None)
    alive = case.around.is_alive(holder) if holder else False
    facts = {
        "run": ids.run_name(row.id, row.token),
        "host": holder[1] if holder else None,
        "pid": holder[2] if holder else None,
        "session": row.owner,
        "since": clock.text(row.began) if row.began else None,
        "until": clock.text(row.due),
        "alive": alive if holder else None,
        "progress": row.progress,
        "note": row.note,
    }
    who = f"process {holder[2]} on {holder[1]}" if holder else f"session {row.owner}, which has ended"
    if row.due <= case.view.now() or alive is False:
        yield _lost(case, who, facts)
        return
    text = f"it is running: run {facts['run']}, held by {who} until {facts['until']}"
    if row.began:
        text += f", since {facts['since']}"
    if row.progress is not None:
        text += f", {row.progress:.0%} done"
    if row.note:
        text += f": {row.note}"
    if holder and alive is None:
        text += " (on another host: whether it is alive is seen when its lease ends)"
    yield Reason(
        Why.RUNNING, text, f"`towpath log --follow {case.item.kind}/{case.item.key}:{row.stage}`", facts
    )
    if row.revision != row.claimed_revision:
        yield Reason(
            Why.OUTDATED,
            "something that it depends on changed while it runs: its result is kept, but does not count as done",
            "nothing: it runs again",
        )


def _lost(case: Case, who: str, facts: Mapping[str, object]) -> Reason:
    row = case.row
    gone = "its lease has ended" if row.due <= case.view.now() else "its process is dead"
    return Reason(
        Why.LOST,
        f"it was running: run {facts['run']}, held by {who}; {gone}, so the next free worker takes it "
        f"(death {row.deaths} of {_POISONED})",
        "nothing, while `towpath run` is running",
        {**facts, "deaths": row.deaths},
    )
