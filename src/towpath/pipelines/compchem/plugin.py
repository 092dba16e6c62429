"""What the compchem pipeline brings to Towpath."""

from towpath import Plugin
from towpath.pipelines.compchem.demo import demo
from towpath.pipelines.compchem.stages import STAGES

plugin = Plugin(
    name="compchem",
    stages=STAGES,
    content_of="towpath.pipelines.compchem.science.sniff:content_of",
    demo=demo,
    routes={"/workflows": "towpath.pipelines.compchem.routes:routes"},
)
