CREATE SCHEMA towpath;
CREATE TYPE towpath.validity AS RANGE (
    subtype = double precision,
    multirange_type_name = towpath.validity_multirange,
    subtype_diff = float8mi
);
CREATE TABLE towpath.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE towpath.answers (
    who text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    sha256 bytea NOT NULL,
    status integer NOT NULL,
    body bytea NOT NULL,
    "time" double precision NOT NULL
);
CREATE TABLE towpath.calibrations (
    id bigint NOT NULL,
    product_id bigint NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    selector text NOT NULL COLLATE pg_catalog."C",
    begins double precision NOT NULL,
    ends double precision NOT NULL,
    quality double precision NOT NULL,
    state text NOT NULL COLLATE pg_catalog."C",
    author text NOT NULL COLLATE pg_catalog."C",
    why text NOT NULL COLLATE pg_catalog."C",
    certified double precision NOT NULL
);
CREATE SEQUENCE towpath.calibrations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.calibrations_id_seq OWNED BY towpath.calibrations.id;
CREATE TABLE towpath.counters (
    name text NOT NULL COLLATE pg_catalog."C",
    value bigint NOT NULL
)
WITH (fillfactor='50');
CREATE TABLE towpath.definitions (
    id bigint NOT NULL,
    pipeline text NOT NULL COLLATE pg_catalog."C",
    version text NOT NULL COLLATE pg_catalog."C",
    sha256 bytea NOT NULL,
    content text NOT NULL COLLATE pg_catalog."C",
    loaded double precision NOT NULL,
    active boolean NOT NULL
);
CREATE SEQUENCE towpath.definitions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.definitions_id_seq OWNED BY towpath.definitions.id;
CREATE TABLE towpath.deliveries (
    id bigint NOT NULL,
    order_id bigint NOT NULL,
    token integer NOT NULL,
    sha256 bytea NOT NULL,
    state text NOT NULL COLLATE pg_catalog."C",
    who text NOT NULL COLLATE pg_catalog."C",
    place text NOT NULL COLLATE pg_catalog."C",
    reasons text NOT NULL COLLATE pg_catalog."C",
    manifest text NOT NULL COLLATE pg_catalog."C",
    "time" double precision NOT NULL
);
CREATE SEQUENCE towpath.deliveries_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.deliveries_id_seq OWNED BY towpath.deliveries.id;
CREATE TABLE towpath.events (
    seq bigint NOT NULL,
    "time" double precision NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    item_id bigint,
    queue_id bigint,
    token integer,
    data text COLLATE pg_catalog."C"
);
CREATE SEQUENCE towpath.events_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.events_seq_seq OWNED BY towpath.events.seq;
CREATE TABLE towpath.facets (
    digest bigint NOT NULL,
    item_id bigint NOT NULL
);
CREATE TABLE towpath.features (
    id bigint NOT NULL,
    item_id bigint NOT NULL,
    queue_id bigint NOT NULL,
    work_id bigint NOT NULL,
    token integer NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    frame text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    lon double precision NOT NULL,
    lat double precision NOT NULL,
    x double precision NOT NULL,
    y double precision NOT NULL,
    z double precision NOT NULL,
    "time" double precision,
    properties text COLLATE pg_catalog."C"
);
CREATE SEQUENCE towpath.features_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.features_id_seq OWNED BY towpath.features.id;
CREATE TABLE towpath.flags (
    id bigint NOT NULL,
    item_id bigint NOT NULL,
    part text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    comment text NOT NULL COLLATE pg_catalog."C",
    author text NOT NULL COLLATE pg_catalog."C",
    "time" double precision NOT NULL,
    withdrawn double precision
);
CREATE SEQUENCE towpath.flags_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.flags_id_seq OWNED BY towpath.flags.id;
CREATE TABLE towpath.items (
    id bigint NOT NULL,
    pipeline text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    definition bigint NOT NULL,
    attributes text COLLATE pg_catalog."C",
    begins double precision,
    ends double precision,
    west double precision,
    south double precision,
    east double precision,
    north double precision,
    registered double precision NOT NULL
);
CREATE SEQUENCE towpath.items_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.items_id_seq OWNED BY towpath.items.id;
CREATE TABLE towpath.members (
    group_id bigint NOT NULL,
    item_id bigint NOT NULL,
    "position" integer NOT NULL
);
CREATE TABLE towpath.milestones (
    item_id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    "time" double precision NOT NULL
);
CREATE TABLE towpath.notices (
    id bigint NOT NULL,
    who text NOT NULL COLLATE pg_catalog."C",
    event bigint NOT NULL,
    item_id bigint NOT NULL,
    title text NOT NULL COLLATE pg_catalog."C",
    body text NOT NULL COLLATE pg_catalog."C",
    "time" double precision NOT NULL,
    read double precision
);
CREATE SEQUENCE towpath.notices_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.notices_id_seq OWNED BY towpath.notices.id;
CREATE TABLE towpath.orders (
    id bigint NOT NULL,
    work_id bigint NOT NULL,
    item_id bigint NOT NULL,
    queue_id bigint NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    token integer NOT NULL,
    key bytea NOT NULL,
    title text NOT NULL COLLATE pg_catalog."C",
    body text NOT NULL COLLATE pg_catalog."C",
    who text NOT NULL COLLATE pg_catalog."C",
    why text NOT NULL COLLATE pg_catalog."C",
    due double precision,
    opened double precision NOT NULL,
    changed double precision NOT NULL
);
CREATE SEQUENCE towpath.orders_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.orders_id_seq OWNED BY towpath.orders.id;
CREATE TABLE towpath.parts (
    id bigint NOT NULL,
    sha256 bytea NOT NULL,
    content text NOT NULL COLLATE pg_catalog."C"
);
CREATE SEQUENCE towpath.parts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.parts_id_seq OWNED BY towpath.parts.id;
CREATE TABLE towpath.pins (
    product_id bigint NOT NULL,
    author text NOT NULL COLLATE pg_catalog."C",
    why text NOT NULL COLLATE pg_catalog."C",
    until double precision
);
CREATE TABLE towpath.products (
    id bigint NOT NULL,
    item_id bigint NOT NULL,
    queue_id bigint NOT NULL,
    output text NOT NULL COLLATE pg_catalog."C",
    part text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    root_id bigint NOT NULL,
    path text NOT NULL COLLATE pg_catalog."C",
    size bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    sha256 bytea NOT NULL,
    tree boolean NOT NULL,
    state text NOT NULL COLLATE pg_catalog."C",
    work_id bigint DEFAULT '0'::bigint NOT NULL,
    token integer DEFAULT 0 NOT NULL,
    manual boolean DEFAULT false NOT NULL,
    created double precision NOT NULL,
    left_at double precision,
    detail text COLLATE pg_catalog."C",
    look double precision
);
CREATE SEQUENCE towpath.products_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.products_id_seq OWNED BY towpath.products.id;
CREATE TABLE towpath.publications (
    id bigint NOT NULL,
    work_id bigint NOT NULL,
    token integer NOT NULL,
    item_id bigint NOT NULL,
    archive text NOT NULL COLLATE pg_catalog."C",
    target text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    sha256 bytea NOT NULL,
    files text NOT NULL COLLATE pg_catalog."C",
    folder boolean NOT NULL,
    mode text NOT NULL COLLATE pg_catalog."C",
    error text NOT NULL COLLATE pg_catalog."C",
    supersedes bigint NOT NULL,
    opened double precision NOT NULL,
    updated double precision NOT NULL
);
CREATE SEQUENCE towpath.publications_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.publications_id_seq OWNED BY towpath.publications.id;
CREATE TABLE towpath.queues (
    id bigint NOT NULL,
    pipeline text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    stage text NOT NULL COLLATE pg_catalog."C"
);
CREATE SEQUENCE towpath.queues_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.queues_id_seq OWNED BY towpath.queues.id;
CREATE TABLE towpath.roots (
    id bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    place text NOT NULL COLLATE pg_catalog."C"
);
CREATE SEQUENCE towpath.roots_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.roots_id_seq OWNED BY towpath.roots.id;
CREATE TABLE towpath.run_inputs (
    work_id bigint NOT NULL,
    token integer NOT NULL,
    "position" integer NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    product_id bigint,
    sha256 bytea,
    value text COLLATE pg_catalog."C"
);
CREATE TABLE towpath.runs (
    work_id bigint NOT NULL,
    token integer NOT NULL,
    outcome text NOT NULL COLLATE pg_catalog."C",
    began double precision NOT NULL,
    seconds double precision NOT NULL,
    part_id bigint,
    key bytea,
    definition bigint,
    worker text COLLATE pg_catalog."C",
    log text COLLATE pg_catalog."C",
    measures text COLLATE pg_catalog."C",
    caveats text COLLATE pg_catalog."C",
    steps text COLLATE pg_catalog."C",
    reasons text COLLATE pg_catalog."C",
    error text COLLATE pg_catalog."C",
    manual boolean,
    software bigint
);
CREATE TABLE towpath.sessions (
    id bigint NOT NULL,
    host text NOT NULL COLLATE pg_catalog."C",
    pid integer NOT NULL,
    lock text NOT NULL COLLATE pg_catalog."C",
    attributable boolean NOT NULL,
    opened double precision NOT NULL,
    works boolean DEFAULT true NOT NULL
);
CREATE SEQUENCE towpath.sessions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.sessions_id_seq OWNED BY towpath.sessions.id;
CREATE TABLE towpath.slots (
    id bigint NOT NULL,
    rule text NOT NULL COLLATE pg_catalog."C",
    subset text NOT NULL COLLATE pg_catalog."C",
    data text NOT NULL COLLATE pg_catalog."C"
);
CREATE SEQUENCE towpath.slots_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.slots_id_seq OWNED BY towpath.slots.id;
CREATE TABLE towpath.subscriptions (
    item_id bigint NOT NULL,
    who text NOT NULL COLLATE pg_catalog."C",
    since double precision NOT NULL
);
CREATE TABLE towpath.tokens (
    id bigint NOT NULL,
    sha256 bytea NOT NULL,
    kind text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    grants text NOT NULL COLLATE pg_catalog."C",
    created double precision NOT NULL,
    expires double precision,
    revoked double precision,
    seen double precision,
    parent bigint NOT NULL,
    author text NOT NULL COLLATE pg_catalog."C"
);
CREATE SEQUENCE towpath.tokens_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.tokens_id_seq OWNED BY towpath.tokens.id;
CREATE TABLE towpath.verdicts (
    id bigint NOT NULL,
    item_id bigint NOT NULL,
    work_id bigint NOT NULL,
    token integer NOT NULL,
    result text NOT NULL COLLATE pg_catalog."C",
    rules text NOT NULL COLLATE pg_catalog."C",
    "time" double precision NOT NULL,
    accepted_by text COLLATE pg_catalog."C",
    accepted_why text COLLATE pg_catalog."C"
);
CREATE SEQUENCE towpath.verdicts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.verdicts_id_seq OWNED BY towpath.verdicts.id;
CREATE TABLE towpath.work (
    id bigint NOT NULL,
    item_id bigint NOT NULL,
    queue_id bigint NOT NULL,
    subject text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    priority integer DEFAULT 0 NOT NULL,
    due double precision DEFAULT '0'::double precision NOT NULL,
    owner bigint DEFAULT '0'::bigint NOT NULL,
    token integer DEFAULT 0 NOT NULL,
    revision integer DEFAULT 0 NOT NULL,
    claimed_revision integer DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    deaths integer DEFAULT 0 NOT NULL,
    key bytea,
    done_token integer DEFAULT 0 NOT NULL,
    began double precision,
    progress double precision,
    note text COLLATE pg_catalog."C",
    log text COLLATE pg_catalog."C",
    payload text COLLATE pg_catalog."C",
    done_part bigint DEFAULT '0'::bigint NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.05', autovacuum_analyze_scale_factor='0.05');
CREATE SEQUENCE towpath.work_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE towpath.work_id_seq OWNED BY towpath.work.id;
ALTER TABLE ONLY towpath.calibrations ALTER COLUMN id SET DEFAULT nextval('towpath.calibrations_id_seq'::regclass);
ALTER TABLE ONLY towpath.definitions ALTER COLUMN id SET DEFAULT nextval('towpath.definitions_id_seq'::regclass);
ALTER TABLE ONLY towpath.deliveries ALTER COLUMN id SET DEFAULT nextval('towpath.deliveries_id_seq'::regclass);
ALTER TABLE ONLY towpath.events ALTER COLUMN seq SET DEFAULT nextval('towpath.events_seq_seq'::regclass);
ALTER TABLE ONLY towpath.features ALTER COLUMN id SET DEFAULT nextval('towpath.features_id_seq'::regclass);
ALTER TABLE ONLY towpath.flags ALTER COLUMN id SET DEFAULT nextval('towpath.flags_id_seq'::regclass);
ALTER TABLE ONLY towpath.items ALTER COLUMN id SET DEFAULT nextval('towpath.items_id_seq'::regclass);
ALTER TABLE ONLY towpath.notices ALTER COLUMN id SET DEFAULT nextval('towpath.notices_id_seq'::regclass);
ALTER TABLE ONLY towpath.orders ALTER COLUMN id SET DEFAULT nextval('towpath.orders_id_seq'::regclass);
ALTER TABLE ONLY towpath.parts ALTER COLUMN id SET DEFAULT nextval('towpath.parts_id_seq'::regclass);
ALTER TABLE ONLY towpath.products ALTER COLUMN id SET DEFAULT nextval('towpath.products_id_seq'::regclass);
ALTER TABLE ONLY towpath.publications ALTER COLUMN id SET DEFAULT nextval('towpath.publications_id_seq'::regclass);
ALTER TABLE ONLY towpath.queues ALTER COLUMN id SET DEFAULT nextval('towpath.queues_id_seq'::regclass);
ALTER TABLE ONLY towpath.roots ALTER COLUMN id SET DEFAULT nextval('towpath.roots_id_seq'::regclass);
ALTER TABLE ONLY towpath.sessions ALTER COLUMN id SET DEFAULT nextval('towpath.sessions_id_seq'::regclass);
ALTER TABLE ONLY towpath.slots ALTER COLUMN id SET DEFAULT nextval('towpath.slots_id_seq'::regclass);
ALTER TABLE ONLY towpath.tokens ALTER COLUMN id SET DEFAULT nextval('towpath.tokens_id_seq'::regclass);
ALTER TABLE ONLY towpath.verdicts ALTER COLUMN id SET DEFAULT nextval('towpath.verdicts_id_seq'::regclass);
ALTER TABLE ONLY towpath.work ALTER COLUMN id SET DEFAULT nextval('towpath.work_id_seq'::regclass);
INSERT INTO towpath.alembic_version VALUES ('0010');
INSERT INTO towpath.answers VALUES ('ann', 'k', '\x1f58b9145b24d108d7ac38887338b3ea3229833b9c1e418250343f907bfd1047', 201, '\x7b226964223a317d', 1795713773.9786546);
INSERT INTO towpath.calibrations VALUES (1, 7, 'bias', 'red', 0, 10, 0.5, 'certified', 'ann', 'good', 1795713773.6833522);
INSERT INTO towpath.calibrations VALUES (2, 7, 'bias', 'blue', 10, 20, 0, 'decertified', 'ann', 'good', 1795713773.6921687);
INSERT INTO towpath.counters VALUES ('message', 1);
INSERT INTO towpath.counters VALUES ('event', 33);
INSERT INTO towpath.definitions VALUES (1, 't', '1', '\xaebe1cb8dee422996549c83fce798bde1a2086ed35cc454478f3d257c46685ce', '{"frame":{"make":["789a14dfe72101b55673ee58adb3cb5bd03db4b7053063906638f7707f03a9db"]},"group":{"sum":["c673514ca387d867383ed66c3e0eea9c8fcc43005ef73cb11f4ad3865912f5d2"]},"item":{"a":["d7d3faadc32c45b411327c55bfa55771aadcaa19e2114768cd04a26a3cf997e7"],"b":["a","841013b87f37f96f3ab3001602e589f07eae48b7691a71915f538210d88e42be"],"c":["b","1ec7417e1f3c1fbd655495a096d139f1d3b8f54bb0ccd6ff11a4fb1bd7e82a16"]}}', 1795713773.6148028, true);
INSERT INTO towpath.deliveries VALUES (1, 1, 1, '\x05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f', 'rejected', 'ann', '/inbox/order-1', '["too small"]', '{}', 1000000000);
INSERT INTO towpath.events VALUES (1, 1795713773.6310236, 'definition', NULL, 1, NULL, '{"number":1,"sha256":"aebe1cb8dee422996549c83fce798bde1a2086ed35cc454478f3d257c46685ce"}');
INSERT INTO towpath.events VALUES (2, 1795713773.6408143, 'registered', 1, 8, NULL, NULL);
INSERT INTO towpath.events VALUES (3, 1795713773.6408143, 'registered', 2, 8, NULL, NULL);
INSERT INTO towpath.events VALUES (4, 1795713773.6408143, 'registered', 3, 8, NULL, NULL);
INSERT INTO towpath.events VALUES (5, 1795713773.6408143, 'registered', 4, 8, NULL, NULL);
INSERT INTO towpath.events VALUES (6, 1795713773.6408143, 'registered', 5, 8, NULL, NULL);
INSERT INTO towpath.events VALUES (7, 1795713773.6408143, 'registered', 6, 8, NULL, NULL);
INSERT INTO towpath.events VALUES (8, 1795713773.6606247, 'registered', 7, 9, NULL, NULL);
INSERT INTO towpath.events VALUES (9, 1795713773.6730204, 'done', 7, 5, 1, NULL);
INSERT INTO towpath.events VALUES (10, 1795713773.6901274, 'certified', 7, 9, NULL, '{"calibration":1,"kind":"bias","who":"ann"}');
INSERT INTO towpath.events VALUES (11, 1795713773.6945739, 'certified', 7, 9, NULL, '{"calibration":2,"kind":"bias","who":"ann"}');
INSERT INTO towpath.events VALUES (12, 1795713773.69987, 'decertified', 7, 9, NULL, '{"calibration":2,"who":"ann","why":"bad"}');
INSERT INTO towpath.events VALUES (13, 1795713773.7253528, 'done', 1, 2, 1, NULL);
INSERT INTO towpath.events VALUES (14, 1795713773.7253528, 'done', 2, 2, 1, NULL);
INSERT INTO towpath.events VALUES (15, 1795713773.7253528, 'done', 3, 2, 1, NULL);
INSERT INTO towpath.events VALUES (16, 1795713773.730395, 'failed', 4, 2, 1, '{"error":["it broke"]}');
INSERT INTO towpath.events VALUES (17, 1795713773.735587, 'held', 5, 2, 1, '{"reasons":["too few"]}');
INSERT INTO towpath.events VALUES (18, 1795713773.7555463, 'done', 1, 3, 1, NULL);
INSERT INTO towpath.events VALUES (19, 1795713773.7555463, 'done', 2, 3, 1, NULL);
INSERT INTO towpath.events VALUES (20, 1795713773.7555463, 'done', 3, 3, 1, NULL);
INSERT INTO towpath.events VALUES (21, 1795713773.7859468, 'revised', 2, 2, NULL, '{"why":"a test"}');
INSERT INTO towpath.events VALUES (22, 1795713773.8259063, 'done', 2, 2, 2, NULL);
INSERT INTO towpath.events VALUES (23, 1795713773.8391752, 'registered', 8, 10, NULL, NULL);
INSERT INTO towpath.events VALUES (24, 1795713773.8391752, 'gathered', 8, 7, NULL, NULL);
INSERT INTO towpath.events VALUES (25, 1795713773.8602886, 'flagged', 3, 8, NULL, '{"part":{"feed":3},"value":"bad","who":"ann"}');
INSERT INTO towpath.events VALUES (26, 1795713773.8602886, 'revised', 3, 3, NULL, '{"why":"flagged bad"}');
INSERT INTO towpath.events VALUES (27, 1795713773.8959923, 'missing', 3, 2, NULL, '{"detail":"gone","path":"point.7.1.out"}');
INSERT INTO towpath.events VALUES (28, 1795713773.8959923, 'revised', 3, 2, NULL, '{"why":"point.7.1.out is missing"}');
INSERT INTO towpath.events VALUES (29, 1795713773.9113927, 'held', 3, 3, NULL, '{"who":"ann","why":"let it be"}');
INSERT INTO towpath.events VALUES (30, 1795713773.933009, 'publication', 1, 8, NULL, '{"publication":1,"state":"intended","target":"a/b.fits"}');
INSERT INTO towpath.events VALUES (31, 1795713773.9410677, 'publication', 1, 8, NULL, '{"publication":1,"state":"copied","target":"a/b.fits"}');
INSERT INTO towpath.events VALUES (32, 1795713773.9494507, 'token', NULL, NULL, NULL, '{"kind":"person","name":"ann","state":"made","token":1,"who":"root"}');
INSERT INTO towpath.events VALUES (33, 1795713773.966604, 'token', NULL, NULL, NULL, '{"kind":"session","name":"ann","state":"made","token":2,"who":"ann"}');
INSERT INTO towpath.facets VALUES (5080129290260571696, 1);
INSERT INTO towpath.facets VALUES (7299783287471603942, 1);
INSERT INTO towpath.facets VALUES (9093241209040366980, 1);
INSERT INTO towpath.facets VALUES (3942047341377083842, 2);
INSERT INTO towpath.facets VALUES (7299783287471603942, 2);
INSERT INTO towpath.facets VALUES (9093241209040366980, 2);
INSERT INTO towpath.facets VALUES (2991269383225770355, 3);
INSERT INTO towpath.facets VALUES (7299783287471603942, 3);
INSERT INTO towpath.facets VALUES (9093241209040366980, 3);
INSERT INTO towpath.facets VALUES (3234963524995840115, 4);
INSERT INTO towpath.facets VALUES (7299783287471603942, 4);
INSERT INTO towpath.facets VALUES (9093241209040366980, 4);
INSERT INTO towpath.facets VALUES (7299783287471603942, 5);
INSERT INTO towpath.facets VALUES (8820636716787729776, 5);
INSERT INTO towpath.facets VALUES (9093241209040366980, 5);
INSERT INTO towpath.facets VALUES (1533982731588718170, 6);
INSERT INTO towpath.facets VALUES (7299783287471603942, 6);
INSERT INTO towpath.facets VALUES (9093241209040366980, 6);
INSERT INTO towpath.features VALUES (1, 1, 2, 1, 1, 'source', 'icrs', 'J1', -0.5, 89.5, 0.008726203218641718, -7.615242180438008e-05, 0.9999619230641713, NULL, NULL);
INSERT INTO towpath.features VALUES (2, 1, 2, 1, 1, 'source', 'icrs', 'J2', 12.25, -30, 0.8463069635650553, 0.18375125420332863, -0.49999999999999994, 5, '{"flux":1.5}');
INSERT INTO towpath.features VALUES (5, 3, 2, 7, 1, 'source', 'icrs', 'J1', -0.5, 89.5, 0.008726203218641718, -7.615242180438008e-05, 0.9999619230641713, NULL, NULL);
INSERT INTO towpath.features VALUES (6, 3, 2, 7, 1, 'source', 'icrs', 'J2', 12.25, -30, 0.8463069635650553, 0.18375125420332863, -0.49999999999999994, 5, '{"flux":1.5}');
INSERT INTO towpath.flags VALUES (1, 3, '{"feed":3}', 'bad', 'noisy', 'ann', 12.5, NULL);
INSERT INTO towpath.items VALUES (1, 't', 'item', 'east', 1, '{"camera":"red","n":0,"title":"Größe ''x''\n"}', 4, 6, 10, -5, 20.5, 5, 1795713773.6326842);
INSERT INTO towpath.items VALUES (2, 't', 'item', 'date line', 1, '{"camera":"red","n":1,"title":"Größe ''x''\n"}', 4, 6, 170, -10, -170, 10, 1795713773.6326842);
INSERT INTO towpath.items VALUES (3, 't', 'item', 'point', 1, '{"camera":"red","n":2,"title":"Größe ''x''\n"}', 4, 6, -70.25, 1, -70.25, 1, 1795713773.6326842);
INSERT INTO towpath.items VALUES (4, 't', 'item', 'failed', 1, '{"camera":"red","n":3,"title":"Größe ''x''\n"}', 4, 6, NULL, NULL, NULL, NULL, 1795713773.6326842);
INSERT INTO towpath.items VALUES (5, 't', 'item', 'held', 1, '{"camera":"red","n":4,"title":"Größe ''x''\n"}', 4, 6, NULL, NULL, NULL, NULL, 1795713773.6326842);
INSERT INTO towpath.items VALUES (6, 't', 'item', 'running', 1, '{"camera":"red","n":5,"title":"Größe ''x''\n"}', 4, 6, NULL, NULL, NULL, NULL, 1795713773.6326842);
INSERT INTO towpath.items VALUES (7, 't', 'frame', 'f1', 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1795713773.658024);
INSERT INTO towpath.items VALUES (8, 't', 'group', 'pair', 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1795713773.8280854);
INSERT INTO towpath.members VALUES (8, 1, 1);
INSERT INTO towpath.members VALUES (8, 2, 2);
INSERT INTO towpath.milestones VALUES (1, 'Reduced', 1000.5);
INSERT INTO towpath.milestones VALUES (2, 'Reduced', 1000.5);
INSERT INTO towpath.milestones VALUES (3, 'Reduced', 1000.5);
INSERT INTO towpath.notices VALUES (1, 'ann', 1, 1, 'Größe', 'one
two', 1795713773.9745424, NULL);
INSERT INTO towpath.orders VALUES (1, 14, 5, 3, 'handoff', 'rejected', 1, '\x2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683', 'Draw', '{}', 'ann', 'too small', 5000000000, 1000000000, 1000000000);
INSERT INTO towpath.parts VALUES (1, '\x789a14dfe72101b55673ee58adb3cb5bd03db4b7053063906638f7707f03a9db', '{"environment":"","params":{},"stage":"make","version":"1"}');
INSERT INTO towpath.parts VALUES (2, '\xd7d3faadc32c45b411327c55bfa55771aadcaa19e2114768cd04a26a3cf997e7', '{"environment":"","params":{},"stage":"a","version":"1"}');
INSERT INTO towpath.parts VALUES (3, '\xa3326d320a404463c74e5a5283801cb0c48f2c859eb5fef3c6cb83a225c96169', '{"numpy":"2.3.0"}');
INSERT INTO towpath.parts VALUES (4, '\x841013b87f37f96f3ab3001602e589f07eae48b7691a71915f538210d88e42be', '{"environment":"","params":{},"stage":"b","version":"1"}');
INSERT INTO towpath.pins VALUES (8, 'ann', 'cited', NULL);
INSERT INTO towpath.products VALUES (1, 1, 0, 'file', '', 'raw/file', 1, 'in/1', 4, 1, '\xc2927207a1cc44acee0eb366589c75ec0fbf1f5d1a5779b580ff0608e348c330', false, 'current', 0, 0, false, 1795713773.6460514, NULL, NULL, NULL);
INSERT INTO towpath.products VALUES (2, 2, 0, 'file', '', 'raw/file', 1, 'in/2', 4, 1, '\x9db0ce25ff462273ba4638ee0e6300bae7a468ce32e0ca042dd502e6dbd19631', false, 'current', 0, 0, false, 1795713773.649546, NULL, NULL, NULL);
INSERT INTO towpath.products VALUES (3, 3, 0, 'file', '', 'raw/file', 1, 'in/3', 4, 1, '\x6cbff0f985bfa1f18709f237d12f2c029a07c86f6caa16785c26e8cf23539926', false, 'current', 0, 0, false, 1795713773.6535077, NULL, NULL, NULL);
INSERT INTO towpath.products VALUES (4, 4, 0, 'file', '', 'raw/file', 1, 'in/4', 4, 1, '\x7e040aa84e84f597b3bb82c757b70f09e85bdd805a2f8f75b80cd723c6ab81b8', false, 'current', 0, 0, false, 1795713773.6550593, NULL, NULL, NULL);
INSERT INTO towpath.products VALUES (5, 5, 0, 'file', '', 'raw/file', 1, 'in/5', 4, 1, '\x2ae7609fd9cda144b2a88f94f45081d8292a1785ea8a436f5de2955402405061', false, 'current', 0, 0, false, 1795713773.6562278, NULL, NULL, NULL);
INSERT INTO towpath.products VALUES (6, 6, 0, 'file', '', 'raw/file', 1, 'in/6', 4, 1, '\xdccbb1ed13ed7b8a30f9f04b4f53988236a4fa35408b9a351ecab2e8d3ed0576', false, 'current', 0, 0, false, 1795713773.6572323, NULL, NULL, NULL);
INSERT INTO towpath.products VALUES (7, 7, 5, 'out', '', 't/make', 1, 'f1.19.1.out', 9, 1, '\xbc82d5c060578bfc379197085a220233cddc138c1e25bf3e298f6f8f690d2398', false, 'current', 19, 1, false, 1795713773.6663396, NULL, NULL, NULL);
INSERT INTO towpath.products VALUES (8, 1, 2, 'out', '', 't/a', 1, 'east.1.1.out', 9, 1, '\x1ede57ee980f52990af50037db0ded1fb078ea49ece6c9159226ded52d528857', false, 'current', 1, 1, false, 1795713773.706073, NULL, NULL, NULL);
INSERT INTO towpath.products VALUES (11, 5, 2, 'out', '', 't/a', 1, 'held.13.1.out', 9, 1, '\x2031db3a15558ab16ecaddb5424fe779aa5119d7e5ba0444d60f45499ce61bd2', false, 'current', 13, 1, false, 1795713773.7343318, NULL, NULL, NULL);
INSERT INTO towpath.products VALUES (12, 1, 3, 'out', '', 't/b', 1, 'east.2.1.out', 9, 1, '\xf80ab9f2874aea241a3dc502c58442fa5c6588225a53106808a983a5d9569923', false, 'current', 2, 1, false, 1795713773.747215, NULL, NULL, NULL);
INSERT INTO towpath.products VALUES (13, 2, 3, 'out', '', 't/b', 1, 'date line.5.1.out', 9, 1, '\xeb349c59652e502620385e82efc44bb7a7219154c1a40e564c9535ba4dfe5c25', false, 'current', 5, 1, false, 1795713773.747215, NULL, NULL, NULL);
INSERT INTO towpath.products VALUES (14, 3, 3, 'out', '', 't/b', 1, 'point.8.1.out', 9, 1, '\x5f7ddb3cb04e934ed6124b0e97e0ec003e08ca16f684cfc63735224bd40ec488', false, 'current', 8, 1, false, 1795713773.747215, NULL, NULL, NULL);
INSERT INTO towpath.products VALUES (9, 2, 2, 'out', '', 't/a', 1, 'date line.4.1.out', 9, 1, '\x1c5db151d8df6f00961719971dec80e5de05814206f498a81a3a838e453ed6bc', false, 'superseded', 4, 1, false, 1795713773.706073, 1795713773.7981846, NULL, NULL);
INSERT INTO towpath.products VALUES (15, 2, 2, 'out', '', 't/a', 1, 'date line.4.2.out', 9, 1, '\xae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5', false, 'current', 4, 2, false, 1795713773.8011472, NULL, NULL, NULL);
INSERT INTO towpath.products VALUES (10, 3, 2, 'out', '', 't/a', 1, 'point.7.1.out', 9, 1, '\xc9d387a1265d0ed323b739a6a3312494cb1a339f12cbfcd5fdb9eaff997b668e', false, 'missing', 7, 1, false, 1795713773.706073, NULL, 'gone', NULL);
INSERT INTO towpath.publications VALUES (1, 3, 1, 1, 'archive', 'a/b.fits', 'copied', '\x2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881', '[]', false, 'copy', '', 0, 1795713773.9321353, 1795713773.9405234);
INSERT INTO towpath.queues VALUES (1, 't', '', '');
INSERT INTO towpath.queues VALUES (2, 't', 'item', 'a');
INSERT INTO towpath.queues VALUES (3, 't', 'item', 'b');
INSERT INTO towpath.queues VALUES (4, 't', 'item', 'c');
INSERT INTO towpath.queues VALUES (5, 't', 'frame', 'make');
INSERT INTO towpath.queues VALUES (6, 't', 'group', 'sum');
INSERT INTO towpath.queues VALUES (7, 't', 'group', '@gather');
INSERT INTO towpath.queues VALUES (8, 't', 'item', '');
INSERT INTO towpath.queues VALUES (9, 't', 'frame', '');
INSERT INTO towpath.queues VALUES (10, 't', 'group', '');
INSERT INTO towpath.queues VALUES (11, '', 'message', 'hook');
INSERT INTO towpath.roots VALUES (1, 'store', '/store/');
INSERT INTO towpath.run_inputs VALUES (1, 1, 0, 'raw', 1, NULL, NULL);
INSERT INTO towpath.run_inputs VALUES (4, 1, 0, 'raw', 2, NULL, NULL);
INSERT INTO towpath.run_inputs VALUES (7, 1, 0, 'raw', 3, NULL, NULL);
INSERT INTO towpath.run_inputs VALUES (10, 1, 0, 'raw', 4, NULL, NULL);
INSERT INTO towpath.run_inputs VALUES (13, 1, 0, 'raw', 5, NULL, NULL);
INSERT INTO towpath.run_inputs VALUES (2, 1, 0, 'a', 8, NULL, NULL);
INSERT INTO towpath.run_inputs VALUES (2, 1, 1, 'bias', 7, NULL, '{"age":0.0,"begin":0.0,"calibration":1,"end":10.0,"is_valid":true,"kind":"bias","quality":0.5,"selector":"red"}');
INSERT INTO towpath.run_inputs VALUES (2, 1, 2, 'record', NULL, '\x4943e3cab44b0965bd542f2988eeaf61f39291a1558e840eedd5fcb38bbc5239', '{"attributes":{"camera":"red","n":0,"title":"Größe ''x''\n"},"files":1,"footprint":[10.0,-5.0,20.5,5.0],"key":"east","kind":"item","measures":{"a":{"n":3,"rms":1.5}},"members":[],"time":[4.0,6.0]}');
INSERT INTO towpath.run_inputs VALUES (2, 1, 3, 'flags', NULL, '\x4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945', NULL);
INSERT INTO towpath.run_inputs VALUES (5, 1, 0, 'a', 9, NULL, NULL);
INSERT INTO towpath.run_inputs VALUES (5, 1, 1, 'bias', 7, NULL, '{"age":0.0,"begin":0.0,"calibration":1,"end":10.0,"is_valid":true,"kind":"bias","quality":0.5,"selector":"red"}');
INSERT INTO towpath.run_inputs VALUES (5, 1, 2, 'record', NULL, '\x4549ea6c5572ef535490457a94d55a8c1839e15f3a9cc8f06ba0ebdc92a74336', '{"attributes":{"camera":"red","n":1,"title":"Größe ''x''\n"},"files":1,"footprint":[170.0,-10.0,-170.0,10.0],"key":"date line","kind":"item","measures":{"a":{"n":3,"rms":1.5}},"members":[],"time":[4.0,6.0]}');
INSERT INTO towpath.run_inputs VALUES (5, 1, 3, 'flags', NULL, '\x4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945', NULL);
INSERT INTO towpath.run_inputs VALUES (8, 1, 0, 'a', 10, NULL, NULL);
INSERT INTO towpath.run_inputs VALUES (8, 1, 1, 'bias', 7, NULL, '{"age":0.0,"begin":0.0,"calibration":1,"end":10.0,"is_valid":true,"kind":"bias","quality":0.5,"selector":"red"}');
INSERT INTO towpath.run_inputs VALUES (8, 1, 2, 'record', NULL, '\x906a6b664c82e05df5005117167f5bd11f1171d38a004c34a2cf1a982e6be68f', '{"attributes":{"camera":"red","n":2,"title":"Größe ''x''\n"},"files":1,"footprint":[-70.25,1.0,-70.25,1.0],"key":"point","kind":"item","measures":{"a":{"n":3,"rms":1.5}},"members":[],"time":[4.0,6.0]}');
INSERT INTO towpath.run_inputs VALUES (8, 1, 3, 'flags', NULL, '\x4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945', NULL);
INSERT INTO towpath.run_inputs VALUES (4, 2, 0, 'raw', 2, NULL, NULL);
INSERT INTO towpath.runs VALUES (19, 1, 'done', 1000, 0.5, 1, '\x3700c9eb87ff2db3c78591e235126b94e7e99efe026231d4539536f2ead07355', 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO towpath.runs VALUES (1, 1, 'done', 1000, 0.5, 2, '\xa1ba015bdfc2a678e31d34285f5749cd71274d6c246bf1931dd9d7f04673ba68', 1, NULL, NULL, '[["rms",1.5,""],["n",3,""]]', '["few stations"]', NULL, NULL, NULL, NULL, 3);
INSERT INTO towpath.runs VALUES (4, 1, 'done', 1000, 0.5, 2, '\x06ec07e91ad32c7153b572c2f89f01b22e04c15a7aa36ff1c2318b95f708fddf', 1, NULL, NULL, '[["rms",1.5,""],["n",3,""]]', '["few stations"]', NULL, NULL, NULL, NULL, 3);
INSERT INTO towpath.runs VALUES (7, 1, 'done', 1000, 0.5, 2, '\x6eacb39822289764e974414709a80fdfbd36d66c4aebd15c6b7a7b6b57d8d109', 1, NULL, NULL, '[["rms",1.5,""],["n",3,""]]', '["few stations"]', NULL, NULL, NULL, NULL, 3);
INSERT INTO towpath.runs VALUES (10, 1, 'failed', 1000, 0.5, 2, '\xc3f52a3ba90250ed6bd13925eca5190f68f66539c648c83f01f381f248aabd39', 1, NULL, NULL, NULL, NULL, NULL, NULL, 'it broke', NULL, NULL);
INSERT INTO towpath.runs VALUES (13, 1, 'held', 1000, 0.5, 2, '\xb9c0fa241905af9f03c21c17b081d460c1fba6d4c6eede8fd43fb0f728529c1b', 1, NULL, NULL, NULL, NULL, NULL, '["too few"]', NULL, NULL, NULL);
INSERT INTO towpath.runs VALUES (2, 1, 'done', 1000, 0.5, 4, '\x5adedf77bcb942bab4d7fba12b4e5e57110a6234efadba0869faa584be3ffdc9', 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO towpath.runs VALUES (5, 1, 'done', 1000, 0.5, 4, '\xd17dc292b278e2ff9257ac2daa6cfc1c8a15d66689a213cf92ac44fe6e763296', 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO towpath.runs VALUES (8, 1, 'done', 1000, 0.5, 4, '\xbad16c00ae94ea3498a671d148e8660d61a84597bcf13b1d6725642bd39e9f82', 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO towpath.runs VALUES (4, 2, 'done', 1000, 0.5, 2, '\x06ec07e91ad32c7153b572c2f89f01b22e04c15a7aa36ff1c2318b95f708fddf', 1, NULL, NULL, NULL, '["not reproducible: the same key gave another result"]', NULL, NULL, NULL, NULL, NULL);
INSERT INTO towpath.sessions VALUES (1, 'here', 1, 'lock', false, 1795713773.6044307, true);
INSERT INTO towpath.slots VALUES (1, 'calibration:bias', 'red', '{}');
INSERT INTO towpath.slots VALUES (2, 'calibration:bias', 'blue', '{}');
INSERT INTO towpath.slots VALUES (4, 'rule', 'partition', '{"noted":[1,2]}');
INSERT INTO towpath.subscriptions VALUES (1, 'ann', 1795713773.9679885);
INSERT INTO towpath.tokens VALUES (1, '\x2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b', 'person', 'ann', '["operator","viewer@t"]', 1795713773.9482203, NULL, NULL, NULL, 0, 'root');
INSERT INTO towpath.tokens VALUES (2, '\x2a38ea589ea53942aaadc5460a48cf8e43f1092108d181a371451050758aaf51', 'session', 'ann', '["operator","viewer@t"]', 1795713773.9581854, 5000000000, NULL, NULL, 1, 'ann');
INSERT INTO towpath.verdicts VALUES (1, 1, 1, 1, 'warn', '[{"limit":1,"measure":"m","op":"<","result":"warn","rule":"r","value":2}]', 1795713773.714128, NULL, NULL);
INSERT INTO towpath.verdicts VALUES (2, 2, 4, 1, 'warn', '[{"limit":1,"measure":"m","op":"<","result":"warn","rule":"r","value":2}]', 1795713773.7141397, NULL, NULL);
INSERT INTO towpath.verdicts VALUES (3, 3, 7, 1, 'warn', '[{"limit":1,"measure":"m","op":"<","result":"warn","rule":"r","value":2}]', 1795713773.7141483, NULL, NULL);
INSERT INTO towpath.verdicts VALUES (4, 5, 13, 1, 'hold', '[{"limit":1,"measure":"m","op":"<","result":"warn","rule":"r","value":2}]', 1795713773.7353578, NULL, NULL);
INSERT INTO towpath.work VALUES (11, 4, 3, '', 'waiting', 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0);
INSERT INTO towpath.work VALUES (12, 4, 4, '', 'waiting', 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0);
INSERT INTO towpath.work VALUES (14, 5, 3, '', 'waiting', 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0);
INSERT INTO towpath.work VALUES (15, 5, 4, '', 'waiting', 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0);
INSERT INTO towpath.work VALUES (17, 6, 3, '', 'waiting', 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0);
INSERT INTO towpath.work VALUES (18, 6, 4, '', 'waiting', 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0);
INSERT INTO towpath.work VALUES (19, 7, 5, '', 'done', 0, 1795713773.6704144, 0, 1, 0, 0, 0, 0, '\x3700c9eb87ff2db3c78591e235126b94e7e99efe026231d4539536f2ead07355', 1, 1795713773.6612968, NULL, NULL, NULL, NULL, 1);
INSERT INTO towpath.work VALUES (1, 1, 2, '', 'done', 0, 1795713773.7133038, 0, 1, 0, 0, 0, 0, '\xa1ba015bdfc2a678e31d34285f5749cd71274d6c246bf1931dd9d7f04673ba68', 1, 1795713773.7025447, NULL, NULL, NULL, NULL, 2);
INSERT INTO towpath.work VALUES (10, 4, 2, '', 'failed', 0, 1795713773.729988, 0, 1, 0, 0, 1, 0, NULL, 0, 1795713773.7025447, NULL, 'it broke', NULL, NULL, 0);
INSERT INTO towpath.work VALUES (13, 5, 2, '', 'held', 0, 1795713773.7350483, 0, 1, 0, 0, 0, 0, NULL, 1, 1795713773.7025447, NULL, 'too few', NULL, NULL, 2);
INSERT INTO towpath.work VALUES (2, 1, 3, '', 'done', 0, 1795713773.7512097, 0, 1, 0, 0, 0, 0, '\x5adedf77bcb942bab4d7fba12b4e5e57110a6234efadba0869faa584be3ffdc9', 1, 1795713773.7362468, NULL, NULL, NULL, NULL, 4);
INSERT INTO towpath.work VALUES (6, 2, 4, '', 'waiting', 0, 0, 0, 0, 1, 0, 0, 0, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0);
INSERT INTO towpath.work VALUES (4, 2, 2, '', 'done', 0, 1795713773.8105733, 0, 2, 1, 1, 0, 0, '\x06ec07e91ad32c7153b572c2f89f01b22e04c15a7aa36ff1c2318b95f708fddf', 2, 1795713773.7942939, NULL, NULL, NULL, NULL, 2);
INSERT INTO towpath.work VALUES (5, 2, 3, '', 'ready', 0, 1795713773.8174527, 0, 1, 1, 0, 0, 0, '\xd17dc292b278e2ff9257ac2daa6cfc1c8a15d66689a213cf92ac44fe6e763296', 1, 1795713773.7362468, NULL, NULL, NULL, NULL, 4);
INSERT INTO towpath.work VALUES (16, 6, 2, '', 'running', 0, 1795713773.827085, 1, 1, 0, 0, 1, 1, NULL, 0, 1795713773.7025447, NULL, NULL, NULL, NULL, 0);
INSERT INTO towpath.work VALUES (21, 8, 6, '', 'waiting', 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0);
INSERT INTO towpath.work VALUES (20, 8, 7, '', 'done', 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0);
INSERT INTO towpath.work VALUES (9, 3, 4, '', 'waiting', 0, 0, 0, 0, 2, 0, 0, 0, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0);
INSERT INTO towpath.work VALUES (7, 3, 2, '', 'ready', 0, 1795713773.8747332, 0, 1, 1, 0, 0, 0, '\x6eacb39822289764e974414709a80fdfbd36d66c4aebd15c6b7a7b6b57d8d109', 1, 1795713773.7025447, NULL, NULL, NULL, NULL, 2);
INSERT INTO towpath.work VALUES (22, 0, 11, 'subject#000000000001', 'ready', 0, 1795713773.8987534, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, NULL, NULL, NULL, '{"body":{"text":"one"},"seq":1,"subject":"subject"}', 0);
INSERT INTO towpath.work VALUES (8, 3, 3, '', 'held', 0, 0, 0, 1, 2, 0, 0, 0, '\xbad16c00ae94ea3498a671d148e8660d61a84597bcf13b1d6725642bd39e9f82', 1, 1795713773.7362468, NULL, 'let it be', NULL, NULL, 4);
INSERT INTO towpath.work VALUES (3, 1, 4, '', 'running', 0, 1795713772.9187162, 1, 1, 0, 0, 1, 1, NULL, 0, 1795713773.9187162, NULL, NULL, NULL, NULL, 0);
SELECT pg_catalog.setval('towpath.calibrations_id_seq', 2, true);
SELECT pg_catalog.setval('towpath.definitions_id_seq', 1, true);
SELECT pg_catalog.setval('towpath.deliveries_id_seq', 1, true);
SELECT pg_catalog.setval('towpath.events_seq_seq', 1, false);
SELECT pg_catalog.setval('towpath.features_id_seq', 6, true);
SELECT pg_catalog.setval('towpath.flags_id_seq', 1, true);
SELECT pg_catalog.setval('towpath.items_id_seq', 8, true);
SELECT pg_catalog.setval('towpath.notices_id_seq', 1, true);
SELECT pg_catalog.setval('towpath.orders_id_seq', 1, true);
SELECT pg_catalog.setval('towpath.parts_id_seq', 4, true);
SELECT pg_catalog.setval('towpath.products_id_seq', 15, true);
SELECT pg_catalog.setval('towpath.publications_id_seq', 1, true);
SELECT pg_catalog.setval('towpath.queues_id_seq', 11, true);
SELECT pg_catalog.setval('towpath.roots_id_seq', 1, true);
SELECT pg_catalog.setval('towpath.sessions_id_seq', 1, true);
SELECT pg_catalog.setval('towpath.slots_id_seq', 4, true);
SELECT pg_catalog.setval('towpath.tokens_id_seq', 2, true);
SELECT pg_catalog.setval('towpath.verdicts_id_seq', 4, true);
SELECT pg_catalog.setval('towpath.work_id_seq', 22, true);
ALTER TABLE ONLY towpath.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY towpath.answers
    ADD CONSTRAINT answers_row PRIMARY KEY (who, key);
ALTER TABLE ONLY towpath.calibrations
    ADD CONSTRAINT calibrations_overlap EXCLUDE USING gist (kind WITH =, selector WITH =, towpath.validity(begins, ends) WITH &&) WHERE ((state = 'certified'::text));
ALTER TABLE ONLY towpath.calibrations
    ADD CONSTRAINT calibrations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.counters
    ADD CONSTRAINT counters_pkey PRIMARY KEY (name);
ALTER TABLE ONLY towpath.definitions
    ADD CONSTRAINT definitions_digest UNIQUE (pipeline, sha256);
ALTER TABLE ONLY towpath.definitions
    ADD CONSTRAINT definitions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.deliveries
    ADD CONSTRAINT deliveries_manifest UNIQUE (order_id, sha256);
ALTER TABLE ONLY towpath.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY towpath.facets
    ADD CONSTRAINT facets_row PRIMARY KEY (digest, item_id);
ALTER TABLE ONLY towpath.features
    ADD CONSTRAINT features_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.flags
    ADD CONSTRAINT flags_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.items
    ADD CONSTRAINT items_key UNIQUE (pipeline, kind, key);
ALTER TABLE ONLY towpath.items
    ADD CONSTRAINT items_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.members
    ADD CONSTRAINT members_pair PRIMARY KEY (group_id, item_id);
ALTER TABLE ONLY towpath.milestones
    ADD CONSTRAINT milestones_row PRIMARY KEY (item_id, name);
ALTER TABLE ONLY towpath.notices
    ADD CONSTRAINT notices_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.parts
    ADD CONSTRAINT parts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.parts
    ADD CONSTRAINT parts_sha256_key UNIQUE (sha256);
ALTER TABLE ONLY towpath.pins
    ADD CONSTRAINT pins_row PRIMARY KEY (product_id, author);
ALTER TABLE ONLY towpath.products
    ADD CONSTRAINT products_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.publications
    ADD CONSTRAINT publications_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.queues
    ADD CONSTRAINT queues_name UNIQUE (pipeline, kind, stage);
ALTER TABLE ONLY towpath.queues
    ADD CONSTRAINT queues_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.roots
    ADD CONSTRAINT roots_name_key UNIQUE (name);
ALTER TABLE ONLY towpath.roots
    ADD CONSTRAINT roots_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.run_inputs
    ADD CONSTRAINT run_inputs_row PRIMARY KEY (work_id, token, "position");
ALTER TABLE ONLY towpath.runs
    ADD CONSTRAINT runs_pair PRIMARY KEY (work_id, token);
ALTER TABLE ONLY towpath.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.slots
    ADD CONSTRAINT slots_name UNIQUE (rule, subset);
ALTER TABLE ONLY towpath.slots
    ADD CONSTRAINT slots_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.subscriptions
    ADD CONSTRAINT subscriptions_pair PRIMARY KEY (item_id, who);
ALTER TABLE ONLY towpath.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.tokens
    ADD CONSTRAINT tokens_sha256_key UNIQUE (sha256);
ALTER TABLE ONLY towpath.verdicts
    ADD CONSTRAINT verdicts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.work
    ADD CONSTRAINT work_pkey PRIMARY KEY (id);
ALTER TABLE ONLY towpath.work
    ADD CONSTRAINT work_row UNIQUE (item_id, queue_id, subject);
CREATE INDEX answers_time ON towpath.answers USING btree ("time");
CREATE INDEX calibrations_valid ON towpath.calibrations USING btree (kind, selector, begins, ends);
CREATE INDEX events_item ON towpath.events USING btree (item_id) WHERE (item_id IS NOT NULL);
CREATE INDEX features_item ON towpath.features USING btree (item_id, work_id);
CREATE INDEX features_kind ON towpath.features USING btree (kind, id);
CREATE INDEX features_place ON towpath.features USING gist (point(lon, lat));
CREATE INDEX features_queue ON towpath.features USING btree (queue_id, id);
CREATE INDEX flags_item ON towpath.flags USING btree (item_id);
CREATE INDEX items_kind ON towpath.items USING btree (pipeline, kind, id);
CREATE INDEX items_span ON towpath.items USING btree ((
CASE
    WHEN ((ends - begins) <= (1)::double precision) THEN 1
    WHEN ((ends - begins) <= (10)::double precision) THEN 10
    WHEN ((ends - begins) <= (100)::double precision) THEN 100
    WHEN ((ends - begins) <= (1000)::double precision) THEN 1000
    WHEN ((ends - begins) <= (10000)::double precision) THEN 10000
    WHEN ((ends - begins) <= (100000)::double precision) THEN 100000
    WHEN ((ends - begins) <= (1000000)::double precision) THEN 1000000
    WHEN ((ends - begins) <= (10000000)::double precision) THEN 10000000
    ELSE 0
END), begins, ends) WHERE (begins IS NOT NULL);
CREATE INDEX members_item ON towpath.members USING btree (item_id);
CREATE INDEX milestones_name ON towpath.milestones USING btree (name, item_id);
CREATE INDEX notices_unread ON towpath.notices USING btree (who, id) WHERE (read IS NULL);
CREATE INDEX notices_who ON towpath.notices USING btree (who, id);
CREATE INDEX orders_item ON towpath.orders USING btree (item_id);
CREATE INDEX orders_standing ON towpath.orders USING btree (id) WHERE (state <> ALL (ARRAY['accepted'::text, 'closed'::text, 'cancelled'::text]));
CREATE INDEX orders_work ON towpath.orders USING btree (work_id);
CREATE INDEX products_bad ON towpath.products USING btree (item_id) WHERE (state = ANY (ARRAY['missing'::text, 'changed'::text, 'wanted'::text]));
CREATE UNIQUE INDEX products_current ON towpath.products USING btree (item_id, queue_id, output, part) WHERE ((state = 'current'::text) OR (state = 'missing'::text) OR (state = 'changed'::text) OR (state = 'shed'::text) OR (state = 'spent'::text) OR (state = 'wanted'::text));
CREATE INDEX products_left ON towpath.products USING btree (state, left_at) WHERE (state = ANY (ARRAY['superseded'::text, 'trash'::text]));
CREATE INDEX products_look ON towpath.products USING btree (look) WHERE (look IS NOT NULL);
CREATE INDEX products_raw ON towpath.products USING btree (root_id, path) WHERE (queue_id = 0);
CREATE INDEX products_shed ON towpath.products USING btree (left_at) WHERE (state = 'shed'::text);
CREATE INDEX publications_item ON towpath.publications USING btree (item_id);
CREATE INDEX publications_state ON towpath.publications USING btree (state);
CREATE UNIQUE INDEX publications_target ON towpath.publications USING btree (archive, target) WHERE (state <> ALL (ARRAY['failed'::text, 'conflict'::text, 'withdrawn'::text]));
CREATE INDEX publications_work ON towpath.publications USING btree (work_id);
CREATE INDEX run_inputs_product ON towpath.run_inputs USING btree (product_id) WHERE (product_id IS NOT NULL);
CREATE INDEX subscriptions_who ON towpath.subscriptions USING btree (who, item_id);
CREATE INDEX tokens_parent ON towpath.tokens USING btree (parent) WHERE (parent > 0);
CREATE INDEX verdicts_item ON towpath.verdicts USING btree (item_id);
CREATE INDEX work_at_rest ON towpath.work USING btree (queue_id, state, done_part, item_id) WHERE ((state <> 'ready'::text) AND (state <> 'running'::text) AND (subject = ''::text));
CREATE INDEX work_blocked ON towpath.work USING btree (queue_id, item_id) WHERE ((state = 'waiting'::text) AND (note IS NOT NULL));
CREATE INDEX work_claim ON towpath.work USING btree (queue_id, priority DESC, due, id, state, item_id, subject) WHERE (state = ANY (ARRAY['ready'::text, 'running'::text]));
CREATE INDEX work_named ON towpath.work USING btree (queue_id, state, item_id) WHERE ((subject <> ''::text) AND (item_id > 0));
CREATE INDEX work_unsent ON towpath.work USING btree (queue_id, subject) WHERE ((subject <> ''::text) AND (state = ANY (ARRAY['waiting'::text, 'ready'::text, 'running'::text, 'failed'::text, 'poisoned'::text, 'held'::text])));
