"""What the gam pipeline brings to Towpath."""

from towpath import Plugin
from towpath.pipelines.gam.demo import demo
from towpath.pipelines.gam.measures import MEASURES
from towpath.pipelines.gam.stages import Detect, Grid, Reduce, Residual

plugin = Plugin(
    name="gam",
    stages=(Reduce, Grid, Residual, Detect),
    measures=MEASURES,
    demo=demo,
)
