"""Nobody says yes to what they were not shown, whatever form they send."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from console.questions import ANA, BEN, PEOPLE, ask
from console.served import Served
from holdfast import SyncLedger
from holdfast.console import console


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SyncLedger]:
    with SyncLedger(f"sqlite:///{tmp_path / 'desk.db'}", people=PEOPLE) as ledger:
        yield ledger


@pytest.fixture
def desk(ledger: SyncLedger, serve: Callable[[Any], Served]) -> Served:
    """The desk's console, where Ana decides."""
    return serve(console(ledger, access=lambda _: ANA))


def test_attack_42_a_yes_to_more_than_was_shown_is_refused_whatever_form_it_comes_in(
    ledger: SyncLedger, desk: Served
) -> None:
    """Attack 42: the page hides its button, and the server insists: only who was shown it all says yes."""
    question, other = (ask(ledger, workflow_id=name, text="x" * 150_000, n=name) for name in ("a", "b"))
    with httpx2.Client(trust_env=False, base_url=desk.url, timeout=60) as client:

        def yes(**more: str) -> int:
            form = {"digest": question.digest, **more}
            return client.post(f"/approvals/{question.id}/approve", data=form).status_code

        def proof(of: Any, path: str) -> list[str]:
            return re.findall(
                r'name="seen_whole" value="([0-9a-f]*)"', client.get(f"/approvals/{of.id}{path}").text
            )

        assert proof(question, "") == []
        [others] = proof(other, "?whole=1")
        assert [yes(), yes(seen_whole=""), yes(seen_whole="1"), yes(seen_whole=others)] == [409] * 4
        assert ledger.approval(question.id).votes == ()
        assert (
            "open all of it first"
            in client.post(f"/approvals/{question.id}/approve?whole=1", data={"digest": question.digest}).text
        )
        [own] = proof(question, "?whole=1")
        assert others != own
        assert yes(seen_whole=own) == 303
    assert ledger.approval(question.id).state == "approved"


def test_attack_42_what_one_person_was_shown_is_no_proof_for_another(ledger: SyncLedger, serve: Any) -> None:
    question = ask(ledger, text="x" * 150_000)
    visitors = {"ana": ANA, "ben": BEN}
    served = serve(console(ledger, access=lambda request: visitors.get(request.headers.get("x-who", ""))))
    page = httpx2.get(
        f"{served.url}/approvals/{question.id}?whole=1",
        headers={"x-who": "ana"},
        trust_env=False,
        timeout=60,
    )
    [proof] = re.findall(r'name="seen_whole" value="([0-9a-f]+)"', page.text)
    answer = httpx2.post(
        f"{served.url}/approvals/{question.id}/approve",
        data={"digest": question.digest, "seen_whole": proof},
        headers={"x-who": "ben"},
        trust_env=False,
        timeout=60,
    )

    assert answer.status_code == 409
    assert ledger.approval(question.id).votes == ()
