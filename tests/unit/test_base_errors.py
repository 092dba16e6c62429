"""Errors are one tree, tell what to do, and survive the way between processes."""

import inspect
import pickle

import pytest

from towpath.base import errors
from towpath.base.errors import DefinitionError, Reject, TowpathError, Transient

ALL = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, TowpathError)]


@pytest.mark.parametrize("error", ALL)
def test_every_error_is_in_the_tree_that_is_drawn(error: type[TowpathError]) -> None:
    assert error.__name__ in (errors.__doc__ or "")
    assert error.__doc__


@pytest.mark.parametrize(
    "error",
    [
        *(error("found x; expected y") for error in ALL),
        DefinitionError(["a: found 1; expected 2", "b: found 3; expected 4"], "pipeline.toml"),
        Reject(["dark", "cold"]),
        Transient("busy", 12.5),
    ],
)
def test_errors_survive_pickling(error: TowpathError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_definition_error_names_file_and_place() -> None:
    error = DefinitionError(["a: found 1; expected 2", "b: found 3; expected 4"], "pipeline.toml")
    assert str(error) == "pipeline.toml: a: found 1; expected 2\npipeline.toml: b: found 3; expected 4"
    assert str(DefinitionError("a: found 1; expected 2")) == "a: found 1; expected 2"


def test_outcomes_carry_what_a_stage_says() -> None:
    assert Reject("dark").reasons == ["dark"]
    assert str(Reject(["dark", "cold"])) == "dark; cold"
    assert (Transient("busy", 3).reason, Transient("busy", 3).after, Transient("busy").after) == (
        "busy",
        3,
        0.0,
    )
