"""A commit that was published cannot vanish: another commit reverts it, and the history has both.

python examples/compensate/revert_commit.py

A real git repository. Each commit carries its effect's key as a trailer, so that after a crash it can be
looked for.
"""

import os
import subprocess
from pathlib import Path

from _stage import SOON, show, stage, worst_moment

from holdfast import Effect, Permanent, SyncLedger, Undone
from holdfast.errors import EffectFailed
from holdfast.reconcilers import by_key

TRAILER = "Holdfast-Key"
# A home without settings, so that the example does the same everywhere.
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
PLAIN |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
IDENTITY = ("-c", "user.name=Agent", "-c", "user.email=agent@agent.example")


def main(home: Path) -> None:
    repository = home / "site"

    def git(*words: str) -> str:
        done = subprocess.run(  # noqa: S603
            ["git", *IDENTITY, *words],  # noqa: S607 - the git that is on the PATH
            cwd=repository,
            env=PLAIN,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def find_commits(idem_key: str) -> list[str]:
        shown = f"--format=%H %(trailers:key={TRAILER},valueonly,separator=%x20)"
        commits = [line.split() for line in git("log", shown).splitlines()]
        return [commit for commit, *keys in commits if idem_key in keys]

    def committed(message: str, effect: Effect) -> str:
        git("commit", "--quiet", "--message", message, "--trailer", f"{TRAILER}: {effect.idem_key}")
        return git("rev-parse", "HEAD")

    if not repository.exists():
        repository.mkdir()
        git("init", "--quiet", "--initial-branch=main")
        git("commit", "--quiet", "--allow-empty", "--message", "Begin")

    with SyncLedger(f"sqlite:///{home}/ledger.db", settings=SOON) as ledger:

        @ledger.tool("site.revert", reconcile=by_key(find_commits))
        def revert(undone: Undone, effect: Effect) -> str:
            git("reset", "--quiet", "--hard")  # what a process may have left that died half-way
            git("revert", "--no-commit", undone.result)
            commit = committed(f"Revert {undone.result[:7]}: {undone.args['name']}", effect)
            worst_moment("the revert is in the history, the ledger does not know it")
            return commit

        @ledger.tool("site.publish", reconcile=by_key(find_commits), compensate=revert)
        def publish(name: str, text: str, effect: Effect) -> str:
            (repository / name).write_text(text)
            git("add", name)
            return committed(f"Publish {name}", effect)

        @ledger.tool("site.check")
        def check(name: str) -> None:
            raise Permanent(f"{name} has a broken link")

        publish.run("release-9", name="index.html", text="<a href=nowhere>Hello</a>\n")
        try:
            check.run("release-9", name="index.html")
        except (Permanent, EffectFailed):
            print("the check failed, after the page was published")
            show(ledger.compensate("release-9", reason="a broken link"))

    print("the page is there:", (repository / "index.html").exists())
    print("the history, oldest first:")
    for line in git("log", "--reverse", "--format=%s").splitlines():
        print(f"  {line}")


with stage() as directory:
    main(directory)
