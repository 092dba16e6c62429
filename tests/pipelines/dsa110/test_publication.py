"""None of the ways to lose a mosaic, on the way into the archive: real mosaics, real processes, each fault planted.

Numbers are those of docs/explanation/publication.md. Each test does harm to a copy of a night that was made and not published.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from nights import Night, digests, place_of, states, unpublished_copy_of

from towpath import Site
from towpath.base import faults
from towpath.testing.content import torn

pytestmark = pytest.mark.slow

TOWPATH = str(Path(sys.executable).with_name("towpath"))
POINTS = [
    name
    for name in faults.POINTS
    # Of a lone file, of a move, and of what was left by another: tests/flow/test_publish_fire.py.
    if name.startswith("publish.")
    and name not in ("publish.link", "publish.drop", "publish.trash", "publish.remove")
]
PUBLISH = "[pipelines.dsa110.override.items.mosaic.publish]\n"
RULE = '{{ name = "noise", measure = "rms", op = "<=", limit = {limit}, unit = "Jy/beam", fail = "hold" }}'
ASSESS = "[pipelines.dsa110.override.items.mosaic.assess]\nrules = [{rule}]\n"


@pytest.fixture
def folder(night: Night, tmp_path: Path) -> Path:
    """A site whose mosaics are made and not published."""
    return unpublished_copy_of(night, tmp_path)


@pytest.fixture
def right(night: Night) -> Callable[[Path], None]:
    """Assert that an archive holds the first mosaic as it was published without any fault, once, and nothing beside it."""
    name = first_mosaic(night.site)
    (publication,) = night.site.publications(name)

    def check(folder: Path) -> None:
        found = digests(folder / "archive")
        expected = digests(night.site.folder / "archive" / publication.target)
        assert found == {f"{publication.target}/{path}": sha256 for path, sha256 in expected.items()}

    return check


def first_mosaic(site: Site) -> str:
    return min(item.name for item in site.items(kind="mosaic", limit=10))


def target_of(night: Night) -> str:
    (publication,) = night.site.publications(first_mosaic(night.site))
    return publication.target


def let_go_on(folder: Path) -> str:
    """Let the first mosaic be published; the second stays stopped."""
    with Site.open(folder) as site:
        name = first_mosaic(site)
        assert site.publish(name, retry=True) == 1
        return name


def told(site: Site, name: str, stage: str = "publish") -> str:
    return " ".join(text for row in site.explain(name, stage) for text in row.sentences)


def override(folder: Path, **settings: object) -> None:
    """Change settings of the publication in the site file."""
    place = folder / "towpath.toml"
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    place.write_text(place.read_text().replace(PUBLISH, PUBLISH + lines))


def start(folder: Path, fault: str = "", **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [TOWPATH, "--site", str(folder), "run"],
        env={**os.environ, faults.VARIABLE: fault, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOWPATH, "--site", str(folder), *words], capture_output=True, text=True, check=False
    )


# ---- 14: never without verdicts


def test_a_mosaic_that_is_held_is_published_when_a_person_accepts_it(folder: Path) -> None:
    """14: held by its noise, it says so; what hangs on it waits, and the other mosaic too."""
    place = folder / "towpath.toml"
    place.write_text(place.read_text() + ASSESS.format(rule=RULE.format(limit=1e-9)))
    with Site.open(folder) as site:
        name = first_mosaic(site)
        site.apply()
        site.publish(name, retry=True)
        site.run()
        assert states(site, name)["assess"] == "held"
        assert states(site, name)["publish"] == "waiting"
        assert digests(folder / "archive") == {}
        said = told(site, name, "assess")
        assert "noise" in said and "1e-09" in said, said
        assert site.release(name, "assess", accept=True, why="the deepest there is") == 1
        site.run()
        assert states(site, name)["publish"] == "done"
        (publication,) = site.publications(name)
        assert publication.state.value == "released"
        assert len(list((folder / "archive").rglob("mosaic-mosaic.fits"))) == 1


def test_a_mosaic_that_is_held_is_published_when_its_limit_is_changed(folder: Path) -> None:
    """14."""
    place = folder / "towpath.toml"
    text = place.read_text()
    place.write_text(text + ASSESS.format(rule=RULE.format(limit=1e-9)))
    with Site.open(folder) as site:
        name = first_mosaic(site)
        site.apply()
        site.run()
        assert states(site, name)["assess"] == "held"
    place.write_text(text + ASSESS.format(rule=RULE.format(limit=1.0)))
    with Site.open(folder) as site:
        assert any("rules" in text for text in site.explain(name, "assess")[0].sentences)
        assert site.release(name, "assess") == 1  # judged again, by the limit as it is now
        site.publish(name, retry=True)
        site.run()
        assert states(site, name)["publish"] == "done"
        (published,) = (folder / "archive").rglob("mosaic-mosaic.fits")
        assert published.parent.name == name.rpartition("/")[2]


# ---- 16, and: a crash while it publishes never sticks


def test_a_process_killed_at_any_point_of_publication_is_healed_by_a_plain_run(
    folder: Path, right: Callable[[Path], None], tmp_path: Path
) -> None:
    """16, 20: whole exactly once, with equal bytes, nothing left over, and nobody has to unlock anything."""
    let_go_on(folder)
    before = shutil.copytree(folder, tmp_path / "before", ignore=shutil.ignore_patterns("store", "incoming"))
    for point in POINTS:
        killed = start(folder, f"{point}:1:kill")
        said, _ = killed.communicate(timeout=120)
        assert killed.returncode == -signal.SIGKILL, f"{point} is never passed: {said}"
        with Site.open(folder) as site:
            name = first_mosaic(site)
            assert torn(site) == [], point
            site.run()
            assert states(site, name)["publish"] == "done", point
            (publication,) = site.publications(name)
            assert publication.state.value == "released", point
            assert torn(site) == [], point
            assert site.run(check=False).did_nothing, point
        right(folder)
        shutil.rmtree(folder / "archive")
        for stale in folder.glob("catalog.sqlite*"):
            stale.unlink()
        shutil.copytree(before, folder, dirs_exist_ok=True)


# ---- 19: a publication that fails


def test_an_archive_that_refuses_is_told_tried_again_and_tried_by_hand(
    folder: Path, right: Callable[[Path], None]
) -> None:
    """19, and monitoring: a file stands where a folder of the layout goes."""
    name = let_go_on(folder)
    obstacle = folder / "archive" / "dsa110"
    obstacle.write_bytes(b"theirs")
    with Site.open(folder) as site:
        site.run()
        assert states(site, name)["publish"] == "failed"
        runs = [run for run in site.runs(name) if run.stage == "publish"]
        assert len(runs) == 3 and all(str(obstacle) in run.error for run in runs), runs
        assert str(obstacle) in told(site, name)
        assert site.status().publications == {"failed": 1}
        (publication,) = site.publications(state="failed")
        assert str(obstacle) in publication.error
        assert any(str(obstacle) in json.dumps(dict(event.data)) for event in site.events(item=name))
    seen = command(folder, "status")
    assert "1 failed" in seen.stdout, seen.stdout
    assert str(obstacle) in "".join(command(folder, "explain", name).stdout.split())
    assert obstacle.read_bytes() == b"theirs"
    obstacle.unlink()
    assert command(folder, "publish", name, "--retry").returncode == 0
    assert command(folder, "run").returncode == 0
    right(folder)


def test_an_archive_that_comes_back_between_two_attempts_is_published_to(
    folder: Path, right: Callable[[Path], None]
) -> None:
    """19: the second attempt is the daemon's own."""
    name = let_go_on(folder)
    obstacle = folder / "archive" / "dsa110"
    obstacle.write_bytes(b"theirs")

    def mend(_: object) -> None:
        if obstacle.is_file() and any(run.stage == "publish" for run in site.runs(name)):
            obstacle.unlink()

    with Site.open(folder) as site:
        site.run(tick=mend)
        runs = [run.outcome for run in site.runs(name) if run.stage == "publish"]
        said = [one.value for one in runs]
        assert said.count("done") == 1 and set(said) == {"done", "transient"}, said
    right(folder)


# ---- 20: the source before, the destination after


def test_a_mosaic_whose_bytes_changed_is_not_published(folder: Path) -> None:
    """20: one bit of it was flipped in the store, size and times are as before; it is made again and published."""
    name = let_go_on(folder)
    with Site.open(folder) as site:
        place = place_of(site, name, "mosaic", "mosaic")
        status = place.stat()
        content = bytearray(place.read_bytes())
        content[len(content) // 2] ^= 1
        place.write_bytes(content)
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
        site.run()
        assert states(site, name)["publish"] == "waiting" and digests(folder / "archive") == {}
        said = told(site, name)
        assert place.name in said and "is changed" in said, said
        site.rerun(name, stage="mosaic")
        site.run()
        assert states(site, name)["publish"] == "done"
    (found,) = (folder / "archive").rglob("mosaic-mosaic.fits")
    assert found.read_bytes() != bytes(content)
    content[len(content) // 2] ^= 1
    assert found.read_bytes() == bytes(content)


def test_a_copy_that_changes_on_its_way_is_never_published(
    folder: Path, right: Callable[[Path], None], tmp_path: Path
) -> None:
    """20: verified at its destination. The process waits when all is copied, and a byte of the copy is flipped."""
    name, gate, mark = let_go_on(folder), tmp_path / "gate", tmp_path / "mark"
    gate.touch()
    process = start(folder, "publish.copied:1:wait", **{faults.GATE: str(gate), faults.MARK: str(mark)})
    wait_for(mark.exists, process)
    (copy,) = (folder / "archive").rglob("mosaic-mosaic.fits")
    assert any(part.startswith(".") for part in copy.relative_to(folder).parts)
    with copy.open("r+b") as file:
        file.seek(5000)
        byte = file.read(1)
        file.seek(5000)
        file.write(bytes([byte[0] ^ 1]))
    gate.unlink()
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    with Site.open(folder) as site:
        outcomes = [run.outcome.value for run in site.runs(name) if run.stage == "publish"]
        assert sorted(outcomes) == ["done", "transient"]
    right(folder)


# ---- 21: many at once


def test_of_four_processes_that_publish_at_once_one_does(
    folder: Path, right: Callable[[Path], None], tmp_path: Path
) -> None:
    """21: they wait for one another at the catalog only, and all end."""
    name = let_go_on(folder)
    began = time.time()
    with ExitStack() as stack:
        processes = [start(folder) for _ in range(4)]
        for process in processes:
            stack.callback(end, process)
        for process in processes:
            said, _ = process.communicate(timeout=120)
            assert process.returncode == 0, said
    with Site.open(folder) as site:
        runs = [run for run in site.runs(name) if run.stage == "publish" and run.began > began]
        assert [run.outcome.value for run in runs] == ["done"]
        assert len(site.publications(name)) == 1
        assert site.run(check=False).did_nothing
    right(folder)


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.communicate()


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60.0
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


# ---- 22: inside, after resolution


@pytest.mark.parametrize(
    "name", ["../outside/{item.key}", "/outside/{item.key}", "a/../../outside/{item.key}"]
)
def test_a_name_that_leads_out_of_the_archive_is_refused(folder: Path, name: str) -> None:
    """22: before anything begins."""
    override(folder, name=name)
    tried = command(folder, "run")
    assert tried.returncode != 0
    assert "name" in tried.stdout + tried.stderr and "outside" in tried.stdout + tried.stderr
    assert digests(folder / "archive") == {} and not (folder / "outside").exists()


def test_a_link_that_leads_out_of_the_archive_is_refused(folder: Path, tmp_path: Path) -> None:
    """22: a folder of the layout is a link to another place."""
    name = let_go_on(folder)
    (tmp_path / "outside").mkdir()
    (folder / "archive" / "dsa110").symlink_to(tmp_path / "outside")
    with Site.open(folder) as site:
        site.run(patience=10.0)
        assert states(site, name)["publish"] == "failed"
        assert "outside" in told(site, name)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_mosaic_that_is_a_link_out_of_the_store_is_refused(folder: Path, tmp_path: Path) -> None:
    """22: equal bytes, but not in the store."""
    name = let_go_on(folder)
    with Site.open(folder) as site:
        place = place_of(site, name, "mosaic", "mosaic")
        place.rename(tmp_path / "elsewhere.fits")
        place.symlink_to(tmp_path / "elsewhere.fits")
        site.run(check=False)
        assert states(site, name)["publish"] == "failed" and digests(folder / "archive") == {}
        assert "leaves root 'store'" in told(site, name)


# ---- beyond the twenty-four


def test_what_stands_at_the_place_is_a_conflict_and_gets_no_double(
    folder: Path, night: Night, right: Callable[[Path], None]
) -> None:
    """A folder of somebody else: not touched, not renamed, and no second one with a time in its name."""
    name, target = let_go_on(folder), folder / "archive" / target_of(night)
    target.mkdir(parents=True)
    (target / "theirs.fits").write_bytes(b"theirs")
    with Site.open(folder) as site:
        site.run()
        assert states(site, name)["publish"] == "failed"
        (publication,) = site.publications(name)
        assert publication.state.value == "conflict" and "never overwritten" in publication.error
        assert [path.name for path in target.parent.iterdir()] == [target.name]
        assert [path.name for path in target.iterdir()] == ["theirs.fits"]
        assert "conflict" in told(site, name)
        target.rename(folder / "moved away")
        assert site.publish(name, retry=True) == 1
        site.run()
        assert states(site, name)["publish"] == "done"
    right(folder)


@pytest.mark.parametrize("is_whole", [False, True])
def test_half_a_publication_at_the_place_is_not_taken_for_one(
    folder: Path, night: Night, right: Callable[[Path], None], is_whole: bool
) -> None:
    """The right files by name, the last of them cut: a conflict. Equal bytes, all of them, are the publication."""
    name, target = let_go_on(folder), folder / "archive" / target_of(night)
    shutil.copytree(night.site.folder / "archive" / target_of(night), target)
    if not is_whole:
        with (target / "mosaic-mosaic.fits").open("r+b") as file:
            file.truncate(100_000)
        (target / "MANIFEST.json").unlink()
    before = digests(target)
    with Site.open(folder) as site:
        site.run()
        (publication,) = site.publications(name)
        assert publication.state.value == ("released" if is_whole else "conflict")
        assert digests(target) == before
        if not is_whole:
            shutil.rmtree(target)
            site.publish(name, retry=True)
            site.run()
    right(folder)
