"""Pages of records: the panel of one and its files, the same for a frame, the records there are, and a structure drawn.

Promises that nobody is shown a record that they may not view, and that the panel's page can be read without scripts. What
is live is done by `static/processing.js`, which asks the routes of workflows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode

from towpath import Item, Site, TowpathError
from towpath.api import Asked, Permission, WorkRow, find_product
from towpath.pipelines.compchem import concluding, processings, routes, shapes

PIPELINE = "compchem"
STATIC = f"/pipelines/{PIPELINE}/static"
_SHOWN = 100  # processings, or records, that stand on a page
_MOST = 10_000  # processings that are counted for the list of records
_PAGE = 1000
_NEWEST = f"The newest {_SHOWN} records among the newest {_MOST} processings are shown and counted; others can be opened by name."
_OPEN = (
    f'<form class="filters row" action="/pipelines/{PIPELINE}/processing" aria-label="Open a record">'
    "<label>Record <input name=record required></label><button>Open</button></form>"
)
_CLASSES = {"SUCCESS": "done", "PARTIAL": "held", "FAILURE": "failed"}  # of statuses, for their colours


def processing(site: Site, asker: Asked, record: str = "", files: str = "", **_: str) -> str:
    """The page of a record: its panel, and in it, for who has no scripts, what was processed.

    With `files` also what applies to its files, which asks the repository.
    """
    if not record:
        return (
            f"{_OPEN}<p>Those of which files were processed are among {_link('records', 'the records')}.</p>"
        )
    found = routes.listed(asker, record, "", _SHOWN, 0)
    return (
        f"<p class=crumbs>{_link('records', 'Records')} / <bdi>{escape(record)}</bdi></p>"
        f'<towpath-processing record="{escape(record)}" heading="Files of {escape(record)}">'
        f"{_plain(asker, record, found, bool(files))}</towpath-processing>"
        f'<script type="module" src="{STATIC}/processing.js"></script>'
    )


def frame(record: str = "", **_: str) -> str:
    """The same panel for a frame of another site, which gives it its token after the ``#`` of the address."""
    return (
        f'<div data-record="{escape(record)}"><noscript>This panel needs scripts. What it shows stands on Towpath\'s own page, '
        f"{_link('processing', 'which needs none', record=record)}.</noscript></div>"
        f'<script type="module" src="{STATIC}/frame.js"></script>'
    )


def view(site: Site, asker: Asked, product: str = "", **_: str) -> str:
    """A structure in three dimensions."""
    if not product.isdecimal() or len(product) > 18:
        return "<p>Which product? Add <code>?product=NUMBER</code>.</p>"
    found = find_product(asker, int(product), Permission.READ)
    item = asker.item(found.item)
    name = concluding.result_name(found)
    return (
        f'<p class=crumbs><a href="/items/{item.id}"><bdi>{escape(item.key)}</bdi></a> / {escape(found.stage)}</p>'
        f'<h2><bdi>{escape(name)}</bdi></h2><div class=card data-product="{found.id}" data-name="{escape(name)}">'
        "<noscript>Drawing it needs scripts; it can be downloaded without.</noscript></div>"
        f'<p><a href="/api/v1/products/{found.id}/content">Download</a></p>'
        f'<script type="module" src="{STATIC}/view.js"></script>'
    )


def records(site: Site, asker: Asked, **_: str) -> str:
    """The records of which files were processed, the latest first, with how many processings are in which state."""
    counted, is_all = _counted(site)
    shown: dict[str, Counter[str]] = {}  # the record of one name may be in several repositories
    for (_repository, record), (latest, counts) in counted.items():
        if record not in shown and len(shown) == _SHOWN:
            is_all = False
            break
        if asker.may(Permission.VIEW, latest):
            shown.setdefault(record, Counter()).update(counts)
    if not shown:
        return f"{_OPEN}<p class=empty>No file of a record was processed yet.</p>"
    rows = [
        _cells(
            _link("processing", f"<bdi>{escape(record)}</bdi>", record=record),
            "&emsp;".join(_state(name, f"{number} {name}") for name, number in sorted(counts.items())),
        )
        for record, counts in shown.items()
    ]
    more = f"<p class='small soft'>{_NEWEST}</p>" if not is_all else ""
    table = _table("Records", "".join(rows), ("Record", "Processings"))
    return f"{_OPEN}<section class=card>{table}{more}</section>"


# ---- without scripts
def _plain(asker: Asked, record: str, found: Mapping[str, Any], with_files: bool) -> str:
    """What was processed, and what applies, as tables that only tell."""
    reload = (
        "<p class='small soft'>This page shows how it was; load it anew to see what has changed since.</p>"
    )
    rows = "".join(map(_row, found["items"]))
    heads = ("File", "Processing", "Status", "What came of it")
    work = _table("Processings", rows, heads) if rows else "<p class=empty>Nothing was processed yet.</p>"
    more = f"<p class='small soft'>The newest {_SHOWN} are shown.</p>" if found["next"] else ""
    return f"<section class=card>{work}{more}{reload}</section>{_offers(asker, record, with_files)}"


def _row(one: Mapping[str, Any]) -> str:
    name = f"{escape(one['title'])} {one['n']}"
    steps = ", ".join(f"{escape(step['name'])} {escape(step['state'])}" for step in one["steps"])
    results = "".join(
        f' <a href="{escape(result["url"])}">{escape(result["name"])}</a>' for result in one["results"]
    )
    told = f"<div>{escape(one['sentence'])}</div><div class='small soft'>{steps}</div>{results}"
    status = one["status"] or one["state"]
    return _cells(
        f"<bdi>{escape(one['file'])}</bdi>",
        f'<a href="/items/{one["item"]}">{name}</a>',
        _state(_CLASSES.get(status, status), status),
        told,
    )


def _offers(asker: Asked, record: str, wanted: bool) -> str:
    if not wanted:
        return f"<p>{_link('processing', 'What applies to which file', record=record, files='all')}</p>"
    try:
        told = routes.available(asker, shapes.Question(record=record))
    except TowpathError as error:
        return f"<p class='said bad'>{escape(str(error))}</p>"
    rows = [(", ".join(one["files"]), one["title"], one["why"]) for one in told["workflows"]]
    rows += [(one["key"], "no workflow", one["why"]) for one in told["unmatched"]]
    cells = "".join(
        _cells(f"<bdi>{escape(key)}</bdi>", escape(what), escape(why)) for key, what, why in sorted(rows)
    )
    table = _table("What applies", cells, ("File", "Workflow", "Why"))
    return f"<section class=card><h2>What applies</h2>{table}</section>"


# ---- pieces
def _counted(site: Site) -> tuple[dict[tuple[str, str], tuple[Item, Counter[str]]], bool]:
    """By repository and record, the latest first: the latest processing, and how many are in which state; whether that is all."""
    counted: dict[tuple[str, str], tuple[Item, Counter[str]]] = {}
    pipeline = processings.pipeline_of(site)
    repositories = {one.name: one.repository for one in site.workflows(pipeline)}
    before = 0
    with site.catalog.read() as rows:
        for _ in range(_MOST // _PAGE):
            page = rows.newest(pipeline, repositories, before=before, limit=_PAGE)
            mine = [item for item in page if item.attributes.get("record")]
            works = rows.work([item.id for item in mine])
            for item in mine:
                name = repositories[item.kind], str(item.attributes["record"])
                _, counts = counted.setdefault(name, (item, Counter()))
                counts[_standing(works[item.id])] += 1
            if len(page) < _PAGE:
                return counted, True
            before = page[-1].id
    return counted, False


def _standing(works: Iterable[WorkRow]) -> str:
    state = concluding.standing(works)
    return "failed" if state == "error" else state


def _table(name: str, rows: str, heads: Sequence[str]) -> str:
    head = "".join(f"<th scope=col>{one}</th>" for one in heads)
    return (
        f"<div class=scroll tabindex=0 role=region aria-label='{name}'>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _cells(name: str, *cells: str) -> str:
    """A row; the last of its cells may be long."""
    *middle, last = cells
    told = "".join(f"<td>{one}</td>" for one in middle)
    return f"<tr data-row><th scope=row class=fold>{name}</th>{told}<td class=fold>{last}</td></tr>"


def _state(name: str, text: str) -> str:
    return f"<span class='state s-{escape(name)}'>{escape(text)}</span>"


def _link(page: str, inside: str, **query: str) -> str:
    """A link to a page of these; `inside` is HTML."""
    more = f"?{urlencode(query)}" if query else ""
    return f'<a href="{escape(f"/pipelines/{PIPELINE}/{page}{more}")}">{inside}</a>'
