"""A ticket that was opened by mistake is closed and labelled, not deleted: its history is kept.

python examples/compensate/close_and_label_ticket.py

The issue tracker is an HTTP API on this machine, with the three requests that it takes; what it knows is in
``issues.json``. Setting the same state and labels twice is the same as once, so it may be repeated.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from _stage import SOON, show, stage, worst_moment

from holdfast import Effect, Permanent, SyncLedger, Undone
from holdfast.errors import EffectFailed
from holdfast.reconcilers import by_key


class Tracker(BaseHTTPRequestHandler):
    """``POST /issues`` opens one, ``PATCH /issues/N`` changes one, ``GET /issues`` lists them."""

    file: Path

    def do_GET(self) -> None:
        self.answer(self.issues)

    def do_POST(self) -> None:
        issue = {"number": len(self.issues) + 1, "state": "open", "labels": [], **self.body}
        self.answer(issue, [*self.issues, issue])

    def do_PATCH(self) -> None:
        issues = self.issues
        issue = issues[int(self.path.rpartition("/")[2]) - 1]
        issue.update(self.body)
        self.answer(issue, issues)

    @property
    def issues(self) -> list[dict[str, Any]]:
        known: list[dict[str, Any]] = json.loads(self.file.read_text()) if self.file.exists() else []
        return known

    @property
    def body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body: object, issues: object = None) -> None:
        if issues is not None:
            self.file.write_text(json.dumps(issues))
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def tracker(file: Path) -> Iterator[tuple[str, int]]:
    Tracker.file = file
    with ThreadingHTTPServer(("127.0.0.1", 0), Tracker) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield "127.0.0.1", server.server_port
        server.shutdown()


def main(home: Path) -> None:
    def ask(method: str, path: str, body: object = None) -> Any:
        connection = HTTPConnection(*address, timeout=10)
        connection.request(method, path, None if body is None else json.dumps(body))
        found = json.loads(connection.getresponse().read())
        connection.close()
        return found

    with (
        tracker(home / "issues.json") as address,
        SyncLedger(f"sqlite:///{home}/ledger.db", settings=SOON) as ledger,
    ):

        @ledger.tool("tracker.close", safety="idempotent")
        def close(undone: Undone) -> Any:
            path = f"/issues/{undone.result['number']}"
            issue = ask("PATCH", path, {"state": "closed", "labels": ["opened-by-mistake"]})
            worst_moment("the ticket is closed, the ledger does not know it")
            return issue

        def find_tickets(idem_key: str) -> list[Any]:
            return [issue for issue in ask("GET", "/issues") if issue["reference"] == idem_key]

        @ledger.tool(
            "tracker.open",
            reconcile=by_key(find_tickets),
            external_id=lambda issue: f"#{issue['number']}",
            compensate=close,
        )
        def open_ticket(title: str, effect: Effect) -> Any:
            return ask("POST", "/issues", {"title": title, "reference": effect.idem_key})

        @ledger.tool("pager.call")
        def call_somebody(title: str) -> None:
            raise Permanent(f"{title}: the checkout is up, it was the monitoring")

        open_ticket.run("incident-7", title="Checkout is down")
        try:
            call_somebody.run("incident-7", title="Checkout is down")
        except (Permanent, EffectFailed):
            print("it was a false alarm, after a ticket was opened")
            report = ledger.compensate("incident-7", reason="false alarm")
            show(report)

        for issue in ask("GET", "/issues"):
            print(f"ticket #{issue['number']} is still there: {issue['state']}, {', '.join(issue['labels'])}")
        [undone] = report.undone
        opened, closed = ledger.effect(undone.key), ledger.effect(undone.by)
        print(f"on record: {opened.tool} {opened.external_id} is {opened.state}, by {closed.tool}")
        print("and the other way round:", closed.undoes == opened.key)


with stage() as directory:
    main(directory)
