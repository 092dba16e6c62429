"""Qualify: does an item go on at all? Rules judge it before work is spent.

Promises a verdict with evidence rule by rule. Never changes what it judges; what follows is decided by the flow.
"""

from towpath.contracts.judging import Judging


class Qualify(Judging):
    """Judge whether the item qualifies; a rule that rejects ends its way with a sentence for each."""
