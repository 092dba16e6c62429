"""The reference of the REST interface says what the server says of itself; the page on faces has the roles as they are."""

import importlib.util
from pathlib import Path
from types import ModuleType

from towpath.contracts.auth import POLICY, Permission, Role

REPOSITORY = Path(__file__).resolve().parents[2]


def load() -> ModuleType:
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("make_rest", REPOSITORY / "docs" / "make_rest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_server_says() -> None:
    script = load()
    page = (REPOSITORY / "docs" / "reference" / "rest.md").read_text(encoding="utf-8")
    assert page == script.reference(script.document()), "python docs/make_rest.py > docs/reference/rest.md"


def test_every_route_says_what_it_does_and_every_shape_what_it_is() -> None:
    told = load().document()
    routes = [route for path in told["paths"].values() for route in path.values() if isinstance(route, dict)]
    assert len(routes) > 40
    assert [route["operationId"] for route in routes if not route.get("description")] == []
    shapes = told["components"]["schemas"]
    lacking = [name for name, shape in shapes.items() if not shape.get("description")]
    assert [name for name in lacking if not name.startswith(("Page_", "Body_", "HTTPValidation"))] == []


def test_the_roles_may_do_what_the_page_says() -> None:
    page = (REPOSITORY / "docs" / "explanation" / "faces.md").read_text(encoding="utf-8")
    table = page.partition("<!-- roles -->\n")[2].partition("\n\n")[0].splitlines()
    head, _, *cells = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in table]
    assert [row[0] for row in cells] == [permission.value for permission in Permission]
    for row in cells:
        for role, told in zip(head[2:], row[2:], strict=True):
            assert (told == "yes") is (Permission(row[0]) in POLICY[Role(role)]), (row[0], role)
