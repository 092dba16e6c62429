"""Whatever is sent to the routes of workflows: no defect, and what is answered is what the document of the interface says."""

from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = pytest.mark.slow

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 4  # of each operation, each way


@pytest.fixture
def busy(depot: Any) -> Any:
    """A record on which processings have ended in every way, and one that waits."""
    depot.put(
        "r1",
        a__txt="fine",
        b__txt="partial b",
        c__txt="garbage c",
        d__txt="broken",
        run__trk="t",
        run__frm="f",
    )
    depot.post("/r1/start")
    depot.run()
    depot.post("/r1/start", {"name": "count", "files": ["a.txt"]})
    return depot


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_what_is_answered_is_what_the_document_says(busy: Any, mode: Any) -> None:
    document = busy.browser.get("/api/v1/openapi.json").json()
    endless = "/api/v1/workflows/{record}/events"  # a stream that ends with the server
    assert endless in document["paths"]
    document["paths"] = {
        path: one for path, one in document["paths"].items() if "/workflows/" in path and path != endless
    }
    wrong: dict[str, str] = {}
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation: Any = found.ok()
        try:
            _ask(busy, operation, mode)
        except hypothesis.errors.Unsatisfiable:
            continue  # nothing that could be sent is wrong
        except BaseExceptionGroup as error:
            wrong[operation.label] = "\n".join(str(one) for one in error.exceptions)
        except (hypothesis.errors.HypothesisException, AssertionError) as error:
            wrong[operation.label] = str(error)
    assert not wrong, "\n\n".join(f"==== {label}\n{text}" for label, text in wrong.items())


def _ask(depot: Any, operation: Any, mode: Any) -> None:
    known = {"record": "r1", "id": "r1-count-1"}
    is_live = operation.path.endswith(("/log", "/events"))

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
        if is_live:
            case.headers = {}
        told = case.as_transport_kwargs(base_url="http://testserver", headers=depot.headers("admin"))
        if "data" in told:
            told["content"] = told.pop("data")
        answer = depot.browser.request(**{**told, "cookies": None})
        case.validate_response(answer, checks=CHECKS)

    ask()
