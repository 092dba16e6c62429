"""The structure that CONTRIBUTING promises, checked: floors, names, imports, docstrings, the public face.

The floors themselves are contracts of import-linter in pyproject.toml; what it cannot express is read from
the syntax trees here. A rule is a function from a module to the lines that break it.
"""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import towpath
import towpath.api

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src" / "towpath"
# Modules of the packages that `towpath new` writes: text to be filled in, not code of ours.
TEMPLATES = SOURCE / "cli" / "templates"
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
MOST_PUBLIC_NAMES = 30
# Where one person's files are says nothing to another. Spelt so that this line does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.:<>{}*-])/(?:root|home|Users|work|tmp)/\w")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the package: where it is, its lines and its syntax tree."""

    path: Path
    lines: list[str]
    tree: ast.Module

    @property
    def place(self) -> tuple[str, ...]:
        return self.path.relative_to(SOURCE).parts

    def imports(self) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        """Yield line, absolute name and imported names of every import, relative ones resolved."""
        package = ["towpath", *self.place[:-1]]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.name, ()
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                name = ".".join([*above, *([node.module] if node.module else [])])
                yield node.lineno, name, tuple(alias.name for alias in node.names)


def read(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    return Module(path, text.splitlines(), ast.parse(text))


MODULES = [read(path) for path in sorted(SOURCE.rglob("*.py")) if not path.is_relative_to(TEMPLATES)]


def names_nothing(module: Module) -> Iterator[str]:
    if NAMES_THAT_SAY_NOTHING & {Path(part).stem for part in module.place}:
        yield "is named after nothing it holds"


def lacks_docstring(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield "has no docstring"


def prints(module: Module) -> Iterator[str]:
    if module.place[0] == "cli":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"line {node.lineno}: print outside cli"


def imports_in_functions(module: Module) -> Iterator[str]:
    functions = (node for node in ast.walk(module.tree) if isinstance(node, Function))
    found = {
        node.lineno
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    for line in sorted(found):
        if "# optional" not in module.lines[line - 1]:
            yield f"line {line}: import inside a function, not marked `# optional`"


def base_uses_more_than_the_standard_library(module: Module) -> Iterator[str]:
    if module.place[0] != "base":
        return
    for line, name, _ in module.imports():
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("towpath.base"):
            yield f"line {line}: base imports {name}"


def science_imports_towpath(module: Module) -> Iterator[str]:
    if module.place[0] != "pipelines" or "science" not in module.place:
        return
    own = ".".join(["towpath", *module.place[: module.place.index("science") + 1]])
    for line, name, _ in module.imports():
        if name.split(".")[0] == "towpath" and not f"{name}.".startswith(f"{own}."):
            yield f"line {line}: science imports {name}"


def pipelines_use_private_names(module: Module) -> Iterator[str]:
    if module.place[0] != "pipelines":
        return
    own = f"towpath.pipelines.{module.place[1]}."
    for line, name, imported in module.imports():
        if name == "towpath":
            private = {f"towpath.{one}" for one in set(imported) - set(towpath.__all__) - {"testing"}}
        elif name == "towpath.api":
            private = {f"towpath.api.{one}" for one in set(imported) - set(towpath.api.__all__)}
        else:
            inside = f"{name}.".startswith((own, "towpath.testing."))
            private = {name} if name.split(".")[0] == "towpath" and not inside else set()
        if private:
            yield f"line {line}: not public: {', '.join(sorted(private))}"


def test_floors() -> None:
    linter = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as c; c()",
        "--no-cache",
    ]
    done = subprocess.run(linter, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "rule",
    [
        names_nothing,
        lacks_docstring,
        prints,
        imports_in_functions,
        base_uses_more_than_the_standard_library,
        science_imports_towpath,
        pipelines_use_private_names,
    ],
)
def test_every_module_keeps(rule: Callable[[Module], Iterator[str]]) -> None:
    broken = [f"{module.path.relative_to(REPOSITORY)}: {line}" for module in MODULES for line in rule(module)]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("rule", "place", "text"),
    [
        (names_nothing, "flow/utils.py", '"""Doc."""'),
        (lacks_docstring, "flow/plan.py", "x = 1"),
        (prints, "flow/plan.py", "print(1)"),
        (imports_in_functions, "flow/plan.py", "def f():\n    import json"),
        (base_uses_more_than_the_standard_library, "base/model.py", "import numpy"),
        (base_uses_more_than_the_standard_library, "base/model.py", "from ..contracts import stage"),
        (science_imports_towpath, "pipelines/gam/science/grid.py", "from towpath import Stage"),
        (science_imports_towpath, "pipelines/gam/science/grid.py", "from ..stages import Grid"),
        (pipelines_use_private_names, "pipelines/gam/stages.py", "from towpath import _hidden"),
        (pipelines_use_private_names, "pipelines/gam/stages.py", "from towpath.app.site import open_site"),
        (pipelines_use_private_names, "pipelines/gam/stages.py", "from ..dsa110 import stages"),
        (pipelines_use_private_names, "pipelines/gam/routes.py", "from towpath.api import make_app"),
        (pipelines_use_private_names, "pipelines/gam/routes.py", "from towpath.api.asking import Asker"),
    ],
)
def test_a_rule_finds_what_breaks_it(rule: Callable[[Module], Iterator[str]], place: str, text: str) -> None:
    assert list(rule(Module(SOURCE / place, text.splitlines(), ast.parse(text))))


@pytest.mark.parametrize(
    ("rule", "place", "text"),
    [
        (prints, "cli/main.py", "print(1)"),
        (imports_in_functions, "flow/plan.py", "def f():\n    import dask  # optional"),
        (base_uses_more_than_the_standard_library, "base/model.py", "import json\nfrom .ids import new"),
        (science_imports_towpath, "pipelines/gam/science/grid.py", "import numpy\nfrom .trend import fit"),
        (pipelines_use_private_names, "pipelines/gam/stages.py", "from towpath.testing import demo_site"),
        (pipelines_use_private_names, "pipelines/gam/stages.py", "from .science import grid"),
        (pipelines_use_private_names, "pipelines/gam/routes.py", "from towpath.api import Asker, Route"),
    ],
)
def test_a_rule_lets_pass_what_keeps_it(
    rule: Callable[[Module], Iterator[str]], place: str, text: str
) -> None:
    assert not list(rule(Module(SOURCE / place, text.splitlines(), ast.parse(text))))


def test_the_public_face_is_short_sorted_and_documented() -> None:
    names = towpath.__all__
    assert list(names) == sorted(names)
    assert len(names) <= MOST_PUBLIC_NAMES
    objects = {name: getattr(towpath, name) for name in names}
    bare = [
        name
        for name, value in objects.items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and not inspect.getdoc(value)
    ]
    assert not bare, f"without a docstring: {bare}"


def test_what_the_server_offers_pipelines_is_sorted_and_loads() -> None:
    assert list(towpath.api.__all__) == sorted(towpath.api.__all__)
    assert all(getattr(towpath.api, name) is not None for name in towpath.api.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'make_app'"):
        towpath.api.make_app  # noqa: B018


def test_no_file_names_a_path_of_one_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = REPOSITORY / name
        if path.is_file():  # listed may be what is deleted and not yet committed
            for number, line in enumerate(path.read_bytes().decode(errors="ignore").splitlines(), 1):
                if MACHINE_PATH.search(line):
                    found.append(f"{name}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)
