"""Stages that write, hash and collect small texts, and one that does what its item's attributes say.

Every run appends a line to the file that PLAIN_LOG names: that is how repeats are counted.
"""

import ctypes
import errno
import hashlib
import os
import signal
import sys
import time
from pathlib import Path

from towpath import Context, Flags, Many, One, Record, Reject, Stage, Transient


def note(context: Context) -> int:
    """Append this run to the log of runs; returns how many of this stage and item there are now."""
    line = f"{context.stage} {context.item.kind}/{context.item.key}\n"
    if "PLAIN_PIDS" in os.environ:
        append(os.environ["PLAIN_PIDS"], f"{os.getpid()} {line}")
    name = os.environ.get("PLAIN_LOG")
    if not name:
        return 1
    append(name, line)
    return Path(name).read_text().count(line)


def append(name: str, line: str) -> None:
    """Append a line in one write: several processes may do so at once."""
    file = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, line.encode())
    os.close(file)


class Write(Stage):
    """Write the item's text."""

    consumes = {"record": Record()}
    produces = {"text": "plain/text"}

    greeting: str = "item"
    delay: float = 0.0

    def run(self, context: Context) -> None:
        """Write in two halves, so that a kill can fall between them."""
        note(context)
        text = f"{self.greeting} {context.inputs['record']['attributes'].get('text', context.item.key)}\n"
        with context.output("text", "text.txt") as path, path.open("w") as file:
            file.write(text[:3])
            file.flush()
            time.sleep(self.delay)
            file.write(text[3:])


class Copy(Stage):
    """Take a raw file as the item's text."""

    consumes = {"raw": One("plain/raw")}
    produces = {"text": "plain/text"}

    def run(self, context: Context) -> None:
        """Copy it."""
        note(context)
        with context.output("text", "text.txt") as path:
            path.write_bytes(context.inputs["raw"].read_bytes())


class Hash(Stage):
    """Hash the text."""

    consumes = {"text": One("plain/text")}
    produces = {"hash": "plain/hash"}

    length: int = 64
    delay: float = 0.0

    def run(self, context: Context) -> None:
        """Write the hexadecimal sha256, cut to `length`."""
        note(context)
        time.sleep(self.delay)
        found = hashlib.sha256(context.inputs["text"].read_bytes()).hexdigest()[: self.length]
        with context.output("hash", "hash.txt") as path:
            path.write_text(found + "\n")
        context.measure("length", len(found))


class Pair(Stage):
    """Make two products and a folder of the text."""

    consumes = {"text": One("plain/text"), "flags": Flags()}
    produces = {"upper": "plain/upper", "tree": "plain/tree"}

    def run(self, context: Context) -> None:
        """Write capitals, and a folder of two files that tells the flags."""
        note(context)
        text = context.inputs["text"].read_text()
        with context.output("upper", "upper.txt") as path:
            path.write_text(text.upper())
        with context.output("tree", "tree") as path:
            (path / "deep").mkdir(parents=True)
            (path / "deep" / "text.txt").write_text(text)
            (path / "flags.txt").write_text("\n".join(flag["value"] for flag in context.inputs["flags"]))


class Collect(Stage):
    """Collect the hashes of all members."""

    consumes = {"hashes": Many("plain/hash")}
    produces = {"all": "plain/all"}

    delay: float = 0.0

    def run(self, context: Context) -> None:
        """Write them in order."""
        note(context)
        time.sleep(self.delay)
        files = context.sources["hashes"]
        with context.output("all", "collected.txt") as path:
            path.write_text("".join(f"{file.item} {file.path.read_text()}" for file in files))
        context.measure("members", len(files))


class Trouble(Stage):
    """Do what the item's attribute `does` says."""

    consumes = {"record": Record()}
    produces = {"text": "plain/text"}

    def run(self, context: Context) -> None:
        """Misbehave, or write."""
        times = note(context)
        attributes = context.inputs["record"]["attributes"]
        getattr(self, f"_{attributes.get('does', 'write')}")(context, attributes, times)
        with context.output("text", "text.txt") as path:
            path.write_bytes(b"x" * attributes.get("bytes", 1))

    def _write(self, context: Context, attributes: dict, times: int) -> None:
        context.progress(0.5, "half way")

    def _fail(self, context: Context, attributes: dict, times: int) -> None:
        print("about to fail")
        raise ValueError(attributes.get("why", "it cannot be"))

    def _environment(self, context: Context, attributes: dict, times: int) -> None:
        for name, value in sorted(os.environ.items()):
            print(f"{name}={value}")

    def _reject(self, context: Context, attributes: dict, times: int) -> None:
        raise Reject(["too dark", "too short"])

    def _transient(self, context: Context, attributes: dict, times: int) -> None:
        if times <= attributes["times"]:
            raise Transient(f"the disk is away, time {times}", after=attributes.get("after", 0.0))

    def _segfault(self, context: Context, attributes: dict, times: int) -> None:
        if times <= attributes.get("times", 1000):
            sys.stderr.flush()
            ctypes.string_at(0)

    def _kill(self, context: Context, attributes: dict, times: int) -> None:
        if times <= attributes.get("times", 1000):
            os.kill(os.getpid(), signal.SIGKILL)

    def _memory(self, context: Context, attributes: dict, times: int) -> None:
        kept = []
        while True:
            kept.append(bytearray(os.urandom(1 << 20) * 16))
            time.sleep(0.01)

    def _full(self, context: Context, attributes: dict, times: int) -> None:
        if times <= attributes["times"]:
            raise RuntimeError("the library gave up") from OSError(errno.ENOSPC, "No space left on device")

    def _flood(self, context: Context, attributes: dict, times: int) -> None:
        line = b"x" * 65535 + b"\n"
        while True:
            os.write(1, line)

    def _stubborn(self, context: Context, attributes: dict, times: int) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._sleep(context, attributes, times)

    def _wait(self, context: Context, attributes: dict, times: int) -> None:
        end = time.monotonic() + 120.0
        while times == 1 and Path(attributes["gate"]).exists() and time.monotonic() < end:
            time.sleep(0.02)

    def _sleep(self, context: Context, attributes: dict, times: int) -> None:
        end = time.monotonic() + attributes.get("seconds", 60.0)
        while time.monotonic() < end:
            context.progress(0.1, "asleep")
            time.sleep(0.02)


class Careless(Stage):
    """Hash the text, if it has more than `least` characters."""

    consumes = {"text": One("plain/text")}
    produces = {"hash": "plain/hash"}

    least: int = 0

    def run(self, context: Context) -> None:
        """Change the input while it is read, once, as another program might."""
        if note(context) == 1:
            path = context.inputs["text"]
            path.chmod(0o644)
            path.write_text("changed under its feet\n")
        with context.output("hash", "hash.txt") as path:
            path.write_text("made of bad bytes\n")
