"""Fetching: the provider of local files, and the stage run for real."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from towpath.adapters.sources.fetch import Fetch, LocalFiles, load_provider, look, request_of
from towpath.base.errors import DefinitionError, StorageError, Transient
from towpath.base.spacetime import Box, Span
from towpath.base.states import Outcome
from towpath.contracts.definition import SourcePlan
from towpath.contracts.source import Asset, Request
from towpath.testing.context import StageResult, run_stage

CREDIT = {"licence": "CC-BY-4.0", "citation": "Author (2020)", "doi": "10.5/x", "redistribute": "yes"}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    root = tmp_path / "files"
    (root / "survey").mkdir(parents=True)
    (root / "survey/a.csv").write_bytes(b"a" * 3_000_000)
    (root / "survey/b.csv").write_bytes(b"b")
    sums = f"{hashlib.sha256(b'b').hexdigest()}  ./survey/b.csv\nnot a sum\n"
    (root / "SHA256SUMS").write_text(sums)
    return root


def ask(**params: Any) -> Request:
    return Request("key", params=params)


def fetch(tmp_path: Path, attributes: dict[str, Any], **params: Any) -> StageResult:
    return run_stage(Fetch(**params), {"record": {"key": "key", "attributes": attributes}}, tmp_path)


# ---- the provider


def test_a_file_and_what_is_stated_of_it(files: Path) -> None:
    provider = LocalFiles(str(files))
    (asset,) = provider.assets(ask(file="survey/b.csv", **CREDIT))
    stamp = str((files / "survey/b.csv").stat().st_mtime_ns)
    sha256 = hashlib.sha256(b"b").hexdigest()
    assert asset == Asset("b.csv", "survey/b.csv", 1, sha256, **CREDIT, version=stamp)
    (other,) = provider.assets(ask(file=str(files / "survey/a.csv")))
    assert (other.size, other.sha256, other.redistribute) == (3_000_000, "", "unknown")


def test_a_folder_gives_all_its_files(files: Path) -> None:
    (files / "survey/.hidden").write_bytes(b"x")
    (files / "survey/deep").mkdir()
    (files / "survey/deep/c.csv").write_bytes(b"c")
    (files / "survey/SHA256SUMS").write_text(f"{hashlib.sha256(b'c').hexdigest().upper()} *deep/c.csv\n")
    assets = LocalFiles(str(files)).assets(ask(file="survey"))
    assert [asset.name for asset in assets] == ["a.csv", "b.csv", "deep/c.csv"]
    assert [bool(asset.sha256) for asset in assets] == [False, True, True]


def test_without_a_root_only_absolute_paths(files: Path) -> None:
    (asset,) = LocalFiles().assets(ask(file=str(files / "survey/b.csv")))
    assert (asset.name, asset.sha256) == ("b.csv", "")
    with pytest.raises(StorageError, match="expected an absolute path, or set root"):
        LocalFiles().assets(ask(file="survey/b.csv"))


@pytest.mark.parametrize("named", ["../secret", "/etc/passwd", "link"])
def test_nothing_outside_the_root_is_given(files: Path, named: str) -> None:
    (files.parent / "secret").write_bytes(b"x")
    (files / "link").symlink_to(files.parent / "secret")
    with pytest.raises(StorageError, match="leaves the provider's folder"):
        LocalFiles(str(files)).assets(ask(file=named))


def test_what_is_not_there(files: Path) -> None:
    provider = LocalFiles(str(files))
    with pytest.raises(StorageError, match=r"'key'.*none\.csv: there is no such file or folder"):
        provider.assets(ask(file="none.csv"))
    with pytest.raises(StorageError, match="found file = None; expected the name"):
        provider.assets(ask())
    (files / "empty").mkdir()
    with pytest.raises(StorageError, match="holds no files"):
        provider.assets(ask(file="empty"))
    with pytest.raises(Transient, match="is its disk mounted"):
        LocalFiles(str(files / "away")).assets(ask(file="x"))
    with pytest.raises(StorageError, match="not there any more"):
        provider.fetch(Asset("x", str(files / "gone")), files / "target", lambda _: None)


def test_decoding_gives_the_bytes(files: Path) -> None:
    assert b"".join(LocalFiles().decode(files / "survey/b.csv")) == b"b"


def test_providers_are_loaded_by_import_path() -> None:
    provider = load_provider("towpath.adapters.sources.fetch:LocalFiles", {"root": "/"})
    assert provider.name == "local"
    for target, settings, message in (
        ("no.such:Thing", {}, "found 'no.such:Thing', which cannot be imported"),
        ("towpath.adapters.sources.fetch:Nobody", {}, "cannot be imported"),
        ("towpath.adapters.sources.fetch:LocalFiles", {"rooot": "x"}, "are refused"),
        ("towpath.adapters.sources.fetch:LocalFiles", {"root": "x"}, "expected an absolute path"),
    ):
        with pytest.raises(DefinitionError, match=message):
            load_provider(target, settings)


# ---- the source


def test_a_source_asks_for_each_request(files: Path) -> None:
    settings = {
        "settings": {"root": str(files)},
        "requests": [
            {
                "key": "b",
                "file": "survey/b.csv",
                "footprint": [10, -30, 30, -20],
                "time": ["1970-01-01", "1970-01-02"],
            },
            {"key": "none", "file": "none.csv"},
            {"file": "survey/a.csv"},
            {"key": "tilted", "file": "survey/a.csv", "footprint": [10, 30, 30, 120]},
        ],
    }
    answers, problems = look(SourcePlan("gam", "stations", "fetch", "survey", settings))
    (request, assets), (refused, nothing) = answers
    assert (refused.key, nothing) == ("none", ())
    assert request == Request("b", Box(10, -30, 30, -20), Span(0, 86400), {"file": "survey/b.csv"})
    assert [asset.name for asset in assets] == ["b.csv"]
    assert len(problems) == 3
    assert all(text.startswith("sources.stations: ") for text in problems)
    assert "none.csv: there is no such file" in problems[0]
    assert "has no key" in problems[1]
    assert "latitude out of" in problems[2]


def test_one_time_is_an_instant() -> None:
    assert request_of({"key": "k", "time": "1970-01-01T00:00:10"}).span == Span(10, 10)


# ---- the stage


def test_one_file_is_fetched_under_its_name(files: Path, tmp_path: Path) -> None:
    assets = LocalFiles(str(files)).assets(ask(file="survey/a.csv", **CREDIT))
    attributes = {
        "request": {"key": "key", "params": {"file": "survey/a.csv"}},
        "assets": [vars_of(assets[0])],
    }
    done = fetch(tmp_path, attributes, settings={"root": str(files)}, type="stations/csv")
    assert (done.outcome, done.error) == (Outcome.DONE, "")
    assert done.outputs["data"].name.endswith("a.csv")
    assert done.outputs["data"].read_bytes() == b"a" * 3_000_000
    measured = {name: measure.value for name, measure in done.measures.items()}
    assert measured == {"assets": 1, "bytes": 3_000_000, **CREDIT}
    assert done.measures["bytes"].unit == "B"
    assert 0 < (done.progress[0].fraction or 0) <= 1
    assert Fetch.declared({"type": "stations/csv"})[1] == {"data": "stations/csv"}
    assert Fetch.declared({})[1] == {"data": "raw/file"}


def vars_of(asset: Asset) -> dict[str, Any]:
    return {name: getattr(asset, name) for name in Asset.__dataclass_fields__}


def test_several_files_are_fetched_as_a_folder(files: Path, tmp_path: Path) -> None:
    request = {"key": "key", "params": {"file": "survey", "redistribute": "no"}}
    done = fetch(tmp_path, {"request": request}, settings={"root": str(files)})
    assert (done.outcome, done.error) == (Outcome.DONE, "")
    assert sorted(path.name for path in done.outputs["data"].iterdir()) == ["a.csv", "b.csv"]
    assert done.measures["redistribute"].value == "no"
    assert "licence" not in done.measures


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 7}, "found 1 bytes; expected 7"),
        ({"sha256": "00" * 32}, f"found sha256 {hashlib.sha256(b'b').hexdigest()}; expected {'00' * 32}"),
        ({"location": "gone.csv"}, "not there any more"),
    ],
)
def test_bytes_that_are_not_as_stated_are_no_product(
    files: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    asset = {"name": "b.csv", "location": str(files / "survey/b.csv"), "size": 1, **change}
    done = fetch(tmp_path, {"request": {"key": "key"}, "assets": [asset]})
    assert done.outcome is Outcome.FAILED
    assert message in done.error
    assert done.outputs == {}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "has no request"),
        ({"request": {"key": "k"}, "assets": [{"name": "../x", "location": "x"}]}, "names an asset '../x'"),
        ({"request": {"key": "k"}, "assets": [{"name": "x", "location": "x"}] * 2}, "names two assets alike"),
    ],
)
def test_what_cannot_be_asked_is_rejected(tmp_path: Path, attributes: dict[str, Any], message: str) -> None:
    done = fetch(tmp_path, attributes)
    assert done.outcome is Outcome.REJECTED
    assert message in done.reasons[0]


def test_a_disk_that_is_away_is_tried_again(tmp_path: Path) -> None:
    request = {"key": "key", "params": {"file": "a"}}
    done = fetch(tmp_path, {"request": request}, settings={"root": str(tmp_path / "away")})
    assert done.outcome is Outcome.TRANSIENT


def test_the_real_survey_is_fetched_and_verified(data: Path, tmp_path: Path) -> None:
    (asset,) = LocalFiles(str(data)).assets(ask(file="gravity/southern-africa-gravity.ast.xz"))
    assert len(asset.sha256) == 64
    request = {"key": "key", "params": {"file": "gravity/southern-africa-gravity.ast.xz"}}
    done = fetch(tmp_path, {"request": request}, settings={"root": str(data)})
    assert done.outcome is Outcome.DONE
    assert hashlib.sha256(done.outputs["data"].read_bytes()).hexdigest() == asset.sha256
