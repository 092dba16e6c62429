"""The tables of the catalog, for SQLite and PostgreSQL alike.

Promises: names are interned where rows are many (queues, roots, key parts), hashes are 32 raw bytes, times are seconds
since the epoch. Never changed without a migration; a test compares the two.
"""

import sqlalchemy
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    TextClause,
    UniqueConstraint,
    event,
    text,
)

from towpath.adapters.catalog import features as places
from towpath.adapters.catalog import footprints
from towpath.adapters.catalog.facets import LENGTH
from towpath.adapters.catalog.sql import AT_REST, BAD, LIVE, STANDING

metadata = MetaData()

Text = sqlalchemy.Text().with_variant(sqlalchemy.Text(collation="C"), "postgresql")  # compared byte for byte

_ID = BigInteger().with_variant(Integer, "sqlite")


def _partial(name: str, *columns: str | TextClause, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


roots = Table(
    "roots",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("place", Text, nullable=False),
)

queues = Table(
    "queues",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("stage", Text, nullable=False),
    UniqueConstraint("pipeline", "kind", "stage", name="queues_name"),
)

definitions = Table(
    "definitions",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("content", Text, nullable=False),
    Column("loaded", Float, nullable=False),
    Column("active", Boolean, nullable=False),
    UniqueConstraint("pipeline", "sha256", name="definitions_digest"),
)

items = Table(
    "items",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("definition", _ID, nullable=False),
    Column("attributes", Text),
    Column("begins", Float),
    Column("ends", Float),
    Column("west", Float),
    Column("south", Float),
    Column("east", Float),
    Column("north", Float),
    Column("registered", Float, nullable=False),
    UniqueConstraint("pipeline", "kind", "key", name="items_key"),
    Index("items_kind", "pipeline", "kind", "id"),
    _partial("items_span", text(f"({LENGTH})"), "begins", "ends", where="begins IS NOT NULL"),
)

facets = Table(
    "facets",
    metadata,
    Column("digest", BigInteger, nullable=False),  # of an attribute's name and value
    Column("item_id", _ID, nullable=False),
    PrimaryKeyConstraint("digest", "item_id", name="facets_row"),
    sqlite_with_rowid=False,
)

members = Table(
    "members",
    metadata,
    Column("group_id", _ID, nullable=False),
    Column("item_id", _ID, nullable=False),
    Column("position", Integer, nullable=False),
    PrimaryKeyConstraint("group_id", "item_id", name="members_pair"),
    Index("members_item", "item_id"),
    sqlite_with_rowid=False,
)

products = Table(
    "products",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("item_id", _ID, nullable=False),
    Column("queue_id", _ID, nullable=False),  # 0: a raw file
    Column("output", Text, nullable=False),
    Column("part", Text, nullable=False, server_default=""),
    Column("type", Text, nullable=False),
    Column("root_id", _ID, nullable=False),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("tree", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("work_id", _ID, nullable=False, server_default="0"),
    Column("token", Integer, nullable=False, server_default="0"),
    Column("manual", Boolean, nullable=False, server_default=text("false")),
    Column("created", Float, nullable=False),
    Column("left_at", Float),  # when it was superseded, moved to trash or let go
    Column("detail", Text),
    Column("look", Float),  # when it is to be seen whether it may be let go; NULL: its stage keeps it
    _partial("products_current", "item_id", "queue_id", "output", "part", where=LIVE, unique=True),
    _partial("products_bad", "item_id", where=BAD),
    _partial("products_look", "look", where="look IS NOT NULL"),
    _partial("products_shed", "left_at", where="state = 'shed'"),
    _partial("products_left", "state", "left_at", where="state IN ('superseded', 'trash')"),
    _partial("products_raw", "root_id", "path", where="queue_id = 0"),
)

work = Table(
    "work",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("item_id", _ID, nullable=False),
    Column("queue_id", _ID, nullable=False),
    Column("subject", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("due", Float, nullable=False, server_default="0"),
    Column("owner", _ID, nullable=False, server_default="0"),
    Column("token", Integer, nullable=False, server_default="0"),
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("claimed_revision", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("deaths", Integer, nullable=False, server_default="0"),
    Column("key", LargeBinary),
    Column("done_token", Integer, nullable=False, server_default="0"),  # the run that made what is current
    Column("done_part", _ID, nullable=False, server_default="0"),  # the fixed part of that run's key
    Column("began", Float),
    Column("progress", Float),
    Column("note", Text),
    Column("log", Text),  # of the running attempt: file, a colon, the byte it begins at
    Column("payload", Text),
    UniqueConstraint("item_id", "queue_id", "subject", name="work_row"),
    _partial(
        "work_claim",
        *("queue_id", text("priority DESC"), "due", "id", "state", "item_id", "subject"),
        where="state IN ('ready', 'running')",
    ),
    _partial("work_at_rest", "queue_id", "state", "done_part", "item_id", where=AT_REST),
    _partial("work_named", "queue_id", "state", "item_id", where="subject <> '' AND item_id > 0"),
    _partial("work_blocked", "queue_id", "item_id", where="state = 'waiting' AND note IS NOT NULL"),
    _partial(
        "work_unsent",
        "queue_id",
        "subject",
        where="subject <> '' AND state IN ('waiting', 'ready', 'running', 'failed', 'poisoned', 'held')",
    ),
)

parts = Table(
    "parts",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    Column("content", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("work_id", _ID, nullable=False),
    Column("token", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("began", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("part_id", _ID),
    Column("key", LargeBinary),
    Column("definition", _ID),
    Column("worker", Text),
    Column("log", Text),
    Column("measures", Text),
    Column("caveats", Text),
    Column("steps", Text),
    Column("reasons", Text),
    Column("error", Text),
    Column("manual", Boolean),
    Column("software", _ID),  # of the part that tells what its process had loaded
    PrimaryKeyConstraint("work_id", "token", name="runs_pair"),
    sqlite_with_rowid=False,
)

run_inputs = Table(
    "run_inputs",
    metadata,
    Column("work_id", _ID, nullable=False),
    Column("token", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("product_id", _ID),
    Column("sha256", LargeBinary),  # of facts; a product's hash is in its row
    Column("value", Text),
    PrimaryKeyConstraint("work_id", "token", "position", name="run_inputs_row"),
    _partial("run_inputs_product", "product_id", where="product_id IS NOT NULL"),
    sqlite_with_rowid=False,
)

calibrations = Table(
    "calibrations",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("product_id", _ID, nullable=False),
    Column("kind", Text, nullable=False),
    Column("selector", Text, nullable=False),
    Column("begins", Float, nullable=False),
    Column("ends", Float, nullable=False),
    Column("quality", Float, nullable=False),
    Column("state", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("certified", Float, nullable=False),
    Index("calibrations_valid", "kind", "selector", "begins", "ends"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("item_id", _ID, nullable=False),
    Column("work_id", _ID, nullable=False),
    Column("token", Integer, nullable=False),
    Column("result", Text, nullable=False),
    Column("rules", Text, nullable=False),
    Column("time", Float, nullable=False),
    Column("accepted_by", Text),
    Column("accepted_why", Text),
    Index("verdicts_item", "item_id"),
)

features = Table(
    "features",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("item_id", _ID, nullable=False),
    Column("queue_id", _ID, nullable=False),
    Column("work_id", _ID, nullable=False),
    Column("token", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("frame", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("lon", Float, nullable=False),  # degrees, in [-180, 180)
    Column("lat", Float, nullable=False),
    Column("x", Float, nullable=False),  # the place as a unit vector: a cone is a chord
    Column("y", Float, nullable=False),
    Column("z", Float, nullable=False),
    Column("time", Float),
    Column("properties", Text),
    Index("features_item", "item_id", "work_id"),
    Index("features_kind", "kind", "id"),
    Index("features_queue", "queue_id", "id"),
)

flags = Table(
    "flags",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("item_id", _ID, nullable=False),
    Column("part", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("time", Float, nullable=False),
    Column("withdrawn", Float),
    Index("flags_item", "item_id"),
)

publications = Table(
    "publications",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("work_id", _ID, nullable=False),
    Column("token", Integer, nullable=False),
    Column("item_id", _ID, nullable=False),
    Column("archive", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("files", Text, nullable=False),
    Column("folder", Boolean, nullable=False),
    Column("mode", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("supersedes", _ID, nullable=False),
    Column("opened", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Index("publications_item", "item_id"),
    Index("publications_work", "work_id"),
    Index("publications_state", "state"),
    _partial(
        "publications_target",
        "archive",
        "target",
        where="state NOT IN ('failed', 'conflict', 'withdrawn')",
        unique=True,
    ),
)

orders = Table(
    "orders",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("work_id", _ID, nullable=False),
    Column("item_id", _ID, nullable=False),
    Column("queue_id", _ID, nullable=False),
    Column("kind", Text, nullable=False),  # gate | handoff
    Column("state", Text, nullable=False),
    Column("token", Integer, nullable=False),  # rises with each claim by a person
    Column("key", LargeBinary, nullable=False),  # of the work when it was opened
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("due", Float),
    Column("opened", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Index("orders_work", "work_id"),
    Index("orders_item", "item_id"),
    _partial("orders_standing", "id", where=STANDING),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("order_id", _ID, nullable=False),
    Column("token", Integer, nullable=False),  # of the order that it answers
    Column("sha256", LargeBinary, nullable=False),  # of its manifest
    Column("state", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("time", Float, nullable=False),
    UniqueConstraint("order_id", "sha256", name="deliveries_manifest"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("sha256", LargeBinary, nullable=False, unique=True),  # of the secret, which is nowhere
    Column("kind", Text, nullable=False),  # person | session
    Column("name", Text, nullable=False),
    Column("grants", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
    Column("seen", Float),
    Column("parent", _ID, nullable=False),  # the token that a session began with; 0: none
    Column("author", Text, nullable=False),
    _partial("tokens_parent", "parent", where="parent > 0"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("item_id", _ID, nullable=False),
    Column("who", Text, nullable=False),
    Column("since", Float, nullable=False),
    PrimaryKeyConstraint("item_id", "who", name="subscriptions_pair"),
    Index("subscriptions_who", "who", "item_id"),
    sqlite_with_rowid=False,
)

notices = Table(
    "notices",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("who", Text, nullable=False),
    Column("event", _ID, nullable=False),  # 0: of none
    Column("item_id", _ID, nullable=False),  # 0: of none
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("time", Float, nullable=False),
    Column("read", Float),
    Index("notices_who", "who", "id"),
    _partial("notices_unread", "who", "id", where='"read" IS NULL'),
)

answers = Table(
    "answers",
    metadata,
    Column("who", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False),  # of the request
    Column("status", Integer, nullable=False),  # 0: it is being answered
    Column("body", LargeBinary, nullable=False),
    Column("time", Float, nullable=False),
    PrimaryKeyConstraint("who", "key", name="answers_row"),
    Index("answers_time", "time"),
)

events = Table(
    "events",
    metadata,
    Column("seq", _ID, primary_key=True),
    Column("time", Float, nullable=False),
    Column("type", Text, nullable=False),
    Column("item_id", _ID),
    Column("queue_id", _ID),
    Column("token", Integer),
    Column("data", Text),
    _partial("events_item", "item_id", where="item_id IS NOT NULL"),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

milestones = Table(
    "milestones",
    metadata,
    Column("item_id", _ID, nullable=False),
    Column("name", Text, nullable=False),
    Column("time", Float, nullable=False),
    PrimaryKeyConstraint("item_id", "name", name="milestones_row"),
    Index("milestones_name", "name", "item_id"),
    sqlite_with_rowid=False,
)

slots = Table(
    "slots",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("subset", Text, nullable=False),
    Column("data", Text, nullable=False),
    UniqueConstraint("rule", "subset", name="slots_name"),
)

pins = Table(
    "pins",
    metadata,
    Column("product_id", _ID, nullable=False),
    Column("author", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("until", Float),
    PrimaryKeyConstraint("product_id", "author", name="pins_row"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("lock", Text, nullable=False),
    Column("attributable", Boolean, nullable=False),
    Column("opened", Float, nullable=False),
    Column("works", Boolean, nullable=False, server_default=text("true")),  # a server does not
)

# The index on items' footprints: virtual on SQLite, geometry on PostgreSQL.
event.listen(metadata, "after_create", lambda _, connection, **more: footprints.build(connection))
# That on features: virtual on SQLite, GiST on points on PostgreSQL.
event.listen(metadata, "after_create", lambda _, connection, **more: places.build(connection))
