"""DOC-04: the mapping to the EU AI Act says what holds when, and every proof that it points at exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "eu-ai-act-article-14.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([\w()., ]+) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)[1:]


def test_the_page_maps_every_article_that_it_has_to() -> None:
    """DOC-04."""
    articles = " ".join(row[0] for row in ROWS)

    for article in (
        "12",
        "14(1)",
        "14(4)(a)",
        "14(4)(b)",
        "14(4)(c)",
        "14(4)(d)",
        "14(4)(e)",
        "14(5)",
        "19",
        "26(6)",
    ):
        assert article in articles


def test_the_dates_are_those_after_the_omnibus() -> None:
    """DOC-04: high-risk duties from 2 December 2027 and 2 August 2028, no longer from 2026."""
    assert "2 December 2027" in PAGE
    assert "2 August 2028" in PAGE
    assert "does not make a system compliant" in PAGE


def test_every_row_points_at_proofs_that_exist() -> None:
    """DOC-04: each duty has a feature and a test: the ids are rows of this release."""
    owed = (ROOT / "docs" / "design" / "requirements.md").read_text(encoding="utf-8")
    for article, _, _, shown in ROWS:
        for proof in shown.split(", "):
            known = f"| {proof} |" in owed or proof == "I6"
            assert known, f"{article}: {proof} is no row"


def test_logs_are_kept_for_longer_than_the_six_months_that_are_asked_for() -> None:
    """DOC-04: the command that the page shows keeps at least 183 days, and it runs (docs/reference/cli.md)."""
    [days] = re.findall(r"holdfast reap --older-than (\d+)d", PAGE)

    assert int(days) >= 183
