"""Pipeline files as they are loaded: what resolves to what, what each bad file is told, and reading again."""

import hashlib
import json
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from towpath.app import tables
from towpath.app.definitions import Loaded, Request, Watcher, load
from towpath.app.tables import Origin, Table, merge
from towpath.base.errors import DefinitionError
from towpath.contracts.definition import Definition, InputPlan
from towpath.contracts.judging import measure
from towpath.contracts.plugin import Plugin
from towpath.contracts.stage import Calibration, Context, Flags, Many, One, Record, Stage, Verdicts

# ---- what the files below use


class Base(Stage):
    def run(self, context: Context) -> None:
        """Do nothing: only declarations count here."""


class Convert(Base):
    consumes = {"subbands": Many("raw/hdf5")}
    produces = {"ms": "ms/raw"}


class ApplyCalibration(Base):
    consumes = {"ms": One("ms/raw"), "bandpass": Calibration("bandpass", at="time.begin", selector="beam")}
    produces = {"ms": "ms/calibrated"}
    interpolation: str = "linear"


class Image(Base):
    version = "3"
    consumes = {"ms": One("ms/calibrated"), "flags": Flags(), "verdicts": Verdicts(), "record": Record()}
    produces = {"image": "image/fits", "residual": "image/fits", "log": "text/log"}
    optional_outputs = frozenset({"log"})
    size: int = 4800
    centre: tuple[float, float] = (0.0, 0.0)


class Mosaic(Base):
    consumes = {"images": Many("image/fits", least=2)}
    produces = {"mosaic": "mosaic/fits"}


class Crossmatch(Base):
    consumes = {"image": One("mosaic/fits")}
    produces = {"sources": "table/parquet"}


class Pick(Base):
    consumes = {"image": One("image/fits")}


class Choose(Base):
    consumes = {"picture": One("image/fits")}


class Clean(Base):
    consumes = {"ms": One("ms/calibrated")}
    produces = {"ms": "ms/calibrated"}


class MaybeClean(Clean):
    optional_outputs = frozenset({"ms"})


class OneOfMembers(Base):
    consumes = {"image": One("image/fits")}


class WrongTime(Base):
    consumes = {"gain": Calibration("gain", at="noon")}


@measure(unit="mGal", consumes={"image": One("image/fits")})
def rms(context: Context) -> float:
    return 1.0


@measure(consumes={"image": Many("image/fits")})
def count(context: Context) -> int:
    return 1


class Survey:
    name = "survey"


STAGES = (
    Convert, ApplyCalibration, Image, Mosaic, Crossmatch, Pick, Choose, Clean, MaybeClean, OneOfMembers, WrongTime,
)  # fmt: skip
PLUGIN = Plugin("dsa110", STAGES, measures=(rms, count), providers=(Survey,))


def other(name: str) -> Plugin:
    if name != "gam":
        raise DefinitionError(f"no pipeline {name!r}")
    return Plugin("gam", (Crossmatch,))


GOOD = """\
[pipeline]
name = "dsa110"
version = "1"

[sources.incoming]
kind = "folder"
root = "incoming"
pattern = "{time:%Y-%m-%dT%H:%M:%S}_sb{subband:02d}.hdf5"
item = "observation"
key = "{time}"
join_within = "60 s"
complete = 16
timeout = "10 min"
on_timeout = "hold"
settled = "size"
type = "raw/hdf5"

[items.observation]
route = "qualify -> convert -> apply -> image"
reaches = "Seen"
priority = 3

[items.observation.qualify]
rules = [ { name = "all subbands", measure = "n_files", op = "==", limit = 16, fail = "hold" } ]

[items.observation.stages.apply]
uses = "dsa110.ApplyCalibration"
params = { interpolation = "nearest" }

[items.observation.stages.image]
params = { size = 2400, centre = [1.5, 2] }
resources = { cores = 2, memory = "2 GB", time = "10 min", gpu = true }
reaches = "Imaged"
rejects = "Not imaged"

[items.mosaic]
group = { of = "observation", at = "image", size = 10, order_by = "time.mid", max_gap = "10 min" }
route = "mosaic -> assess -> crossmatch -> publish"

[items.mosaic.stages.mosaic]
inputs = { images = "image.image" }
"""


def read(text: str, tmp_path: Path, *, suffix: str = ".toml", plugin: Plugin = PLUGIN, **more: Any) -> Loaded:
    file = tmp_path / f"p{suffix}"
    file.write_text(text)
    return load(Request(file, plugin, label=f"p{suffix}", **more), other)


def refused(text: str, tmp_path: Path, **more: Any) -> str:
    with pytest.raises(DefinitionError) as caught:
        read(text, tmp_path, **more)
    assert caught.value.file == f"p{more.get('suffix', '.toml')}"
    return str(caught.value)


def inputs(definition: Definition, kind: str, stage: str) -> dict[str, InputPlan]:
    return {plan.name: plan for plan in definition.stage(kind, stage).inputs}


# ---- good files


def test_a_definition_holds_what_the_file_says(tmp_path: Path) -> None:
    definition = read(GOOD, tmp_path).definition
    observation, mosaic = definition.kinds["observation"], definition.kinds["mosaic"]
    assert (observation.gathered, observation.reaches, observation.priority) == (True, "Seen", 3)
    assert [stage.name for stage in observation.first] == ["qualify"]
    assert [(s.name, s.depth, s.before, s.after) for s in observation.stages.values()][1] == (
        "convert", 1, ("qualify",), ("apply",),
    )  # fmt: skip
    assert mosaic.gathered and mosaic.group is not None
    assert (mosaic.group.of, mosaic.group.at) == ("observation", "image")
    assert (mosaic.group.size, mosaic.group.max_gap) == (10, 600)
    assert definition.groups_of("observation", "image") == (mosaic,)
    source = definition.sources["incoming"]
    assert (source.complete, source.timeout, source.join_within, source.raw_type) == (16, 600, 60, "raw/hdf5")
    assert source.settings["time"] == "time"
    image = definition.stage("observation", "image")
    assert image.params == {"size": 2400, "centre": [1.5, 2.0]}
    assert image.resources.memory == 2 * 10**9 and image.resources.seconds == 600 and image.resources.gpu
    assert (image.reaches, image.rejects, image.version) == ("Imaged", "Not imaged", "3")
    assert image.optional_outputs == {"log"}
    assert json.loads(image.fixed.json)["stage"] == "dsa110.Image"
    assert definition.stage("mosaic", "publish").service == "publish"


def test_inputs_find_their_makers(tmp_path: Path) -> None:
    definition = read(GOOD, tmp_path).definition
    assert inputs(definition, "observation", "convert")["subbands"].producers == (("", ""),)
    apply = inputs(definition, "observation", "apply")
    assert apply["ms"].producers == (("convert", "ms"),)
    assert (apply["bandpass"].form, apply["bandpass"].type) == ("calibration", "bandpass")
    assert (apply["bandpass"].at, apply["bandpass"].selector) == ("time.begin", "beam")
    image = inputs(definition, "observation", "image")
    assert [image[name].form for name in ("flags", "verdicts", "record")] == ["flags", "verdicts", "record"]
    images = inputs(definition, "mosaic", "mosaic")["images"]
    assert (images.producers, images.members, images.least) == ((("image", "image"),), True, 2)
    assert set(inputs(definition, "mosaic", "publish")) == {"mosaic.mosaic", "crossmatch.sources"}


ROUTED = """
[pipeline]
name = "dsa110"
[sources.s]
kind = "submit"
item = "o"
type = "raw/hdf5"
[items.o]
route = "{}"
[items.o.stages]
x = {{ {} }}
"""


CALIBRATED = "convert -> apply_calibration"
IMAGED = f"{CALIBRATED} -> image"


@pytest.mark.parametrize(
    ("route", "x", "stage", "name", "producers"),
    [
        (f"{CALIBRATED} -> clean -> x", 'uses = "Image"', "x", "ms", "clean.ms"),
        (
            f"{CALIBRATED} -> maybe_clean -> x",
            'uses = "Image"',
            "x",
            "ms",
            "maybe_clean.ms apply_calibration.ms",
        ),
        (f"{IMAGED} -> x", 'uses = "Pick"', "x", "image", "image.image"),
        (
            f"{IMAGED} -> x",
            'uses = "Choose", inputs.picture = "image.residual"',
            "x",
            "picture",
            "image.residual",
        ),
        (f"{CALIBRATED} -> (clean, image) -> x", 'uses = "Image"', "image", "ms", "apply_calibration.ms"),
        (f"{IMAGED} -> x", 'uses = "Mosaic"', "x", "images", "image.image image.residual"),
        ("x? -> convert", 'uses = "Image", enabled = false', "convert", "subbands", "."),
    ],
)
def test_the_nearest_maker_is_taken(
    route: str, x: str, stage: str, name: str, producers: str, tmp_path: Path
) -> None:
    definition = read(ROUTED.format(route, x), tmp_path).definition
    assert " ".join(map(".".join, inputs(definition, "o", stage)[name].producers)) == producers


def test_a_stage_switched_off_leaves_the_route(tmp_path: Path) -> None:
    text = ROUTED.format("convert -> x? -> apply_calibration", 'uses = "gam.Crossmatch", enabled = false')
    kind = read(text, tmp_path).definition.kinds["o"]
    assert kind.route == "convert -> apply_calibration"
    assert kind.stages["apply_calibration"].before == ("convert",)


def test_stages_of_other_pipelines_and_modules_are_found(tmp_path: Path) -> None:
    text = ROUTED.format("convert -> apply_calibration -> image -> mosaic -> x", 'uses = "gam.Crossmatch"')
    definition = read(text, tmp_path).definition
    assert definition.stage("o", "x").target == f"{__name__}:Crossmatch"
    text = text.replace("gam.Crossmatch", "towpath.flow.assess:Snapshot")
    assert read(text, tmp_path).definition.stage("o", "x").outputs == {"snapshot": "snapshot/json"}


def test_a_command_needs_no_python(tmp_path: Path) -> None:
    text = """
[pipeline]
name = "plain"
[sources.s]
kind = "submit"
item = "scan"
type = "raw/scan"
[items.scan]
route = "convert -> publish"
[items.scan.stages.convert]
kind = "command"
argv = ["mkfits", "--level", "{param.level}", "{input.raw}", "{output.image}", "{item.key}"]
consumes = { raw = "raw/scan" }
produces = { image = { type = "image/fits", file = "image.fits" } }
params = { level = 2 }
env = { OMP_NUM_THREADS = "{cores}" }
exit_codes = { 3 = "reject", 75 = "transient" }
[items.scan.publish]
name = "{pipeline}/{item.key}"
embargo = "30 d"
verdict = "any"
"""
    definition = read(text, tmp_path, plugin=Plugin("plain")).definition
    convert = definition.stage("scan", "convert")
    assert convert.outputs == {"image": "image/fits"}
    assert convert.params["exit_codes"] == {"3": "reject", "75": "transient"}
    assert inputs(definition, "scan", "convert")["raw"].producers == (("", ""),)
    assert definition.stage("scan", "publish").params["embargo"] == 30 * 86400
    assert inputs(definition, "scan", "publish")["convert.image"].producers == (("convert", "image"),)


def test_measures_of_the_plugin_and_their_inputs_are_found(tmp_path: Path) -> None:
    text = ROUTED.format("convert -> apply_calibration -> image -> assess -> x", 'uses = "Pick"')
    text += '[items.o.assess]\nrules = [{ measure = "rms", op = "<=", limit = 10, unit = "mGal" }]\n'
    definition = read(text, tmp_path).definition
    assess = definition.stage("o", "assess")
    assert assess.params["measures"] == {"rms": {"target": f"{__name__}:rms", "version": "1"}}
    assert assess.params["upstream"] == ["image", "apply_calibration", "convert"]
    assert inputs(definition, "o", "assess")["image"].producers == (("image", "image"),)


def test_a_calibration_is_certified_from_a_product(tmp_path: Path) -> None:
    text = ROUTED.format("convert -> apply_calibration -> image -> x", 'uses = "Pick"').replace(
        "-> x", "-> x -> certify"
    )
    text += '[items.o.certify]\ncalibration = "gain"\nproduct = "image.image"\nvalid_after = "1 d"\nselector = "beam"\n'
    certify = read(text, tmp_path).definition.stage("o", "certify")
    assert (certify.service, certify.params["valid_after"], certify.params["calibration"]) == (
        "certify",
        86400,
        "gain",
    )
    assert certify.inputs == (InputPlan("image.image", "many", "image/fits", (("image", "image"),)),)


def test_what_is_optional_may_have_no_maker(tmp_path: Path) -> None:
    class Free(Base):
        consumes = {"a": One("no/such", optional=True), "b": Many("no/such", least=0)}
        produces = {"image": "image/fits"}

    Free.__module__ = __name__
    definition = read(
        ROUTED.format("free -> x", 'uses = "Pick"'), tmp_path, plugin=Plugin("dsa110", (Free, Pick))
    ).definition
    assert [plan.producers for plan in definition.stage("o", "free").inputs] == [(), ()]


def test_raw_files_are_the_last_resort_of_an_output_that_may_be_missing(tmp_path: Path) -> None:
    text = ROUTED.format("maybe_clean -> x", 'uses = "Image"').replace("raw/hdf5", "ms/calibrated")
    ms = inputs(read(text, tmp_path).definition, "o", "x")["ms"]
    assert ms.producers == (("maybe_clean", "ms"), ("", ""))


def test_a_group_may_take_the_raw_files_of_its_members(tmp_path: Path) -> None:
    text = ROUTED.format("x", 'uses = "Convert"') + (
        '[items.night]\nroute = "convert"\ngroup = { of = "o", by = ["night"], timeout = "1 d" }\ntime = "night"\n'
    )
    definition = read(text, tmp_path).definition
    convert = definition.stage("night", "convert")
    assert (convert.inputs[0].producers, convert.inputs[0].members) == ((("", ""),), True)
    assert definition.kinds["night"].time == ("night",)


OTHERS = {
    "gam": """
[pipeline]
name = "gam"
licence = "CC-BY-4.0"
citation = "A survey"
doi = "10.1/x"
[sources.requests]
kind = "fetch"
provider = "survey"
item = "survey"
type = "t0"
requests = [{ key = "south", file = "south.csv", attributes = { area = "south" } }]
[items.survey]
route = "fetch -> qualify -> reduce -> (grid_coarse, grid_fine) -> residual -> detect -> assess -> publish"
[items.model]
group = { of = "survey", at = "publish", by = "area", timeout = "1 d", on_timeout = "process" }
route = "fuse -> invert -> detect -> assess -> publish"
""",
    "comap": """
[pipeline]
name = "comap"
[sources.level1]
kind = "folder"
pattern = "{key}.hd5"
item = "observation"
type = "t0"
[items.observation]
route = "qualify -> level2 -> assess -> snapshot"
[items.map]
group = { of = "observation", at = "assess", by = "target" }
route = "destripe -> assess -> publish"
""",
    "dkist": """
[pipeline]
name = "dkist"
[sources.store]
kind = "submit"
item = "program"
type = "t0"
[items.program]
route = "qualify -> preprocess -> invert -> generate -> assess -> publish"
reaches = "Discovered"
[items.program.stages.preprocess]
reaches = "Preprocessed"
[items.program.qualify]
reaches = "Invertible"
rejects = "Not Invertible"
""",
    "compchem": """
[pipeline]
name = "compchem"
[sources.files]
kind = "records"
item = "metadata"
[sources.files.match.output]
extension = "out"
[items.metadata]
route = "retrieve -> parse -> preview -> deliver"
""",
}


def stand_in(name: str, produced: str) -> type[Stage]:
    """A stage class of this name that makes a product and reads nothing."""
    title = "".join(part.title() for part in name.split("_"))
    return type(title, (Base,), {"produces": {"out": produced}, "__module__": __name__})


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_pipelines_fit_the_same_grammar(name: str, tmp_path: Path) -> None:
    names = "reduce grid_coarse grid_fine residual detect fuse invert level2 destripe preprocess generate parse preview"
    stages = [stand_in(each, f"t/{each}") for each in names.split()]
    plugin = Plugin(name, stages, providers=(Survey,))
    definition = read(OTHERS[name], tmp_path, plugin=plugin).definition
    assert definition.pipeline == name
    assert all(kind.stages for kind in definition.kinds.values())


# ---- TOML and YAML


PLAIN_TEXT = st.text(
    alphabet=string.ascii_letters + string.digits + " :#-_'\"\\é→{}[]%&*!|>@`,?~=.\n\t", max_size=12
)
ODD = ["yes", "NO", "on", "2024-01-01", "12:30:45", "010", "1_000", "null", "~", "0x1F", "1e3", ".5", ""]
LEAF = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    PLAIN_TEXT,
    st.sampled_from(ODD),
)
KEYS = st.one_of(st.sampled_from([*ODD, "a b"]), PLAIN_TEXT)


def wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(
        KEYS, st.one_of(LEAF, inner, st.lists(st.one_of(LEAF, inner), max_size=3)), max_size=4
    )


TABLES = st.recursive(st.dictionaries(KEYS, LEAF, max_size=4), wider, max_leaves=12)


def toml(value: Any) -> str:
    """A value as TOML writes it inline; JSON texts are TOML texts."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(name)} = {toml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


@given(TABLES)
def test_toml_and_yaml_give_the_same_tables(content: dict[str, Any]) -> None:
    text = "".join(f"{toml(name)} = {toml(value)}\n" for name, value in content.items())
    from_toml = tables.parse(text.encode(), ".toml", "x.toml")
    assert from_toml.content == content
    for flow in (False, True):
        written = yaml.dump(content, Dumper=Quoting, allow_unicode=True, default_flow_style=flow)
        assert tables.parse(written.encode(), ".yaml", "x.yaml").content == content


class Quoting(yaml.SafeDumper):
    """Writes texts in quotes, so that they are texts for every reader, and nothing twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


Quoting.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)
Quoting.add_representer(
    float,
    lambda dumper, value: dumper.represent_scalar(
        "tag:yaml.org,2002:float",
        repr(value) if "." in repr(value) or "e" not in repr(value) else f"{value:.17e}",
    ),
)


def test_plain_yaml_texts_stay_texts() -> None:
    texts = ["NO", "yes", "2024-01-01", "12:30:45", "010", "1_000", "on", "True", "0x1F", ".5"]
    data = f"a: [{', '.join(texts)}]\nb: [true, 1e3, -5, 2.50]\n".encode()
    assert tables.parse(data, ".yaml", "x").content == {"a": texts, "b": [True, 1000.0, -5, 2.5]}


def test_equal_files_have_equal_digests(tmp_path: Path) -> None:
    first = read(GOOD, tmp_path).definition
    content = tables.parse(GOOD.encode(), ".toml", "").content
    second = read(yaml.safe_dump(content), tmp_path, suffix=".yaml").definition
    assert first.digest == second.digest
    assert {k: dict(v.stages) for k, v in first.kinds.items()} == {
        k: dict(v.stages) for k, v in second.kinds.items()
    }
    assert read("# a comment\n" + GOOD, tmp_path).definition.digest == first.digest
    assert read(GOOD.replace("2400", "2401"), tmp_path).definition.digest != first.digest


def test_the_version_of_a_stage_is_in_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(GOOD, tmp_path).definition
    monkeypatch.setattr(Image, "version", "4")
    second = read(GOOD, tmp_path).definition
    assert first.digest != second.digest
    assert first.stage("observation", "image").fixed != second.stage("observation", "image").fixed
    assert first.stage("observation", "apply").fixed == second.stage("observation", "apply").fixed


# ---- overrides and origins


def test_overrides_are_laid_on_the_file_and_keep_their_origin(tmp_path: Path) -> None:
    site = Table(
        {
            "items": {
                "observation": {"stages": {"image": {"params": {"size": 1200}}, "qualify": {"attempts": 2}}}
            }
        },
        {(): Origin("towpath.toml", 7)},
    )
    loaded = read(GOOD, tmp_path, overrides=site)
    image = loaded.definition.stage("observation", "image")
    assert image.params == {"size": 1200, "centre": [1.5, 2.0]}
    qualify = loaded.definition.stage("observation", "qualify")
    assert qualify.attempts == 2 and qualify.params["rules"]
    assert str(loaded.origins["items.observation.stages.image.params.size"]) == "towpath.toml:7"
    assert str(loaded.origins["items.observation.stages.image.params.centre"]) == "p.toml:31"
    assert str(loaded.origins["items.observation.stages.qualify.rules"]) == "p.toml:24"


def test_an_error_in_an_override_names_the_site_file(tmp_path: Path) -> None:
    site = Table({"items": {"mosaic": {"route": "mosaic ->"}}}, {("items",): Origin("towpath.toml", 9)})
    assert refused(GOOD, tmp_path, overrides=site) == (
        "towpath.toml: items.mosaic.route (line 9): found 'mosaic ->'; expected a stage's name or '(' "
        "(column 10: found the end of the route)"
    )


@pytest.mark.parametrize(
    ("line", "place", "found"),
    [
        ('env = { API_TOKEN = "hunter2" }', "env.API_TOKEN", "what looks like a secret"),
        ('params = { password = "hunter2" }', "params.password", "what looks like a secret"),
        (
            'params = { tokens = ["a"], secret_key = "hunter2" }',
            "params.secret_key",
            "what looks like a secret",
        ),
        ('params = { credentials = ["hunter2"] }', "params.credentials[0]", "what looks like a secret"),
        ('params = { url = "https://me:hunter2@host/x" }', "params.url", "a URL with a password"),
    ],
)
def test_a_secret_in_a_pipeline_file_is_refused(line: str, place: str, found: str, tmp_path: Path) -> None:
    stage = '[items.secret]\nroute = "x"\n[items.secret.stages.x]\nkind = "command"\nargv = ["true"]\n'
    text = f"{GOOD}{stage}{line}\n"
    assert refused(text, tmp_path) == (
        f"p.toml: items.secret.stages.x.{place} (line {text.count(chr(10))}): found {found}; expected it in no pipeline "
        "file: in the site file as in [outbox.NAME], by {env = ...}, {file = ...} or {vault = ...}, or in the "
        "environment of what uses it"
    )


def test_a_secret_in_an_override_is_refused(tmp_path: Path) -> None:
    content = {"items": {"observation": {"stages": {"image": {"params": {"token": "hunter2"}}}}}}
    told = refused(GOOD, tmp_path, overrides=Table(content, {(): Origin("environment variable X")}))
    place = "items.observation.stages.image.params.token"
    assert told.startswith(f"environment variable X: {place}: found what looks like a secret")
    assert "hunter2" not in told


def test_what_only_sounds_like_a_secret_is_none(tmp_path: Path) -> None:
    names = {"tokens": 5, "token": 5, "password": "", "token_pattern": "x", "keyword": "x", "monkey": "x"}
    params = {**names, "url": "https://host/{a}:{b}@x", "time": "12:30@noon"}
    stage = {"kind": "command", "argv": ["true"], "params": params}
    content = {"items": {"other": {"route": "x", "stages": {"x": stage}}}}
    loaded = read(GOOD, tmp_path, overrides=Table(content, {(): Origin("towpath.toml")}))
    assert loaded.definition.stage("other", "x") is not None


@given(TABLES, TABLES)
def test_merging_keeps_every_value_and_origin(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = merge(Table(base, {(): Origin("base")}), Table(over, {(): Origin("over")}))
    for key, value in tables.leaves(over):
        assert merged.origin(key) == Origin("over")
        assert dict(tables.leaves(merged.content)).get(key, {}) == value or value == {}
    assert merge(merged, Table(over)).content == merged.content


# ---- bad files


def swap(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


BAD = tables.read(Path(__file__).with_name("bad_pipeline_files.toml")).content["bad"]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad["why"])
def test_a_bad_file_is_told_what_where(bad: dict[str, Any], tmp_path: Path) -> None:
    text = bad.get("text", GOOD)
    for old, new in bad.get("swap", []):
        assert old in text
        text = text.replace(old, new, 1)
    assert refused(text + bad.get("add", ""), tmp_path) == bad["message"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "a (line 2): found the key a second time; expected each key once"),
        ("a: &x 1\nb: *x\n", "b (line 1): found an alias of an anchor (&, *); expected the value itself"),
        ("a:\n", "a (line 1): found nothing (null); expected a value, or no such key"),
        ("a: .inf\n", "a (line 1): found .inf; expected a finite number"),
        ("? [1]\n: 2\n", "line 1: found a key that is a list or table; expected a text"),
        ("- 1\n", "line 1: found something else; expected a table (key: value) at the top"),
        (
            "a: !!python/name:os.system x\n",
            "a (line 1): found the tag 'tag:yaml.org,2002:python/name:os.system'; "
            "expected a text, number, true, false, list or table",
        ),
        (
            "a: [1\n",
            "line 2: found what is not YAML (expected ',' or ']', but got '<stream end>'); expected YAML",
        ),
        ("a: 1\n---\nb: 2\n", "line 2: found what is not YAML (but found another document); expected YAML"),
        (
            "a: \x00\n",
            "found what is not YAML (unacceptable character #x0000: special characters are not allowed); expected YAML",
        ),
        ("", "pipeline: found nothing; expected a value\np.yaml: items: found nothing; expected a value"),
        (
            "pipeline: {name: x}\nitems:\n  o:\n    route: b ->\n",
            "items.o.route (line 4): found 'b ->'; expected a stage's name or '(' "
            "(column 5: found the end of the route)",
        ),
    ],
)
def test_a_bad_yaml_file_is_told_what_where(text: str, message: str, tmp_path: Path) -> None:
    assert refused(text, tmp_path, suffix=".yaml") == f"p.yaml: {message}"


def test_files_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(DefinitionError, match=r"^p: line 2: found bytes that are not UTF-8; expected text$"):
        load(Request(tmp_path / "p.toml", PLUGIN, label="p"), other)
    with pytest.raises(DefinitionError, match=r"^p: found no file that can be read \(No such file"):
        load(Request(tmp_path / "q.toml", PLUGIN, label="p"), other)
    with pytest.raises(
        DefinitionError, match=r"^p: found a file ending in '.ini'; expected .toml, .yaml or .yml$"
    ):
        (tmp_path / "q.ini").write_text("")
        load(Request(tmp_path / "q.ini", PLUGIN, label="p"), other)


def test_the_name_must_be_the_one_of_the_site(tmp_path: Path) -> None:
    assert refused(GOOD, tmp_path, name="gam") == (
        "p.toml: pipeline.name (line 2): found 'dsa110'; expected 'gam', as the site file calls it"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pieces")


@given(begin=st.integers(0, len(GOOD)), length=st.integers(0, 80))
def test_a_file_with_a_piece_missing_is_refused_or_whole(begin: int, length: int, folder: Path) -> None:
    try:
        definition = read(GOOD[:begin] + GOOD[begin + length :], folder).definition
    except DefinitionError as error:
        assert all(line.startswith("p.toml: ") and "; expected " in line for line in str(error).splitlines())
    else:
        assert definition.kinds and definition.digest


# ---- whole or not at all


def test_no_part_of_a_file_with_an_end_marker_loads(tmp_path: Path) -> None:
    whole = GOOD.replace('version = "1"', 'version = "1"\nend = "# the end"', 1) + "# the end\n"
    digest = read(whole, tmp_path).definition.digest
    complete = whole.rstrip()
    for length in range(len(complete)):
        refused(whole[:length], tmp_path)
    assert read(complete, tmp_path).definition.digest == digest


def test_the_site_may_ask_for_the_end_marker(tmp_path: Path) -> None:
    assert refused(GOOD, tmp_path, end="# end").startswith("p.toml: found the last line 'inputs = ")
    read(GOOD + "# end\n", tmp_path, end="# end")
    for length in range(0, len(GOOD), 7):
        refused(GOOD[:length], tmp_path, end="# end")


def test_the_end_marker_is_asked_for_first(tmp_path: Path) -> None:
    head, _, rest = GOOD.partition("[sources")
    text = "[sources" + rest + head.replace('version = "1"', 'end = "# end"') + "# end\n"
    assert "found other tables before it; expected the table pipeline first" in refused(text, tmp_path)


def test_no_part_of_a_file_with_a_checksum_loads(tmp_path: Path) -> None:
    beside = tmp_path / "p.toml.sha256"
    assert "found no checksum in p.toml.sha256" in refused(GOOD, tmp_path, checksum=True)
    beside.write_text(f"{hashlib.sha256(GOOD.encode()).hexdigest()}  p.toml\n")
    read(GOOD, tmp_path, checksum=True)
    for length in range(0, len(GOOD), 7):
        assert "; expected " in refused(GOOD[:length], tmp_path, checksum=True)


# ---- hot reload


def write(file: Path, text: str) -> None:
    beside = file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(file)


def test_a_changed_file_is_swapped_and_a_bad_one_keeps_the_old(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(GOOD)
    watcher = Watcher(Request(file, PLUGIN, label="p.toml"), find=other)
    first = watcher.current
    assert watcher.reload() is None

    write(file, GOOD + "# only a comment\n")
    assert watcher.reload() is None
    assert watcher.current.definition.digest == first.definition.digest

    write(file, GOOD.replace("size = 2400", "size = 'big'"))
    bad = watcher.reload()
    assert bad is not None and bad.loaded is None and "expected a whole number" in str(bad.error)
    assert watcher.current.definition.digest == first.definition.digest
    assert watcher.reload() is None, "a bad file is told of once"

    file.unlink()
    gone = watcher.reload()
    assert gone is not None and "no file that can be read" in str(gone.error)

    write(file, GOOD.replace("size = 2400", "size = 1000"))
    good = watcher.reload()
    assert good is not None and good.loaded is watcher.current
    assert watcher.current.definition.stage("observation", "image").params["size"] == 1000
    assert first.definition.stage("observation", "image").params["size"] == 2400


def test_a_watcher_that_is_given_an_older_definition_reads_again(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    first = read(GOOD, tmp_path)
    file.write_text(GOOD.replace("2400", "1200"))
    watcher = Watcher(Request(file, PLUGIN, label="p.toml"), first, other)
    reloaded = watcher.reload()
    assert reloaded is not None and reloaded.loaded is not None
    assert watcher.reload(force=True) is None
