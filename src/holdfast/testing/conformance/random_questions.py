"""What becomes of approvals in random changes, good and forged."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st

from holdfast._core.approval import ApprovalRecord, ApprovalState
from holdfast._core.change import ApprovalOp, MoveApproval, OpenApproval
from holdfast.ports import ApprovalQuery
from holdfast.testing.conformance.questions import approval, digest
from holdfast.testing.conformance.subject import WORKFLOWS, Subject, key_of
from holdfast.testing.runtime import FakeClock

_NUMBERS: Final = itertools.count(1)
_AFTER: Final = st.sampled_from([4.0, 10.0, 100.0])
_BODIES: Final = st.sampled_from(["{}", '"ü\\u0000"', "9007199254740993"])


class Asked:
    """The questions of one trial: what was written of each, as far as anybody knows."""

    def __init__(self, clock: FakeClock, tenant: str) -> None:
        self._clock = clock
        self._tenant = tenant
        self._rows: dict[int, list[ApprovalRecord]] = {}

    def ops(self, data: st.DataObject, n: int, *, is_new: bool) -> tuple[ApprovalOp, ...]:
        """Return what a change of the n-th effect does about questions: often nothing.

        Args:
            is_new: The change inserts the effect: there are no questions about it that could be moved.
        """
        past = self._rows.get(n, [])
        kinds = ["open"] if is_new or not past else ["open", "move", "move", "move", "both"]
        kind = data.draw(st.sampled_from([*["nothing"] * len(kinds), *kinds]), label="asked")
        ops: tuple[ApprovalOp, ...] = ()
        if kind in {"move", "both"}:
            ops = (self._move(data, past),)
        if kind in {"open", "both"}:
            ops = (*ops, self._open(data, n, len(past)))
        return ops

    def keep(self, n: int, ops: Sequence[ApprovalOp]) -> None:
        """Remember *ops*, which were applied."""
        for op in ops:
            row = op.approval if isinstance(op, OpenApproval) else op.after
            self._rows.setdefault(n, []).append(row)

    def look(self, data: st.DataObject, subject: Subject, oracle: Any) -> None:
        """List by a random query; both stores must answer alike."""
        now, ids = self._clock(), [row.id for rows in self._rows.values() for row in rows]
        moments = st.none() | st.sampled_from([now - timedelta(seconds=4), now, now + timedelta(seconds=9)])
        names = st.sampled_from(ids or ["0"])
        query = ApprovalQuery(
            tenant=self._tenant,
            state=data.draw(st.none() | st.sampled_from(ApprovalState), label="state"),
            key=data.draw(st.none() | st.just(key_of(0)), label="key"),
            workflow_id=data.draw(st.none() | st.sampled_from(WORKFLOWS), label="workflow"),
            id_prefix=data.draw(st.none() | names.map(lambda name: name[:2]), label="prefix"),
            due=data.draw(moments, label="due"),
            has_notices=data.draw(st.booleans(), label="notices"),
            since=data.draw(moments, label="since"),
            after=data.draw(st.none() | st.tuples(st.just(now), names), label="after"),
            limit=data.draw(st.integers(1, 3), label="limit"),
        )
        mine, theirs = subject.store.approvals, oracle.approvals
        assert list(subject.run(mine.listed(query))) == list(subject.run(theirs.listed(query)))
        counts = subject.run(mine.counts(self._tenant))
        assert dict(counts) == dict(subject.run(theirs.counts(self._tenant)))
        latest = subject.run(mine.latest(self._tenant, key_of(0)))
        assert latest == subject.run(theirs.latest(self._tenant, key_of(0)))

    def _open(self, data: st.DataObject, n: int, count: int) -> OpenApproval:
        row = approval(
            self._clock,
            n,
            tenant=self._tenant,
            number=data.draw(st.sampled_from([count + 1, count + 1, max(count, 1)]), label="number"),
            state=data.draw(st.sampled_from(["pending", "pending", "denied"]).map(ApprovalState)),
            due_at=self._clock() + timedelta(seconds=data.draw(_AFTER, label="due")),
        )
        name = hashlib.sha256(b"question %d" % next(_NUMBERS)).hexdigest()[:32]
        return OpenApproval(approval=replace(row, id=name))

    def _move(self, data: st.DataObject, past: Sequence[ApprovalRecord]) -> MoveApproval:
        before = data.draw(st.sampled_from([past[-1], past[-1], *past]), label="question")
        due_s = data.draw(st.none() | _AFTER, label="due")
        after = replace(
            before,
            state=data.draw(st.sampled_from(ApprovalState), label="to"),
            version=before.version + data.draw(st.sampled_from([1, 1, 1, 2]), label="version"),
            digest=data.draw(st.sampled_from([before.digest, digest("edited")]), label="digest"),
            body=data.draw(_BODIES, label="body"),
            expires_at=self._clock() + timedelta(seconds=data.draw(_AFTER, label="expires")),
            due_at=None if due_s is None else self._clock() + timedelta(seconds=due_s),
            notices=data.draw(st.integers(0, 2), label="notices"),
            updated_at=self._clock(),
        )
        forged = data.draw(st.sampled_from([False, False, False, True]), label="forge the question")
        return MoveApproval(
            after=after,
            frm=before.state,
            digest=digest("forged") if forged else before.digest,
            unexpired=data.draw(st.booleans(), label="unexpired"),
            wakes=data.draw(st.booleans(), label="wakes"),
        )
