"""The reference pages say what the code says: every field and its default, every state and transition, every name.

A table of fields is marked by a comment before it, `<!-- fields: module:Model -->`; what a model has from a base that
has a table of its own is documented there. A table of transitions is marked `<!-- transitions: NAME -->`, a table of
states `<!-- states: NAME -->`; the README of a pipeline marks the parameters of a stage `<!-- parameters: CLASS -->`.
"""

import importlib
import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

import towpath
import towpath.testing
from towpath.adapters.catalog import schema
from towpath.app import plugins
from towpath.app.settings import SiteFile
from towpath.base import errors, states
from towpath.contracts.judging import MEASURES, Op
from towpath.contracts.notify import WORDS
from towpath.contracts.pipeline import PipelineFile, StageTable
from towpath.contracts.publication import RESERVED
from towpath.contracts.stage import Context, Input, Stage

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE = REPOSITORY / "docs" / "reference"
MARK = re.compile(
    r"^<!-- (?P<what>fields|transitions|states|parameters): (?P<names>.+?) -->\n(?P<table>(?:\|.*\n)+)",
    re.MULTILINE,
)
REQUIRED, NONE, OWN = "*required*", "*none*", "*its own*"


def page(name: str) -> str:
    """A page by its name in the reference, or by its path in the repository."""
    path = REPOSITORY / name if "/" in name else REFERENCE / name
    return path.read_text(encoding="utf-8")


def rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table without its head."""
    lines = table.splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in lines]


def marked(name: str, what: str) -> dict[str, list[list[str]]]:
    """The marked tables of a page by each name in their marks."""
    found = [mark for mark in MARK.finditer(page(name)) if mark["what"] == what]
    return {one: rows(mark["table"]) for mark in found for one in mark["names"].split()}


def code(cell: str) -> str:
    return cell.strip("`")


# ---- fields


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation mentions, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def reachable(model: type[BaseModel], found: set[type[BaseModel]] | None = None) -> set[type[BaseModel]]:
    """A model and all that its fields lead to."""
    found = set() if found is None else found
    if model not in found:
        found.add(model)
        # aliases of types are seen through only in the hints
        for annotation in get_type_hints(model, include_extras=True).values():
            for inner in models_in(annotation):
                reachable(inner, found)
    return found


def name_of(model: type[BaseModel]) -> str:
    return f"{model.__module__}:{model.__name__}"


def own_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields that the model's own table must have."""
    shared = StageTable.model_fields if issubclass(model, StageTable) and model is not StageTable else {}
    return {field.alias or name: field for name, field in model.model_fields.items() if name not in shared}


def is_default(field: FieldInfo, cell: str) -> bool:
    """Whether a cell says the default of a field: as TOML writes it, read as the file's value would be."""
    default = field.get_default(call_default_factory=True)
    if field.is_required():
        return cell == REQUIRED
    if default is None or isinstance(default, BaseModel):
        return cell == (NONE if default is None else OWN)
    if cell in (REQUIRED, NONE, OWN):
        return False
    written = tomllib.loads(f"value = {code(cell)}")["value"]
    adapter: TypeAdapter[Any] = TypeAdapter(_annotated(field))
    return bool(adapter.validate_json(json.dumps(written)) == default)


def _annotated(field: FieldInfo) -> Any:
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


FILES = {"pipeline-file.md": PipelineFile, "site-file.md": SiteFile}


@pytest.mark.parametrize("file", FILES)
def test_every_table_of_a_file_is_documented(file: str) -> None:
    documented = set(marked(file, "fields")) - {name_of(StageTable)}  # what all stages share
    needed = {name_of(model) for model in reachable(FILES[file]) if own_fields(model)}
    assert documented == needed


@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for file in FILES for name in marked(file, "fields")]
)
def test_every_field_is_documented_with_its_default(file: str, name: str) -> None:
    module, _, attribute = name.partition(":")
    fields = own_fields(getattr(importlib.import_module(module), attribute))
    table = {code(row[0]): row for row in marked(file, "fields")[name]}
    assert list(table) == list(dict.fromkeys(table))
    assert set(table) == set(fields)
    for field, row in table.items():
        assert is_default(fields[field], row[2]), f"{name}.{field}: {row[2]} is not its default"
        assert row[3] or field == "kind", f"{name}.{field} says nothing"


def test_a_wrong_default_is_noticed() -> None:
    field = StageTable.model_fields["backoff"]
    assert is_default(field, '`"10 s"`')
    assert not is_default(field, '`"11 s"`')
    assert not is_default(field, REQUIRED)


# ---- states

ENUMS: dict[str, tuple[type[StrEnum], frozenset[tuple[StrEnum, StrEnum]]]] = {
    "work": (states.Work, states.WORK),
    "product": (states.Product, states.PRODUCT),
    "publication": (states.Publication, states.PUBLICATION),
    "order": (states.Order, states.ORDER),
}
LISTED: dict[str, type[StrEnum]] = {"outcome": states.Outcome, "delivery": states.Delivery}


def pairs(kind: type[StrEnum], row: list[str]) -> set[tuple[str, str]]:
    """The transitions of one row: `a, b` are several states, `any but x` all others; what stays is none of it."""

    def named(cell: str) -> list[str]:
        if cell.startswith("any but "):
            left_out = cell.removeprefix("any but ").split(", ")
            return [state.value for state in kind if state.value not in left_out]
        return cell.split(", ")

    is_open = row[0].startswith("any but ")
    return {(a, b) for a, b in product(named(row[0]), named(row[1])) if a != b or not is_open}


@pytest.mark.parametrize("name", ENUMS)
def test_every_transition_is_documented(name: str) -> None:
    kind, table = ENUMS[name]
    found = [pair for row in marked("states.md", "transitions")[name] for pair in sorted(pairs(kind, row))]
    begins = [pair for pair in found if pair[0] == "–"]
    assert begins
    assert {pair for pair in found if pair[0] != "–"} == {(a.value, b.value) for a, b in table}


@pytest.mark.parametrize("name", [*ENUMS, *LISTED])
def test_every_state_is_documented(name: str) -> None:
    kind = LISTED[name] if name in LISTED else ENUMS[name][0]
    assert [code(row[0]) for row in marked("states.md", "states")[name]] == [state.value for state in kind]


# ---- names


def test_every_public_name_is_documented() -> None:
    found = re.findall(
        r"^\.\. auto(?:class|function|exception|data):: towpath\.(\w+)$", page("python.md"), re.MULTILINE
    )
    assert sorted(found) == sorted(set(towpath.__all__))


def test_the_test_kit_is_documented() -> None:
    found = re.findall(r"^\.\. auto\w+:: towpath\.testing\.(\w+)$", page("python.md"), re.MULTILINE)
    assert sorted(found) == sorted(towpath.testing.__all__)


def test_every_error_is_documented() -> None:
    classes = [
        name
        for name, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, errors.TowpathError)
    ]
    missing = [name for name in classes if f"`{name}`" not in page("python.md")]
    assert not missing


def test_the_stage_contract_is_documented() -> None:
    text = page("stage.md")
    inputs = [
        one.__name__ for one in Input.__subclasses__() if one.__module__.startswith("towpath.contracts")
    ]
    ways = [name for name in vars(Context) if not name.startswith("_")] + list(Context.__annotations__)
    settings = [name for name in Stage.__annotations__ if name != "model_config"]
    assert len(inputs) >= 6
    for name in (*inputs, *ways, *settings):
        assert re.search(rf"`(?:context\.)?{name}\b", text), f"stage.md does not speak of {name}"


def test_measures_operators_and_documents_are_documented() -> None:
    for name in (*MEASURES, *get_args(Op)):
        assert f"`{name}`" in page("measures.md"), name
    for name in RESERVED:
        assert f"`{name}`" in page("provenance.md"), name


# ---- pipelines

PIPELINES = {
    name: f"src/towpath/pipelines/{name}/README.md"
    for name, point in plugins.installed().items()
    if point.module.startswith("towpath.pipelines.")
}


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_parameter_of_a_pipeline_is_documented(pipeline: str) -> None:
    plugin = plugins.load(pipeline)
    tables = marked(PIPELINES[pipeline], "parameters")
    assert set(tables) == {stage.__name__ for stage in plugin.stages if stage.model_fields}
    for name, table in tables.items():
        stage = plugin.stage(name)
        assert stage is not None
        assert {code(row[0]) for row in table} == set(stage.model_fields)
        for row in table:
            field = stage.model_fields[code(row[0])]
            units = [one.name for one in field.metadata if isinstance(one, towpath.Unit)]
            assert is_default(field, row[1]), f"{name}.{row[0]}: {row[1]} is not its default"
            assert row[2].replace("³", "3") == "".join(units), f"{name}.{row[0]}: {row[2]} is not its unit"


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_measure_of_a_pipeline_is_documented(pipeline: str) -> None:
    for measure in plugins.load(pipeline).measures:
        assert f"`{measure.name}`" in page(PIPELINES[pipeline]), measure.name


# ---- what other pages name


def test_the_words_of_notifications_are_documented() -> None:
    section = page("docs/howto/notifications.md").partition("## What is told")[2].partition("## ")[0]
    assert [code(row[0]) for row in rows(section.strip().partition("\n\n")[0])] == list(WORDS)


def test_every_table_of_the_catalog_is_explained() -> None:
    found = re.findall(r"^\| `(\w+)` \|", page("docs/explanation/catalog.md"), re.MULTILINE)
    assert sorted(found) == sorted(schema.metadata.tables)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_beside_the_documentation_lead_somewhere(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("https://")]
    assert not [link for link in links if not (REPOSITORY / link).exists()]


def test_modules_that_pages_name_are_there() -> None:
    pages = [*(REPOSITORY / "docs" / "decisions").glob("*.md"), REPOSITORY / "CONTRIBUTING.md"]
    floors = "base|contracts|flow|adapters|app"
    named = {
        one for path in pages for one in re.findall(rf"`((?:{floors})/[\w/]+(?:\.py|/))`", path.read_text())
    }
    assert len(named) >= 15
    assert not [one for one in sorted(named) if not (REPOSITORY / "src" / "towpath" / one).exists()]


def test_the_readme_shows_a_pipeline_in_twenty_lines() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"<!-- file: .+ -->\n```\w+\n(.*?)```", text, re.DOTALL)
    lines = [line for block in shown for line in block.splitlines() if line.strip()]
    assert 0 < len(lines) <= 20
