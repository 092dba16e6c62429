"""What items are found by: digests of their attributes (the table `facets`), and spans by their length.

Promises that a digest only narrows a search: the attributes themselves decide. Equal numbers are equal however they are
written, and true is no number. Lists and objects have no facet.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from towpath.adapters.catalog.sql import load
from towpath.base.hashing import digest

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PAGE = 5000
# Upper bounds of lengths of time spans, seconds; the last one is for all that are longer. Never changed but with the index.
LENGTHS = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000)
LONGER = 0
LENGTH = f"CASE {' '.join(f'WHEN ends - begins <= {length} THEN {length}' for length in LENGTHS)} ELSE {LONGER} END"


# ---- attributes
def is_scalar(value: Any) -> bool:
    """Whether items can be found by an attribute of this value: a text, a number, true or false."""
    return isinstance(value, str | int | float)


@lru_cache(maxsize=8192, typed=True)
def facet(name: str, value: str | float) -> int:
    """The 63-bit digest of an attribute."""
    told = int(value) if isinstance(value, float) and value.is_integer() else value
    return int.from_bytes(digest([name, told])[:8], "big") >> 1


def facets_of(attributes: Mapping[str, Any]) -> set[int]:
    """The digests of all attributes that have one."""
    return {facet(name, value) for name, value in attributes.items() if is_scalar(value)}


def holds(attributes: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether these attributes have the wanted values."""
    return all(name in attributes and _is_same(attributes[name], value) for name, value in wanted.items())


def _is_same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def build(connection: "Connection") -> None:
    """Write the facets of all items anew, in the connection's transaction."""
    connection.exec_driver_sql("DELETE FROM facets")
    after = 0
    while True:
        rows = connection.exec_driver_sql(
            f"SELECT id, attributes FROM items WHERE id > {after:d} AND attributes IS NOT NULL ORDER BY id LIMIT {_PAGE}"
        ).fetchall()
        if not rows:
            return
        _write(connection, ((one, row[0]) for row in rows for one in facets_of(load(row[1], {}))))
        after = rows[-1][0]


def _write(connection: "Connection", rows: Iterable[tuple[int, int]]) -> None:
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    if found := list(rows):
        connection.exec_driver_sql(f"INSERT INTO facets (digest, item_id) VALUES ({mark}, {mark})", found)
