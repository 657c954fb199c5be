"""Whom to ask when several parts of a policy want people to decide: one chain with all that any needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from holdfast._core.chain import RISKS, Chain, Risk, Stage
from holdfast.policies.model import ChainRules


def joined(
    names: Iterable[str], chains: Mapping[str, ChainRules], stages: Iterable[Stage], owner: str
) -> Chain | None:
    """Return the chain of the question; ``None`` when no stage is left, so that nobody could approve it.

    Args:
        names: The chains that are wanted.
        stages: Those of their stages that apply, in order; what two chains ask alike is asked once.
        owner: Who answers for the agent, and so never decides; empty when nobody is known.
    """
    wanted = sorted(set(names))
    asked = tuple(dict.fromkeys(stages))
    if not asked:
        return None
    apart = {one for name in wanted for one in chains[name].apart}
    if owner:
        apart.add(owner)
    return Chain(
        name="+".join(wanted),
        stages=asked,
        valid_s=min(chains[name].valid_s for name in wanted),
        apart=tuple(sorted(apart)),
        risk=_highest([chains[name].risk for name in wanted]),
    )


def _highest(risks: Iterable[Risk]) -> Risk:
    return RISKS[max(map(RISKS.index, risks))]
