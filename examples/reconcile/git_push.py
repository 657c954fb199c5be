"""A push whose answer is lost, found again by a trailer in the commit.

python examples/reconcile/git_push.py

Real repositories and git's own server. The commit carries the effect's key, as other commits carry the names
of their reviewers; the reconciler fetches the branch and looks for it.
"""

import logging
import os
import socketserver
import subprocess
import tempfile
from pathlib import Path

from _lost_answer import Wire, serving

from holdfast import Effect, SyncLedger
from holdfast.reconcilers import by_key

logging.getLogger("holdfast").setLevel(logging.ERROR)
TRAILER = "Holdfast-Key"
# A home without settings, so that the example does the same everywhere.
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
PLAIN |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
IDENTITY = ("-c", "user.name=Agent", "-c", "user.email=agent@agent.example")


def git(where: Path, *words: str) -> str:
    done = subprocess.run(  # noqa: S603
        ["git", *IDENTITY, *words],  # noqa: S607 - the git that is on the PATH
        cwd=where,
        env=PLAIN,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


class GitDaemon(socketserver.BaseRequestHandler):
    """Hands each connection to ``git daemon``, as inetd would."""

    home: Path

    def handle(self) -> None:
        options = ("--inetd", "--export-all", "--enable=receive-pack", f"--base-path={self.home}")
        subprocess.run(  # noqa: S603
            ["git", "daemon", *options, self.home],  # noqa: S607
            stdin=self.request,
            stdout=self.request,
            env=PLAIN,
            check=False,
        )


def main(home: Path) -> None:
    GitDaemon.home = home
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), GitDaemon)
    wire = Wire(server.server_address)
    remote = "git://{}:{}/site.git".format(*wire.address)
    git(home, "init", "--quiet", "--bare", "--initial-branch=main", "site.git")

    def find_commits(idem_key: str) -> list[str]:
        if not git(home, "ls-remote", "--heads", remote, "main"):
            return []
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            here = Path(scratch)
            git(here, "init", "--quiet")
            git(here, "fetch", "--quiet", remote, "main")
            shown = f"--format=%H %(trailers:key={TRAILER},valueonly,separator=%x20)"
            commits = [line.split() for line in git(here, "log", shown, "FETCH_HEAD").splitlines()]
        return [commit for commit, *keys in commits if idem_key in keys]

    def publish(name: str, text: str, effect: Effect) -> str:
        with tempfile.TemporaryDirectory(dir=home) as clone:
            here = Path(clone)
            git(here, "clone", "--quiet", remote, ".")
            git(here, "checkout", "--quiet", "-B", "main")
            (here / name).write_text(text)
            git(here, "add", name)
            message = f"Publish {name}\n\n{TRAILER}: {effect.idem_key}"
            git(here, "commit", "--quiet", "--message", message)
            git(here, "push", "--quiet", "origin", "main")
            return git(here, "rev-parse", "HEAD").strip()

    with serving(server), serving(wire), SyncLedger("memory://") as ledger:
        tool = ledger.tool("site.publish", timeout="60s", retry=False, reconcile=by_key(find_commits))(
            publish
        )
        page = {"name": "index.html", "text": "<h1>Hello</h1>\n"}

        wire.cut_after(b"PACK")  # where a push sends its objects: what follows is the server's report
        try:
            tool.run("release-9", **page)
        except subprocess.CalledProcessError as error:
            print("the answer was lost:", error.stderr.strip().splitlines()[0])
        print("the ledger says:", ledger.effects()[0].state)

        wire.mend()
        commit = tool.run("release-9", **page)
        print("the same call again: commit", commit[:7] if commit else "none")
        print("the ledger says:", ledger.effects()[0].state)
        print("commits at the remote:", git(home / "site.git", "rev-list", "--count", "main").strip())


with tempfile.TemporaryDirectory() as directory:
    main(Path(directory))
