"""What a process had loaded is told with each of its runs, by both executors, and looked for once."""

import json
import platform
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

import numpy
import pytest
from batches_for_tests import STAGES, batch_of, collect, tasks_of

from towpath.adapters.executors.inline import InlineExecutor
from towpath.adapters.executors.local import LocalExecutor
from towpath.adapters.executors.software import Software, distributions_of
from towpath.contracts.executor import Report

WRITE = {"text": "text"}


def software(report: Report) -> dict[str, str]:
    told: dict[str, str] = json.loads(report.software)
    return told


def test_an_inline_run_tells_what_this_process_had_loaded(tmp_path: Path) -> None:
    with InlineExecutor(tmp_path / "logs") as executor:
        executor.submit(batch_of("Write", tasks_of(tmp_path / "store", ["a", "b"]), WRITE))
        first, second = collect(executor, 2)
    assert first.software is second.software
    told = software(first)
    assert told["python"] == platform.python_version()
    assert (told["towpath"], told["numpy"]) == (metadata.version("towpath"), numpy.__version__)
    assert told["pytest"] == pytest.__version__


def test_a_worker_tells_what_it_had_loaded_itself(tmp_path: Path) -> None:
    """A stage that imports nothing runs in a process without numpy; after one that does, the process has it."""
    with LocalExecutor(tmp_path / "logs", 1, sys_path=[str(STAGES)]) as executor:
        told = []
        for stage in ("Write", "ImportsNumpy", "Write"):
            executor.submit(batch_of(stage, tasks_of(tmp_path / stage, ["a"]), WRITE))
            told.append(software(collect(executor, 1)[0]))
    assert [one.get("numpy") for one in told] == [None, numpy.__version__, numpy.__version__]
    assert {one["pydantic"] for one in told} == {metadata.version("pydantic")}
    assert all("pytest" not in one for one in told)


def test_a_stage_that_cannot_be_loaded_tells_of_no_software(tmp_path: Path) -> None:
    with InlineExecutor(tmp_path / "logs") as executor:
        executor.submit(batch_of("nowhere:Stage", tasks_of(tmp_path, ["a"]), {}))
        assert collect(executor, 1)[0].software == ""


@pytest.fixture
def loaded() -> Iterator[Callable[[str, str], None]]:
    """Give a function that puts a module of a name and a file among those loaded, until the test ends."""
    before = set(sys.modules)

    def load(name: str, file: str) -> None:
        module = ModuleType(name)
        module.__file__ = file
        sys.modules[name] = module

    yield load
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_with_another_name_than_its_distribution_is_found() -> None:
    pytest.importorskip("dateutil")
    assert distributions_of("dateutil") == {"python-dateutil": metadata.version("python-dateutil")}


def test_a_module_of_no_distribution_is_passed_over(loaded: Callable[[str, str], None]) -> None:
    loaded("somebodys_own", "/srv/stages/somebodys_own.py")
    loaded("lying_about", str(Path(numpy.__file__).parent.parent / "lying_about.py"))
    assert distributions_of("somebodys_own") == distributions_of("lying_about") == {}


def test_it_is_looked_for_again_only_when_there_are_more_modules(
    loaded: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Software()
    before = one.told("gam")
    looks: list[str] = []
    monkeypatch.setattr(Software, "_look", lambda _self, names: looks.extend(names))
    assert one.told("gam") is before
    assert looks == []
    loaded("somebodys_own", "")
    assert one.told("gam") is before
    assert looks == ["somebodys_own"]


def test_the_distribution_of_the_plug_in_is_told_though_it_is_named_otherwise() -> None:
    assert json.loads(Software().told("gam"))["towpath"] == metadata.version("towpath")
