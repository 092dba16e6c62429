"""Prints what is larger than the project aims at, so that someone looks again. It never fails.

Lines of modules and functions are counted here; complexity, statements and arguments are counted by ruff.
"""

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path("src/towpath")
TESTS = Path("tests")
MODULE_LINES = 600
FUNCTION_LINES = 80
RUFF = [
    *("check", "--exit-zero", "--quiet", "--output-format=concise", "--select=C901,PLR0913,PLR0915"),
    *("--config=lint.mccabe.max-complexity=10", "--config=lint.pylint.max-statements=40"),
    *("--config=lint.pylint.max-args=7", "--ignore-noqa"),
]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(folder: Path) -> list[Path]:
    """Return the Python files of a folder, templates of other people's packages left out."""
    return [path for path in sorted(folder.rglob("*.py")) if "templates" not in path.parts]


def functions(path: Path) -> Iterator[tuple[Function, int]]:
    """Yield each function of a module with its number of lines, the docstring not counted."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            yield node, (node.end_lineno or 0) - node.lineno + 1 - docstring


def lines(path: Path) -> int:
    """Return the number of lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def look_again(source: list[Path]) -> Iterator[str]:
    """Yield a line for each module and function that is above its sign."""
    for path in source:
        if lines(path) > MODULE_LINES:
            yield f"{path}: {lines(path)} lines (sign: {MODULE_LINES})"
        for node, length in functions(path):
            if length > FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {length} lines (sign: {FUNCTION_LINES})"


def main() -> None:
    """Print the list, then the sums."""
    source = modules(SOURCE)
    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", *RUFF, str(SOURCE)], capture_output=True, text=True, check=True
    )
    found = [*look_again(source), *ruff.stdout.splitlines()]
    print(*(f"  look again: {line}" for line in found), sep="\n") if found else None
    lengths = sorted(length for path in source for _, length in functions(path))
    code, tests = sum(map(lines, source)), sum(map(lines, modules(TESTS)))
    print(f"  {len(source)} modules, {code} lines, {tests} lines of tests; {len(found)} to look at again")
    if lengths:
        print(
            f"  {len(lengths)} functions: median {statistics.median(lengths):.0f} lines, "
            f"19 of 20 have at most {lengths[len(lengths) * 19 // 20]}"
        )


if __name__ == "__main__":
    main()
