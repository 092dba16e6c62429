"""Whatever is sent that the document of the interface allows, or does not: no defect, and what is answered is what it says."""

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from towpath.api.app import make_app

Server = Any

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
EXAMPLES = 10  # of each operation, each way


class Quiet:
    """An application that answers a defect, and raises it nowhere else."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.app(scope, receive, send)
        except Exception:
            if scope["type"] != "http":
                raise


@pytest.fixture
def app(busy: Server) -> Iterator[Quiet]:
    """The application around that site, in the hands of schemathesis."""
    yield Quiet(make_app(busy.site))
    shutdown_lifespans()


@pytest.fixture
def busy(server: Server) -> Server:
    """A site on which something has happened: a sample waits at a gate, one has failed, one is new."""
    server.sample("a", weight=3, target="M31")
    server.sample("broken", trouble="fails")
    server.run()
    server.sample("new")
    site = server.site
    product = site.show("lab/sample/a").products[0]
    site.certify(product.id, "scale", "s1", 0, 1e9, why="a test")
    site.flag("lab/sample/a", "doubtful", part={"pan": 1})
    return server


def numbers(server: Server, path: str) -> dict[str, Any]:
    """What stands in a path for what there is."""
    site = server.site
    found = site.show("lab/sample/a")
    number = {
        "orders": site.orders(every=True)[0].row.id,
        "calibrations": site.calibrations(state="")[0].number,
        "tokens": 2**31,
    }.get(path.split("/")[3], 1)
    return {
        "item": found.item.id,
        "run": found.runs[0].name,
        "product": found.products[0].id,
        "output": "weight",
        "pipeline": "lab",
        "name": "asked",
        "number": number,
    }


def operations(app: Quiet) -> Iterator[Any]:
    """Every operation of the document."""
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    for one in schema.get_all_operations():
        found: Any = one
        yield found.ok()


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_what_is_answered_is_what_the_document_says(busy: Server, app: Quiet, mode: Any) -> None:
    wrong: dict[str, str] = {}
    for operation in operations(app):
        try:
            _ask(busy, operation, mode)
        except hypothesis.errors.Unsatisfiable:
            continue  # nothing that could be sent is wrong
        except BaseExceptionGroup as error:
            wrong[operation.label] = "\n".join(str(one) for one in error.exceptions)
        except (hypothesis.errors.HypothesisException, AssertionError) as error:
            wrong[operation.label] = str(error)
    assert not wrong, "\n\n".join(f"==== {label}\n{text}" for label, text in wrong.items())


def _ask(server: Server, operation: Any, mode: Any) -> None:
    known = numbers(server, operation.path)

    @hypothesis.seed(1)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode), is_there=st.integers(0, 3))
    def ask(case: Any, is_there: int) -> None:
        if is_there and case.path_parameters:
            case.path_parameters = {name: known[name] for name in case.path_parameters}
        if operation.label == "DELETE /api/v1/tokens/{number}":
            server.tokens.clear()
        case.call_and_validate(headers=server.as_("admin").headers, checks=CHECKS)

    ask()
