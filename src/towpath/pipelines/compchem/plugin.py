"""What the compchem pipeline brings to Towpath."""

from pathlib import Path

from towpath import Plugin
from towpath.pipelines.compchem.demo import demo
from towpath.pipelines.compchem.stages import STAGES

plugin = Plugin(
    name="compchem",
    stages=STAGES,
    content_of="towpath.pipelines.compchem.science.sniff:content_of",
    demo=demo,
    routes={"/workflows": "towpath.pipelines.compchem.routes:routes"},
    pages={
        "processing": "towpath.pipelines.compchem.pages:processing",
        "records": "towpath.pipelines.compchem.pages:records",
        "view": "towpath.pipelines.compchem.pages:view",
    },
    frames={"frame": "towpath.pipelines.compchem.pages:frame"},
    static=Path(__file__).parent / "static",
    viewers={"chem/view": "view", "chem/xyz": "view"},
)
