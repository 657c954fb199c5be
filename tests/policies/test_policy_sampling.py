"""HIT-13: a share of what was allowed is looked at, always the same calls, and nobody knows which."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from holdfast.policies import Policies
from holdfast.policies.sampling import is_sampled
from holdfast.ports import Allow
from policies.shop_rules import SECRET, charge, shop

KEYS = [f"v1:{number:064x}" for number in range(10_000)]


def sampled(policies: Policies, keys: list[str] = KEYS) -> set[str]:
    found = set()
    for key in keys:
        verdict = policies.decide(replace(charge(), key=key))
        assert isinstance(verdict, Allow)
        found |= {key} if verdict.sampled else set()
    return found


def test_of_ten_thousand_allowed_calls_a_tenth_is_sampled_within_one_percent() -> None:
    """HIT-13."""
    assert 900 <= len(sampled(shop("sample: {rate: 10%}\n"))) <= 1_100


def test_the_same_call_is_always_sampled_or_never_also_in_another_process() -> None:
    """HIT-13: after a restart, on another worker."""
    program = (
        "from holdfast.policies.sampling import is_sampled\n"
        f"print([n for n in range(500) if is_sampled({SECRET!r}, f'v1:{{n:064x}}', 0.1)])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    here = [n for n, key in enumerate(KEYS[:500]) if is_sampled(SECRET, key, 0.1)]
    assert told.strip() == str(here)
    assert sampled(shop("sample: {rate: 10%}\n"), KEYS[:500]) == {KEYS[n] for n in here}


def test_without_the_secret_nobody_can_tell_which() -> None:
    """HIT-13: by another secret other calls are sampled."""
    ours = {key for key in KEYS if is_sampled(SECRET, key, 0.1)}
    theirs = {key for key in KEYS if is_sampled(b"a guess of sixteen bytes", key, 0.1)}

    assert 50 <= len(ours & theirs) <= 150  # as two that have nothing to do with each other


def test_a_larger_share_has_the_smaller_one_in_it() -> None:
    small = {key for key in KEYS if is_sampled(SECRET, key, 0.05)}
    large = {key for key in KEYS if is_sampled(SECRET, key, 0.2)}

    assert small < large
    assert {key for key in KEYS[:100] if is_sampled(SECRET, key, 1.0)} == set(KEYS[:100])
    assert not any(is_sampled(SECRET, key, 0.0) for key in KEYS[:100])


def test_what_is_riskier_is_sampled_more() -> None:
    """HIT-13: stratified, by tool; of several shares the largest holds."""
    extra = (
        "sample: [{rate: 0%, tool: '*'}, {rate: 100%, tool: 'stripe.*'}, {rate: 1%, tool: stripe.charge}]\n"
    )

    assert sampled(shop(extra), KEYS[:200]) == set(KEYS[:200])
    assert not sampled(shop("sample: {rate: 100%, tool: mail.send}\n"), KEYS[:200])


def test_what_people_decide_anyway_is_not_sampled() -> None:
    policies = shop("sample: {rate: 100%}\n")

    assert not hasattr(policies.decide(charge(amount=60_000)), "sampled")
