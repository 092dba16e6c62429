"""What the compchem pipeline brings to Towpath."""

from towpath import Plugin
from towpath.pipelines.compchem.demo import demo
from towpath.pipelines.compchem.stages import (
    DrawEnergies,
    DrawQuantum,
    DrawSimulation,
    DrawStructure,
    DrawTrajectory,
    Energies,
    Quantum,
    Simulation,
    Structure,
    Trajectory,
)

plugin = Plugin(
    name="compchem",
    stages=(
        Quantum,
        Simulation,
        Structure,
        Trajectory,
        Energies,
        DrawQuantum,
        DrawSimulation,
        DrawStructure,
        DrawTrajectory,
        DrawEnergies,
    ),
    content_of="towpath.pipelines.compchem.science.sniff:content_of",
    demo=demo,
)
