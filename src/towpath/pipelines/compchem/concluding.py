"""What came of a processing: its state, SUCCESS, PARTIAL or FAILURE with a sentence, and all that a panel shows of it.

From rows of the catalog alone. Promises that what is no SUCCESS says what was not possible and what to do, and that no
traceback is ever part of a sentence. Pure: looks nothing up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from towpath import Event, Item, Product, Run
from towpath.api import moment

if TYPE_CHECKING:
    from towpath.api import WorkRow

SUCCESS, PARTIAL, FAILURE = "SUCCESS", "PARTIAL", "FAILURE"
STATUSES = (SUCCESS, PARTIAL, FAILURE)
PHASES = {
    "waiting": "Pending",
    "running": "Running",
    "held": "Held",
    "done": "Succeeded",
    "rejected": "Failed",
    "failed": "Failed",
    "error": "Error",
    "stopped": "Stopped",
}
OVER = ("done", "rejected", "failed", "error", "stopped")
AGAIN = ("failed", "poisoned", "stopped")  # states of steps that may be tried again
_MADE = ("done", "adopted", "unchanged", "held")  # outcomes of runs that made something
_SHOWN = (
    ".png",
    ".jpg",
    ".jpeg",
    ".csv",
    ".json",
    ".txt",
    ".log",
    ".md",
)  # what the server draws or shows the head of
_LONGEST = 1000  # characters of a reason
_MOST = 20  # reasons that are parts of a sentence
_RANK = {SUCCESS: 0, PARTIAL: 1, FAILURE: 2}


@dataclass(frozen=True, slots=True)
class Known:
    """The rows of one processing: its item, the work of its steps in the order of the route, ended runs (newest last).

    `stopped` is the event that tells who stopped it, `now` the catalog's time in seconds since the epoch. `is_idle`: nothing
    works on the site at the moment.
    """

    item: Item
    works: "Sequence[WorkRow]"
    runs: Sequence[Run] = ()
    products: Sequence[Product] = ()
    stopped: Event | None = None
    title: str = ""
    now: float = 0.0
    befores: Mapping[str, Sequence[str]] = field(default_factory=dict)
    is_idle: bool = False


def standing(works: "Iterable[WorkRow]") -> str:
    """The state of a processing by its steps: a key of `PHASES`; what goes on says more than what has ended.

    Examples
    --------
    >>> standing([])
    'waiting'
    """
    rows = [row for row in works if row.state != "retired"]
    states = {row.state.value for row in rows}
    if states & {"running", "ready"}:
        return "running" if "running" in states or _has_begun(rows) else "waiting"
    if states == {"done"}:
        return "done"
    for state, told in (("held", "held"), ("poisoned", "error"), ("failed", "failed"), ("rejected", "rejected"),
                        ("stopped", "stopped")):  # fmt: skip
        if state in states:
            return told
    return "running" if _has_begun(rows) else "waiting"


def is_over(works: "Iterable[WorkRow]") -> bool:
    """Whether nothing more is to happen by itself."""
    return standing(works) in OVER


def _has_begun(rows: "Iterable[WorkRow]") -> bool:
    return any(row.began > 0 for row in rows)


def concluded(known: Known) -> tuple[str | None, str]:
    """The status (None while it goes on) and the sentence of a processing."""
    state = standing(known.works)
    told = {row.stage: _step_concluded(known, row) for row in known.works}
    if state == "done":
        return _done(known, list(told.values()))
    if state == "stopped":
        return FAILURE, _stopped(known)
    if state in OVER:
        bad = [row for row in known.works if row.state in ("poisoned", "failed", "rejected")]
        return FAILURE, _joined(
            told[row.stage][1] if row.state == "rejected" else f"{row.stage}: {told[row.stage][1]}"
            for row in bad
        )
    return None, _going_on(known, state)


def _done(known: Known, told: Sequence[tuple[str | None, str]]) -> tuple[str, str]:
    status = max((one for one, _ in told if one), key=_RANK.__getitem__, default=SUCCESS)
    sentences = [sentence for one, sentence in told if sentence and one == status]
    if sentences:
        return status, _joined(sentences)
    made = sum(not _is_input(product) for product in known.products)
    return status, f"all {len(known.works)} steps are done, with {made} result{'' if made == 1 else 's'}"


def _going_on(known: Known, state: str) -> str:
    for row in known.works:
        if row.state == "running":
            return f"{row.stage} runs{f': {row.note}' if row.note else ''}"
        if row.state == "held":
            return f"{row.stage} is held{f': {row.note}' if row.note else ''}; somebody who operates the site lets it go on"
    waits = (_waits(known, row) for row in known.works if row.state in ("ready", "waiting"))
    return next(waits, "it waits") if state == "waiting" else next(waits, "it goes on")


# ---- steps
def _last(known: Known, row: "WorkRow", outcomes: Sequence[str] = ()) -> Run | None:
    runs = [run for run in known.runs if run.work == row.id and (not outcomes or run.outcome in outcomes)]
    return runs[-1] if runs else None


def _step_concluded(known: Known, row: "WorkRow") -> tuple[str | None, str]:
    """The status of a step, None if it has not ended, and its sentence."""
    if row.state == "done":
        return _step_done(_last(known, row, _MADE))
    last = _last(known, row)
    if row.state == "rejected":
        why = _plain(last.reasons if last else ()) or plain_error(row.note)
        return FAILURE, why or "the file does not qualify; mend it, and start it again"
    if row.state == "failed":
        error = plain_error((last.error if last else "") or row.note) or "it failed"
        return FAILURE, _joined([error, "try again, and if it fails once more, tell who operates the site"])
    if row.state == "poisoned":
        error = plain_error(row.note or (last.error if last else "")) or "its process was ended"
        what = "it needs more time or memory than it may have, or the file ends the program: try again"
        return FAILURE, _joined([error, what])
    if row.state == "stopped":
        return FAILURE, _stopped(known)
    return None, ""


def _step_done(run: Run | None) -> tuple[str, str]:
    if run is None:
        return SUCCESS, ""
    measures = {one.name: one.value for one in run.measures}
    said = str(measures.get("status") or "")
    status = said if said in STATUSES else SUCCESS
    sentence = plain_error(str(measures.get("sentence") or ""))
    return (PARTIAL, _plain(run.caveats)) if run.caveats else (status, sentence)


def _stopped(known: Known) -> str:
    data = known.stopped.data if known.stopped else {}
    who = str(data.get("who") or "")
    why = str(
        data.get("why") or next((row.note for row in known.works if row.state == "stopped" and row.note), "")
    )
    said = f"stopped{f' by {who}' if who else ''}{f': {why}' if why else ''}"
    return _joined([said, "try again to go on where it was stopped"])


def _waits(known: Known, row: "WorkRow") -> str:
    """Why a step has not begun; empty if it has."""
    if row.state == "ready":
        if row.due > known.now > 0 and row.note:
            return f"it is tried again at {moment(row.due)}: {plain_error(row.note)}"
        if known.is_idle:
            return (
                "it waits until this site works again (nothing does at the moment), and begins by itself then"
            )
        return f"it waits for its turn{f': {plain_error(row.note)}' if row.note else ''}"
    if row.state != "waiting":
        return ""
    wanted = known.befores.get(row.stage)
    before = (
        [one for one in known.works if one.stage in wanted] if wanted is not None else _earlier(known, row)
    )
    open_ = [one for one in before if one.state not in ("done", "retired")]
    if open_:
        return "; ".join(f"it waits for {one.stage}, which is {one.state.value}" for one in open_)
    return plain_error(row.note) or "it waits"


def _earlier(known: Known, row: "WorkRow") -> "Sequence[WorkRow]":
    place = [one.id for one in known.works].index(row.id)
    return known.works[max(place - 1, 0) : place]


def plain_error(text: str) -> str:
    r"""What an error says, without where in the program it happened: the last line of a traceback, else the first line.

    Examples
    --------
    >>> plain_error("Traceback (most recent call last):\n  File ...\nValueError: no atoms")
    'ValueError: no atoms'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    said = (
        lines[-1] if any(line.startswith("Traceback (most recent call last)") for line in lines) else lines[0]
    )
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"


def _plain(texts: Sequence[str]) -> str:
    return _joined(plain_error(one) for one in texts[:_MOST])


def _joined(sentences: Iterable[str]) -> str:
    """Sentences one after another, each once; what does not end with a full stop is followed by a semicolon."""
    told = ""
    for one in dict.fromkeys(one for one in sentences if one):
        told += f"{'' if not told else ' ' if told[-1] in '.!?' else '; '}{one}"
    return told


# ---- all that is told
def processing(known: Known, *, attempts: bool = False) -> dict[str, Any]:
    """A processing as the routes answer it (`shapes.Processing`); with `attempts` also every run of every step."""
    item, attributes = known.item, known.item.attributes
    state = standing(known.works)
    status, sentence = concluded(known)
    ended = _ended(known) if state in OVER else None
    told = {
        "id": item.key,
        "item": item.id,
        "record": str(attributes.get("record", "")),
        "workflow": item.kind,
        "title": known.title or item.kind,
        "n": int(attributes.get("n", 0)),
        "state": "failed" if state == "error" else state,
        "phase": PHASES[state],
        "status": status,
        "sentence": sentence,
        "file": str(attributes.get("file", "")),
        "files": _files(attributes),
        "by": str(attributes.get("by", "")),
        "why": str(attributes.get("why", "")),
        "started": moment(item.registered),
        "ended": moment(ended),
        "elapsed": round(max((ended or known.now or item.registered) - item.registered, 0.0), 3),
        "steps": [_step(known, row) for row in known.works],
        "results": [_result(one) for one in known.products if not _is_input(one)],
    }
    return {**told, "attempts": [_attempt(run) for run in known.runs]} if attempts else told


def _ended(known: Known) -> float:
    """When it ended, as far as that is known."""
    moments = [run.began + run.seconds for run in known.runs]
    moments += [known.stopped.time] if known.stopped else []
    return max(moments, default=known.item.registered)


def _files(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The files by role, first the one that leads."""
    told = [_file(role, one) for role, one in (attributes.get("files") or {}).items()]
    return sorted(told, key=lambda one: one["key"] != attributes.get("file"))


def _file(role: str, file: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "role": role,
        "key": str(file.get("key", "")),
        "size": int(file.get("size", -1)),
        "checksum": str(file.get("checksum", "")),
    }


def _step(known: Known, row: "WorkRow") -> dict[str, Any]:
    runs = [run for run in known.runs if run.work == row.id]
    is_running = row.state == "running"
    status, sentence = _step_concluded(known, row)
    last = runs[-1] if runs else None
    return {
        "name": row.stage,
        "state": row.state.value,
        "status": status,
        "sentence": sentence,
        "run": f"{row.id}.{row.token}" if is_running else last.name if last else None,
        "fraction": row.progress if is_running else None,
        "note": plain_error(row.note) if is_running else "",
        "began": moment(row.began if is_running else last.began if last else None),
        "seconds": _seconds(known, row, last),
        "attempts": len(runs) + is_running,
        "waits": _waits(known, row),
    }


def _seconds(known: Known, row: "WorkRow", last: Run | None) -> float | None:
    if row.state == "running":
        return round(max(known.now - row.began, 0.0), 3) if known.now else None
    return round(last.seconds, 3) if last else None


def _attempt(run: Run) -> dict[str, Any]:
    return {
        "step": run.stage,
        "run": run.name,
        "outcome": run.outcome.value,
        "began": moment(run.began),
        "seconds": round(run.seconds, 3),
        "reasons": [plain_error(one) for one in run.reasons],
        "caveats": [plain_error(one) for one in run.caveats],
        "error": plain_error(run.error),
        "log": bool(run.log),
    }


def _is_input(product: Product) -> bool:
    """Whether it is a file of the record, not a result."""
    return not product.stage or product.type.startswith("deposit/")


def _result(product: Product) -> dict[str, Any]:
    name = result_name(product)
    is_shown = not product.tree and name.lower().endswith(_SHOWN)
    return {
        "product": product.id,
        "stage": product.stage,
        "output": product.output,
        "name": name,
        "type": product.type,
        "size": product.size,
        "url": f"/api/v1/products/{product.id}/content",
        "preview": f"/api/v1/products/{product.id}/preview" if is_shown else None,
    }


def result_name(product: Product) -> str:
    """The name that a step gave a file, from its place ``KEY.TOKEN/NAME`` or ``KEY.TOKEN.NAME``."""
    above, _, name = product.path.rpartition("/")
    token = f".{product.run[1]}"
    return name if above.endswith(token) else name.partition(f"{token}.")[2] or name
