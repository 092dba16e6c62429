"""A disk that loses everything that was not flushed: rebuilt from the system calls of a site and its workers.

The worst that POSIX allows is taken: bytes are there from an fsync of their file on, names from an fsync of their folder
on, and what is removed is gone at once. A rename is one step: until its folder is flushed the old name stands. Reads
what strace wrote; never touches the site that was traced.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CALLS = (
    "openat,open,creat,write,pwrite64,writev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,link,linkat,"
    "unlink,unlinkat,mkdir,mkdirat,rmdir"
)
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>)?(?P<text>.*)\Z")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_FD = re.compile(r"(?:\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)(?:\(deleted\))?>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(eq=False)
class Node:
    """A file or folder: as processes see it, and as it is after the power was cut."""

    is_folder: bool
    names: dict[str, "Node"] = field(default_factory=dict)
    flushed_names: dict[str, "Node"] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)
    flushed: bytes = b""


class Disk:
    """The folder of a site, with what of it is on the disk for good.

    Parameters
    ----------
    folder
        The site as it is before it is traced: all of it counts as flushed.
    """

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)
        self.root = _load(folder)
        self.flushes: dict[str, int] = {}  # by path

    def do(self, name: str, arguments: str, result: int) -> bool:
        """Take in one system call; True if it was a flush, after which another state could be left."""
        paths = [
            self._inside(bytes.fromhex(one.replace("\\x", "")).decode(errors="replace"))
            for one in _FD.findall(arguments)
        ]
        texts = [bytes.fromhex(one.replace("\\x", "")) for one in _TEXT.findall(arguments)]
        act = getattr(self, f"_{name}", None)
        if result >= 0 and act is not None:
            return bool(act(arguments, paths, texts))
        return False

    def _inside(self, path: str) -> str | None:
        """The path below the site, None for what lies elsewhere."""
        return (
            path[len(self.place) + 1 :]
            if path.startswith(f"{self.place}/")
            else ""
            if path == self.place
            else None
        )

    def _names(self, paths: list[str | None], texts: list[bytes]) -> list[str | None]:
        """The names that a call gives as text: absolute, or from the folder before it."""
        found: list[str | None] = []
        for number, text in enumerate(texts):
            name = text.decode(errors="replace")
            base = paths[number] if number < len(paths) else None
            found.append(
                self._inside(name)
                if name.startswith("/")
                else f"{base}/{name}".lstrip("/")
                if base is not None
                else None
            )
        return found

    def node(self, path: str | None) -> Node | None:
        """What stands at a path below the site now."""
        at: Node | None = self.root if path is not None else None
        for name in (path or "").split("/"):
            if name and at is not None:
                at = at.names.get(name)
        return at

    def _parent(self, path: str) -> tuple[Node | None, str]:
        parent, _, name = path.rpartition("/")
        return self.node(parent), name

    # ---- calls
    def _openat(self, arguments: str, paths: list[str | None], texts: list[bytes]) -> bool:
        (path,) = self._names(paths, texts)[:1] or [None]
        if path:
            parent, name = self._parent(path)
            if parent is not None and name not in parent.names and "O_CREAT" in arguments:
                parent.names[name] = Node(False)
            made = self.node(path)
            if made is not None and "O_TRUNC" in arguments:
                made.content.clear()
        return False

    _open = _creat = _openat

    def _write(self, _arguments: str, paths: list[str | None], texts: list[bytes]) -> bool:
        node = self.node(paths[0]) if paths else None
        if node is not None:
            for text in texts:
                node.content += text
        return False

    _writev = _write

    def _pwrite64(self, arguments: str, paths: list[str | None], texts: list[bytes]) -> bool:
        node = self.node(paths[0]) if paths else None
        if node is not None:
            offset = int(arguments.rpartition(", ")[2])
            node.content.extend(bytes(max(0, offset - len(node.content))))
            node.content[offset : offset + len(texts[0])] = texts[0]
        return False

    def _ftruncate(self, arguments: str, paths: list[str | None], _texts: list[bytes]) -> bool:
        node, size = self.node(paths[0]) if paths else None, int(arguments.rpartition(", ")[2])
        if node is not None:
            del node.content[size:]
            node.content.extend(bytes(size - len(node.content)))
        return False

    def _fsync(self, _arguments: str, paths: list[str | None], _texts: list[bytes]) -> bool:
        node = self.node(paths[0]) if paths else None
        if node is None:
            return False
        self.flushes[paths[0] or ""] = self.flushes.get(paths[0] or "", 0) + 1
        if node.is_folder:
            node.flushed_names = dict(node.names)
        else:
            node.flushed = bytes(node.content)
        return True

    _fdatasync = _fsync

    def _mkdir(self, _arguments: str, paths: list[str | None], texts: list[bytes]) -> bool:
        (path,) = self._names(paths, texts)[:1] or [None]
        if path:
            parent, name = self._parent(path)
            if parent is not None:
                parent.names[name] = Node(True)
        return False

    _mkdirat = _mkdir

    def _rename(self, _arguments: str, paths: list[str | None], texts: list[bytes]) -> bool:
        old, new = self._names(paths, texts)
        if old and new and (node := self.node(old)) is not None:
            (source, name), (target, now) = self._parent(old), self._parent(new)
            if source is not None and target is not None:
                del source.names[name]
                target.names[now] = node
        return False

    _renameat = _renameat2 = _rename

    def _link(self, _arguments: str, paths: list[str | None], texts: list[bytes]) -> bool:
        old, new = self._names(paths, texts)
        if old and new and (node := self.node(old)) is not None:
            target, name = self._parent(new)
            if target is not None:
                target.names[name] = node
        return False

    _linkat = _link

    def _unlink(self, _arguments: str, paths: list[str | None], texts: list[bytes]) -> bool:
        (path,) = self._names(paths, texts)[:1] or [None]
        if path:
            parent, name = self._parent(path)
            if parent is not None:
                parent.names.pop(name, None)
                parent.flushed_names.pop(name, None)  # it may be gone at once
        return False

    _unlinkat = _rmdir = _unlink

    # ---- what is left
    def left(self, path: str) -> Node | None:
        """What stands at a path after the power was cut."""
        at: Node | None = self.root
        for name in path.split("/"):
            at = at.flushed_names.get(name) if at is not None else None
        return at

    def restore(self, folder: Path, node: Node | None = None) -> None:
        """Write what is left to a new folder."""
        folder.mkdir(parents=True)
        for name, one in (node or self.root).flushed_names.items():
            if one.is_folder:
                self.restore(folder / name, one)
            else:
                (folder / name).write_bytes(one.flushed)


def _load(folder: Path) -> Node:
    node = Node(True)
    for path in folder.iterdir():
        if path.is_dir():
            node.names[path.name] = _load(path)
        else:
            content = path.read_bytes()
            node.names[path.name] = Node(False, content=bytearray(content), flushed=content)
    node.flushed_names = dict(node.names)
    return node


def trace(program: str, *arguments: str, to: Path, cwd: Path, env: dict[str, str]) -> None:
    """Run a Python program under strace. Raises `OSError` where there is no strace or it may not trace."""
    command = [
        "strace",
        "-f",
        "-qq",
        "-y",
        "-xx",
        "-s",
        "10000000",
        "-e",
        f"trace={CALLS}",
        "-e",
        "signal=none",
        "-o",
        str(to),
    ]
    done = subprocess.run(
        [*command, sys.executable, "-c", program, *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in done.stderr or "PTRACE" in done.stderr:
        raise OSError(done.stderr)
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)


def calls(file: Path) -> Iterator[tuple[str, str, int]]:
    """The system calls of a trace in the order in which they ended: name, arguments, result."""
    begun: dict[str, str] = {}
    with file.open(errors="replace") as lines:
        for line in lines:
            match = _LINE.match(line.rstrip("\n"))
            if match is None:
                continue
            process, text = match[1], match["text"]
            if match["resumed"]:
                text = begun.pop(process, "") + text
            elif text.endswith("<unfinished ...>"):
                begun[process] = text.removesuffix("<unfinished ...>")
                continue
            call = _CALL.match(text)
            if call is not None:
                yield call["name"], call["arguments"], int(call["result"])
