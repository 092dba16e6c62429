"""The commands that change things: on one item, on several, on all that fit a filter; and what they refuse."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.fixture
def run(invoke: Command, site: Path) -> Command:
    """Give `run(*argv)`: the command on the site of this test."""
    return lambda *argv, **more: invoke(*argv, "--site", site, **more)


def go(run: Command) -> Any:
    return run("run", "--executor", "inline", "--json").document


def states(run: Command, item: str) -> list[str]:
    return [row["state"] for row in run("show", item, "--json").document["work"]]


def test_retry(run: Command, site: Path) -> None:
    (site / "incoming" / "broken.csv").write_text("time,value\n0,1\n1,1\n")
    done = run("retry", "broken", "--json")
    assert done.document["items"] == [{"item": f"{site.name}/series/broken", "changed": 1}]
    go(run)
    assert states(run, "broken") == ["done", "done"]
    assert run("retry", "broken").code == 5


def test_a_filter_shows_what_it_would_do_and_asks(run: Command, site: Path) -> None:
    asked = run("retry", "--state", "failed")
    assert asked.code == 2
    assert f"retry 1 item:\n  {site.name}/series/broken" in asked.err
    assert states(run, "broken") == ["failed", "waiting"]
    sure = run("retry", "--state", "failed", "--yes")
    assert (sure.code, sure.out) == (0, f"{site.name}/series/broken: 1 stage to be tried again\n")
    assert run("retry", "--state", "failed", "--yes").out == "no item fits the filter\n"


def test_items_and_a_filter_together_are_refused_and_so_is_nothing(run: Command) -> None:
    assert run("hold", "first", "--kind", "series").code == 2
    assert run("hold").code == 2


def test_several_items_go_on_after_an_error(run: Command) -> None:
    assert run("rerun", "first", "second").code == 0
    assert run("rerun", "first", "nobody").code == 4
    mixed = run("rerun", "first", "second", "--stage", "nix", "--json")
    assert mixed.code == 4
    assert ["error" in row for row in mixed.document["items"]] == [True, True]


def test_rerun_runs_again_and_cuts_off_early(run: Command) -> None:
    assert run("rerun", "first", "--why", "to see").code == 0
    assert go(run)["runs"] == {"done": 1, "unchanged": 1}
    assert "to see" in run("events", "--item", "first").out


def test_hold_release_and_stop(run: Command) -> None:
    run("rerun", "first")
    assert "held" in run("hold", "first", "--stage", "clean", "--why", "wait for me").out
    assert go(run)["runs"] == {}
    assert "it is held by " in run("explain", "first").out
    assert ": wait for me" in run("explain", "first").out
    assert run("release", "first").code == 0
    assert run("stop", "first", "--stage", "clean").code == 0
    assert states(run, "first")[0] == "stopped"
    assert run("retry", "first").code == 0
    assert go(run)["runs"] == {"done": 1, "unchanged": 1}


def test_flag(run: Command) -> None:
    done = run(
        "flag", "noisy", "first", "second", "--part", "feed=3", "--part", "band=K", "--comment", "wind"
    )
    assert done.code == 0
    flag = run("show", "second", "--json").document["flags"][0]
    assert (flag["value"], flag["part"], flag["comment"]) == ("noisy", {"feed": 3, "band": "K"}, "wind")
    assert "band K, feed 3" in run("show", "first").out
    assert run("flag", "noisy", "first", "--part", "feed").code == 2


def test_adopt_what_someone_changed(run: Command, site: Path) -> None:
    product = site / "store" / site.name / "series" / "clean" / "first.1.cleaned.csv"
    with product.open("a") as file:
        file.write("10,20.0\n")
    assert "changed" in run("plan").out
    assert run("inventory", "reconcile").code == 1
    assert run("inventory", "reconcile", "--write").code == 0
    assert run("adopt", "first", "clean", "--why", "looked at it").code == 0
    assert run("inventory", "reconcile").code == 0
    assert "current (by hand)" in run("show", "first").out
    assert run("adopt", "first", "clean", "--why", "again").code == 5
    assert run("adopt", "first", "clean").code == 2


def test_apply_brings_up_to_date(run: Command, site: Path) -> None:
    change = ("--set", f"pipelines.{site.name}.override.items.series.stages.clean.params.limit=9999.0")
    shown = run("apply", "--json", *change).document
    assert (shown["written"], {row["stage"] for row in shown["changes"]}) == (False, {"clean"})
    assert "params.limit: 5.0 -> 9999.0" in run("apply", *change).out
    assert states(run, "second") == ["done", "done"]
    assert run("apply", "--write", *change).code == 0
    ran = run("run", "--executor", "inline", "--json", *change).document
    assert ran["runs"]["done"] >= 3
    assert "Nothing to apply" in run("apply", *change).out


def test_publication_waits_for_a_person(run: Command, invoke: Command, site: Path) -> None:
    pipeline = site / site.name / "pipeline.toml"
    text = pipeline.read_text()
    pipeline.write_text(text + '\n[items.series.publish]\npublish = "manual"\n')
    (site / "incoming" / "third.csv").write_text("time,value\n0,1\n1,2\n")
    go(run)
    assert states(run, "third") == ["done", "held"]
    assert run("publish", "third", "--why", "good").out == f"{site.name}/series/third: 1 stage to go on\n"
    go(run)
    assert states(run, "third") == ["done", "done"]
    assert (site / "archive" / site.name / "series" / "third").is_dir()
    assert run("publish", "third").code == 5


def test_publish_again_after_a_conflict(run: Command, site: Path) -> None:
    taken = site / "archive" / site.name / "series" / "third"
    taken.mkdir(parents=True)
    (taken / "mine.txt").write_text("not yours")
    (site / "incoming" / "third.csv").write_text("time,value\n0,1\n1,2\n")
    go(run)
    assert states(run, "third")[1] == "failed"
    shutil.rmtree(taken)
    assert run("publish", "third", "--retry").code == 0
    go(run)
    assert states(run, "third") == ["done", "done"]
    assert (taken / "clean-cleaned.csv").is_file()


def test_a_root_is_moved(run: Command, site: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (site / "store").rename(elsewhere)
    looked = run("inventory", "remap", "store", elsewhere, "--json").document
    assert (looked["looked_at"], looked["there"], looked["written"]) == (2, 2, False)
    assert run("inventory", "remap", "store", elsewhere, "--write").code == 0
    assert run("inventory", "reconcile").out == "store: all as the catalog says\n"
    assert run("inventory", "remap", "nix", elsewhere).code == 4
    assert run("inventory", "remap", "store", tmp_path / "nix").code == 2


def test_publications_are_shown_where_the_archive_is_now(run: Command, site: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "vault"
    (site / "archive").rename(elsewhere)
    assert run("inventory", "remap", "archive", elsewhere, "--write").code == 0
    shown = run("show", "first").out.partition("publications\n")[2]
    assert "archive/" not in shown
    assert str(elsewhere)[:40] in shown


def test_moved_files_are_found_by_hash(run: Command, site: Path) -> None:
    folder = site / "incoming" / "old"
    folder.mkdir()
    (site / "incoming" / "second.csv").rename(folder / "second.csv")
    found = run("inventory", "reconcile", "incoming", "--json").document
    assert [(one["what"], one["to"]) for one in found["findings"]] == [("moved", "old/second.csv")]
    assert run("inventory", "reconcile", "incoming", "--write").code == 0
    assert "all as the catalog says" in run("inventory", "reconcile", "incoming").out


def test_what_is_missing_is_told_and_made_again(run: Command, site: Path) -> None:
    product = site / "store" / site.name / "series" / "clean" / "second.1.cleaned.csv"
    product.unlink()
    assert run("inventory", "reconcile").code == 1
    assert "missing" in run("plan").out
    assert go(run)["findings"] == 1
    assert "all as the catalog says" in run("inventory", "reconcile").out


def test_only_the_items_in_a_file_are_run(run: Command, site: Path, tmp_path: Path) -> None:
    run("rerun", "first", "second")
    keys = tmp_path / "keys.txt"
    keys.write_text("# tonight\n\nsecond\n")
    done = run("run", "--executor", "inline", "--keys", keys, "--json")
    assert done.code == 0, done.err
    assert states(run, "second") == ["done", "done"]
    assert states(run, "first") == ["ready", "waiting"]
    keys.write_text("nobody\n")
    assert run("run", "--keys", keys).code == 4
    keys.write_text("\n")
    assert run("run", "--keys", keys).code == 2
    assert run("run", "--keys", tmp_path / "nix").code == 2


def test_sweep(run: Command) -> None:
    assert set(run("sweep", "--json").document.values()) == {0}
    assert run("sweep", "--older", "soon").code == 2


def test_a_torn_catalog_is_told(run: Command, site: Path) -> None:
    catalog = site / "catalog.sqlite"
    content = bytearray(catalog.read_bytes())
    content[8192 : 8192 + 4096] = bytes(4096)
    for beside in site.glob("catalog.sqlite-*"):
        beside.unlink()
    catalog.write_bytes(content)
    done = run("db", "check", "--json")
    assert done.code == 1
    assert done.document["problems"]
