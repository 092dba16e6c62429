"""Metrics of a site in Prometheus' text form. Counts what the asker may view."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from towpath.api.asking import Asked
from towpath.api.sight import status
from towpath.base.version import VERSION

Sample = tuple[Mapping[str, str], float]


def exposition(asker: Asked) -> str:
    """The metrics as text."""
    return "".join(f"{line}\n" for line in _lines(asker))


def _lines(asker: Asked) -> Iterator[str]:
    found = status(asker, asker.site.status())
    with asker.site.catalog.read() as view:
        last = view.last_event()
    shown: Iterable[Sample] = (
        ({"pipeline": key[0], "kind": key[1], "stage": key[2], "state": key[3]}, count)
        for key, count in sorted(found.counts.items())
    )
    yield from _metric("towpath_info", "gauge", "The version that serves.", [({"version": VERSION}, 1)])
    yield from _metric("towpath_work", "gauge", "Pieces of work by state.", shown)
    states: Iterable[Sample] = (
        ({"state": state}, count) for state, count in sorted(found.publications.items())
    )
    yield from _metric("towpath_publications", "gauge", "Publications by state.", states)
    bad = "Products whose bytes are missing or changed."
    yield from _metric("towpath_bad_products", "gauge", bad, [({}, found.bad_products)])
    yield from _metric("towpath_sessions", "gauge", "Processes that run work.", [({}, len(found.sessions))])
    yield from _metric("towpath_events_total", "counter", "Events so far.", [({}, last)])


def _metric(name: str, kind: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        inner = ",".join(f'{label}="{_escaped(told)}"' for label, told in labels.items())
        yield f"{name}{{{inner}}} {value:g}" if inner else f"{name} {value:g}"


def _escaped(text: Any) -> str:
    return str(text).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
