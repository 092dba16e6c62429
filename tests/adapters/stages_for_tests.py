"""Stages that do one thing each, well or badly: imported by workers as strangers' stages are."""

import contextlib
import ctypes
import importlib
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from towpath.base.errors import Reject, Transient
from towpath.base.model import StepRecord
from towpath.contracts.stage import Chain, Context, Flags, Input, Many, One, Stage, Step


class Copy(Stage):
    """Copies its input, as every trivial workload does."""

    consumes: ClassVar[Mapping[str, Input]] = {"raw": One("text")}
    produces: ClassVar[Mapping[str, str]] = {"copy": "text"}
    suffix: str = ""

    def run(self, context: Context) -> None:
        text = context.inputs["raw"].read_text()
        with context.output("copy", "copy.txt") as path:
            path.write_text(text + self.suffix)


class Write(Stage):
    """Writes the item's key."""

    produces: ClassVar[Mapping[str, str]] = {"text": "text"}
    sleep: float = 0.0

    def run(self, context: Context) -> None:
        time.sleep(self.sleep)
        with context.output("text", "text.txt") as path:
            path.write_text(context.item.key)


class Waits(Write):
    """Writes the item's key `sleep` seconds after there is a file `gate`."""

    gate: str

    def run(self, context: Context) -> None:
        while not os.path.exists(self.gate):  # noqa: PTH110
            time.sleep(0.01)
        super().run(context)


class ImportsNumpy(Write):
    """Writes the item's key, and needs numpy for it."""

    def run(self, context: Context) -> None:
        importlib.import_module("numpy")
        super().run(context)


class Several(Stage):
    """Makes two outputs, one of them a tree; `also` names a file that is not declared."""

    produces: ClassVar[Mapping[str, str]] = {"image": "fits", "cube": "zarr"}
    optional_outputs: ClassVar[frozenset[str]] = frozenset({"cube"})
    leave_out: str = ""
    also: str = ""

    def run(self, context: Context) -> None:
        if self.leave_out != "image":
            with context.output("image", "image.fits") as path:
                path.write_bytes(b"image")
            if self.also:
                (path.parent / self.also).write_text("not declared")
        if self.leave_out != "cube":
            with context.output("cube", "cube.zarr") as folder:
                (folder / "c").mkdir(parents=True)
                (folder / "c" / "0").write_bytes(b"chunk")


class Tells(Stage):
    """Reports all that a stage may report."""

    consumes: ClassVar[Mapping[str, Input]] = {
        "many": Many("text"),
        "maybe": One("x", optional=True),
        "flags": Flags(),
    }

    def run(self, context: Context) -> None:
        context.progress(0.5, "half")
        context.progress(0.6, "dropped")
        context.measure("count", len(context.inputs["many"]), "files")
        context.measure("items", ",".join(file.item for file in context.sources["many"]))
        context.measure("maybe", context.inputs["maybe"])
        context.measure("flags", json.dumps(context.inputs["flags"]))
        context.measure("cores", context.cores)
        context.caveat("only just")
        context.step(StepRecord("scale", 0.1, {"mean": 1.0}, {"mean": 2.0}, {"finite": None}))
        context.judge("warn", [{"rule": "r", "result": "warn"}])
        (context.scratch / "temporary").write_text("gone afterwards")


class Judges(Stage):
    """Gives a verdict."""

    result: str = "hold"

    def run(self, context: Context) -> None:
        context.judge(
            self.result,
            [
                {
                    "rule": "noise",
                    "measure": "rms",
                    "value": 3,
                    "op": "<",
                    "limit": 2,
                    "unit": "Jy",
                    "result": "fail",
                }
            ],
        )


class Raises(Stage):
    """Ends by what `kind` names, after it has begun to write."""

    produces: ClassVar[Mapping[str, str]] = {"text": "text"}
    kind: str

    def run(self, context: Context) -> None:
        with context.output("text", "text.txt") as path:
            path.write_text("half")
            context.scratch.joinpath("x").touch()
            self._raise()

    def _raise(self) -> None:
        errors: dict[str, BaseException] = {
            "reject": Reject(["too noisy", "too short"]),
            "transient": Transient("the server is away", after=30),
            "memory": MemoryError("cannot allocate 8 TB"),
            "exit": SystemExit(3),
            "interrupt": KeyboardInterrupt(),
            "value": ValueError("no such column: g"),
            "bad text": _BadTextError(),
        }
        raise errors[self.kind]


class _BadTextError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


class Outputs(Stage):
    """Opens `name` as `filename`; `how` makes it wrong in other ways."""

    produces: ClassVar[Mapping[str, str]] = {"text": "text"}
    name: str = "text"
    filename: str = "text.txt"
    how: str = ""

    def run(self, context: Context) -> None:
        if self.how == "retry":
            try:
                with context.output("text", "text.txt") as path:
                    path.write_text("half")
                    raise ValueError("first try")
            except ValueError:
                logging.getLogger(__name__).info("second try")
        if self.how == "open":
            context.output("text", "text.txt").__enter__()
            return
        with context.output(self.name, self.filename) as path:
            if self.how != "nothing":
                path.write_text("whole")
            if self.how == "remade":  # a person deletes the folder, and another run makes it again
                shutil.rmtree(path.parent)
                path.parent.mkdir()
        if self.how == "twice":
            with context.output(self.name, "again.txt"):
                pass
        if self.how == "late":
            path.write_text("changed afterwards")


class Meddles(Stage):
    """Changes its own input while it reads: `how` is edit, touch, delete."""

    consumes: ClassVar[Mapping[str, Input]] = {"raw": One("text")}
    produces: ClassVar[Mapping[str, str]] = {"copy": "text"}
    how: str

    def run(self, context: Context) -> None:
        raw = context.inputs["raw"]
        with context.output("copy", "copy.txt") as path:
            path.write_bytes(raw.read_bytes())
        if self.how == "edit":
            raw.write_text("other")
        elif self.how == "touch":
            os.utime(raw, ns=(1, 1))
        else:
            raw.unlink()
            raise ValueError("where is it?")


class Previous(Stage):
    """Uses the former product where it is intact."""

    produces: ClassVar[Mapping[str, str]] = {"text": "text"}

    def run(self, context: Context) -> None:
        former = context.previous("text")
        context.measure("former", former.read_text() if former else None)
        with context.output("text", "text.txt") as path:
            path.write_text("new")


class Speaks(Stage):
    """Writes to the log in every way there is."""

    def run(self, context: Context) -> None:
        print("from print")
        sys.stderr.write("from stderr\n")
        context.log.info("from logging")
        libc = ctypes.CDLL(None)
        libc.puts(b"from C")
        libc.printf(b"from C without a newline")
        subprocess.run(["echo", "from a subprocess"], check=True)
        print("at the end", end="")


class Floods(Stage):
    """Writes `megabytes` to standard output."""

    megabytes: int
    then_sleep: float = 0.0

    def run(self, context: Context) -> None:
        for _ in range(self.megabytes):
            os.write(1, b"x" * 1_000_000)
        time.sleep(self.then_sleep)


class Dies(Stage):
    """Where the item's key is `at`, its process dies of `of`."""

    produces: ClassVar[Mapping[str, str]] = {"text": "text"}
    at: str = "poison"
    of: str = "segfault"

    def run(self, context: Context) -> None:
        with context.output("text", "text.txt") as path:
            path.write_text(context.item.key)
            if context.item.key == self.at:
                print("about to die")
                self._die()

    def _die(self) -> None:
        if self.of == "segfault":
            ctypes.string_at(0)
        elif self.of == "exit":
            os._exit(3)
        elif self.of == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.of == "abort":
            os.abort()
        elif self.of == "close":
            os.closerange(0, 256)
            time.sleep(60)
        elif self.of == "memory":
            eaten = []
            while True:
                eaten.append(b"x" * 10_000_000)
                time.sleep(0.005)
        elif self.of == "memory of children":
            subprocess.run(
                [sys.executable, "-c", "x = b'x' * 400_000_000; import time; time.sleep(60)"], check=False
            )
        elif self.of == "hang":
            time.sleep(3600)
        elif self.of == "hang in C":
            ctypes.PyDLL(None).sleep(3600)  # holds the interpreter's lock


class Forks(Stage):
    """Leaves processes behind; `how` is child, daemon (a session of its own) or fork (a copy that returns)."""

    how: str = "child"
    file: str

    def run(self, context: Context) -> None:
        if self.how == "fork":
            if os.fork():
                time.sleep(0.1)
            return
        script = f"import os, time; open({self.file!r}, 'a').write(f'{{os.getpid()}} '); time.sleep(600)"
        subprocess.Popen([sys.executable, "-S", "-c", script], start_new_session=self.how == "daemon")
        while not os.path.exists(self.file) or not open(self.file).read().endswith(" "):  # noqa: PTH110, PTH123, SIM115
            time.sleep(0.01)


class ForksAndDies(Forks):
    """The same, and dies or hangs."""

    die: bool = True

    def run(self, context: Context) -> None:
        super().run(context)
        if self.die:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)


class Keeps(Stage):
    """Starts a child that stays and one that does not, unless the first is there; writes its id."""

    produces: ClassVar[Mapping[str, str]] = {"text": "text"}
    file: str

    def run(self, context: Context) -> None:
        if not os.path.exists(self.file):  # noqa: PTH110
            kept, other = (subprocess.Popen(["sleep", "600"]) for _ in range(2))
            context.keep(kept.pid)
            with open(self.file, "w") as file:  # noqa: PTH123
                file.write(f"{kept.pid} {other.pid}")
        with context.output("text", "text.txt") as path:
            path.write_text(context.item.key)


class Detaches(Write):
    """Writes the item's key; where it is "poison", closes what its process inherited before it returns."""

    def run(self, context: Context) -> None:
        super().run(context)
        if context.item.key == "poison":
            for number in range(3, 256):
                with contextlib.suppress(OSError):
                    if os.get_inheritable(number):
                        os.close(number)


class Moves(Stage):
    """Tells in what surroundings it finds its process, and leaves others behind."""

    def run(self, context: Context) -> None:
        context.measure("folder", os.getcwd())  # noqa: PTH109
        context.measure("mode", oct(context.scratch.stat().st_mode & 0o777))
        for name in ("ADDED", "CHANGED", "REMOVED"):
            context.measure(name, os.environ.get(f"TEST_{name}"))
        os.chdir(context.scratch)
        os.umask(0o77)
        os.environ["TEST_ADDED"] = os.environ["TEST_CHANGED"] = context.item.key
        os.environ.pop("TEST_REMOVED", None)
        if context.item.key == "loads":
            sys.modules["loaded_by_a_test"] = sys.modules[__name__]
        if context.item.key == "fails":
            raise ValueError("at the end")


class Closes(Stage):
    """Closes streams that belong to the worker."""

    what: str

    def run(self, context: Context) -> None:
        if self.what == "stdout":
            sys.stdout.close()
        elif self.what == "fd 1":
            os.close(1)
        elif self.what == "replaced":
            sys.stdout = io.StringIO()


class Threads(Stage):
    """Measures what its libraries were told of cores."""

    def run(self, context: Context) -> None:
        context.measure("env", os.environ["OMP_NUM_THREADS"])
        context.measure("cores", context.cores)
        context.measure("pid", os.getpid())
        time.sleep(0.05)


class Counts(Stage):
    """Appends `begin` and `end` with the time to a file: what ran beside what."""

    file: str
    sleep: float = 0.2

    def run(self, context: Context) -> None:
        self._note("begin", context.cores)
        time.sleep(self.sleep)
        self._note("end", context.cores)

    def _note(self, what: str, cores: int) -> None:
        line = f"{time.monotonic()} {what} {cores}\n".encode()
        fd = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, line)
        os.close(fd)


class Progresses(Stage):
    """Reports progress very often for `seconds`."""

    seconds: float = 1.0

    def run(self, context: Context) -> None:
        print("has begun")
        start = time.monotonic()
        while (done := (time.monotonic() - start) / self.seconds) < 1:
            context.progress(done, f"{done:.0%}")
            time.sleep(0.001)


class Lingers(Stage):
    """Leaves a thread that writes to the log."""

    def run(self, context: Context) -> None:
        threading.Thread(target=lambda: print("from a thread"), daemon=True).start()
        time.sleep(0.05)


class Scaled(Chain):
    """A chain of two steps; `fail` makes the check of the second find something."""

    produces: ClassVar[Mapping[str, str]] = {"numbers": "json"}
    factor: float = 2.0
    fail: bool = False

    def load(self, context: Context) -> Any:
        return [1.0, 2.0, 3.0]

    def steps(self) -> Sequence[Step]:
        return [
            Step(
                "scale",
                lambda data, factor: [one * factor for one in data],
                {"factor": self.factor},
                _statistics,
            ),
            Step("check", lambda data: data, checks={"small": self._small}),
        ]

    def _small(self, data: list[float]) -> str | None:
        return "too large" if self.fail else None

    def save(self, dataset: Any, context: Context) -> None:
        with context.output("numbers", "numbers.json") as path:
            path.write_text(json.dumps(dataset))


def _statistics(data: list[float]) -> Mapping[str, float]:
    return {"mean": sum(data) / len(data)}


NOT_A_STAGE = 3
