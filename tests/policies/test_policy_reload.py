"""SEC-13 and attack 54: changed rules are in force without a restart, broken ones never, and people hear of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from holdfast.errors import InvalidPolicy
from holdfast.policies import PolicyChange, WatchedPolicies
from policies.shop_rules import SECRET, SHOP, charge, said

TIGHTER = SHOP.replace("args.amount <= 50000\n    then: allow", "args.amount <= 1000\n    then: allow")


class Desk:
    """A policy's file, a clock that is moved by hand, and what was told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: list[PolicyChange] = []
        self.now = 0.0
        path.write_text(SHOP)
        self.policies = WatchedPolicies(
            path, secret=SECRET, on_change=self.told.append, clock=lambda: self.now
        )

    def says(self) -> str:
        self.policies.needs(charge())
        return said(self.policies.decide(charge()))

    def looks(self, times: int = 2) -> None:
        for _ in range(times):
            self.now += 1
            self.says()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "shop.yaml")


def test_a_changed_file_is_in_force_without_a_restart_and_its_version_is_in_the_verdict(desk: Desk) -> None:
    """SEC-13."""
    before = desk.policies.version
    assert desk.says() == "allow"

    desk.path.write_text(TIGHTER)
    desk.looks()

    assert desk.says() == "deny"
    verdict = desk.policies.decide(charge())
    assert verdict.policy == desk.policies.version != before
    assert [change.code for change in desk.told] == ["policy_loaded"]


BROKEN = {
    "no YAML": "version: 1\nrules: [",
    "empty": "",
    "allow by default": SHOP.replace("default: deny", "default: allow"),
    "a misspelt argument": SHOP.replace("args.amount <= 50000", "args.amuont <= 50000"),
    "an anchor": SHOP.replace("{role: operator}", "&a {role: operator}"),
    "no UTF-8": "\udcff",
    "half of it": SHOP[: len(SHOP) // 2],
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_changes_nothing_and_is_told_once(
    desk: Desk, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Attack 54."""
    before = desk.policies.version

    desk.path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with caplog.at_level(logging.ERROR, "holdfast.policies"):
        desk.looks(5)

    assert (desk.says(), desk.policies.version) == ("allow", before)
    [told] = desk.told
    assert (told.code, told.version) == ("policy_broken", before)
    assert "shop.yaml" in told.message
    assert f"version {before[:12]} stays in force" in told.message
    assert len(caplog.records) == 1


def test_a_file_that_is_gone_changes_nothing(desk: Desk) -> None:
    """Attack 54: neither does one that may not be read."""
    desk.path.unlink()
    desk.looks()

    assert desk.says() == "allow"
    assert [change.code for change in desk.told] == ["policy_broken"]


def test_a_mended_file_is_in_force_again(desk: Desk) -> None:
    """Attack 54."""
    desk.path.write_text("rules: [")
    desk.looks()
    desk.path.write_text(TIGHTER)
    desk.looks()

    assert desk.says() == "deny"
    assert [change.code for change in desk.told] == ["policy_broken", "policy_loaded"]


def test_a_file_that_is_being_written_is_not_taken_half(desk: Desk) -> None:
    """Attack 54: the first half of a policy may be a policy, without the rule that denies at its end."""
    half = SHOP.replace("then: deny\n", "then: allow\n")
    desk.path.write_text(half)
    desk.looks(1)
    before = desk.policies.version
    desk.path.write_text(TIGHTER)
    desk.looks(1)

    assert desk.policies.version == before
    desk.looks(1)
    assert desk.says() == "deny"
    assert len(desk.told) == 1


def test_nobody_looks_more_often_than_said(desk: Desk) -> None:
    desk.path.write_text(TIGHTER)
    desk.now += 0.9
    desk.says()
    desk.says()
    assert desk.told == []

    desk.looks(1)
    desk.now += 0.5
    assert desk.says() == "allow"


def test_who_is_told_to_look_takes_what_is_there_or_says_why_not(desk: Desk) -> None:
    desk.path.write_text(TIGHTER)
    desk.policies.reload()
    assert desk.says() == "deny"

    desk.path.write_text("")
    with pytest.raises(InvalidPolicy):
        desk.policies.reload()
    assert desk.says() == "deny"
    assert [change.code for change in desk.told] == ["policy_loaded", "policy_broken"]


def test_other_bytes_of_the_same_meaning_are_no_change(desk: Desk) -> None:
    desk.path.write_text("# a remark\n" + SHOP)
    desk.looks(3)

    assert desk.told == []


def test_a_new_file_in_a_directory_is_part_of_the_policy(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SHOP)
    policies = WatchedPolicies(tmp_path, secret=SECRET)

    (tmp_path / "b.yaml").write_text("version: 1\nrules: [{id: never, tool: '*', then: deny}]\n")
    policies.reload()

    assert policies.decide(charge()).rule == "never"


def test_a_listener_that_raises_stops_no_decision(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SHOP)

    def deaf(change: PolicyChange) -> None:
        raise RuntimeError(change.code)

    policies = WatchedPolicies(tmp_path, secret=SECRET, on_change=deaf)
    (tmp_path / "a.yaml").write_text(TIGHTER)
    policies.reload()

    assert said(policies.decide(charge())) == "deny"


def test_there_is_no_beginning_with_a_broken_file(tmp_path: Path) -> None:
    """Attack 53: nothing good was there before."""
    (tmp_path / "a.yaml").write_text("rules: [")

    with pytest.raises(InvalidPolicy):
        WatchedPolicies(tmp_path)
