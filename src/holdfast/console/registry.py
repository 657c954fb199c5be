"""Which pages there are, in the order of the navigation, and what may be done on them.

A new page is a module in ``pages`` with a ``PAGE`` and perhaps ``ACTIONS``, a template, and a line here.
"""

from __future__ import annotations

from typing import Final

from holdfast.console.asking import Site
from holdfast.console.pages import (
    approvals,
    audit,
    budgets,
    doubt,
    effect,
    oversight,
    overview,
    patterns,
    policy,
    question,
    settings,
    workers,
    workflow,
    workflows,
)

SITE: Final = Site(
    pages=(
        overview.PAGE,
        workflows.PAGE,
        workflow.PAGE,
        effect.PAGE,
        approvals.PAGE,
        question.PAGE,
        doubt.PAGE,
        budgets.PAGE,
        oversight.PAGE,
        policy.PAGE,
        audit.PAGE,
        workers.PAGE,
        settings.PAGE,
        patterns.PAGE,
    ),
    actions=(
        *overview.ACTIONS,
        *workflow.ACTIONS,
        *effect.ACTIONS,
        *question.ACTIONS,
        *policy.ACTIONS,
        *audit.ACTIONS,
    ),
)
