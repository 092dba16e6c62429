"""What the dsa110 pipeline brings to Towpath."""

from towpath import Plugin
from towpath.pipelines.dsa110.demo import demo
from towpath.pipelines.dsa110.measures import MEASURES
from towpath.pipelines.dsa110.stages import (
    Apply,
    Convert,
    Crossmatch,
    Image,
    Mosaic,
    SolveBandpass,
    SolveGain,
)

plugin = Plugin(
    name="dsa110",
    stages=(Convert, Apply, Image, SolveBandpass, SolveGain, Mosaic, Crossmatch),
    measures=MEASURES,
    demo=demo,
    commands={"calibrators": "towpath.pipelines.dsa110.commands:app"},
)
