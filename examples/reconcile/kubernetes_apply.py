"""An apply whose answer is lost, settled by reading the resource back.

python examples/reconcile/kubernetes_apply.py

Nothing in a cluster carries an idempotency key, and nothing needs to: what was wanted is a state. If the
resource is in that state, the apply is done, whatever else the cluster has added to it. If it is not, nobody
can tell a lost apply from one that somebody has changed since, and a person decides.
"""

import logging
from typing import Any

from _json_api import NotFound, Provider, ask
from _lost_answer import Wire, serving

from holdfast import Effect, SyncLedger
from holdfast.errors import OutcomeUnknown
from holdfast.reconcilers import by_reading

logging.getLogger("holdfast").setLevel(logging.ERROR)
PATH = "/apis/apps/v1/namespaces/shop/deployments/"
APPLY = {"Content-Type": "application/apply-patch+yaml"}  # JSON is YAML
CLUSTER: dict[str, Any] = {}
APPLIED: list[int] = []  # to how many replicas, each time


class ApiServer(Provider):
    """Merges what is applied into what is there, fills in defaults, counts generations."""

    def patch(self) -> None:
        name = self.path.partition("?")[0].rpartition("/")[2]
        found = CLUSTER.setdefault(
            name, {"metadata": {"generation": 0}, "spec": {"revisionHistoryLimit": 10}}
        )
        wanted = self.body
        merge(found, wanted)
        found["metadata"]["generation"] += 1
        found["metadata"]["resourceVersion"] = str(1000 + len(APPLIED))
        APPLIED.append(wanted["spec"]["replicas"])
        self.answer(200, found)

    def get(self) -> None:
        found = CLUSTER.get(self.path.rpartition("/")[2])
        self.answer(200 if found else 404, found)


def merge(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if isinstance(value, dict):
            merge(found.setdefault(name, {}), value)
        else:
            found[name] = value


def deployment(replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": replicas},
    }


def main() -> None:
    server = ApiServer.server()
    wire = Wire(server.server_address)

    def read(effect: Effect) -> Any:
        return ask(wire.address, "GET", PATH + effect.args["manifest"]["metadata"]["name"])

    def apply(manifest: dict[str, Any]) -> Any:
        where = f"{PATH}{manifest['metadata']['name']}?fieldManager=agent"
        return ask(wire.address, "PATCH", where, body=manifest, headers=APPLY)

    with serving(server), serving(wire), SyncLedger("memory://") as ledger:
        find = by_reading(read, expect=lambda effect: effect.args["manifest"], not_found=NotFound)
        tool = ledger.tool("kubernetes.apply", timeout="30s", retry=False, reconcile=find)(apply)

        wire.cut_after(b"PATCH")
        try:
            tool.run("rollout-4", manifest=deployment(replicas=3))
        except ConnectionError as error:
            print("the answer was lost:", type(error).__name__)
        print("the ledger says:", ledger.effects()[0].state)

        wire.mend()
        found = tool.run("rollout-4", manifest=deployment(replicas=3))
        print("the same call again: replicas", found["spec"]["replicas"])
        print("the ledger says:", ledger.effects()[0].state)
        print("applies at the cluster:", len(APPLIED))

        wire.cut_after(b"PATCH")
        try:
            tool.run("rollout-5", manifest=deployment(replicas=5))
        except ConnectionError as error:
            print("another answer was lost:", type(error).__name__)
        wire.mend()
        CLUSTER["web"]["spec"]["replicas"] = 7  # a colleague's doing
        try:
            tool.run("rollout-5", manifest=deployment(replicas=5))
        except OutcomeUnknown as doubt:
            print("the same call again:", ledger.audit(doubt.key)[-1].details["why"])
        print("applies of that one at the cluster:", APPLIED.count(5))


main()
