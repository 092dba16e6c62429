"""The server: REST under `/api/v1`, live events, web pages. The only place with `async`.

A pipeline's own routes find here who asks (`Asker`), and what they may (`Permission`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towpath.api.asking import Asked, Asker, needs
    from towpath.contracts.auth import Permission

__all__ = ["Asked", "Asker", "Permission", "needs"]


def __getattr__(name: str) -> Any:
    """The public names are loaded when they are asked for: the server's libraries are optional."""
    if name not in __all__:
        raise AttributeError(f"module 'towpath.api' has no attribute {name!r}")
    from towpath.api import asking  # optional: needs the server's libraries

    return getattr(asking, name)
