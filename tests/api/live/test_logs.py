"""The log of a run as a stream: from its first byte, across the end of the run, for many at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from towpath import Site
from towpath.api import logs as module
from towpath.app.looking import LogPart
from towpath.base.errors import NotFoundError
from towpath.base.states import Outcome

PATIENCE = 60.0  # seconds
SAYING = '''
"""A stage that says what is written in a file, as it is written, until there is a file `end` beside it."""

import os
import time
from pathlib import Path

from towpath import Plugin, Record, Stage


class Say(Stage):
    """Say it."""

    consumes = {"record": Record()}
    produces = {"text": "say/text"}

    def run(self, context):
        """Say it."""
        folder, told = Path(context.inputs["record"]["attributes"]["folder"]), 0
        until = time.monotonic() + 60
        while time.monotonic() < until:
            is_last = (folder / "end").exists()
            said = (folder / "said").read_bytes()
            os.write(1, said[told:])
            told = len(said)
            if is_last:
                break
            time.sleep(0.01)
        with context.output("text", "text.txt") as path:
            path.write_text("said")


plugin = Plugin("say", stages=(Say,))
'''
PIPELINE = """
[pipeline]
name = "say"
version = "1"
[sources.asked]
kind = "submit"
item = "word"
[items.word]
route = "say"
"""
RUN = "import sys; from towpath import Site; site = Site.open(sys.argv[1]); site.run(watch=True)"


class Speaker:
    """What an item's run says, and the process that runs it."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self._folder = site, folder
        self._folder.mkdir()
        self._said = (folder / "said").open("ab", buffering=0)
        self._process: subprocess.Popen[bytes] | None = None
        (item,) = site.submit("say/word", [{"key": "w", "attributes": {"folder": str(folder)}}])
        with site.catalog.read() as view:
            self.work = view.work([item])[item][0].id
        self.run = f"{self.work}.1"

    def start(self) -> None:
        """Run the site in a process of its own."""
        self._process = subprocess.Popen([sys.executable, "-c", RUN, str(self.site.folder)])

    def say(self, data: bytes) -> None:
        """Let the run write this."""
        self._said.write(data)

    def end(self) -> None:
        """Let the run end."""
        (self._folder / "end").touch()

    def freeze_worker(self) -> psutil.Process:
        """The process in which the run is, which stands still."""
        assert self._process is not None
        (worker,) = [
            child
            for child in psutil.Process(self._process.pid).children()
            if any("executors.worker" in word for word in child.cmdline())
        ]
        worker.suspend()
        until(lambda: worker.status() == psutil.STATUS_STOPPED)
        return worker

    def kill(self) -> None:
        """Kill all that runs the site."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Stop it."""
        self.end()
        self._said.close()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(PATIENCE)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    (folder / f"saying{os.getpid()}.py").write_text(SAYING)
    return folder


@pytest.fixture
def site(package: Path, tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "say.toml").write_text(PIPELINE)
    (tmp_path / "towpath.toml").write_text(
        f'[site]\nworkers = 1\n[pipelines.say]\nplugin = "saying{os.getpid()}:plugin"\npath = "{package}"\n'
        'file = "say.toml"\n'
    )
    with Site.open(tmp_path, environ={}) as site:
        yield site


@pytest.fixture
def speaker(site: Site, tmp_path: Path) -> Iterator[Speaker]:
    speaker = Speaker(site, tmp_path / "speaks")
    yield speaker
    speaker.close()


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def ended(client: Any) -> bool:
    return bool(client.events) and client.events[-1].type == "end"


def text(client: Any, begin: int = 0) -> str:
    """The text that a client was told, which is without hole and repeat."""
    parts = [one for one in client.events if one.type == "log"]
    for one in parts:
        assert one.data["begin"] == begin
        begin = one.data["end"]
        assert one.id == begin
        assert len(one.data["text"].encode()) == one.data["end"] - one.data["begin"]
    return "".join(one.data["text"] for one in parts)


def test_a_log_is_followed_from_its_first_byte(live: Any, speaker: Speaker) -> None:
    early = live.open(f"/log/{speaker.run}")
    assert early.take(1)[0].type == "waiting"
    whole = "first line\n50 %\r100 %\n<b>ö漢😀</b>\ndata: x\n\n".encode()
    cut = whole.index("😀".encode()) + 2
    speaker.start()
    speaker.say(whole[:cut])
    early.until(lambda one: text(one).endswith("漢"))
    late = live.open(f"/log/{speaker.run}")
    back = live.open(f"/log/{speaker.run}", last_event_id="6")
    assert len(live.logs.readers) == 1
    speaker.say(whole[cut:])
    for client, begin in ((early, 0), (late, 0), (back, 6)):
        client.until(lambda one, begin=begin: text(one, begin).endswith("\n\n"))
        assert client.events[-1].type == "log"
    speaker.end()
    for client, begin in ((early, 0), (late, 0), (back, 6)):
        client.until(ended).end()
        assert text(client, begin).encode() == whole[begin:]
        assert client.events[-1].data == {"run": speaker.run, "outcome": "done", "end": len(whole), "why": ""}
    assert [one.type for one in early.events if one.type not in ("log", "end")] == []
    until(lambda: not live.logs.readers)


@pytest.mark.parametrize("size", [5, 1 << 18])
def test_a_kept_log_is_read_the_same_way(
    live: Any, speaker: Speaker, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(module, "PART", size)
    whole = "ö漢😀\n".encode() * 40 + b"no line end, and half a character \xe6\xbc"
    speaker.say(whole)
    speaker.end()
    speaker.start()
    client = live.open(f"/log/{speaker.run}").until(ended)
    again = live.open(f"/log/{speaker.run}", last_event_id="120").until(ended)
    for one, begin in ((client, 0), (again, 120)):
        told = "".join(each.data["text"] for each in one.events if each.type == "log")
        assert told == whole[begin:].decode(errors="replace")
        assert one.events[-1].data["end"] == len(whole)
    beyond = live.open(f"/log/{speaker.run}", last_event_id="100000").take(1)[0]
    assert beyond.data == {"run": speaker.run, "outcome": "done", "end": len(whole), "why": ""}


def test_a_slow_reader_reads_from_the_disk(
    live: Any, speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another one follows the same run and is far ahead."""
    monkeypatch.setattr(module, "PART", 1 << 14)
    whole = b"".join(b"line %d\n" % number for number in range(200_000))
    speaker.say(whole)
    speaker.start()
    slow = live.open(f"/log/{speaker.run}", room=4096)
    fast = live.open(f"/log/{speaker.run}")
    fast.until(lambda one: one.events and one.events[-1].data.get("end") == len(whole))
    (reader,) = live.logs.readers.values()
    assert len(reader._pieces) <= module._KEPT
    speaker.end()
    for client in (fast, slow):
        client.until(ended)
        assert text(client).encode() == whole


def test_the_log_of_a_run_whose_worker_was_killed(live: Any, speaker: Speaker) -> None:
    speaker.say(b"alive\n")
    speaker.start()
    client = live.open(f"/log/{speaker.run}")
    client.until(lambda one: text(one) == "alive\n")
    worker = speaker.freeze_worker()
    speaker.end()  # of the next run
    worker.kill()
    client.until(ended).end()
    assert client.events[-1].data == {"run": speaker.run, "outcome": "lost", "end": 6, "why": ""}
    again = live.open(f"/log/{speaker.run}").until(ended)
    assert text(again) == "alive\n"
    following = live.open(f"/log/{speaker.work}.2").until(ended)
    assert following.events[-1].data["outcome"] == "done"


def test_a_run_that_is_not_there(live: Any, speaker: Speaker, site: Site) -> None:
    for run in ("999.1", "nonsense"):
        assert live.status(f"/log/{run}") == "HTTP/1.1 404 Not Found"
    waiting = live.open(f"/log/{speaker.run}")
    assert waiting.take(1)[0].type == "waiting"
    site.hold("w", "say")
    assert "did not begin: the work is held" in waiting.until(ended).events[-1].data["why"]


def test_parts_of_a_log(speaker: Speaker, site: Site) -> None:
    assert site.log_part("w:say").run == speaker.run
    speaker.say("aö漢😀z".encode() * 3)
    speaker.end()
    assert site.run().runs == {"done": 1}
    whole = site.log_part(speaker.run)
    assert (whole.text, whole.end, whole.ended, whole.outcome) == ("aö漢😀z" * 3, 33, True, Outcome.DONE)
    assert site.log(speaker.run) == whole.text
    for limit in range(4, 40):
        begin, parts = 0, []
        while begin < 33:
            part = site.log_part(speaker.run, begin, limit=limit)
            assert part.begin == begin and part.end == begin + len(part.data) > begin
            assert part.ended is (part.end == 33)
            parts.append(part.data.decode())
            begin = part.end
        assert "".join(parts) == whole.text
    assert "".join(site.follow_log(speaker.run)) == whole.text
    for file in (site.folder / ".towpath" / "logs").glob("*/*.log"):
        file.unlink()
    with pytest.raises(NotFoundError, match=r"gone: retention\.logs"):
        site.log_part(speaker.run)


def test_what_the_next_run_wrote_is_cut_off() -> None:
    """Before the catalog knows that a run has ended, its worker may have begun another one in the same file."""
    part = LogPart("1.1", b"mine, another's", 10, 25)
    ended = LogPart("1.1", b"", 14, 14, ended=True, outcome=Outcome.DONE)
    assert part.before(ended) == LogPart("1.1", b"mine", 10, 14, ended=True, outcome=Outcome.DONE)
    assert part.before(replace(ended, begin=9, end=9)).data == b""
    for later in (LogPart("1.1", b"more", 25, 29), replace(ended, end=25), replace(ended, end=29)):
        assert part.before(later) == part
