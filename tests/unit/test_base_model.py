"""Values are frozen, have slots, and name themselves as people write them."""

import dataclasses
import inspect
import pickle

import pytest

from towpath.base import model
from towpath.base.model import Item, Product, Run
from towpath.base.states import Outcome
from towpath.base.states import Product as ProductState

VALUES = [
    value for value in vars(model).values() if dataclasses.is_dataclass(value) and inspect.isclass(value)
]


@pytest.mark.parametrize("value", VALUES)
def test_values_are_frozen_with_slots(value: type) -> None:
    assert value.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(value)
    assert value.__doc__


def test_names() -> None:
    assert Item("gam", "survey", "karoo").name == "gam/survey/karoo"
    run = Run(1042, 2, 7, "grid", Outcome.DONE, 0.0, 1.0)
    assert run.name == "1042.2"
    assert pickle.loads(pickle.dumps(run)) == run


def test_a_product_is_raw_and_current_unless_said() -> None:
    product = Product(1, "", "file", "", "raw/file", "store", "a", 1, 2, b"x" * 32)
    assert (product.state, product.run, product.manual, product.tree) == (
        ProductState.CURRENT,
        (0, 0),
        False,
        False,
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        product.path = "b"  # type: ignore[misc]
