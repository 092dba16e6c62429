"""The index on items' footprints: an R*Tree on SQLite, PostGIS geometry on PostgreSQL where the extension is there.

Promises the same answers with each index and without one: an index only narrows the search, the columns west, south,
east and north decide. Triggers keep it, so that no way of writing items can forget it. It can be built anew at any time.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from towpath.base.spacetime import Box

if TYPE_CHECKING:
    from sqlalchemy import Connection

_MEETS = (
    "(south <= ? AND north >= ? AND "
    "((west <= east AND west <= ? AND east >= ?) OR (west > east AND (west <= ? OR east >= ?))))"
)
_IN_TREE = "south <= ? AND north >= ? AND west <= ? AND east >= ?"

_TREE_ROWS = (
    "INSERT INTO footprints (id, west, east, south, north) "
    "SELECT 2 * {id}, {west}, CASE WHEN {west} > {east} THEN 180 ELSE {east} END, {south}, {north} {from} "
    "WHERE {west} IS NOT NULL UNION ALL "
    "SELECT 2 * {id} + 1, -180, {east}, {south}, {north} {from} WHERE {west} > {east}"
)


def meeting(box: Box) -> tuple[str, list[float]]:
    """The condition on items that their footprint shares a point with the box on the sphere, and its values."""
    windows = box.windows()
    values = [
        bound for one in windows for bound in (one.north, one.south, one.east, one.west, one.east, one.west)
    ]
    return f"west IS NOT NULL AND ({' OR '.join([_MEETS] * len(windows))})", values


def _floats(rows: Iterable[tuple[float, ...]]) -> list[float]:
    return [float(bound) for row in rows for bound in row]


# ---- SQLite: two boxes of the tree for an item across the antimeridian, numbers 2 id and 2 id + 1
def in_tree(box: Box) -> list[tuple[str, list[float]]]:
    """The conditions that the R*Tree has a row near the box, one for each part, with values; bounds are rounded outwards."""
    return [(_IN_TREE, _floats([(one.north, one.south, one.east, one.west)])) for one in box.windows()]


def _tree_rows(row: str, source: str = "") -> str:
    names = {name: f"{row}.{name}" for name in ("id", "west", "south", "east", "north")}
    return _TREE_ROWS.format(**names, **{"from": source})


_TREE = (
    "DROP TRIGGER IF EXISTS footprints_added",
    "DROP TRIGGER IF EXISTS footprints_moved",
    "DROP TRIGGER IF EXISTS footprints_removed",
    "DROP TABLE IF EXISTS footprints",
    "CREATE VIRTUAL TABLE footprints USING rtree(id, west, east, south, north)",
    _tree_rows("items", "FROM items"),
    f"CREATE TRIGGER footprints_added AFTER INSERT ON items WHEN new.west IS NOT NULL BEGIN {_tree_rows('new')}; END",
    "CREATE TRIGGER footprints_moved AFTER UPDATE OF west, south, east, north ON items "
    "WHEN new.west IS NOT old.west OR new.south IS NOT old.south OR new.east IS NOT old.east OR new.north IS NOT old.north "
    f"BEGIN DELETE FROM footprints WHERE id IN (2 * old.id, 2 * old.id + 1); {_tree_rows('new')}; END",
    "CREATE TRIGGER footprints_removed AFTER DELETE ON items WHEN old.west IS NOT NULL "
    "BEGIN DELETE FROM footprints WHERE id IN (2 * old.id, 2 * old.id + 1); END",
)


# ---- PostgreSQL: one MultiPolygon for each item, split at the antimeridian
def in_geometry(box: Box, postgis: str) -> tuple[str, list[float]]:
    """The condition that the geometry of the item is near the box, and its values.

    `postgis` is the schema of the extension, quoted.
    """
    windows = box.windows()
    near = f"shape OPERATOR({postgis}.&&) {postgis}.ST_MakeEnvelope(?, ?, ?, ?, 4326)"
    values = _floats((one.west, one.south, one.east, one.north) for one in windows)
    return f"id IN (SELECT item_id FROM footprints WHERE {' OR '.join([near] * len(windows))})", values


_LEAST = "1e-9"  # degrees (0.1 mm): a point or line is widened so far, for a valid polygon has an area


def _side(low: str, high: str, most: str) -> tuple[str, str]:
    """The bounds of a side, widened inwards of the range where they are equal."""
    return (
        f"CASE WHEN {low} = {high} AND {high} >= {most} THEN {low} - {_LEAST} ELSE {low} END",
        f"CASE WHEN {low} = {high} AND {high} < {most} THEN {high} + {_LEAST} ELSE {high} END",
    )


def _envelope(postgis: str, row: str, west: str, east: str) -> str:
    (left, right), (low, high) = _side(west, east, "180"), _side(f"{row}.south", f"{row}.north", "90")
    return f"{postgis}.ST_MakeEnvelope({left}, {low}, {right}, {high}, 4326)"


def _shape(postgis: str, row: str) -> str:
    """The footprint of a row of items as geometry."""
    west, east = f"{row}.west", f"{row}.east"
    one = f"{postgis}.ST_Multi({_envelope(postgis, row, west, east)})"
    two = (
        f"{postgis}.ST_Collect({_envelope(postgis, row, west, '180.0::float8')}, "
        f"{_envelope(postgis, row, '(-180.0)::float8', east)})"
    )
    return f"CASE WHEN {west} > {east} THEN {two} ELSE {one} END"


def _geometry(postgis: str) -> Sequence[str]:
    """The statements that build the table, its function and its triggers."""
    return (
        "CREATE TABLE footprints ("
        "item_id bigint PRIMARY KEY REFERENCES items (id) ON DELETE CASCADE, "
        f"shape {postgis}.geometry(MultiPolygon, 4326) NOT NULL, "
        f"CONSTRAINT footprints_some CHECK (NOT {postgis}.ST_IsEmpty(shape)), "
        f"CONSTRAINT footprints_valid CHECK ({postgis}.ST_IsValid(shape)), "
        f"CONSTRAINT footprints_srid CHECK ({postgis}.ST_SRID(shape) = 4326), "
        f"CONSTRAINT footprints_longitude CHECK ({postgis}.ST_XMin(shape) >= -180 AND {postgis}.ST_XMax(shape) <= 180), "
        f"CONSTRAINT footprints_latitude CHECK ({postgis}.ST_YMin(shape) >= -90 AND {postgis}.ST_YMax(shape) <= 90))",
        f"INSERT INTO footprints (item_id, shape) SELECT id, {_shape(postgis, 'i')} FROM items i WHERE west IS NOT NULL",
        "CREATE INDEX footprints_shape ON footprints USING gist (shape)",
        "CREATE FUNCTION footprints_keep() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN "
        "IF NEW.west IS NULL THEN DELETE FROM footprints WHERE item_id = NEW.id; "
        f"ELSE INSERT INTO footprints (item_id, shape) VALUES (NEW.id, {_shape(postgis, 'NEW')}) "
        "ON CONFLICT (item_id) DO UPDATE SET shape = excluded.shape; END IF; RETURN NULL; END $$",
        "CREATE TRIGGER footprints_added AFTER INSERT ON items FOR EACH ROW WHEN (NEW.west IS NOT NULL) "
        "EXECUTE FUNCTION footprints_keep()",
        "CREATE TRIGGER footprints_moved AFTER UPDATE OF west, south, east, north ON items FOR EACH ROW WHEN "
        "(ROW(NEW.west, NEW.south, NEW.east, NEW.north) IS DISTINCT FROM ROW(OLD.west, OLD.south, OLD.east, OLD.north)) "
        "EXECUTE FUNCTION footprints_keep()",
    )


FIND_POSTGIS = "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'postgis'"
FIND_INDEX = f"{FIND_POSTGIS} AND to_regclass(format('%I.footprints', current_schema())) IS NOT NULL"


def postgis_schema(row: Any) -> str:
    """The quoted schema of PostGIS from the row of `FIND_POSTGIS` or `FIND_INDEX`; "" where there is none."""
    return '"' + str(row[0]).replace('"', '""') + '"' if row else ""


def build(connection: "Connection") -> bool:
    """Build the index anew from the items, in the connection's transaction; False where the database cannot have one."""
    if connection.dialect.name == "sqlite":
        for statement in _TREE:
            connection.exec_driver_sql(statement)
        return True
    for statement in (
        "DROP TRIGGER IF EXISTS footprints_added ON items",
        "DROP TRIGGER IF EXISTS footprints_moved ON items",
        "DROP FUNCTION IF EXISTS footprints_keep()",
        "DROP TABLE IF EXISTS footprints",
    ):
        connection.exec_driver_sql(statement)
    schema = postgis_schema(connection.exec_driver_sql(FIND_POSTGIS).fetchone())
    if not schema:
        return False
    for statement in _geometry(schema):
        connection.exec_driver_sql(statement.replace("%", "%%"))
    return True
