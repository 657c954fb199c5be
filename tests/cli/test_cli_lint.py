"""DUR-06: `holdfast lint` lists what workflows do outside of a step; it reads their code and never runs it."""

from __future__ import annotations

import pytest
from shopkeeping import on_terminal, uncoloured

from holdfast.cli.slips import slips

HEAD = """
import asyncio, datetime as dt, os, random, time, uuid
import requests, httpx, subprocess, secrets, shutil, smtplib, urllib.request, aiohttp, boto3, stripe
from datetime import date, datetime
from time import sleep as nap
from os import environ, getenv
from random import choice
from uuid import uuid4 as fresh
import holdfast

ledger = holdfast.Ledger()
"""


def found(body, head=HEAD, decorator="@ledger.workflow"):
    """The calls that are found in a workflow of that body."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return [slip.call for slip in slips(f"{head}\n{decorator}\nasync def flow(ctx, order):\n{lines}\n")]


CALLS = [
    *("time.time()", "time.monotonic()", "time.perf_counter()", "time.sleep(1)", "nap(1)"),
    *("datetime.now()", "datetime.utcnow()", "datetime.today()", "date.today()", "dt.datetime.now()"),
    *("uuid.uuid4()", "uuid.uuid1()", "fresh()", "os.urandom(8)"),
    *("random.random()", "random.choice([1])", "choice([1])", "secrets.token_hex()"),
    *("os.environ.get('A')", "environ.get('A')", "os.getenv('A')", "getenv('A')"),
    *("open('f')", "input()", "requests.post('u')", "httpx.get('u')", "aiohttp.request('GET', 'u')"),
    *("urllib.request.urlopen('u')", "smtplib.SMTP('h')", "subprocess.run(['ls'])", "shutil.rmtree('d')"),
    *("boto3.client('s3')", "stripe.Charge.create()", "asyncio.sleep(1)"),
]


@pytest.mark.parametrize("call", CALLS)
def test_each_kind_of_slip_is_found_under_whatever_name_it_was_imported(call):
    """DUR-06."""
    assert found(f"return {call}") == [call.partition("(")[0]]


@pytest.mark.parametrize(
    "body",
    [
        "return await ctx.now()",
        "return await ctx.step('read', requests.get, 'u')",
        "return await ctx.step('read', lambda: requests.get('u'))",
        "def read():\n    return requests.get('u')\nreturn await ctx.step('read', read)",
        "async def read():\n    return time.time()\nreturn await ctx.step('read', read, timeout='1s')",
        "await ctx.sleep('1s')",
        "return order.time()",
        "random = await ctx.random()\nreturn random",
    ],
)
def test_what_a_step_is_given_and_what_the_context_answers_is_no_slip(body):
    """DUR-06."""
    assert found(body) == []


@pytest.mark.parametrize(
    "body",
    [
        "def helper():\n    return time.time()\nreturn helper()",
        "for _ in range(3):\n    x = time.time()",
        "return [time.time() for _ in range(3)]",
        "try:\n    pass\nfinally:\n    time.time()",
        "return await ctx.step('s', str, time.time())",
        "async with asyncio.timeout(time.time()):\n    pass",
        "with open('f') as f:\n    pass",
    ],
)
def test_wherever_in_the_code_it_stands_it_is_found(body):
    """DUR-06: the arguments of a step are made outside of it."""
    assert len(found(body)) == 1


@pytest.mark.parametrize(
    "decorator", ["@ledger.workflow", "@ledger.workflow(name='x')", "@app.ledger.workflow()"]
)
def test_every_form_of_declaration_is_known(decorator):
    assert found("time.time()", decorator=decorator) == ["time.time"]


@pytest.mark.parametrize("decorator", ["@ledger.tool()", "@staticmethod", "@other"])
def test_what_is_no_workflow_may_do_what_it_likes(decorator):
    assert found("time.time()", decorator=decorator) == []


def test_a_name_of_ones_own_is_not_taken_for_a_module():
    assert found("return time.time()", head="from mine import ledger, time as clock\ntime = clock") == []


def test_a_slip_says_where_who_what_and_what_instead():
    [slip] = slips(f"{HEAD}\n@ledger.workflow\ndef flow(ctx):\n    return time.time()\n")

    assert (slip.workflow, slip.call) == ("flow", "time.time")
    assert HEAD.count("\n") + 4 == slip.line
    assert "use `ctx.now()`" in slip.instead


SLIPPING = """
import time
from holdfast import Ledger

raise SystemExit("this module was executed")
ledger = Ledger()

@ledger.workflow
async def second(ctx):
    open("x")

@ledger.workflow
async def first(ctx):
    time.time()
    time.sleep(1)
"""


@pytest.fixture
def tree(home):
    """A project with slips in one module, a clean one, and what is no Python."""
    (home / "src" / "deep").mkdir(parents=True)
    (home / "src" / "deep" / "app.py").write_text(SLIPPING)
    (home / "src" / "clean.py").write_text("x = 1\n")
    (home / "src" / "notes.txt").write_text("no Python at all (")
    return home


def test_a_directory_is_read_whole_and_nothing_is_executed(tree, run, read):
    """DUR-06: exit 1, for CI; the columns and the fields are a contract."""
    result = run("lint", "src")
    rows = [line.split("\t") for line in result.stdout.splitlines()]

    assert result.exit_code == 1
    assert [row[:3] for row in rows] == [
        ["src/deep/app.py:10", "second", "open"],
        ["src/deep/app.py:14", "first", "time.time"],
        ["src/deep/app.py:15", "first", "time.sleep"],
    ]
    assert {len(row) for row in rows} == {4}
    assert result.stderr == "3 calls outside of a step\n"
    assert [list(line) for line in read("lint", "src")] == [
        ["path", "line", "workflow", "call", "instead"]
    ] * 3


def test_where_nothing_is_found_that_is_said(tree, run):
    result = run("lint", "src/clean.py", "src/clean.py")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no call outside of a step was found\n"


def test_no_ledger_is_needed_and_none_is_made(tree, run):
    run("lint", "src")

    assert [path.name for path in tree.iterdir()] == ["src"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"def (", "cannot be read as Python"),
        (b"\xff\xfe\x00", "cannot be read as Python"),
        (b"a\x00b", "Python"),
    ],
)
def test_what_is_no_python_is_refused_with_its_name(home, run, content, told):
    """INT-13."""
    (home / "odd.py").write_bytes(content)

    result = run("lint", "odd.py")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "odd.py" in result.stderr
    assert told in result.stderr


def test_a_path_that_is_not_there_is_wrong_usage(home, run):
    assert run("lint", "nowhere.py").exit_code == 2
    assert run("lint").exit_code == 2


def test_a_hostile_name_is_printable(home, run):
    (home / "evil\x1b[2J.py").write_text(SLIPPING)

    result = run("lint", ".")

    assert "\x1b" not in result.stdout + result.stderr


def test_a_terminal_gets_a_table(tree):
    shown = uncoloured(on_terminal(["lint", "src"], code=1))

    assert "why, and what instead" in shown
    assert "ctx.now()" in shown
