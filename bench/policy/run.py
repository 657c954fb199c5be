"""Policy engines side by side: how long a decision takes, and what each says of calls that are odd.

    python bench/policy/run.py [--n 2000] [--rules 6]

One rule of three comparisons, "a charge of 0 < amount <= 50000 in usd or eur", is put to each engine as its own
manual has it, and to holdfast with a policy of that many rules about the tool. Engines that are not installed are
left out, and named: ``pip install cel-expr-python cel-python common-expression-language cedarpy pyyaml``.
Prints Markdown; asserts nothing.
"""

from __future__ import annotations

import argparse
import ast
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

CEL = 'args.currency in ["usd", "eur"] && 0 < args.amount && args.amount <= 50000'
TEXT = CEL.replace("&&", "and")
LIMIT = "args.amount > 50000"
"""Said the other way round, as a rule that denies: what an engine makes of an error then lets a call through."""

GOOD: dict[str, Any] = {"amount": 2000, "currency": "usd"}
ODD: dict[str, dict[str, Any]] = {
    "as meant": GOOD,
    "501.0": {"amount": 501.0, "currency": "usd"},
    "`True`": {"amount": True, "currency": "usd"},
    '`"60000"`': {"amount": "60000", "currency": "usd"},
    "missing": {"currency": "usd"},
    "misspelt": {"Amount": 60000, "currency": "usd"},
    "null": {"amount": None, "currency": "usd"},
    "10**30": {"amount": 10**30, "currency": "usd"},
}
Decide = Callable[[Mapping[str, Any]], Any]


def holdfast_facts(args: Mapping[str, Any]) -> Any:
    from holdfast import ToolCall
    from holdfast._core.contract import Contract
    from holdfast.ports import Facts

    return Facts(
        tenant="default",
        actor="agent",
        workflow_id="order-1",
        tool="charge",
        key="v1:" + "a" * 64,  # type: ignore[arg-type]
        fingerprint="f" * 64,  # type: ignore[arg-type]
        args=args,
        call=ToolCall(tool="charge", args=args),
        contract=Contract(),
        now=datetime.now(UTC),
    )


def holdfast(rules: int, *, is_limit: bool = False) -> Decide:
    from holdfast.policies import PolicySet, Rule, ToolRules, load_policies

    told = [Rule(id="small", tool="charge", when="true" if is_limit else CEL, then="allow")]
    told += [Rule(id="limit", tool="charge", when=LIMIT, then="deny")] if is_limit else []
    told += [
        Rule(
            id=f"other-{n}",
            tool="charge",
            when=f"args.amount > {n + 1}000000 && environment != 'x'",
            then="deny",
        )
        for n in range(rules - len(told))
    ]
    tools = {
        "charge": ToolRules(
            args={"amount": "int", "currency": "string"}, amount="args.amount", currency="usd"
        )
    }
    policies = load_policies(PolicySet(rules=told, tools=tools))
    return lambda args: policies.decide(holdfast_facts(args))


def holdfast_cedar(*, is_limit: bool = False) -> Decide:
    from holdfast.policies.cedar import CedarPolicies

    def charge(amount: int, currency: str) -> None:
        del amount, currency

    policies = CedarPolicies(cedar_text(is_limit=is_limit), tools={"charge": charge})
    return lambda args: policies.decide(holdfast_facts(args))


def cedar_text(*, is_limit: bool) -> str:
    if is_limit:
        return (
            '@id("all") permit (principal, action, resource);\n'
            '@id("limit") forbid (principal, action, resource) when { context.args.amount > 50000 };'
        )
    return (
        '@id("small") permit (principal, action, resource) when { ["usd", "eur"].contains(context.args.currency) '
        "&& 0 < context.args.amount && context.args.amount <= 50000 };"
    )


def cedar(*, is_limit: bool = False) -> Decide:
    import cedarpy

    policies, nobody = (
        cedarpy.PolicySet.from_str(cedar_text(is_limit=is_limit)),
        cedarpy.Entities.from_json_str("[]"),
    )
    request = {"principal": 'Agent::"a"', "action": 'Action::"charge"', "resource": 'Tool::"charge"'}

    def decide(args: Mapping[str, Any]) -> Any:
        return cedarpy.is_authorized({**request, "context": {"args": dict(args)}}, policies, nobody).decision

    return decide


def cel_cpp(*, is_limit: bool = False) -> Decide:
    from cel_expr_python import cel

    kinds = cel.Type
    env = cel.NewEnv(variables={"args.amount": kinds.INT, "args.currency": kinds.STRING})
    expression = env.compile(LIMIT if is_limit else CEL)

    def decide(args: Mapping[str, Any]) -> Any:
        found = expression.eval(data={f"args.{name}": value for name, value in args.items()})
        if found.type() != kinds.BOOL:
            return f"an error value, which is {'true' if found.value() else 'false'} to `if`"
        return verdict(found.value(), is_limit=is_limit)

    return decide


def cel_python(*, is_limit: bool = False) -> Decide:
    import celpy

    env = celpy.Environment()
    program = env.program(env.compile(LIMIT if is_limit else CEL))
    return lambda args: verdict(
        bool(program.evaluate({"args": celpy.json_to_cel(dict(args))})), is_limit=is_limit
    )


def cel_rust(*, is_limit: bool = False) -> Decide:
    import cel

    program = cel.compile(LIMIT if is_limit else CEL)
    return lambda args: verdict(program.execute({"args": dict(args)}), is_limit=is_limit)


class Dotted(dict):
    __getattr__ = dict.__getitem__


KNOWN = (
    ast.Expression,
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.Compare,
    ast.Attribute,
    ast.Name,
    ast.Load,
    ast.List,
)
KNOWN += (ast.Constant, ast.In, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq)


def python_ast(*, is_limit: bool = False) -> Decide:
    tree = ast.parse(LIMIT if is_limit else TEXT, mode="eval")
    assert all(isinstance(node, KNOWN) for node in ast.walk(tree))
    code = compile(tree, "rule", "eval")
    return lambda args: verdict(
        eval(code, {"__builtins__": {}}, {"args": Dotted(args)}),
        is_limit=is_limit,
    )


def verdict(is_true: Any, *, is_limit: bool) -> str:
    return "Allow" if is_true is not is_limit else "Deny"


def measured(decide: Decide, n: int, clock: Callable[[], int]) -> tuple[float, float]:
    """The median and the 95th percentile of a decision, in microseconds."""
    for _ in range(100):
        decide(GOOD)
    taken = []
    for _ in range(n):
        start = clock()
        decide(GOOD)
        taken.append(clock() - start)
    taken.sort()
    return taken[n // 2] / 1000, taken[n * 95 // 100] / 1000


def told(decide: Decide, args: Mapping[str, Any]) -> str:
    try:
        found = decide(args)
    except Exception as error:
        return f"raises {type(error).__name__}"
    text = found if isinstance(found, str) else type(found).__name__
    return str(found).rpartition(".")[2] if text == "Decision" else text


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--rules", type=int, nargs="*", default=[1, 6, 20, 100])
    given = parser.parse_args()
    engines: dict[str, Callable[..., Decide]] = {
        **{f"holdfast, {n} rules": lambda n=n, **how: holdfast(n, **how) for n in given.rules},
        "holdfast on Cedar": holdfast_cedar,
        "cel-expr-python": cel_cpp,
        "common-expression-language": cel_rust,
        "cel-python": cel_python,
        "cedarpy, no schema": cedar,
        "checked Python ast": python_ast,
    }
    made: dict[str, tuple[Decide, Decide]] = {}
    for name, make in engines.items():
        try:
            made[name] = make(), make(is_limit=True)
        except ImportError as error:
            print(f"left out: {name} ({error})", file=sys.stderr)
    print("| engine | p50, µs | p95, µs | p50 of CPU, µs | p95 of CPU, µs |\n| - | - | - | - | - |")
    for name, (decide, _) in made.items():
        # On a busy machine the clock on the wall tells of the neighbours: the thread's own time is the decision's.
        figures = (
            *measured(decide, given.n, time.perf_counter_ns),
            *measured(decide, given.n, time.thread_time_ns),
        )
        print(f"| {name} | {' | '.join(f'{figure:.0f}' for figure in figures)} |")
    for head, which in (("allow up to the limit", 0), ("allow, but deny above the limit", 1)):
        print(f"\n| {head} | {' | '.join(ODD)} |\n|{' - |' * (len(ODD) + 1)}")
        for name, both in made.items():
            print(f"| {name} | {' | '.join(told(both[which], args) for args in ODD.values())} |")


if __name__ == "__main__":
    main()
