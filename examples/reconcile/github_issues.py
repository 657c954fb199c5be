"""An issue whose answer is lost, found again by a search that is late.

python examples/reconcile/github_issues.py

The API knows no idempotency keys, so the issue carries one: a comment in its body that nobody sees. And its
search index is behind, so that nothing found is no evidence for the first two minutes.
"""

import logging
from typing import Any
from urllib.parse import quote

from _json_api import Provider, ask
from _lost_answer import Wire, serving

from holdfast import Effect, SyncLedger
from holdfast.errors import OutcomeUnknown
from holdfast.reconcilers import by_search

logging.getLogger("holdfast").setLevel(logging.ERROR)
ISSUES: list[dict[str, Any]] = []  # at the provider
INDEX: list[dict[str, Any]] = []  # what its search knows of them so far


class Issues(Provider):
    """Opens an issue for every request; its search knows only what is in the index."""

    def post(self) -> None:
        ISSUES.append({"number": len(ISSUES) + 1, **self.body})
        self.answer(201, ISSUES[-1])

    def get(self) -> None:
        title = self.query["q"].partition("in:title ")[2]
        self.answer(200, {"items": [issue for issue in INDEX if title in issue["title"]]})


def marker(effect: Effect) -> str:
    return f"<!-- holdfast:{effect.idem_key} -->"


def is_ours(issue: dict[str, Any], effect: Effect) -> bool:
    return issue["title"] == effect.args["title"] and marker(effect) in issue["body"]


def main() -> None:
    server = Issues.server()
    wire = Wire(server.server_address)

    def search(effect: Effect) -> list[dict[str, Any]]:
        query = quote(f"repo:acme/app in:title {effect.args['title']}")
        return ask(wire.address, "GET", f"/search/issues?q={query}")["items"]

    def open_issue(title: str, text: str, effect: Effect) -> Any:
        body = {"title": title, "body": f"{text}\n\n{marker(effect)}"}
        return ask(wire.address, "POST", "/repos/acme/app/issues", body=body)

    with serving(server), serving(wire), SyncLedger("memory://") as ledger:
        find = by_search(search, match=is_ours, lag="2m")
        tool = ledger.tool("github.open_issue", timeout="30s", retry=False, reconcile=find)(open_issue)
        bug = {"title": "Checkout is down", "text": "Since 12:00 UTC."}

        wire.cut_after(b"POST")
        try:
            tool.run("incident-7", **bug)
        except ConnectionError as error:
            print("the answer was lost:", type(error).__name__)
        print("the ledger says:", ledger.effects()[0].state)

        wire.mend()
        try:
            tool.run("incident-7", **bug)
        except OutcomeUnknown:
            print("the same call again: nothing was found, which proves nothing yet")
        print("the ledger says:", ledger.effects()[0].state)

        INDEX.extend(ISSUES)  # a minute later
        print("the same call again: issue", tool.run("incident-7", **bug)["number"])
        print("the ledger says:", ledger.effects()[0].state)
        print("issues at the provider:", len(ISSUES))


main()
