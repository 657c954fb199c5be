"""The command as a whole: it starts quickly, explains itself, and its examples run."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from shopkeeping import alter

import holdfast
from holdfast._runtime.drive import run_sync
from holdfast.cli.exits import Exit
from holdfast.cli.main import COMMANDS, cli
from holdfast.errors import ApprovalRequired
from holdfast.policies import read_policies
from holdfast.ports import CapChange

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def members(command=cli, name=()):
    """Every command that runs something, with the words that name it."""
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield name, command
    if not isinstance(command, click.Group):
        return
    context = click.Context(command)
    for word in command.list_commands(context):
        found = command.get_command(context, word)
        assert found is not None
        yield from members(found, (*name, word))


ALL = {" ".join(name): command for name, command in members()}
OURS = {name: command for name, command in ALL.items() if name != "demo"}
"""The demo starts processes and has a test of its own."""


def holdfast_process(*args, **more):
    command = [sys.executable, "-m", "holdfast", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def test_the_list_of_commands_says_what_each_says_of_itself():
    said = {
        name: import_module(listed.module).__dict__[name]
        for name, listed in COMMANDS.items()
        if name != "demo"
    }

    assert {name: command.get_short_help_str(200) for name, command in said.items()} == {
        name: COMMANDS[name].says for name in said
    }


def test_help_lists_every_command_and_every_exit_code():
    told = CliRunner().invoke(cli, ["--help"]).stdout
    words = " ".join(told.split())

    assert all(re.search(rf"^  {name} ", told, re.MULTILINE) for name in COMMANDS)
    assert all(f"{code.value} {code.meaning}" in words for code in Exit)


def test_help_imports_no_subcommand_and_no_rich():
    program = """
        import sys
        from holdfast.cli.main import main
        try:
            main(["--help"])
        except SystemExit:
            names = {name for name in sys.modules if name.startswith(("holdfast.cli.", "rich"))}
            print(sorted(names), file=sys.stderr)
    """
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    ).stderr

    names = ("exits", "main", "output", "session")
    assert told.strip() == str([f"holdfast.cli.{name}" for name in names])


def test_rich_is_imported_only_when_a_person_looks(shop):
    program = (
        'import sys; from holdfast.cli.main import main\ntry: main(["effects"])\nexcept SystemExit: pass\n'
    )
    program += 'print("rich" in sys.modules, file=sys.stderr)'
    command = [sys.executable, "-c", program]

    piped = subprocess.run(command, capture_output=True, text=True, check=True)
    ours, theirs = pty.openpty()
    shown = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, check=True)
    os.close(theirs)
    os.close(ours)

    assert piped.stderr == "False\n"
    assert shown.stderr == "True\n"


def test_the_module_and_the_installed_command_are_the_same(shop):
    script = Path(sys.executable).with_name("holdfast")
    installed = subprocess.run([script, "effects"], capture_output=True, text=True, check=True)

    assert holdfast_process("effects").stdout == installed.stdout != ""
    assert holdfast_process("--version").stdout == f"holdfast {holdfast.__version__}\n"


def test_a_process_ends_with_the_promised_code(shop):
    assert holdfast_process("show", "nothing").returncode == 3
    assert holdfast_process("unknown", "--exit-code").returncode == 6
    assert holdfast_process("effects", "--state", "lost").returncode == 2


def test_a_reader_that_leaves_early_is_no_traceback(shop):
    command = f"{shlex.quote(sys.executable)} -m holdfast doctor | true"
    told = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stderr

    assert "Traceback" not in told


def test_an_encoding_that_lacks_a_character_is_no_traceback(home):
    with holdfast.SyncLedger("sqlite:///holdfast.db") as ledger:
        ledger.run(holdfast.ToolCall(workflow_id="grüße 你好", tool="t"), lambda: 1)

    environ = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = holdfast_process("effects", env=environ, encoding="latin-1")

    assert done.returncode == 0
    assert "grüße \\u4f60\\u597d" in done.stdout


def test_an_unknown_command_is_wrong_usage():
    result = CliRunner().invoke(cli, ["efects"])

    assert result.exit_code == 2
    assert "efects" in result.stderr


def examples_of(command):
    return [line.strip() for line in (command.epilog or "").splitlines() if line.startswith("  holdfast ")]


@pytest.mark.parametrize("name", ALL)
def test_every_help_text_has_two_examples(name):
    assert len(examples_of(ALL[name])) >= 2


@pytest.mark.parametrize("name", OURS)
def test_every_example_of_a_help_text_runs(shop, run, name, home, monkeypatch):
    """INT-13: every help text has two runnable examples."""
    (home / "args.json").write_text('{"amount": 250, "currency": "usd"}')
    (home / "src").mkdir()
    for path in ("shop.py", "app.py", "src/app.py"):
        (home / path).write_text(SHOP)
    (home / "policies").mkdir()
    for path in ("policies/shop.yaml", "new.yaml"):
        (home / path).write_text(POLICY)
    monkeypatch.syspath_prepend(home)

    for example in examples_of(OURS[name]):
        sys.modules.pop("shop", None)
        with holdfast.SyncLedger("sqlite:///holdfast.db") as ledger:
            renew_doubt(ledger, shop.doubtful)
        renew_ticket(is_failed=name == "workflows restart")
        digest = renew_question()
        renew_budgets()
        if name == "oversight review":
            example = example.replace("874c4c", drawn())  # noqa: PLW2901 - another call's key
        words = shlex.split(example.partition(" > ")[0].replace("SHA256", digest))[1:]
        if "--every" in words or words[0] in {"worker", "console"}:
            assert ended_after_its_first_line(words) == 0, example
        elif words[0] != "migrate":
            assert run(*words).exit_code == 0, example
        else:
            assert run(*words, "--url", "sqlite:///example.db").exit_code in {0, 1}, example
    sys.modules.pop("shop", None)


def renew_budgets():
    """Have the budgets that the examples are about."""
    places = [("tenant", "usd", ""), ("workflow:order-123", "tool_calls", ""), ("agent:bot", "tokens", "day")]
    with holdfast.SyncLedger("sqlite:///holdfast.db") as ledger:
        store = ledger._engine.parts.store
        run_sync(store.open())
        for account, unit, per in places:
            change = CapChange(
                owner="default",
                account=account,
                unit=unit,
                per=per,
                cap=10**7,
                was=0,
                raised=0,
                at=datetime.now(UTC),
            )
            run_sync(store.budgets.put_cap(change))


def ended_after_its_first_line(words):
    """Run what goes on for ever until it has said something, and ask it to end."""
    command = [sys.executable, "-m", "holdfast", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        process.stdout.readline()
        process.terminate()
        process.stdout.read()
    return process.returncode


POLICY = """
version: 1
tools:
  stripe.charge: {args: {amount: int, currency: string}}
  stripe.refund: {args: {password: string}}
rules:
  - {id: charge, tool: stripe.charge, then: allow}
  - {id: refund, tool: stripe.refund, then: {approve: people}}
chains: {people: {stages: [{role: finance}]}}
tests:
  - {call: {tool: stripe.charge, args: {amount: 1, currency: usd}}, expect: allow}
  - {call: {tool: stripe.refund, args: {password: p}}, expect: ask}
"""

SHOP = """
from holdfast import Done, SyncLedger, Undone

ledger = SyncLedger("sqlite:///holdfast.db")


def refund(undone: Undone): ...


@ledger.workflow
def support(ctx):
    ctx.step("plan", str)
    ctx.step("answer", str)
    ctx.wait_for("replied")


@ledger.tool(
    name="stripe.charge",
    intent="charge_card",
    reconcile=lambda effect: Done({"id": "ch_1"}),
    compensate=refund,
)
def charge(amount, currency): ...
"""


def drawn():
    """A call that rules let pass, and that people are to look at afterwards. Returns how its key begins."""
    rules = """
version: 1
tools: {mail.send: {args: {to: string}}}
sample: [{rate: 100%, tool: mail.send}]
rules: [{id: mail, tool: mail.send, then: allow}]
"""
    policy = read_policies(rules, secret=b"sixteen bytes and some more")
    with holdfast.SyncLedger("sqlite:///holdfast.db", policy=policy) as ledger:
        call = holdfast.ToolCall(workflow_id="order-127", tool="mail.send", args={"to": "bob"})
        return ledger.call(call, lambda to: to).key[3:12]


def renew_doubt(ledger, key):
    """An example may have settled it: make the next one meet it in doubt again."""
    if ledger.effect(key).state != "unknown":
        alter(Path("holdfast.db"), f"UPDATE holdfast_effect SET state = 'unknown' WHERE key = '{key}'")


def renew_question():
    """The question of the examples: it waits for an answer. Returns the fingerprint of what is asked."""
    for table in ("approval", "effect"):
        alter(Path("holdfast.db"), f"DELETE FROM holdfast_{table} WHERE workflow_id = 'order-126'")
    call = holdfast.ToolCall(workflow_id="order-126", tool="stripe.refund", args={"password": "hunter2"})
    with holdfast.SyncLedger("sqlite:///holdfast.db") as ledger:
        with pytest.raises(ApprovalRequired):
            ledger.run(call, lambda **_: None, requires_approval=True)
        return ledger.approvals(workflow_id="order-126")[0].digest


def renew_ticket(*, is_failed):
    """The workflow of the examples: it waits for a reply, or it has failed for want of one."""
    for table in ("execution", "step", "message"):
        alter(Path("holdfast.db"), f"DELETE FROM holdfast_{table}")

    def support(ctx):
        ctx.step("plan", str)
        ctx.step("answer", str)
        if is_failed:
            raise LookupError
        ctx.wait_for("replied")

    with holdfast.SyncLedger("sqlite:///holdfast.db") as ledger:
        ledger.workflow(support).enqueue("ticket-7")
        ledger.drive("ticket-7")


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_every_option_is_in_the_reference(name):
    """INT-13: documented."""
    told = REFERENCE.read_text(encoding="utf-8")
    section = re.search(rf"^##+ `holdfast {re.escape(name)}\b.*?(?=^##+ |\Z)", told, re.MULTILINE | re.DOTALL)
    if section is None:  # or it is a line of its group's table
        section = re.search(rf"^\| `{re.escape(name)}\b.*$", told, re.MULTILINE)

    assert section is not None
    options = {opt for param in ALL[name].params for opt in param.opts if opt.startswith("--")}
    missing = options - {"--url", "--tenant", "--json"} - set(re.findall(r"--[a-z-]+", section[0]))
    assert not missing


def test_every_exit_code_is_in_the_reference():
    told = REFERENCE.read_text(encoding="utf-8")

    assert all(f"| {code.value} | {code.meaning} |" in told for code in Exit)
