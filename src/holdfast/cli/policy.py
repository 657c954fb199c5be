"""``holdfast policy``: rules are checked and tried before they are in force."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import click

from holdfast._core.contract import Contract
from holdfast.cli.app import load_ledger
from holdfast.cli.exits import Exit, Refused
from holdfast.cli.output import Line, counted, listing, ndjson, say, tsv
from holdfast.cli.policy_replay import replay
from holdfast.cli.session import Session, examples, session_options
from holdfast.errors import InvalidPolicy
from holdfast.policies import Policies, load_policies
from holdfast.policies.trying import Trial, facts_of, ruled, try_tests, word
from holdfast.ports import Ask, Verdict

_VERDICTS: Final = {"allow": Exit.DONE, "ask": Exit.WAITING, "deny": Exit.DENIED}
_HEADS: Final = ("what", "name", "ok", "expected", "verdict", "rule", "why")
_FILES: Final = click.argument(
    "files", nargs=-1, required=True, metavar="FILES", type=click.Path(exists=True, path_type=Path)
)
_APP: Final = click.option(
    "--app",
    metavar="MODULE:LEDGER",
    help="The ledger that has the tools; else the policy declares them.",
)


@click.group(epilog=examples("holdfast policy check policies", "holdfast policy test policies"))
def policy() -> None:
    """Check, try and replay the rules on which calls are allowed.

    FILES are one policy together; a directory stands for all *.yaml in it.
    """


@policy.command(epilog=examples("holdfast policy check policies", "holdfast policy check new.yaml --json"))
@_FILES
@_APP
@session_options
@click.pass_obj
def check(session: Session, files: Sequence[Path], app: str | None) -> None:
    """Say whether a policy can be used, or what is wrong, where, and how to mend it.

    Exits with 1 when it cannot. Columns in a pipe: version, rules, chains, tools.
    """
    policies, _ = loaded(files, app)
    told = policies.policy
    if session.as_json:
        names = [rule.id for rule in told.rules]
        ndjson(
            {
                "version": policies.version,
                "rules": names,
                "chains": sorted(told.chains),
                "tools": list(policies.tools),
            }
        )
    else:
        tsv((policies.version, str(len(told.rules)), str(len(told.chains)), str(len(policies.tools))))
    rules = counted(len(told.rules), "rule")
    say(f"{rules} about {counted(len(policies.tools), 'tool')}: whatever none of them allows is denied")


@policy.command(
    epilog=examples("holdfast policy test policies", "holdfast policy test policies --all-rules --json")
)
@_FILES
@_APP
@click.option("--all-rules", is_flag=True, help="Exit with 1 when a rule counted in no test.")
@session_options
@click.pass_obj
def test(session: Session, files: Sequence[Path], app: str | None, *, all_rules: bool) -> None:
    """Try the examples that a policy brings along, and list the rules that counted in none of them.

    Exits with 1 when an answer is not the expected one, or there are no examples.
    Columns in a pipe: what (test, never), name, ok, expected, verdict, rule, why.
    """
    policies, contracts = loaded(files, app)
    trial = try_tests(policies, contracts)
    listing(_HEADS, _trial_lines(trial), as_json=session.as_json)
    failed = [one for one in trial.tried if one.wrong]
    say(f"{counted(len(trial.tried), 'test')}, {len(failed)} not as expected")
    if trial.never:
        say(f"never counted: {', '.join(trial.never)}")
    if failed or not trial.tried or (all_rules and trial.never):
        raise click.exceptions.Exit(Exit.FAILED)


def _trial_lines(trial: Trial) -> list[Line]:
    lines: list[Line] = []
    for one in trial.tried:
        verdict, rule = word(one.verdict), one.verdict.rule
        why = one.wrong or one.verdict.reason
        ok = "no" if one.wrong else "yes"
        lines.append(_trial_line("test", one.name, ok, one.expected, verdict, rule, why))
    lines += [_trial_line("never", name, "", "", "", name, "it counted in no test") for name in trial.never]
    return lines


def _trial_line(what: str, name: str, ok: str, expected: str, verdict: str, rule: str, why: str) -> Line:
    fields = {
        "what": what,
        "name": name,
        "ok": ok == "yes" if ok else None,
        "expected": expected or None,
        "verdict": verdict or None,
        "rule": rule,
        "why": why,
    }
    return Line(fields=fields, cells=(what, name, ok, expected, verdict, rule, why))


@policy.command(
    epilog=examples(
        """holdfast policy simulate policies --call '{"tool": "pay", "args": {"amount": 501}}'""",
        "holdfast policy simulate new.yaml --since 7d",
        "holdfast policy simulate new.yaml --against policies --since 7d --json",
    )
)
@_FILES
@_APP
@click.option("--call", metavar="JSON", help="One call: tool, args, and perhaps actor, confidence, now ...")
@click.option("--since", metavar="WHEN", help="The calls on record since then: 7d, or 2026-01-31T09:00:00Z.")
@click.option(
    "--against",
    multiple=True,
    metavar="FILES",
    type=click.Path(exists=True, path_type=Path),
    help="Compare with these rules instead of with what the record shows.",
)
@click.option("--confidence", type=click.FloatRange(0, 1), help="How sure agents were: it is not on record.")
@click.option("--limit", type=click.IntRange(min=1), default=10_000, show_default=True, help="So many.")
@click.option("--exit-code", is_flag=True, help="With --call: exit with 5 when it asks, 4 when it denies.")
@session_options
@click.pass_obj
def simulate(
    session: Session,
    files: Sequence[Path],
    app: str | None,
    call: str | None,
    since: str | None,
    against: Sequence[Path],
    confidence: float | None,
    limit: int,
    *,
    exit_code: bool,
) -> None:
    """Say what a policy would decide: of one call, or of the calls that are on record.

    Of recorded calls it lists those that would be decided otherwise, and exits with 1 when there are any.
    Columns in a pipe: for one call verdict, rule, chain, reason, version; for recorded ones key, tool,
    workflow, before, now, rule, reason.
    """
    if (call is None) is (since is None):
        raise Refused("nothing says which calls", "pass --call JSON, or --since WHEN")
    policies, contracts = loaded(files, app)
    if call is not None:
        _one(session, policies, _read(call), contracts, exit_code=exit_code)
        return
    earlier = loaded(against, app)[0] if against else None
    changed = replay(
        session, policies, earlier, contracts, since=str(since), confidence=confidence, limit=limit
    )
    if changed:
        raise click.exceptions.Exit(Exit.FAILED)


def _read(call: str) -> Mapping[str, Any]:
    try:
        told: Any = json.loads(call)
    except (ValueError, RecursionError) as error:
        raise Refused("--call is no JSON", 'give {"tool": "...", "args": {...}}') from error
    if not isinstance(told, dict):
        raise Refused("--call is no JSON object", 'give {"tool": "...", "args": {...}}')
    return cast("dict[str, Any]", told)


def _one(
    session: Session,
    policies: Policies,
    call: Mapping[str, Any],
    contracts: Mapping[str, Contract],
    *,
    exit_code: bool,
) -> None:
    try:
        facts = facts_of(call, where="--call", contract=contracts.get(str(call.get("tool"))))
    except InvalidPolicy as error:
        raise Refused(f"--call: {error.what}", error.fix) from error
    verdict = ruled(policies, facts)
    fields = verdict_fields(verdict)
    if session.as_json:
        ndjson(fields)
    else:
        tsv(str(fields[name] or "") for name in ("verdict", "rule", "chain", "reason", "policy"))
    if exit_code:
        raise click.exceptions.Exit(_VERDICTS[word(verdict)])


def verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """Return what ``--json`` prints of a verdict."""
    chain = verdict.chain if isinstance(verdict, Ask) else None
    stages = () if chain is None else chain.stages
    return {
        "verdict": word(verdict),
        "rule": verdict.rule,
        "reason": verdict.reason,
        "chain": None if chain is None else chain.name,
        "stages": [{"role": stage.role, "quorum": stage.quorum} for stage in stages],
        "policy": verdict.policy,
    }


def loaded(files: Sequence[Path], app: str | None) -> tuple[Policies, Mapping[str, Contract]]:
    """Return a policy, and the contracts of the tools that it is about as far as they are known.

    Nobody is sampled by the command line, so any secret will do.
    """
    tools: Mapping[str, Any] | None = None
    contracts: dict[str, Contract] = {}
    if app is not None:
        ledger = load_ledger(app)
        tools = dict(ledger._engine.shared.tools)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        contracts = {name: known.contract for name, known in tools.items()}
    return load_policies(list(files), tools=tools, secret=secrets.token_bytes(32)), contracts
