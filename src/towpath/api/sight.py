"""What somebody may see of what a site tells of many items at once: counts, lineage, notices.

Promises that what they may not view shows in no number either. Where that would mean to ask about very many items it says
nothing rather than something else.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from towpath.api.asking import Asked
from towpath.app.looking import Status
from towpath.base import states
from towpath.base.errors import NotFoundError
from towpath.base.model import Item
from towpath.contracts.auth import Permission
from towpath.contracts.people import NoticeRow

MOST = 10_000  # items that are asked about for one number
_PAGE = 1000

Work = Mapping[tuple[str, str, str, str], int]


def seen(asker: Asked, *, is_whole: bool = False) -> Callable[[int], bool]:
    """Whether the asker may view an item, by its number; asked once for each.

    Where nobody can say so now, it is one that they may not view; with `is_whole` that raises `Refused`.
    """
    known: dict[int, bool] = {0: True}

    def sees(number: int) -> bool:
        if number not in known:
            try:
                with asker.access.site.catalog.read() as view:
                    item = view.item(number)
                known[number] = asker.may(Permission.VIEW, item) if is_whole else asker.sees("", item)
            except NotFoundError:
                known[number] = False
        return known[number]

    return sees


def sees_all(asker: Asked) -> bool:
    """Whether there is nothing that the asker may not view."""
    return (
        not asker.is_asked_singly and asker.sees("") and len(asker.pipelines()) == len(asker.site.definitions)
    )


def status(asker: Asked, found: Status) -> Status:
    """A site at a glance, as far as the asker may view it."""
    if sees_all(asker):
        return found
    sees = seen(asker)
    with asker.site.catalog.read() as view:
        bad = view.products(states=(states.Product.MISSING, states.Product.CHANGED))
    return replace(
        found,
        counts=_work(asker, found.counts),
        publications=_publications(asker, found.publications),
        bad_products=sum(sees(one.item) for one in bad),
    )


def _work(asker: Asked, counts: Work) -> Work:
    """Work by state."""
    if not asker.is_asked_singly:
        return {key: count for key, count in counts.items() if asker.sees(key[0])}
    items = _items(asker)
    if items is None:
        return {}
    found: Counter[tuple[str, str, str, str]] = Counter()
    with asker.site.catalog.read() as view:
        for start in range(0, len(items), _PAGE):
            page = {one.id: one for one in items[start : start + _PAGE]}
            for number, rows in view.work(list(page)).items():
                one = page[number]
                found.update((one.pipeline, one.kind, row.stage, row.state.value) for row in rows)
    return found


def _items(asker: Asked) -> list[Item] | None:
    """All items that the asker may view; None if the site has too many to ask about each."""
    if asker.site.count_items(most=MOST) >= MOST:
        return None
    found: list[Item] = []
    after = 0
    while page := asker.site.items(after=after, limit=_PAGE):
        found += [one for one in page if asker.sees(one.pipeline, one)]
        after = page[-1].id
    return found


def _publications(asker: Asked, counts: Mapping[str, int]) -> Mapping[str, int]:
    if sum(counts.values()) > MOST:
        return {}
    sees = seen(asker)
    found: Counter[str] = Counter()
    after = 0
    with asker.site.catalog.read() as view:
        while page := view.publications(after=after, limit=_PAGE):
            found.update(one.state.value for one in page if sees(one.item))
            after = page[-1].id
    return found


def notices(asker: Asked, who: Sequence[str], *, unread: bool, after: int, limit: int) -> Iterator[NoticeRow]:
    """What somebody was told, without what is about items that they may not view (any more)."""
    sees = seen(asker)
    with asker.site.catalog.read() as view:
        while limit:
            page = view.notices(who, unread=unread, after=after, limit=_PAGE)
            for one in page:
                if limit and sees(one.item):
                    limit -= 1
                    yield one
            if len(page) < _PAGE:
                return
            after = page[-1].id


def unread(asker: Asked, who: Sequence[str]) -> int:
    """How much of what somebody was told is unread, counted up to `MOST`."""
    if sees_all(asker):
        with asker.site.catalog.read() as view:
            return view.unread(who)
    return sum(1 for _ in notices(asker, who, unread=True, after=0, limit=MOST))


def explained(asker: Asked, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Reasons, without the names of items that the asker may not view."""
    if not asker.is_asked_singly:
        return found
    for one in found:
        one["reasons"] = [_reason(asker, one["item"], reason) for reason in one["reasons"]]
    return found


def _reason(asker: Asked, name: str, reason: dict[str, Any]) -> dict[str, Any]:
    pipeline = name.partition("/")[0]
    members = [str(one) for one in reason.get("facts", {}).get("members") or ()]
    items = [asker.site.find(f"{pipeline}/{one}") for one in members]
    if all(asker.sees(one.pipeline, one) for one in items):
        return reason
    return {**reason, "text": "it waits for items that you may not view", "do": "", "facts": {}}
