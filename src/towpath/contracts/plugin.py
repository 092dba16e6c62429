"""What a pipeline's `plugin.py` declares: the one list of what it brings.

Light to import, since every stage module does.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from towpath.contracts.judging import Measured
from towpath.contracts.stage import Stage


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a pipeline brings, declared once in its `plugin.py`; only `name` is needed.

    `stages` are classes, `providers` classes with a `name`, `measures` functions decorated with `measure`; `demo`
    prepares a site that shows the pipeline; `pipeline_file` defaults to `pipeline.toml` beside the plug-in. `commands` are
    shown as ``towpath NAME``: each a typer app or function, or ``"module:name"`` of one, which is imported only when it is
    called. An entry point ``towpath.commands`` of the same name and with the plug-in's target lists it in
    ``towpath --help`` and makes it known where no site uses the pipeline.

    `routes` and `pages` are what the server has beside its own. A key of `routes` is a path below ``/api/v1``, such as
    ``/workflows``, its value a FastAPI router, or ``"module:name"`` of one. A key of `pages` is a name, shown at
    ``/pipelines/PIPELINE/NAME``; its value is a function, or ``"module:name"`` of one, that gets the site, acting in the
    reader's name, and the query as keyword arguments, and returns the HTML of the page's body; one with a parameter
    `asker` gets who asks too (`towpath.api.Asked`), and shows nothing that they may not view. Both are for people who may
    view the pipeline.

    `frames` are pages that stand in frames of other sites, without navigation, at ``/pipelines/PIPELINE/NAME`` too. Anybody
    may load them, so their functions get only the query, and what they show is fetched by a script with a token. `static`
    is a folder that anybody may load from, below ``/pipelines/PIPELINE/static/``. `viewers` names by the type of products
    the page (of `pages`) that shows one; it gets ``product``, and the pages of items lead there.

    `content_of` tells from the first 64 kB of a file what it is, "" where it does not know: a function, or
    ``"module:function"`` of one. Sources of kind ``records`` match by it. Of a text of which it does not know it, and whose
    name fits a role that asks for a content, it gets the first 1 MB, too.
    """

    name: str
    stages: Sequence[type[Stage]] = ()
    providers: Sequence[type[Any]] = ()
    measures: Sequence[Measured] = ()
    demo: Callable[..., Any] | None = None
    pipeline_file: str = ""
    version: str = ""
    commands: Mapping[str, Any] = field(default_factory=dict)
    routes: Mapping[str, Any] = field(default_factory=dict)
    pages: Mapping[str, Any] = field(default_factory=dict)
    frames: Mapping[str, Any] = field(default_factory=dict)
    static: Path | None = None
    viewers: Mapping[str, str] = field(default_factory=dict)
    content_of: Callable[[bytes], str] | str | None = None

    def stage(self, name: str) -> type[Stage] | None:
        """The stage class of this name, written as a class (``GridFine``) or as in a route (``grid_fine``)."""
        return next((stage for stage in self.stages if name in (stage.__name__, snake(stage.__name__))), None)

    def measure(self, name: str) -> Measured | None:
        """The measure of this name."""
        return next((found for found in self.measures if found.name == name), None)

    def provider(self, name: str) -> type[Any] | None:
        """The provider of this name."""
        return next((found for found in self.providers if getattr(found, "name", "") == name), None)


def snake(name: str) -> str:
    """A class name as it stands in a route: ``GridFine`` → ``grid_fine``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
