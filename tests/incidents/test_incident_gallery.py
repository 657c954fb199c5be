"""The incidents that happened to others happen again without holdfast, and are stopped by it; the page shows that."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.demo.incidents.__main__ import INCIDENTS, main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "incidents.md"
GALLERY = [sys.executable, "-W", "error", "-m", "holdfast.demo.incidents"]
PATIENCE_S = 300


@pytest.fixture(scope="module")
def outputs() -> tuple[str, dict[str, Any]]:
    """What people see, and what programs do."""
    with (
        subprocess.Popen(GALLERY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as people,
        subprocess.Popen(
            [*GALLERY, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as programs,
    ):
        shown, complaints = people.communicate(timeout=PATIENCE_S)
        printed, more = programs.communicate(timeout=PATIENCE_S)
    assert (people.returncode, complaints, programs.returncode, more) == (0, "", 0, "")
    return shown, {each["name"]: each for each in map(json.loads, printed.splitlines())}


@pytest.fixture
def played(outputs: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return outputs[1]


def test_the_page_shows_what_is_printed(outputs: tuple[str, dict[str, Any]]) -> None:
    """DOC-02."""
    found = re.search(
        r"^\$ python -m holdfast\.demo\.incidents\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found is not None
    assert found[1] == outputs[0]


def test_every_incident_is_played_and_explained(played: dict[str, Any]) -> None:
    """DOC-02."""
    page = PAGE.read_text("utf-8")

    assert list(played) == [each.name for each in INCIDENTS]
    for incident in INCIDENTS:
        assert f"== {incident.title}" in page
        assert f"`demo/incidents/{incident.name}.py`" in page


def test_a_recursion_goes_on_until_it_is_cut_and_with_a_budget_ends_with_an_answer(
    played: dict[str, Any],
) -> None:
    """DOC-02, COS-03, COS-10: the more it goes on, the dearer is each request."""
    without, guarded = played["recursion"]["without"], played["recursion"]["guarded"]

    assert without["requests"] == 200
    assert without["micros"] > 20_000_000
    assert guarded["requests"] < 100
    assert 1_000_000 < guarded["micros"] <= 2_000_000
    assert guarded["ended"] == "budget_exhausted, with an answer"


def test_retries_around_retries_buy_everything_again_and_with_a_record_once(played: dict[str, Any]) -> None:
    """DOC-02, COS-15, RET-19: five deliveries, three attempts at the last purchase in each."""
    without, guarded = played["retries"]["without"], played["retries"]["guarded"]

    assert (without["requests"], without["acts"]) == (20, 30)
    assert (guarded["requests"], guarded["acts"]) == (4, 4)
    assert guarded["ended"].startswith("completed at delivery")
    assert without["micros"] > 7 * guarded["micros"]


def test_an_invoice_is_deducted_nine_times_and_with_one_identity_once(played: dict[str, Any]) -> None:
    """DOC-02."""
    without, guarded = played["deductions"]["without"], played["deductions"]["guarded"]

    assert (without["acts"], without["micros"]) == (9, 45_000_000)
    assert (guarded["acts"], guarded["micros"]) == (1, 5_000_000)
    assert guarded["ended"] == "all 3 workers have the same receipt"


def test_what_people_have_to_allow_is_not_deleted(played: dict[str, Any]) -> None:
    """DOC-02, HIT-17: the question is there, and nothing ran."""
    without, guarded = played["deletion"]["without"], played["deletion"]["guarded"]

    assert (without["acts"], guarded["acts"]) == (1_000, 0)
    assert guarded["ended"] == "a question to people, before the act"


def test_an_incident_that_there_is_not_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["flood"])

    assert "there is no incident 'flood'" in capsys.readouterr().err
