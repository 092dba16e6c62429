"""Features, the point results of runs: written with the run that found them, sought by place, item, kind and stage.

Promises that a cone is exact everywhere on the sphere, and that the index on places (an R*Tree on SQLite, a GiST index on
points on PostgreSQL, which needs no extension) only narrows the search. Never keeps those of a run that is not current.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from towpath.adapters.catalog.sql import Session, load, marks, storable
from towpath.base import places
from towpath.base.model import Feature, Features
from towpath.base.spacetime import Box
from towpath.contracts.catalog import Claimed, FeatureCount

if TYPE_CHECKING:
    from sqlalchemy import Connection

_COLUMNS = "f.id, f.item_id, f.queue_id, f.work_id, f.token, f.kind, f.frame, f.name, f.lon, f.lat, f.time, f.properties"
_INSERT = (
    "INSERT INTO features (item_id, queue_id, work_id, token, kind, frame, name, lon, lat, x, y, z, time, properties) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_TREE = (
    "DROP TRIGGER IF EXISTS feature_places_added",
    "DROP TRIGGER IF EXISTS feature_places_removed",
    "DROP TABLE IF EXISTS feature_places",
    "CREATE VIRTUAL TABLE feature_places USING rtree(id, west, east, south, north)",
    "INSERT INTO feature_places SELECT id, lon, lon, lat, lat FROM features",
    "CREATE TRIGGER feature_places_added AFTER INSERT ON features BEGIN "
    "INSERT INTO feature_places VALUES (new.id, new.lon, new.lon, new.lat, new.lat); END",
    "CREATE TRIGGER feature_places_removed AFTER DELETE ON features BEGIN "
    "DELETE FROM feature_places WHERE id = old.id; END",
)
_POINTS = (
    "DROP INDEX IF EXISTS features_place",
    "CREATE INDEX features_place ON features USING gist (point(lon, lat))",
)
_IN_TREE = "SELECT id FROM feature_places WHERE south <= ? AND north >= ? AND west <= ? AND east >= ?"
_IN_POINTS = "point(f.lon, f.lat) <@ box(point(?, ?), point(?, ?))"
_IN_BOX = "f.lat <= ? AND f.lat >= ? AND f.lon <= ? AND f.lon >= ?"


def build(connection: "Connection") -> None:
    """Build the index on places anew from the features, in the connection's transaction."""
    for statement in _TREE if connection.dialect.name == "sqlite" else _POINTS:
        connection.exec_driver_sql(statement)


def in_tree(box: Box) -> tuple[str, list[float]]:
    """The condition that SQLite's index has the feature near the box, and its values."""
    windows = box.windows()
    values = [bound for one in windows for bound in (one.north, one.south, one.east, one.west)]
    return f"f.id IN ({' UNION '.join([_IN_TREE] * len(windows))})", values


def in_points(box: Box) -> tuple[str, list[float]]:
    """The condition that PostgreSQL's index has the feature near the box, and its values."""
    windows = box.windows()
    values = [float(bound) for one in windows for bound in (one.west, one.south, one.east, one.north)]
    return f"({' OR '.join([_IN_POINTS] * len(windows))})", values


class FeatureReading(Session):
    """Adds the search for features; a dialect says how its index is asked."""

    beside_place = ""  # what keeps a dialect from another index where a place is asked for
    order_of_places = "f.id"  # and from walking along the ids

    def near_features(self, box: Box) -> tuple[str, list[float]]:
        """A condition that an index knows to be true of all features in the box, and its values."""
        raise NotImplementedError

    def features(
        self,
        *,
        near: tuple[float, float] | None = None,
        radius: float = 0.0,
        box: Box | None = None,
        frame: str = "",
        item: int = 0,
        kind: str = "",
        pipeline: str = "",
        after: int = 0,
        limit: int = 100,
    ) -> list[Feature]:
        """Features by place and filter, by id."""
        where, values = ["f.id > ?"], [after]
        given: list[tuple[str, Sequence[Any]]] = []
        if near is not None:
            given += [self.near_features(places.around(*near, radius)), _in_cone(*near, radius)]
        if box is not None:
            given += [self.near_features(box), _in_box(box)]
        free = self.beside_place if given else ""
        if item:
            given.append((f"{free}f.item_id = ?", [item]))
        if kind:
            given.append((f"{free}f.kind = ?", [kind]))
        if frame:
            given.append(("f.frame = ?", [frame]))
        if pipeline:
            queues = [
                row[0]
                for row in self.rows("SELECT id FROM queues WHERE pipeline = ? ORDER BY id", (pipeline,))
            ]
            given.append((f"{free}f.queue_id IN ({marks(queues)})", queues))
        for clause, bound in given:
            where.append(clause)
            values += bound
        order = self.order_of_places if near is not None or box is not None else "f.id"
        statement = f"SELECT {_COLUMNS} FROM features f WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?"
        return [self._to_feature(row) for row in self.rows(statement, (*values, limit))]

    def feature_counts(self, item: int) -> list[FeatureCount]:
        """How many features each stage found for an item, by stage and kind."""
        rows = self.rows(
            "SELECT queue_id, kind, count(*) FROM features WHERE item_id = ? GROUP BY queue_id, kind", (item,)
        )
        found = [FeatureCount(self.queue_name(row[0])[2], row[1], row[2]) for row in rows]
        return sorted(found, key=lambda one: (one.stage, one.kind))

    def _to_feature(self, row: Any) -> Feature:
        pipeline, _, stage = self.queue_name(row[2])
        return Feature(
            row[5],
            places.shown_longitude(row[8], row[6]),
            row[9],
            row[7],
            row[6],
            load(row[11], {}),
            row[10],
            row[1],
            stage,
            (row[3], row[4]),
            pipeline,
            row[0],
        )


def _in_cone(longitude: float, latitude: float, radius: float) -> tuple[str, list[float]]:
    # By the longitude as it is kept, so that a place is within no distance of itself.
    x, y, z = places.unit_vector(places.kept_longitude(longitude), latitude)
    clause = "(f.x - ?) * (f.x - ?) + (f.y - ?) * (f.y - ?) + (f.z - ?) * (f.z - ?) <= ?"
    return clause, [x, x, y, y, z, z, places.chord_squared(radius)]


def _in_box(box: Box) -> tuple[str, list[float]]:
    windows = box.windows()
    values = [float(bound) for one in windows for bound in (one.north, one.south, one.east, one.west)]
    return f"({' OR '.join([f'({_IN_BOX})'] * len(windows))})", values


def replace_all(session: Session, queue: int, ended: Sequence[tuple[Claimed, Sequence[Features]]]) -> None:
    """Write the features of runs that made what is current, in place of those of earlier runs of the same work."""
    forget(session, [(claimed.item, claimed.work) for claimed, _ in ended if claimed.token > 1])
    session.cursor.executemany(
        _INSERT, [row for claimed, found in ended for group in found for row in _rows(claimed, queue, group)]
    )


def forget(session: Session, works: Sequence[tuple[int, int]]) -> None:
    """Delete the features of these works (item, work)."""
    session.cursor.executemany("DELETE FROM features WHERE item_id = ? AND work_id = ?", works)


def _rows(claimed: Claimed, queue: int, found: Features) -> Iterable[tuple[Any, ...]]:
    number = len(found.longitudes)
    names: Sequence[str] = found.names or [""] * number
    times: Sequence[float | None] = found.times or [None] * number
    texts: Sequence[str | None] = found.properties or [None] * number
    common = (claimed.item, queue, claimed.work, claimed.token, storable(found.kind), found.frame)
    for name, lon, lat, time, text in zip(
        names, found.longitudes, found.latitudes, times, texts, strict=True
    ):
        properties = storable(text) if text else None  # what is spelled out is what JSON would write
        yield (*common, storable(name), lon, lat, *places.unit_vector(lon, lat), time, properties)
