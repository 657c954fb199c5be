"""The model server as a process of its own, and as a fixture in the tests of users."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

from holdfast.testing.faultserver import read_log
from testing.model_clients import PLAIN, TASK

COMMAND = [sys.executable, "-m", "holdfast.testing.model"]
SCRIPT: list[Any] = [
    {"text": "Let me see.", "calls": [{"tool": "charge", "args": {"amount": 100}}], "reasoning": "Hm."},
    {"status": 429, "retry_after_s": 0, "message": "Later.", "code": "rate_limit_exceeded"},
    "Done.",
]


def test_as_a_process_it_plays_a_file_and_tells_what_happened(tmp_path: Path) -> None:
    """TST-03: for tests that kill processes."""
    script, log = tmp_path / "script.json", tmp_path / "answers.log"
    script.write_text(json.dumps(SCRIPT), encoding="utf-8")
    with subprocess.Popen(
        [*COMMAND, str(script), "--log", str(log)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=1) as client:
            answers = [client.chat.completions.create(model="m", messages=TASK) for _ in range(2)]  # type: ignore[arg-type] # plain dicts
        server.send_signal(signal.SIGTERM)
        told = json.loads(server.stdout.read())

    assert [answer.choices[0].message.content for answer in answers] == ["Let me see.", "Done."]
    assert (told["requests"], told["asked"], told["left"], told["commits"]) == (3, 3, 0, 2)
    assert [entry.path for entry in read_log(log)] == ["/v1/chat/completions"] * 2
    assert server.returncode == 0


@pytest.mark.parametrize(
    "script",
    [
        "",
        "{}",
        "[{}]",
        "[7]",
        '[{"status": 200}]',
        '[{"status": "x"}]',
        '[{"status": 429, "retry_after_s": "x"}]',
    ],
)
def test_a_file_that_is_no_script_is_refused_with_a_word(script: str, tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run([*COMMAND, str(path)], capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


FIXTURE = """
import anthropic, openai
import pytest
from holdfast.testing.model import call

def ask():
    with openai.OpenAI(max_retries=0) as client:
        return client.responses.create(model="m", input="Hi.").output_text

def test_clients_find_it(scripted):
    server = scripted("One.", "Two.")
    with anthropic.Anthropic() as client:
        said = client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi."}])
    assert [said.content[0].text, ask()] == ["One.", "Two."]
    assert server.model.left == 0

def test_the_last_one_counts(scripted):
    scripted("One.")
    scripted("Another.")
    assert ask() == "Another."

def test_asks_for_more_than_there_is(scripted):
    scripted("One.")
    ask()
    with pytest.raises(openai.BadRequestError):
        ask()

def test_nothing_is_left_behind():
    import os
    assert "OPENAI_BASE_URL" not in os.environ
"""


def test_as_a_fixture_it_answers_for_both_providers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TST-03: and a test that asked for more than its script has fails, though it swallowed the error."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "test_agent.py").write_text(FIXTURE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:langsmith_plugin", "test_agent.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert "4 passed, 1 error" in done.stdout, done.stdout
    assert "ERROR test_agent.py::test_asks_for_more_than_there_is" in done.stdout
    assert "script has 1 lines" in done.stdout


def test_two_servers_live_side_by_side(scripted: Any) -> None:
    one, two = scripted("One."), scripted("Two.")

    assert [PLAIN[0].ask(two).text, PLAIN[0].ask(one).text] == ["Two.", "One."]
