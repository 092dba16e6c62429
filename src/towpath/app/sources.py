"""The sources of a site: how each fares, and who has paused it."""

from towpath.app import health
from towpath.app.health import SourceHealth
from towpath.app.ordering import Orders
from towpath.base.errors import NotFoundError
from towpath.contracts.definition import SourcePlan


class Sources(Orders):
    """The verbs of sources."""

    def sources(self, *, pipeline: str = "") -> list[SourceHealth]:
        """Every source (of a pipeline), by name, as a daemon noted it last."""
        plans = [plan for plan in self._source_plans() if pipeline in ("", plan.pipeline)]
        with self.catalog.read() as view:
            return health.read(view, plans)

    def source(self, name: str) -> SourceHealth:
        """One source, ``pipeline/name``, or ``name`` where that is unique.

        Raises
        ------
        NotFoundError
            If there is none, or several.
        """
        plan = self._source_plan(name)
        with self.catalog.read() as view:
            return health.read(view, [plan])[0]

    def pause_source(self, name: str, *, why: str = "") -> SourceHealth:
        """Take nothing more from a source, until it is resumed; whoever runs the site heeds it within a second.

        Raises
        ------
        NotFoundError
            As for `source`.
        """
        return self._set_paused(name, why, paused=True)

    def resume_source(self, name: str, *, why: str = "") -> SourceHealth:
        """Let a paused source go on. Raises `NotFoundError` as `source` does."""
        return self._set_paused(name, why, paused=False)

    def _set_paused(self, name: str, why: str, *, paused: bool) -> SourceHealth:
        plan = self._source_plan(name)
        self._write(lambda tx: health.set_paused(tx, plan, self.who, why, paused=paused))
        return self.source(name)

    def _source_plans(self) -> list[SourcePlan]:
        found = [plan for definition in self.definitions.values() for plan in definition.sources.values()]
        return sorted(found, key=lambda plan: (plan.pipeline, plan.name))

    def _source_plan(self, name: str) -> SourcePlan:
        plans = self._source_plans()
        found = [plan for plan in plans if name in (plan.name, health.partition(plan.pipeline, plan.name))]
        if len(found) != 1:
            known = ", ".join(health.partition(plan.pipeline, plan.name) for plan in found or plans) or "none"
            raise NotFoundError(
                f"{'several sources are called' if found else 'no source'} {name!r}; there are {known}"
            )
        return found[0]
