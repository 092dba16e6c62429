"""Settings of a publication and the names that products get: safe, distinct, one to one."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.base.errors import DefinitionError
from towpath.base.model import Item, Product
from towpath.base.spacetime import Span
from towpath.contracts.publication import Names, PublishSettings, check_template, names, settings


def product(
    number: int = 1, *, stage: str = "image", output: str = "image", part: str = "", path: str = "x.fits"
) -> Product:
    return Product(1, stage, output, part, "image/fits", "store", path, 1, 1, b"\0" * 32, id=number)


def item(key: str = "S-1", **attributes: object) -> Item:
    return Item("line", "survey", key, attributes, Span(1_700_000_000.0, 1_700_000_060.0), registered=5.0)


def chosen(**values: object) -> PublishSettings:
    return settings(values)


def target(template: str, one: Item | None = None, version: int = 1) -> str:
    return names(chosen(name=template), one or item(), [product()], version).target


# ---- settings


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"mood": "good"}, "mood"),
        ({"mode": "steal"}, "'copy' or 'move'"),
        ({"embargo": "some day"}, "embargo"),
        ({"licence": {"waive": ["no"]}}, "a waiver needs a reason"),
        ({"name": "{pipeline}"}, "name the item"),
        ({"name": "../{item.key}"}, "begin with a dot"),
        ({"name": "/{item.key}"}, "may not be empty"),
        ({"name": "{item.key}/"}, "may not be empty"),
        ({"name": "a//{item.key}"}, "may not be empty"),
        ({"name": ".hidden/{item.key}"}, "begin with a dot"),
        ({"name": "{item.key}/{ext}"}, "begin with a dot"),
        ({"name": "{item.key} ($x)"}, "may hold letters"),
        ({"name": "{item.key!r}"}, "no conversions"),
        ({"name": "{item.key:>10}"}, "only item.time takes a format"),
        ({"name": "{item.time:%Y/%m}"}, "without /"),
        ({"name": "{itm.key}"}, r"no field \{itm.key\}"),
        ({"name": "{stage}/{item.key}"}, "may stand in the last component only"),
        ({"name": "{item.key"}, "expected '}'"),
    ],
)
def test_what_is_wrong_is_named(params: dict[str, object], problem: str) -> None:
    with pytest.raises(DefinitionError, match=problem):
        settings(params)


@pytest.mark.parametrize(
    ("embargo", "until"),
    [
        (0, 0.0),
        ("", 0.0),
        (60.0, 1_700_000_120.0),
        ("30 d", 1_700_000_060.0 + 30 * 86400),
        ("2030-01-01T00:00:00Z", 1_893_456_000.0),
        ("item.public", 1_893_456_000.0),
        ("item.nothing", 0.0),
    ],
)
def test_an_embargo_ends_at_a_time_after_a_while_or_as_the_item_says(embargo: object, until: float) -> None:
    public = item(public="2030-01-01T00:00:00Z")
    assert chosen(embargo=embargo).embargo_until(public) == until


def test_an_embargo_of_an_item_without_a_time_begins_at_its_registration() -> None:
    assert chosen(embargo="1 h").embargo_until(Item("l", "s", "k", registered=5.0)) == 3605.0


def test_an_embargo_that_is_no_time_is_named() -> None:
    with pytest.raises(DefinitionError, match=r"item\.public of line/survey/S-1 is 'soon', not a time"):
        chosen(embargo="item.public").embargo_until(item(public="soon"))


# ---- names


@pytest.mark.parametrize(
    ("template", "version", "path"),
    [
        ("{pipeline}/{kind}/{item.key}", 1, "line/survey/S-1"),
        ("{pipeline}/{kind}/{key}", 2, "line/survey/S-1~v2"),
        ("{item.key}/v{version}", 2, "S-1/v2"),
        ("{item.time:%Y}/{item.time:%m-%d}/{item.key}", 1, "2023/11-14/S-1"),
        ("{item.time}-{item.key}", 1, "20231114T221320Z-S-1"),
        ("{item.field}/{item.key}", 1, "a%2F..%2Fb/S-1"),
        ("{item.key}/{stage}-{output}{ext}", 3, "S-1~v3"),
    ],
)
def test_a_template_gives_the_place(template: str, version: int, path: str) -> None:
    assert target(template, item(field="a/../b"), version) == path


def test_products_in_a_folder_have_names_of_their_own() -> None:
    products = [
        product(1, output="image", path="S-1.4/image.fits"),
        product(2, output="log", path="S-1.4/log.csv.xz"),
        product(3, output="spectrum", part="feed 3", path="S-1.4/a.b.h5"),
        product(4, stage="", output="data", path="S-1.hdf5"),
        product(5, output="plain", path="noending"),
    ]
    named = names(chosen(), item(), products, 1)
    assert (named.target, named.folder) == ("line/survey/S-1", True)
    assert list(named.files.values()) == [
        "image-image.fits",
        "image-log.csv.xz",
        "image-spectrum-feed%203.h5",
        "raw-data.hdf5",
        "image-plain",
    ]


def test_a_lone_product_without_documents_is_the_target() -> None:
    lone = chosen(documents=False, name="{item.key}/{output}{ext}")
    assert names(lone, item(), [product()], 1).target == "S-1/image.fits"
    assert names(lone, item(), [product()], 2).target == "S-1/image~v2.fits"
    at_the_root = chosen(documents=False, name="{item.key}{ext}")
    assert names(at_the_root, item(), [product()], 1) == Names("S-1.fits", False, {1: "S-1.fits"})


def test_the_token_of_a_lone_place_is_no_part_of_the_ending() -> None:
    made = Product(1, "s", "o", "", "t", "store", "p/S-1.12.image", 1, 1, b"", run=(3, 12), id=1)
    assert names(chosen(), item(), [made], 1).files == {1: "s-o"}


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{item.key}/{stage}{ext}", "gives two files the name 'image.fits'"),
        ("{item.key}-{output}{ext}", "names no folder"),
        ("all/{item.key}-{output}", "must name the item"),
        ("{item.field}/{item.key}", r"asks for 'item\.field'"),
    ],
)
def test_a_template_that_cannot_serve_says_why(template: str, problem: str) -> None:
    with pytest.raises(DefinitionError, match=problem):
        names(chosen(name=template), item(), [product(1), product(2, output="other")], 1)


def test_an_item_without_a_time_cannot_be_named_by_it() -> None:
    with pytest.raises(DefinitionError, match=r"item\.time"):
        target("{item.time}/{item.key}", Item("line", "survey", "S-1"))


def test_a_document_keeps_its_name() -> None:
    with pytest.raises(DefinitionError, match=r"provenance\.json"):
        names(
            chosen(name="{item.key}/{output}{ext}"),
            item(),
            [product(output="provenance", path="p.json")],
            1,
        )


SAFE = set(string.ascii_letters + string.digits + "_.+=@-%~")


@given(st.text(min_size=1, max_size=300), st.text(max_size=300), st.integers(1, 10**6))
def test_no_key_leaves_its_place(key: str, value: str, version: int) -> None:
    one = item(key, field=value)
    path = target("{pipeline}/x{item.field}/{item.key}", one, version)
    first, *rest = path.split("/")
    assert (first, len(rest)) == ("line", 2)
    for component in rest:
        assert set(component) <= SAFE
        assert not component.startswith(".")
        assert 0 < len(component) <= 255


@given(st.lists(st.text(min_size=1, max_size=200), min_size=2, max_size=5, unique=True))
def test_two_keys_never_share_a_place(keys: list[str]) -> None:
    places = {target("{item.key}", item(key), version) for key in keys for version in (1, 2)}
    assert len(places) == 2 * len(keys)


@given(st.text(max_size=40))
def test_a_template_is_accepted_or_refused_but_never_escapes(template: str) -> None:
    try:
        check_template(template)
    except ValueError:
        return
    assert not template.startswith("/")
    assert ".." not in template.split("/")
