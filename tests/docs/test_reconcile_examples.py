"""IDE-15, IDE-16: the worked examples lose an answer after the change, find the truth, and change nothing twice.

Each runs as a reader runs it, in a process of its own, against a server or a tool that speaks the real protocol.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "reconcile"
PATIENCE_S = 120

SHOWN = {
    "stripe_like.py": """
        the answer was lost: RemoteDisconnected
        the ledger says: unknown
        the same call again: ch_1
        the ledger says: succeeded
        charges at the provider: 1
    """,
    "github_issues.py": """
        the answer was lost: RemoteDisconnected
        the ledger says: unknown
        the same call again: nothing was found, which proves nothing yet
        the ledger says: unknown
        the same call again: issue 1
        the ledger says: succeeded
        issues at the provider: 1
    """,
    "smtp_message_id.py": """
        the answer was lost: SMTPServerDisconnected
        the ledger says: unknown
        the same call again: no mail yet, which proves nothing yet
        the same call again: the mail is there
        the ledger says: succeeded
        mails in the mailbox: 1
    """,
    "git_push.py": """
        the answer was lost: ...
        the ledger says: unknown
        the same call again: commit ...
        the ledger says: succeeded
        commits at the remote: 1
    """,
    "kubernetes_apply.py": """
        the answer was lost: RemoteDisconnected
        the ledger says: unknown
        the same call again: replicas 3
        the ledger says: succeeded
        applies at the cluster: 1
        another answer was lost: RemoteDisconnected
        the same call again: spec.replicas differs: not done, or done and changed since
        applies of that one at the cluster: 1
    """,
    "s3_put.py": """
        the answer was lost: ConnectionClosedError
        the ledger says: unknown
        the same call again: ETag "..."
        the ledger says: succeeded
        versions in the bucket: 1
    """,
}


def run(example: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run an example as somebody who has just installed the library."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "AWS_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / example)],
        cwd=home,
        env={**kept, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def as_pattern(shown: str) -> str:
    """The lines that an example shows; three dots stand for anything within a line."""
    lines = [line.strip() for line in shown.strip().splitlines()]
    return "\n".join(".+".join(re.escape(part) for part in line.split("...")) for line in lines)


@pytest.mark.parametrize(("example", "shown"), SHOWN.items(), ids=SHOWN.keys())
def test_an_example_loses_an_answer_finds_the_truth_and_changes_nothing_twice(
    example: str, shown: str, tmp_path: Path
) -> None:
    """IDE-15, IDE-16, DOC-03: the count on the last line is what really is on the other side."""
    done = run(example, tmp_path)

    assert done.returncode == 0, done.stderr
    assert re.fullmatch(as_pattern(shown), done.stdout.strip()), done.stdout
    assert done.stderr == ""


def test_every_example_is_shown_and_listed_with_its_file() -> None:
    """DOC-03: the list of them is whole, and its links lead somewhere."""
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    programs = {path.name for path in EXAMPLES.glob("*.py") if not path.name.startswith("_")}
    links = re.findall(r"\]\(([^)]+)\)", readme)

    assert programs == set(SHOWN) == {link for link in links if link.endswith(".py") and link[0] != "_"}
    assert [link for link in links if not (EXAMPLES / link).exists()] == []


def test_the_readme_shows_what_its_example_prints() -> None:
    """DOC-03."""
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    [(example, output)] = re.findall(
        r"^\$ python examples/reconcile/(\S+)\n((?:.+\n)+)```", readme, re.MULTILINE
    )

    assert re.fullmatch(as_pattern(SHOWN[example]), output.strip())
