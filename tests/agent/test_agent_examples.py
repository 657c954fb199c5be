"""The examples run as shown: whole, and killed at the worst moment and gone on with."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast import SyncLedger

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "agents"
PATIENCE_S = 120
AGENT, PIPELINE = "support_agent.py", "pipeline.py"
WRITTEN = "billing: Refunds take five days.\nreplies written: 1\ndesk.read succeeded\ncrm.write succeeded"
SHOWN = {
    AGENT: "model call 1\nmodel call 2\nmodel call 3\nYou get your 500 cents back.\nrefunds at the bank: 1",
    PIPELINE: f"find\nanswer\nclassify\n{WRITTEN}",
}
GONE_ON = {AGENT: "model call 3\nYou get your 500 cents back.\nrefunds at the bank: 1", PIPELINE: WRITTEN}


def run(example: str, home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run an example in a directory of its own, warnings being errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / example), *args],
        cwd=home,
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize("example", SHOWN)
def test_an_example_runs_as_shown_and_leaves_nothing_behind(example: str, tmp_path: Path) -> None:
    """PLN-01, PLN-05, DOC-03."""
    done = run(example, tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == SHOWN[example]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("example", SHOWN)
def test_an_example_that_is_killed_goes_on_and_repeats_nothing(example: str, tmp_path: Path) -> None:
    """PLN-01, PLN-05, DUR-16: a real SIGKILL between the world's change and the ledger's record."""
    killed = run(example, tmp_path, "shop", "--die")
    again, at_last = (run(example, tmp_path, "shop") for _ in range(2))

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout.strip().endswith("the ledger does not know it; now kill -9")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.strip() == GONE_ON[example]
    assert at_last.stdout.strip() == GONE_ON[example].removeprefix("model call 3\n")
    with SyncLedger(f"sqlite:///{tmp_path}/shop/ledger.db") as ledger:
        assert ledger.verify().ok


def test_the_agent_is_an_example_of_less_than_forty_lines() -> None:
    """PLN-01: with every guard on."""
    assert len((EXAMPLES / AGENT).read_text(encoding="utf-8").splitlines()) < 40


def test_the_pipeline_has_nothing_of_an_agent(tmp_path: Path) -> None:
    """PLN-05: neither it nor what it imports loads the loop."""
    source = (EXAMPLES / PIPELINE).read_text(encoding="utf-8")
    assert not re.search(r"^(?:from|import) .*agent", source, re.MULTILINE)

    loaded = (
        f"import runpy, sys; sys.path.insert(0, {str(EXAMPLES)!r}); sys.argv[1:] = [];"
        f"runpy.run_path({str(EXAMPLES / PIPELINE)!r}, run_name='__main__');"
        "sys.exit(str([name for name in sys.modules if name.startswith('holdfast.agent')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr.strip() == "[]"


def test_what_reads_one_system_and_writes_another_is_two_operations(tmp_path: Path) -> None:
    """PLN-06: each with a state of its own, and each can be in doubt by itself."""
    killed = run(PIPELINE, tmp_path, "shop", "--die")
    assert killed.returncode == -signal.SIGKILL

    def states() -> dict[str, tuple[str, str]]:
        with SyncLedger(f"sqlite:///{tmp_path}/shop/ledger.db") as ledger:
            effects = ledger.effects(workflow_id="ticket-7")
            return {effect.tool: (effect.safety, effect.state) for effect in effects}

    assert states() == {"desk.read": ("read", "succeeded"), "crm.write": ("unsafe", "pending")}
    assert run(PIPELINE, tmp_path, "shop").returncode == 0
    assert states() == {"desk.read": ("read", "succeeded"), "crm.write": ("unsafe", "succeeded")}


def test_the_readme_lists_the_examples_and_shows_what_they_print(tmp_path: Path) -> None:
    """DOC-03."""
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", readme)
    steps = re.findall(r"^\$ python examples/agents/(.+)\n((?:(?!\$ |```).+\n)+)", readme, re.MULTILINE)

    assert {path.name for path in EXAMPLES.glob("[!_]*.py")} == set(SHOWN) <= set(links)
    assert [link for link in links if not (EXAMPLES / link).exists()] == []
    assert len(steps) == 3
    for command, output in steps:
        example, *args = command.split()
        assert run(example, tmp_path, *args).stdout == output
