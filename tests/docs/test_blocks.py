"""Runs what the documentation shows: the blocks of README.md, docs/, the pipelines and the examples, file by file.

The blocks of one file run in order in one fresh folder (for an example: a copy of its own), with this environment's
programs first on PATH. What each kind of block means is written in CONTRIBUTING.md under "Blocks in the documentation".
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from towpath.testing.postgres import programs

REPOSITORY = Path(__file__).resolve().parents[2]
PIPELINES = REPOSITORY / "src" / "towpath" / "pipelines"
EXAMPLES = REPOSITORY / "examples"
PAGES = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted(PIPELINES.glob("*/README.md")),
    *sorted(EXAMPLES.glob("*/README.md")),
]
# These take longer than a fast test may.
SLOW = {
    "tutorial/first-pipeline.md",
    "explanation/how-a-run-happens.md",
    "howto/hand-work-to-people.md",
    "picks/README.md",
}
# A fence with what it says after its backticks, and the HTML comment on the line before it, if any.
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>no-run|file): (?P<value>.+?) -->\n+)?^```(?P<language>[^\n]*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
EXIT = re.compile(r"\s+# exit (\d+)$")
# Nothing of these could be run. A command must be in a `console` block, so that none is forgotten.
SHOWN_ONLY = {"", "text", "json", "sql"}
SECONDS = 240


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it begins, its mark, its language and its text."""

    line: int
    mark: str | None
    value: str
    language: str
    body: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a console block, the exit code it must have and the output it must show."""

    line: str
    code: int
    shown: str


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page; directives of MyST, such as a table of contents, are none."""
    for found in FENCE.finditer(text):
        if not found["language"].startswith("{"):
            line = text.count("\n", 0, found.start("language")) + 1
            yield Block(line, found["mark"], found["value"] or "", found["language"], found["body"])


def commands(body: str) -> list[Command]:
    """Split a console block at its prompts; `> ` goes on with a command."""
    read: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            read.append((line[2:], []))
        elif read and line.startswith("> ") and not read[-1][1]:
            read[-1] = (f"{read[-1][0]}\n{line[2:]}", [])
        elif read:
            read[-1][1].append(line)
        else:
            raise ValueError(f"a console block begins with a prompt, not with {line!r}")
    found = [(EXIT.search(line), line, shown) for line, shown in read]
    return [
        Command(EXIT.sub("", line), int(code[1]) if code else 0, "\n".join(shown))
        for code, line, shown in found
    ]


def is_shown(expected: str, output: str) -> bool:
    """Tell whether the output has the expected text; `...` stands for anything, spaces count as one."""
    pieces = [re.escape(" ".join(piece.split())) for piece in expected.split("...")]
    return re.search(".*".join(pieces).replace(r"\ ", " "), " ".join(output.split())) is not None


def run(argv: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in the folder of the page, with nothing of the caller's settings for Towpath."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOWPATH_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = kept | {"PATH": path, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(
        argv,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def run_block(block: Block, folder: Path) -> None:
    """Do with a block what its mark and language say; fail where it does not hold."""
    if block.mark == "no-run":
        return
    if block.mark == "file":
        target = folder / block.value
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.body, encoding="utf-8")
    elif block.language == "console":
        for command in commands(block.body):
            done = run(["sh", "-c", command.line], folder)
            assert done.returncode == command.code, f"$ {command.line}\n{done.stdout}"
            assert is_shown(command.shown, done.stdout), (
                f"$ {command.line}\n{done.stdout}\nnot: {command.shown}"
            )
    elif block.language == "python":
        done = run([sys.executable, "-W", "error", "-c", block.body], folder)
        assert done.returncode == 0, f"{block.body}\n{done.stdout}"
    elif block.language == "toml":
        tomllib.loads(block.body)
    elif block.language == "yaml":
        yaml.safe_load(block.body)
    else:
        assert block.language in SHOWN_ONLY, f"a block of {block.language!r} is neither run nor marked no-run"


def page_name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def pages() -> Iterator[Any]:
    """Every page that has blocks, with the mark of the long part where it belongs there."""
    for page in PAGES:
        if any(blocks(page.read_text(encoding="utf-8"))):
            is_slow = page.is_relative_to(PIPELINES) or page.as_posix().endswith(tuple(SLOW))
            yield pytest.param(page, marks=[pytest.mark.slow] * is_slow, id=page_name(page))


@pytest.mark.parametrize("page", list(pages()))
def test_the_blocks_of_a_page_do_what_they_show(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "postgresql" in page.name:  # its commands find the server where PostgreSQL's library looks for one
        server = request.getfixturevalue("postgres")
        monkeypatch.setenv("PGHOST", str(server.folder))
        monkeypatch.setenv("PGUSER", "towpath")
        monkeypatch.setenv("PATH", os.environ["PATH"] + os.pathsep + str(programs()))
    if page.is_relative_to(EXAMPLES):
        shutil.copytree(
            page.parent, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    for block in blocks(page.read_text(encoding="utf-8")):
        try:
            run_block(block, tmp_path)
        except AssertionError as error:
            pytest.fail(f"{page_name(page)}:{block.line}: {error}")


PAGE = """
<!-- file: deep/hello.txt -->
```text
hello, towpath
```

```{toctree}
other
```

```console
$ cat deep/hello.txt
hello, ...path
$ ls missing  # exit 2
...
$ echo one \\
>   two
one two
```

```python
assert open("deep/hello.txt").read() == "hello, towpath\\n"
```

<!-- no-run: it would take the network -->
```console
$ false
```
"""


def test_a_page_runs_in_order_in_one_folder(tmp_path: Path) -> None:
    found = list(blocks(PAGE))
    assert [block.language for block in found] == ["text", "console", "python", "console"]
    for block in found:
        run_block(block, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ false\n```",
        "```console\n$ true  # exit 1\n```",
        "```console\n$ echo one\ntwo\n```",
        "```python\nassert False\n```",
        "```bash\ntrue\n```",
    ],
)
def test_what_does_not_hold_fails(text: str, tmp_path: Path) -> None:
    (block,) = blocks(text)
    with pytest.raises(AssertionError):
        run_block(block, tmp_path)
