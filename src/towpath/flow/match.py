"""Match: which workflows apply to the files of a record, to which of them together, and why (not).

Promises one answer for whoever asks: what is shown as available is what is started. Pure: looks at names, sizes and what
the first bytes are said to be, never at a disk.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from towpath.contracts.records import Matched, Offer, Role, Seen, Workflow

_NAMED = 8  # files among which somebody is to choose


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a file fits a role: `rank` is its place among the extensions; else `why` not, and how near it came."""

    fits: bool
    rank: int = 0
    why: str = ""
    nearness: int = 0


def match(workflows: Iterable[Workflow], files: Sequence[Seen]) -> Matched:
    """What is offered for the files of one record.

    Examples
    --------
    >>> energies = Workflow("lab", "energies", "energies", (Role("edr", extension=("edr",)),), "edr")
    >>> found = match([energies], [Seen("run.edr"), Seen("notes.txt")])
    >>> found.offers[0].why
    'run.edr ends in .edr'
    >>> found.unmatched["notes.txt"]
    'no workflow takes .txt files; there are workflows for .edr'
    """
    known = list(workflows)
    offers: list[Offer] = []
    wanting: dict[str, str] = {}
    beside: dict[str, str] = {}  # by workflow: what is wanting, for files that were to go along
    for workflow in known:
        fitting = {role.name: _Fitting.of(role, files) for role in workflow.roles}
        for lead, _ in fitting[workflow.per].files:
            offer = _offer(workflow, lead, fitting)
            if isinstance(offer, Offer):
                offers.append(offer)
            else:
                wanting.setdefault(lead.key, f"{workflow.title or workflow.name}: {offer}")
                beside.setdefault(workflow.name, f"{workflow.title or workflow.name} of {lead.key}: {offer}")
    used = {key for offer in offers for key in offer.files.values()}
    unmatched = {
        one.key: wanting.get(one.key) or _why_none(known, one, beside) for one in files if one.key not in used
    }
    return Matched(tuple(offers), unmatched)


def fit(role: Role, file: Seen) -> Fit:
    """Whether a file may play a role."""
    name = file.key.rpartition("/")[2]
    ending = extension_of(name, role.extension)
    if role.extension and ending is None:
        return Fit(False, why=f"it does not end in {_dotted(role.extension)}")
    if role.glob and not any(fnmatchcase(name, pattern) for pattern in role.glob):
        return Fit(False, why=f"its name does not fit {' or '.join(role.glob)}", nearness=1)
    told = file.media_type if file.media_type != "application/octet-stream" else ""
    if role.media_type and told and not any(fnmatchcase(told, pattern) for pattern in role.media_type):
        return Fit(False, why=f"it is said to be {told}, not {' or '.join(role.media_type)}", nearness=1)
    if 0 <= file.size < role.at_least:
        return Fit(False, why=f"it has {_size(file.size)}, less than {_size(role.at_least)}", nearness=2)
    if role.at_most and file.size > role.at_most:
        return Fit(False, why=f"it has {_size(file.size)}, more than {_size(role.at_most)}", nearness=2)
    if role.content and file.content is not None and file.content not in role.content:
        return Fit(False, why=_unlike(file, role.content), nearness=3)
    return Fit(True, rank=role.extension.index(ending) if ending else 0)


def extension_of(name: str, known: Sequence[str]) -> str | None:
    """The longest of the known extensions that a name ends with, whatever its case."""
    low = name.lower()
    found = [one for one in known if low.endswith(f".{one}") and len(low) > len(one) + 1]
    return max(found, key=len, default=None)


@dataclass(frozen=True, slots=True)
class _Fitting:
    """The files that may play a role, each with its rank: all, and by what their names have before the ending."""

    files: Sequence[tuple[Seen, int]]
    by_stem: Mapping[str, Sequence[tuple[Seen, int]]]

    @classmethod
    def of(cls, role: Role, files: Iterable[Seen]) -> "_Fitting":
        """Of these files."""
        found = [(one, told.rank) for one in files if (told := fit(role, one)).fits]
        by_stem: dict[str, list[tuple[Seen, int]]] = {}
        for one, rank in found:
            by_stem.setdefault(_stem(one.key), []).append((one, rank))
        return cls(found, by_stem)

    def nearest(self, lead: Seen) -> list[Seen]:
        """Of several beside this one: those of the same name before the ending, else all; of these the preferred ending."""
        stem = _stem(lead.key)
        same = [(one, rank) for one, rank in self.by_stem.get(stem, ()) if one.key != lead.key]
        pool = same or [(one, rank) for one, rank in self.files if one.key != lead.key]
        if not same and len(self.by_stem) - (stem in self.by_stem) > 1:
            return [one for one, _ in pool]
        best = min((rank for _, rank in pool), default=0)
        return [one for one, rank in pool if rank == best]


def _offer(workflow: Workflow, lead: Seen, fitting: Mapping[str, _Fitting]) -> Offer | str:
    """What is offered with this file at its head, or what is wanting."""
    chosen = {workflow.per: lead.key}
    reasons = [_reason(workflow.role(workflow.per), lead)]
    for role in workflow.roles:
        if role.name == workflow.per:
            continue
        best = fitting[role.name].nearest(lead)
        if len(best) == 1:
            chosen[role.name] = best[0].key
            reasons.append(f"{best[0].key} is its {role.name}")
        elif not role.optional:
            if not best:
                return f"it needs a {role.name} beside it ({_wanted(role)})"
            more = f" and {len(best) - _NAMED} more" if len(best) > _NAMED else ""
            names = ", ".join(one.key for one in best[:_NAMED]) + more
            return (
                f"it needs a {role.name}, and {names} may be it: name one of them, or name it like {lead.key}"
            )
    return Offer(workflow, chosen, "; ".join(reasons))


def _stem(key: str) -> str:
    folder, _, name = key.rpartition("/")
    return f"{folder}/{name.lstrip('.').partition('.')[0].lower()}"


def _reason(role: Role, file: Seen) -> str:
    name = file.key.rpartition("/")[2]
    ending = extension_of(name, role.extension)
    parts = [f"ends in .{ending}"] if ending else []
    if role.content and file.content:
        parts.append(f"is {_named(file.content)}")
    return f"{file.key} {' and '.join(parts) or 'fits'}"


def _why_none(workflows: Sequence[Workflow], file: Seen, beside: Mapping[str, str]) -> str:
    """Why no workflow applies to a file: what came nearest."""
    roles = [(workflow, role) for workflow in workflows for role in workflow.roles]
    leads = [(workflow, role) for workflow, role in roles if role.name == workflow.per]
    fits = {(w.name, r.name): fit(r, file) for w, r in roles}
    helping = [(w, r) for w, r in roles if fits[w.name, r.name].fits]
    if helping:
        workflow, role = helping[0]
        if workflow.name in beside:
            return beside[workflow.name]
        what = _wanted(workflow.role(workflow.per))
        return f"it is a {role.name} for {workflow.title or workflow.name}, which needs a {workflow.per} ({what})"
    near = max((fits[w.name, r.name].nearness for w, r in leads), default=0)
    if near == 3:
        expected = dict.fromkeys(c for w, r in leads if fits[w.name, r.name].nearness == 3 for c in r.content)
        return f"no workflow: {_unlike(file, list(expected))}"
    if near:
        first = next(fits[w.name, r.name] for w, r in leads if fits[w.name, r.name].nearness == near)
        return f"no workflow: {first.why}"
    endings = dict.fromkeys(one for _, role in leads for one in role.extension)
    name = file.key.rpartition("/")[2]
    ending = f".{name.rpartition('.')[2]} files" if "." in name.lstrip(".") else "files without an ending"
    known = f"; there are workflows for {_dotted(list(endings))}" if endings else ""
    return f"no workflow takes {ending}{known}"


def _unlike(file: Seen, expected: Sequence[str]) -> str:
    """What a file is, where it was to be something else."""
    found = f"is {_named(file.content)}, not" if file.content else "is not recognised as"
    return f"what is in {file.key} {found} {_either(expected)}"


def _named(content: str) -> str:
    return f"“{content}”"


def _wanted(role: Role) -> str:
    if role.extension:
        return _dotted(role.extension)
    return " or ".join(role.glob or role.content or role.media_type)


def _dotted(endings: Sequence[str]) -> str:
    return _either([f".{one}" for one in endings])


def _either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"
