"""Planted faults of arriving files: each ends in the state that is documented, and nothing else stops.

The array is four stations with one channel per subband, so that the sites stop where a calibration would be needed.
"""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from towpath import Site
from towpath.pipelines.dsa110.simulate import (
    Truth,
    spoil_duplicate,
    spoil_jitter,
    spoil_late,
    spoil_missing,
    spoil_rival,
    spoil_truncated,
)

SITE = """\
[site]
name = "arrivals"
executor = "inline"
workers = 1
[pipelines.dsa110.override.sources.subbands]
settle = "{settle}"
timeout = "{timeout}"
on_timeout = "{on_timeout}"
[pipelines.dsa110.override.items.observation.stages.convert]
params = {{ instrument = "{instrument}" }}
"""
NAME = "observation/20250614T193944"


@pytest.fixture
def make(tmp_path: Path, simulated: tuple[Path, Truth]) -> Callable[..., tuple[Path, list[Path]]]:
    """Make a site with the observation: its folder, and the files of its subbands in order."""
    source, truth = simulated

    def made(
        name: str = "site", *, settle: str = "0 s", timeout: str = "10 min", on_timeout: str = "hold"
    ) -> tuple[Path, list[Path]]:
        folder = tmp_path / name
        shutil.copytree(source / "incoming", folder / "incoming")
        text = SITE.format(
            settle=settle, timeout=timeout, on_timeout=on_timeout, instrument=source / "instrument.toml"
        )
        (folder / "towpath.toml").write_text(text)
        return folder, [folder / "incoming" / path.name for path in truth.observations[0].files]

    return made


def states(site: Site, name: str = NAME) -> dict[str, str]:
    return {row.stage: row.state.value for row in site.show(name).work}


def measures(site: Site, name: str = NAME) -> dict[str, object]:
    return {one.name: one.value for run in site.runs(name) for one in run.measures}


def observations(site: Site) -> list[str]:
    return sorted(item.key for item in site.items(limit=100) if item.kind == "observation")


def shift(files: Sequence[Path], seconds: int) -> None:
    """Rename files to a time that is so much later."""
    for path in files:
        moment, ending = path.name.split("_")
        later = datetime.fromisoformat(moment) + timedelta(seconds=seconds)
        path.rename(path.with_name(f"{later:%Y-%m-%dT%H:%M:%S}_{ending}"))


def test_a_whole_observation_is_converted_once_and_a_restart_does_nothing(
    make: Callable[..., tuple[Path, list[Path]]],
):
    folder, _ = make()
    with Site.open(folder) as site:
        site.run()
        assert states(site)["convert"] == "done"
        assert measures(site)["n_subbands"] == 16
        runs = len(site.runs(NAME))
    with Site.open(folder) as site:
        site.run()
        assert len(site.runs(NAME)) == runs
        assert observations(site) == ["20250614T193944"]


@pytest.mark.parametrize(
    ("on_timeout", "expected"), [("hold", "waiting"), ("process", "done"), ("reject", "waiting")]
)
def test_a_missing_subband_is_as_the_policy_says(
    make: Callable[..., tuple[Path, list[Path]]],
    simulated: tuple[Path, Truth],
    on_timeout: str,
    expected: str,
):
    folder, files = make(timeout="500 ms", on_timeout=on_timeout)
    spoil_missing(files, 3)
    with Site.open(folder) as site:
        site.run()
        time.sleep(0.7)
        site.run()
        found = states(site)
        assert (on_timeout, found["convert"]) == (on_timeout, expected), found
        if on_timeout == "process":
            assert measures(site)["n_subbands"] == 15
            caveats = [caveat for run in site.runs(NAME) for caveat in run.caveats]
            channel = simulated[1].profile.frequencies[::-1][3] / 1e6  # sb00 is the highest in frequency
            assert any(f"without the subbands at {channel:.1f}-" in caveat for caveat in caveats), caveats
        if on_timeout == "hold":
            assert found["@gather"] == "held"


def test_a_late_subband_completes_its_observation(
    make: Callable[..., tuple[Path, list[Path]]], tmp_path: Path
):
    folder, files = make()
    aside, place = spoil_late(files, 5, tmp_path / "aside")
    with Site.open(folder) as site:
        site.run()
        assert states(site)["qualify"] == "waiting"
        aside.rename(place)
        site.run()
        assert states(site)["convert"] == "done"
        assert measures(site)["n_subbands"] == 16


def test_a_truncated_subband_is_held_and_named(make: Callable[..., tuple[Path, list[Path]]]):
    folder, files = make()
    spoil_truncated(files[3])
    with Site.open(folder) as site:
        site.run()
        assert (states(site)["qualify"], states(site)["convert"]) == ("held", "waiting")
        assert measures(site)["n_unreadable"] == 1


def test_clocks_that_jitter_make_one_observation(make: Callable[..., tuple[Path, list[Path]]]):
    folder, files = make()
    spoil_jitter(files)
    with Site.open(folder) as site:
        site.run()
        assert observations(site) == ["20250614T193944"]
        assert measures(site)["n_subbands"] == 16


@pytest.mark.parametrize("spoil", [spoil_duplicate, spoil_rival])
def test_a_subband_that_comes_twice_is_used_once(
    make: Callable[..., tuple[Path, list[Path]]], spoil: Callable[[Path], Path]
):
    folder, files = make()
    spoil(files[3])
    with Site.open(folder) as site:
        site.run()
        assert observations(site) == ["20250614T193944"]
        assert measures(site)["n_subbands"] == 16


@pytest.mark.parametrize(("seconds", "count"), [(59, 1), (61, 2), (121, 2)])
def test_files_within_a_minute_are_one_observation(
    make: Callable[..., tuple[Path, list[Path]]], seconds: int, count: int
):
    folder, files = make()
    shift(files[8:], seconds)
    with Site.open(folder) as site:
        site.run()
        assert len(observations(site)) == count


def test_a_damaged_measurement_set_is_named(
    make: Callable[..., tuple[Path, list[Path]]],
):
    """Faults 3 and 5 of docs/explanation/publication.md."""
    folder, _ = make()
    with Site.open(folder) as site:
        site.run()
        assert states(site)["convert"] == "done"
        sets = sorted((folder / "store").rglob("*.ms"))
        assert len(sets) == 1
        assert site.verify()[1] == []
        (sets[0] / "table.dat").unlink()
        found = site.verify(restart=True)[1]
        assert any(sets[0].name in str(one) for one in found), found


WRITER = """
import sys, time
content = open(sys.argv[1], "rb").read()
began, pause = time.monotonic(), 0.0
with open(sys.argv[2], "wb") as file:
    for part in range(10):
        last, began = began, time.monotonic()
        file.write(content[part * len(content) // 10 : (part + 1) * len(content) // 10])
        file.flush()
        pause = max(pause, time.monotonic() - last)
        time.sleep(0.3)
print(pause)  # the longest for which the file may not have grown
"""


def begin_to_write(folder: Path, place: Path) -> "subprocess.Popen[str]":
    """Write the file that was put aside, slowly, by a process that tells its longest pause."""
    program = [sys.executable, "-c", WRITER, str(folder / "whole.hdf5"), str(place)]
    writer = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    wait_for(place.exists)
    return writer


def never_paused(writer: "subprocess.Popen[str]") -> bool:
    """Whether it was never still for so long that the file may well be taken. Waits for its end."""
    said, _ = writer.communicate()
    assert writer.returncode == 0
    return float(said) < 0.9


@pytest.mark.slow
def test_a_file_that_grows_is_taken_when_it_is_whole(make: Callable[..., tuple[Path, list[Path]]]) -> None:
    def grows(folder: Path, files: list[Path]) -> bool:
        files[0].rename(folder / "whole.hdf5")
        writer = begin_to_write(folder, files[0])
        with Site.open(folder) as site:
            site.run(patience=20)
            if not never_paused(writer):
                return False
            assert states(site)["convert"] == "done"
            is_whole(site, folder, files[0])
        return True

    assert any(grows(*make(f"site{number}", settle="1 s")) for number in range(10))


@pytest.mark.slow
def test_a_file_that_grows_under_a_daemon_is_taken_when_it_is_whole(
    make: Callable[..., tuple[Path, list[Path]]],
) -> None:
    """With `--watch`, and the daemon kept from its work for longer than it takes to settle, while the file grows."""

    def grows(folder: Path, files: list[Path]) -> bool:
        files[0].rename(folder / "whole.hdf5")
        program = [str(Path(sys.executable).with_name("towpath")), "--site", str(folder), "run", "--watch"]
        daemon = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            with Site.open(folder) as site:
                wait_for(lambda: observations(site) != [])
                writer = begin_to_write(folder, files[0])
                daemon.send_signal(signal.SIGSTOP)
                time.sleep(1.2)
                daemon.send_signal(signal.SIGCONT)
                if not never_paused(writer):
                    return False
                wait_for(lambda: states(site)["convert"] == "done")
                is_whole(site, folder, files[0])
                assert measures(site)["n_subbands"] == 16 and measures(site)["n_unreadable"] == 0
                assert [run.stage for run in site.runs(NAME)] == ["qualify", "convert"]
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(60) == 0, daemon.communicate()[0]
        finally:
            daemon.kill()
            daemon.communicate()
        return True

    assert any(grows(*make(f"site{number}", settle="1 s")) for number in range(10))


def is_whole(site: Site, folder: Path, file: Path) -> None:
    sizes = {product.path: product.size for product in site.show(NAME).products if not product.stage}
    assert sizes[file.name] == (folder / "whole.hdf5").stat().st_size


def wait_for(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 60.0
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
