"""The page on the format says what the format is: its example is a policy, and it names everything there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdfast.policies import read_policies
from holdfast.policies.trying import try_tests
from policies.shop_rules import SECRET

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "policies.md").read_text(encoding="utf-8")
SOURCES = [
    (ROOT / "src" / "holdfast" / "policies" / name).read_text(encoding="utf-8")
    for name in ("reading.py", "reading_chains.py")
]


def test_the_example_of_the_format_is_a_policy_and_its_tests_come_out() -> None:
    """INT-09."""
    [text] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

    trial = try_tests(read_policies(text, secret=SECRET))

    assert [one.wrong for one in trial.tried] == [""]


def charge(amount: int, currency: str, customer: str) -> None:
    """As the guide has it."""


def find_customer(name: str) -> None:
    """The same."""


def test_the_tests_of_the_guides_policy_come_out() -> None:
    """INT-09."""
    guide = (ROOT / "docs" / "how-to" / "policies.md").read_text(encoding="utf-8")
    [text] = re.findall(r'^POLICY = """\n(.*?)^"""$', guide, re.MULTILINE | re.DOTALL)

    trial = try_tests(read_policies(text, tools={"stripe.charge": charge, "crm.find": find_customer}))

    assert [one.wrong for one in trial.tried] == ["", "", ""]


def known() -> set[str]:
    """Every name that the files may use."""
    calls = [found for source in SOURCES for found in re.findall(r"only\(\w+, \w+, ([^)]*)\)", source)]
    return {name for call in calls for name in re.findall(r'"(\w+)"', call)}


@pytest.mark.parametrize("name", sorted(known()))
def test_every_name_of_the_format_is_on_its_page(name: str) -> None:
    """INT-09."""
    assert len(known()) > 30
    assert re.search(rf"\b{name}\b", PAGE)


def test_every_fact_that_conditions_see_is_on_the_page() -> None:
    """INT-09."""
    from holdfast.policies.cel import _FACT_NAMES

    assert all(f"`{name}`" in PAGE for name in _FACT_NAMES)
