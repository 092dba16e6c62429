"""The test kit: run one stage of a pipeline for real in a temporary folder (`run_stage`).

The suites that every adapter passes are in its modules (`towpath.testing.catalog`); they need pytest and hypothesis.
"""

from towpath.testing.context import StageResult, run_stage

__all__ = ["StageResult", "run_stage"]
