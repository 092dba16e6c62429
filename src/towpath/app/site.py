"""A site as a Python object: the same verbs as the command line.

Opens the catalog (an empty or older one migrates itself), loads the pipeline files and gives every verb of an operator.
Nothing is decided here: the flow decides, the catalog keeps.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from towpath.app.depositing import Depositing
from towpath.app.looking import Details, Plan, Status
from towpath.app.wiring import open_parts
from towpath.app.worker import Summary, until_signalled
from towpath.base.errors import NotFoundError

__all__ = ["Details", "Plan", "Progress", "Site", "Status"]


class Site(Depositing):
    """An installation of Towpath, opened.

    Examples
    --------
    >>> from towpath import Site
    >>> with Site.open("mysite") as site:  # doctest: +SKIP
    ...     summary = site.run()
    ...     for item in site.items(state="failed"):
    ...         print(item.name, site.explain(item.name))
    """

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] = ".",
        *,
        overrides: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Open the site in a folder (or of a site file).

        Parameters
        ----------
        path
            The site's folder, or its `towpath.toml`.
        overrides
            Settings as on the command line, such as ``"site.workers=4"``.
        environ
            The environment to read ``TOWPATH_...`` from; the process's own by default.

        Raises
        ------
        SiteError
            If there is no site, or it cannot work.
        DefinitionError
            If a site or pipeline file is wrong.
        """
        return cls(open_parts(Path(path), overrides, os.environ if environ is None else environ))

    def close(self) -> None:
        """Close the catalog."""
        self._parts.close()

    def __enter__(self) -> Self:
        """The site itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def run(
        self,
        *,
        watch: bool = False,
        check: bool = True,
        tick: Callable[["Progress"], None] | None = None,
        patience: float = 60.0,
        only: Sequence[str] = (),
        on_loop: Callable[[Callable[[], None]], None] | None = None,
    ) -> Summary:
        """Run what is to run: once until nothing is left, or for ever with `watch`.

        Parameters
        ----------
        watch
            Go on until SIGTERM or SIGINT.
        check
            First compare every product with the disk, by stat.
        tick
            Called often with where things are.
        patience
            Seconds that a single run waits for work that is tried again later.
        only
            Names of items: nothing but their work is run. A key that is new to a ``submit`` source is submitted.
        on_loop
            Gets, once, what ends the run in good order when it is called.

        Raises
        ------
        NotFoundError
            If an item of `only` is not there and cannot be submitted.
        """
        chosen = self._chosen(only) if only else None
        findings = self.check() if check else ()
        with self._parts.running(chosen) as worker, until_signalled(worker.loop):
            progress = Progress(self, worker)
            if on_loop:
                on_loop(worker.loop.stop)

            def beat() -> None:
                if tick:
                    tick(progress)

            summary = (
                worker.loop.watch(tick=beat) if watch else worker.loop.once(patience=patience, tick=beat)
            )
        return Summary(summary.runs, summary.seconds, summary.registered, len(findings), summary.ended)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Use the site for long without running its work: meanwhile its catalog is not moved or replaced."""
        with self._parts.serving():
            yield

    def _chosen(self, names: Sequence[str]) -> list[int]:
        """The ids of named items; where exactly one source takes submissions, unknown keys are submitted to it."""
        submits = [
            source
            for one in self.definitions.values()
            for source in one.sources.values()
            if source.kind == "submit"
        ]
        found = []
        for name in names:
            try:
                found.append(self.find(name).id)
            except NotFoundError:
                if len(submits) != 1:
                    raise
                kind = f"{submits[0].pipeline}/{submits[0].item}"
                found += self.submit(kind, [{"key": name.removeprefix(f"{kind}/")}])
        return found


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is, for a screen: what runs now, and what is left, asked for when needed."""

    site: Site
    worker: Any

    def running(self) -> list[tuple[str, str, float | None, str]]:
        """What runs now in this process: item, stage, fraction or None, note."""
        return [
            (held.claimed.item_key, held.stage.name, held.fraction, held.note)
            for held in list(self.worker.process.progress.values())
        ]

    def done(self) -> Mapping[str, int]:
        """Runs that ended so far, by outcome."""
        return {outcome.value: count for outcome, count in self.worker.process.tally.runs.items()}

    def counts(self) -> Mapping[tuple[str, str, str, str], int]:
        """Work by (pipeline, kind, stage, state)."""
        with self.site.catalog.read() as view:
            return view.counts()
