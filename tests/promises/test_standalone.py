"""INT-04, INT-05, OBS-21: a library and a file. Programs of their own, since a test run imports everything."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OPTIONAL = {
    *("psycopg", "psycopg_pool", "asyncpg", "openai", "anthropic", "langchain_core", "mcp"),
    *("rich", "click", "cryptography", "pydantic", "opentelemetry", "pytest", "hypothesis"),
}

WORK = """
import asyncio
from holdfast import Done, Effect, Ledger, SyncLedger, ToolCall

def charge(amount: int, effect: Effect) -> dict:
    return {"charged": amount}

with SyncLedger("sqlite:///sync.db") as ledger:
    run = ledger.tool(name="charge")(charge).run
    assert run("w", amount=1) == run("w", amount=1) == {"charged": 1}
    with ledger.begin(ToolCall(workflow_id="w", tool="t")) as claim:
        claim.doubt("?")
    assert ledger.reconcile(claim.key, lambda effect: Done("ok")).result == "ok"
    assert ledger.verify().ok

async def main():
    async with Ledger("sqlite:///async.db") as ledger:
        call = {"id": "c1", "type": "function", "function": {"name": "charge", "arguments": '{"amount": 1}'}}
        [receipt] = await ledger.turn([call], handlers={"charge": charge}, workflow_id="w")
        assert receipt.result == {"charged": 1}
        assert [effect.state for effect in await ledger.effects()] == ["succeeded"]

asyncio.run(main())
print("all done")
"""


def run(program: str, cwd: Path, *before: str) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def network_namespace() -> list[str]:
    """The command that leaves a program without any network, where this machine allows it."""
    for command in (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"]):
        if (
            shutil.which(command[0])
            and not subprocess.run([*command, "true"], capture_output=True, check=False).returncode
        ):
            return command
    return []


NO_SOCKETS = """
import sys
def refuse(event, args):
    if event.startswith("socket.") and args and getattr(args[0], "family", 1) != 1:  # socketpairs are the loop's
        raise RuntimeError(event)
sys.addaudithook(refuse)
"""


def test_it_works_with_no_network_at_all(tmp_path: Path) -> None:
    """INT-04: neither import nor use asks for one; on machines without namespaces every socket is refused."""
    without_network = network_namespace()

    done = run(WORK if without_network else NO_SOCKETS + WORK, tmp_path, *without_network)

    assert (done.returncode, done.stdout) == (0, "all done\n"), done.stderr


def test_it_works_without_any_telemetry_package(tmp_path: Path) -> None:
    """OBS-21."""
    blocker = """
    import sys
    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {"opentelemetry", "prometheus_client", "structlog", "sentry_sdk"}:
                raise ModuleNotFoundError(name)
    sys.meta_path.insert(0, Absent())
    """

    done = run(textwrap.dedent(blocker) + WORK, tmp_path)

    assert (done.returncode, done.stdout) == (0, "all done\n"), done.stderr


def test_using_it_imports_no_optional_package(tmp_path: Path) -> None:
    """INT-04, INT-11: nor one of the packages that only the command line needs."""
    done = run(
        f"{WORK}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))", tmp_path
    )

    assert done.returncode == 0, done.stderr
    assert OPTIONAL & set(done.stdout.split()) == set()


def test_importing_it_imports_no_optional_package_and_its_time_is_reported(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """INT-04: the aim is 60 ms of its own on a quiet machine."""
    command = [sys.executable, "-X", "importtime", "-c", "import holdfast"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    rows = [[part.strip() for part in line.split("|")] for line in done.stderr.splitlines() if "|" in line]
    own = {row[2]: int(row[0].rpartition(":")[2]) for row in rows[1:]}
    holdfast = sum(spent for name, spent in own.items() if name.partition(".")[0] == "holdfast")

    record_property("import_ms_of_holdfast_itself", round(holdfast / 1000, 1))
    record_property("import_ms_with_the_standard_library", round(int(rows[-1][1]) / 1000, 1))

    assert {name.partition(".")[0] for name in own} & OPTIONAL == set()
    assert holdfast > 0


def test_the_licence_is_apache_2_in_file_and_metadata() -> None:
    """INT-05."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")

    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert metadata.metadata("holdfast")["License-Expression"] == "Apache-2.0"
    assert re.search(r"Apache License\s+Version 2\.0, January 2004", licence)
    assert "END OF TERMS AND CONDITIONS" in licence


def test_nothing_in_the_library_checks_a_licence_or_phones_home() -> None:
    """INT-05, INT-04: the demo speaks HTTP, whose point is a server, and channels that somebody has set up."""
    known = r"127\.0\.0\.1|\{_?H[A-Z]+\}|docs\.|www\.(rfc|w3|standardwebhooks)|html\.spec\.whatwg\.org|github\.com/open-telemetry/semantic|[a-z.]+\.example\b|ops\.|slack\.com/api/"
    telling = re.compile(rf"licen[cs]e|telemetry_url|https?://(?=[\w{{])(?!{known})", re.IGNORECASE)
    source = ROOT / "src" / "holdfast"
    found = [
        f"{path.relative_to(source)}: {line.strip()}"
        for path in source.rglob("*.py")
        if "demo" not in path.relative_to(source).parts
        for line in path.read_text(encoding="utf-8").splitlines()
        if telling.search(line)
    ]

    assert found == []


@pytest.mark.parametrize("package", ["click", "rich"])
def test_only_the_command_line_needs_the_required_packages(package: str) -> None:
    """INT-04."""
    names = [
        re.split(r"[^\w-]", line)[0] for line in metadata.requires("holdfast") or [] if "extra ==" not in line
    ]

    assert package in names
    assert len(names) == 2
