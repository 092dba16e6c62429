"""The stages of the gam pipeline: files in, science between, files out.

Each reads what it consumes, calls functions of `science`, writes what it produces and records what it measured.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from towpath import Chain, Context, One, Stage, Step, Unit

Metres = Annotated[float, Unit("m")]
Density = Annotated[float, Unit("kg/m3")]


class Reduce(Chain):
    """Observed gravity to block medians of the Bouguer disturbance less a trend."""

    version = "1"
    consumes = {"stations": One("gravity/stations")}
    produces = {"blocks": "gravity/blocks"}

    density: Density = 2670.0
    neighbours: int = 20
    outlier_limit: float = 10.0
    trend_degree: int = 3
    block: Metres = 5000.0
    keep_marine: bool = False

    def load(self, context: Context) -> Any:
        """Read the stations."""
        from .science.stations import read_stations  # optional: the science libraries are slow to load

        return read_stations(context.inputs["stations"])

    def steps(self) -> Sequence[Step]:
        """Leave out what does not qualify, then correct, filter and take medians."""
        from .science.survey import reduce_stations  # optional: see load

        params = {
            "density_kg_m3": self.density,
            "neighbours": self.neighbours,
            "outlier_limit": self.outlier_limit,
            "trend_degree": self.trend_degree,
            "block_m": self.block,
        }
        return [
            Step("select", _select, {"keep_marine": self.keep_marine}, _station_statistics),
            Step("reduce", reduce_stations, params, _statistics, {"residual is finite": _check_finite}),
        ]

    def save(self, dataset: Any, context: Context) -> None:
        """Write the block medians as Zarr."""
        from .science.survey import to_dataset  # optional: see load
        from .science.tree import write_tree  # optional: see load

        described = to_dataset(dataset)
        with context.output("blocks", "blocks.zarr") as path:
            write_tree(path, described)
        context.measure("n_blocks", len(dataset))
        context.measure("n_used", dataset.n_stations)
        context.measure("n_outliers", dataset.n_outliers)
        for name, values, end in (("west", "longitude", "min"), ("south", "latitude", "min"),
                                  ("east", "longitude", "max"), ("north", "latitude", "max")):  # fmt: skip
            context.measure(name, round(float(getattr(described[values], end)()), 6), "degrees")
        if not dataset.n_outliers and dataset.n_stations > 1000:
            context.caveat(
                "not one outlier among more than a thousand stations: is the file cleaned already?"
            )


def _select(stations: Any, *, keep_marine: bool) -> Any:
    from .science.qualify import measure_quality  # optional: see load

    return stations.select(measure_quality(stations, keep_negative_height=keep_marine).passed)


def _station_statistics(stations: Any) -> dict[str, Any]:
    return {"stations": len(stations)}


def _statistics(dataset: Any) -> dict[str, Any]:
    if not hasattr(dataset, "residual"):
        return _station_statistics(dataset)
    return {"blocks": len(dataset), "residual_std_mgal": round(float(dataset.residual.std()), 6)}


def _check_finite(reduced: Any) -> str | None:
    import numpy as np  # optional: see load

    bad = int((~np.isfinite(reduced.residual)).sum())
    return f"{bad} of {len(reduced)} are not" if bad else None


class Grid(Stage):
    """Block medians to a grid of the Bouguer disturbance, with its error measured by hold-out."""

    version = "1"
    consumes = {"blocks": One("gravity/blocks")}
    produces = {"grid": "gravity/grid"}

    spacing: Metres = 5000.0
    max_distance: Metres = 0.0
    depth: float = 1.5
    damping: float = 1e-4

    def run(self, context: Context) -> None:
        """Measure the error without a tenth of the data, then grid with all of it."""
        from .science.gridding import describe_hold_out, make_grid  # optional: see Reduce.load
        from .science.holdout import hold_out  # optional: see Reduce.load
        from .science.sources import SourceSettings  # optional: see Reduce.load
        from .science.survey import from_dataset  # optional: see Reduce.load
        from .science.tree import read_tree, write_tree  # optional: see Reduce.load

        reduced = from_dataset(read_tree(context.inputs["blocks"]))
        settings = SourceSettings(depth=self.depth, damping=self.damping)
        context.progress(0.05, "hold-out")
        held = hold_out(reduced.points, reduced.residual, settings=settings, threads=context.cores)
        context.progress(0.5, "gridding")
        limit = self.max_distance or None
        grid = make_grid(
            reduced, spacing_m=self.spacing, max_distance_m=limit, settings=settings, threads=context.cores
        )
        with context.output("grid", "grid.zarr") as path:
            write_tree(path, describe_hold_out(grid, held))
        for kind, score in (("random", held.random), ("block", held.block)):
            context.measure(f"{kind}_r2", round(score.r2, 6))
            context.measure(f"{kind}_rmse", round(score.rmse_mgal, 6), "mGal")
        context.measure("block_size", held.block_size_m, "m")


class Residual(Stage):
    """The grid less its regional field: where mass is missing or in excess."""

    version = "1"
    consumes = {"grid": One("gravity/grid"), "blocks": One("gravity/blocks")}
    produces = {"anomaly": "gravity/anomaly"}

    regional: Metres = 60_000.0

    def run(self, context: Context) -> None:
        """Subtract the regional field and measure how much of the survey is covered."""
        from .science.assessment import measure_coverage  # optional: see Reduce.load
        from .science.residual import add_residual  # optional: see Reduce.load
        from .science.tree import read_tree, write_tree  # optional: see Reduce.load

        anomaly = add_residual(read_tree(context.inputs["grid"]), regional_m=self.regional)
        with context.output("anomaly", "anomaly.zarr") as path:
            write_tree(path, anomaly)
        covered = measure_coverage(anomaly, _places(context))
        context.measure("coverage", round(covered.coverage, 6))
        context.measure("null_ratio", round(covered.null_ratio, 6))
        context.measure("n_nodes", covered.n_nodes)


class Detect(Stage):
    """Candidates among the residuals, and the quick-look picture of the whole survey."""

    version = "1"
    consumes = {"anomaly": One("gravity/anomaly"), "blocks": One("gravity/blocks")}
    produces = {"candidates": "gravity/candidates", "quicklook": "picture/png"}

    z_limit: float = 3.0
    least_confidence: float = 0.2
    separation: Metres = 20_000.0
    title: str = ""

    def run(self, context: Context) -> None:
        """Find extremes that the data resolve, weigh them by measured error and support, draw."""
        from .science.candidates import detect  # optional: see Reduce.load
        from .science.geopackage import write_candidates  # optional: see Reduce.load
        from .science.quicklook import draw_quicklook  # optional: see Reduce.load
        from .science.tree import read_tree  # optional: see Reduce.load

        anomaly, places = read_tree(context.inputs["anomaly"]), _places(context)
        found = detect(
            anomaly,
            places,
            error_mgal=float(anomaly.attrs["hold_out_block_rmse_mgal"]),
            z_limit=self.z_limit,
            least_confidence=self.least_confidence,
            separation_m=self.separation,
        )
        with context.output("candidates", "candidates.gpkg") as path:
            write_candidates(path, found.candidates)
        _tell_features(context, found.candidates)
        context.progress(0.5, "drawing")
        with context.output("quicklook", "quicklook.png") as path:
            draw_quicklook(path, anomaly, places, found.candidates, title=self.title or context.item.key)
        context.measure("n_candidates", len(found.candidates))
        for reason, count in found.refused.items():
            context.measure(f"n_refused_{reason}", count)


def _tell_features(context: Context, found: Sequence[Any]) -> None:
    """The candidates as point results, so that the catalog finds them by place."""
    columns = ("residual_mgal", "sign", "z", "confidence")
    context.features(
        "gravity candidate",
        lon=[one.longitude for one in found],
        lat=[one.latitude for one in found],
        properties={name: [getattr(one, name) for one in found] for name in columns},
        frame="wgs84",
    )


def _places(context: Context) -> Any:
    from .science.survey import from_dataset  # optional: see Reduce.load
    from .science.tree import read_tree  # optional: see Reduce.load

    return from_dataset(read_tree(context.inputs["blocks"])).points[:, :2]
