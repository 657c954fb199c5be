"""SEC-13: rules are checked against the tools' own code: annotations, defaults, and pydantic's models."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from holdfast import Effect, SyncLedger
from holdfast._core.contract import Contract
from holdfast.errors import InvalidPolicy
from holdfast.ledger.undo import Registered
from holdfast.policies import Policies, PolicySet, Rule, ToolRules, read_policies
from holdfast.policies.shapes import ArgType
from holdfast.policies.signatures import shape_of_tool
from policies.shop_rules import facts, said


class Speed(enum.Enum):
    SLOW = "slow"
    FAST = "fast"


class Address(BaseModel):
    country: str
    zip: str = "00000"


class Order(BaseModel):
    amount: int
    address: Address
    lines: list[Address] = []
    made: list[str] = Field(default_factory=list)
    card: str = Field(alias="cardNumber", default="")


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    amount: int


def typed(
    amount: int,
    rate: float,
    tags: list[str],
    limits: dict[str, int],
    kind: Literal["a", "b"],
    speed: Speed = Speed.SLOW,
    note: str | None = None,
    cents: Annotated[int, "minor units"] = 0,
    *,
    effect: Effect,
) -> None:
    """Everything that a rule may look at, and the effect, which no call brings."""


def policy(when: str, handler: Any, then: str = "allow", **more: Any) -> Policies:
    rules = [Rule(id="only", tool="pay", when=when, then=then)]  # type: ignore[arg-type]
    return Policies(PolicySet(rules=rules, **more), tools={"pay": handler})


def test_annotations_are_types() -> None:
    """SEC-13."""
    arguments = shape_of_tool(typed).arguments

    assert {name.removeprefix("args."): str(one.type) for name, one in arguments.items()} == {
        "amount": "int",
        "rate": "float",
        "tags": "list(string)",
        "limits": "map(int)",
        "kind": "string",
        "speed": "string",
        "note": "string or null",
        "cents": "int",
    }
    assert arguments["args.kind"].type == ArgType("string", among=("a", "b"))


def test_a_rule_that_does_not_fit_the_code_is_refused_when_it_is_loaded() -> None:
    """SEC-13."""
    fits = (
        'args.amount > 5 && args.speed == "fast" && (args.note == null || args.note != "") && args.rate < 0.5'
    )

    policy(fits, typed)
    for when in (
        'args.amount == "5"',
        "args.amout > 5",
        "args.note > 5",
        "args.effect == null",
        "args.tags > 5",
    ):
        with pytest.raises(InvalidPolicy):
            policy(when, typed)


CALL = {"amount": 6, "rate": 0.1, "tags": ["a"], "limits": {"x": 1}, "kind": "a"}


@pytest.mark.parametrize(
    ("change", "when", "expected"),
    [
        ({}, 'args.speed == "slow" && args.note == null && args.cents == 0', "allow"),
        ({"speed": "fast"}, 'args.speed == "fast"', "allow"),
        ({"speed": "faster"}, 'args.speed != "fast"', "deny"),
        ({"kind": "c"}, 'args.kind != "a"', "deny"),
        ({"rate": 1}, "args.rate == 1.0", "allow"),
        ({"rate": 2**53 + 1}, "args.rate > 1.0", "deny"),
        ({"rate": True}, "args.rate == 1.0", "deny"),
        ({"limits": {"x": "1"}}, 'args.limits["x"] == 1', "deny"),
        ({"limits": {"x": 1}}, "args.limits.x == 1", "allow"),
        ({"tags": "abc"}, '"a" in args.tags', "deny"),
        ({"tags": [1]}, '"a" in args.tags', "deny"),
        ({"note": 5}, "args.note != null", "deny"),
        ({"extra": 1}, "true", "deny"),
        ({"effect": {}}, "true", "deny"),
    ],
)
def test_a_call_is_read_as_the_code_declares_it(change: dict[str, Any], when: str, expected: str) -> None:
    """Attack 52: what is left out is the function's own default; options are only those that there are."""
    assert said(policy(when, typed).decide(facts("pay", CALL | change))) == expected


def untyped(amount, **rest):
    """A function that says nothing of its arguments."""


def odd(
    items: list[dict[str, Any]],
    when: int = None,  # type: ignore[assignment] # noqa: RUF013 - as people write it
    either: int | str = 1,
    many: tuple[int, ...] = (),
) -> None:
    """Types of which a rule could not be checked, and one of which it can."""


def test_what_cannot_be_checked_cannot_be_touched_unless_the_policy_declares_it() -> None:
    """SEC-13."""
    for handler, name in ((untyped, "amount"), (odd, "items"), (odd, "when"), (odd, "either")):
        with pytest.raises(InvalidPolicy, match=f"args.{name}"):
            policy(f"args.{name} == args.{name}", handler)
    policy("args.many.size() < 5", odd)

    declared = policy("args.amount > 5", untyped, tools={"pay": ToolRules(args={"amount": "int"})})
    assert said(declared.decide(facts("pay", {"amount": 6, "other": "x"}))) == "allow"
    assert said(declared.decide(facts("pay", {"amount": "6"}))) == "deny"


def test_what_a_policy_declares_and_the_code_says_otherwise_is_refused() -> None:
    """SEC-13: a file that has stayed behind the code."""
    wrong = [
        ToolRules(args={"amount": "string"}),
        ToolRules(args={"amout": "int"}),
        ToolRules(args={"amount": "int"}, optional={"amount": 0}),
        ToolRules(args={"cents": "int"}, optional={"cents": 1}),
        ToolRules(args={"cents": "int"}),
    ]
    for told in wrong:
        with pytest.raises(InvalidPolicy, match="tool pay"):
            policy("true", typed, tools={"pay": told})
    with pytest.raises(InvalidPolicy, match="no such tool"):
        policy("true", typed, tools={"pey": ToolRules(args={})})
    policy("true", typed, tools={"pay": ToolRules(args={"cents": "int"}, optional={"cents": 0})})


def test_members_of_models_are_arguments_of_their_own() -> None:
    """SEC-13."""

    def pay(order: Order) -> None:
        del order

    policies = policy('args.order.amount < 10 && args.order.address.zip == "00000"', pay)
    order: dict[str, Any] = {"amount": 1, "address": {"country": "de"}}

    assert said(policies.decide(facts("pay", {"order": order}))) == "allow"
    for wrong in (
        {"amount": "1", "address": {"country": "de"}},
        {"amount": 1, "address": {"country": "de", "Zip": "66666"}},
        {"amount": 1, "address": "de"},
        {"amount": 1, "address": None},
        {"amount": 1, "address": {"country": "de", "zip": None}},
        {"amount": 1, "amount_": 2, "address": {"country": "de"}},
        5,
        None,
        [order],
    ):
        assert said(policies.decide(facts("pay", {"order": wrong}))) == "deny", wrong
    for when in (
        "args.order.lines == []",
        "args.order.made == []",
        'args.order.card == ""',
        "args.order == 5",
    ):
        with pytest.raises(InvalidPolicy):
            policy(when, pay)


def test_a_schema_says_what_its_handler_does_not() -> None:
    """SEC-13: a tool's `schema=`, a model or its way in."""

    def plain(amount, address, note="x"):
        del amount, address, note

    for schema in (Order, Order.model_validate):
        tool = Registered(plain, Contract(schema=schema))
        policies = policy("args.amount < 5", tool)
        address = {"country": "de"}
        assert said(policies.decide(facts("pay", {"amount": 1, "address": address}))) == "allow"
        assert said(policies.decide(facts("pay", {"amount": "1", "address": address}))) == "deny"
        with pytest.raises(InvalidPolicy):
            policy("args.note == 'x'", tool)


def test_a_model_that_takes_more_takes_more() -> None:
    policies = policy("args.amount < 5", Loose)

    assert said(policies.decide(facts("pay", {"amount": 1, "other": 2}))) == "allow"


def test_declared_tools_are_known_by_their_own_names() -> None:
    """SEC-13: the ledger's own tools; rules about no tool of theirs are refused."""
    with SyncLedger("sqlite:///:memory:") as ledger:

        @ledger.tool("stripe.charge")
        def pay(amount: int, currency: str = "usd") -> None:
            del amount, currency

        text = (
            "version: 1\nrules: [{id: a, tool: stripe.charge, when: 'args.currency == \"usd\"', then: allow}]"
        )
        policies = read_policies(text, tools=[pay])

        assert said(policies.decide(facts("stripe.charge", {"amount": 1}))) == "allow"
        with pytest.raises(InvalidPolicy, match=r"the tools are: stripe\.charge"):
            read_policies(text.replace("tool: stripe.charge", "tool: stripe.refund"), tools=[pay])


@pytest.mark.parametrize("name", ["pay ", "p\u0430y", "pay*", "", "pay\n", "p" * 201])
def test_a_tool_whose_name_could_be_taken_for_another_cannot_be_ruled_on(name: str) -> None:
    """Attack 52."""
    with pytest.raises(InvalidPolicy, match="visible ASCII"):
        Policies(PolicySet(rules=[Rule(id="a", tool="*", then="allow")]), tools={name: typed, "ok": typed})


def test_things_that_are_no_tools_are_refused() -> None:
    with pytest.raises(InvalidPolicy, match="has no name"):
        Policies(PolicySet(rules=[Rule(id="a", tool="*", then="allow")]), tools=[5])
    with pytest.raises(InvalidPolicy, match="knows no tools"):
        Policies(PolicySet(rules=[Rule(id="a", tool="*", then="allow")]), tools={})
